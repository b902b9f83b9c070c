//! config.json from a file's metadata, and back. Keys are those of llama.cpp's converter.

use athanor_store::{Error, Result};
use serde_json::{Map, Value as Json, json};

use crate::{file::File, names::Arch, write::Entries};

/// The base of gemma3's local layers, which llama.cpp holds fixed; so is that every sixth is global.
const GEMMA_LOCAL_BASE: f64 = 10_000.0;
const GEMMA_PATTERN: usize = 6;

/// Llama 3.1's and 3.2's scaling, which GGUF holds as a factor for each frequency.
const LLAMA3: (f64, f64, f64) = (1.0, 4.0, 8192.0);

/// The file's architecture.
pub(crate) fn arch(file: &File) -> Result<Arch> {
    let name = file.text("general.architecture").unwrap_or_default();
    Arch::ALL.iter().find(|(known, _)| *known == name).map(|(_, arch)| *arch).ok_or_else(|| {
        Error::input(format!("architecture {name:?} is not read"))
            .at(file.path().display())
            .hint("known: llama, qwen2, qwen3, gemma3, gpt2")
    })
}

/// config.json for a file; `frequencies` are `rope_freqs.weight`, where it has them.
pub(crate) fn to_folder(
    file: &File,
    arch: Arch,
    frequencies: Option<&[f32]>,
) -> Result<Map<String, Json>> {
    let prefix = arch.name();
    let size = |key: &str, default| file.size(&format!("{prefix}.{key}"), default);
    let number = |key: &str| file.number(&format!("{prefix}.{key}"));
    let has = |name: &str| file.tensors.iter().any(|t| t.name == name);
    let rows = file.tensors.iter().find(|t| t.name == "token_embd.weight").map(|t| &t.shape);
    let Some(&[vocabulary, hidden]) = rows.map(Vec::as_slice) else {
        return Err(Error::input("tensor token_embd.weight [vocabulary, width] is missing"));
    };
    let (heads, layers) = (size("attention.head_count", None)?, size("block_count", None)?);
    if layers > file.tensors.len() {
        return Err(Error::input(format!(
            "{layers} layers, but only {} tensors",
            file.tensors.len()
        )));
    }
    let tied = !has("output.weight");
    if arch == Arch::Gpt2 {
        let value = json!({
            "model_type": "gpt2",
            "vocab_size": vocabulary,
            "n_positions": size("context_length", None)?,
            "n_embd": hidden,
            "n_layer": layers,
            "n_head": heads,
            "n_inner": size("feed_forward_length", Some(4 * hidden))?,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": number("attention.layer_norm_epsilon")?.unwrap_or(1e-5),
            "tie_word_embeddings": tied,
        });
        return Ok(value.as_object().cloned().unwrap_or_default());
    }
    let head_dim = size("attention.key_length", Some(hidden / heads.max(1)))?;
    let window = Some(size("attention.sliding_window", Some(0))?).filter(|&n| n > 0);
    let theta = number("rope.freq_base")?.unwrap_or(10_000.0);
    let mut value = json!({
        "model_type": match arch {
            Arch::Gemma3 => "gemma3_text",
            Arch::Llama if window.is_some() => "mistral",
            _ => prefix,
        },
        "vocab_size": vocabulary,
        "max_position_embeddings": size("context_length", None)?,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": size("attention.head_count_kv", Some(heads))?,
        "head_dim": head_dim,
        "intermediate_size": size("feed_forward_length", None)?,
        "hidden_act": "silu",
        "rms_norm_eps": short(number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6)),
        "attention_bias": has("blk.0.attn_q.bias") && arch != Arch::Qwen2,
        "tie_word_embeddings": tied,
    });
    if arch == Arch::Llama {
        value["mlp_bias"] = has("blk.0.ffn_up.bias").into();
    }
    if value["model_type"] == "mistral" {
        value["sliding_window"] = json!(window);
    }
    let scaling = scaling(file, prefix, theta, head_dim, frequencies)?;
    if arch == Arch::Gemma3 {
        let config = value.as_object_mut().into_iter();
        config.for_each(|c| drop(c.shift_remove("hidden_act")));
        value["hidden_activation"] = "gelu_pytorch_tanh".into();
        value["sliding_window"] = json!(window.unwrap_or(512));
        value["layer_types"] = (0..layers)
            .map(|i| match (i + 1) % GEMMA_PATTERN {
                0 => "full_attention",
                _ => "sliding_attention",
            })
            .collect();
        // llama.cpp's rule, by which the 27B model differs.
        value["query_pre_attn_scalar"] =
            json!(if layers == 62 { hidden / heads.max(1) } else { head_dim });
        value["rope_parameters"] = json!({
            "full_attention": scaling,
            "sliding_attention": {
                "rope_type": "default",
                "rope_theta": number("rope.freq_base_swa")?.unwrap_or(GEMMA_LOCAL_BASE),
            },
        });
    } else {
        value["rope_parameters"] = scaling;
    }
    Ok(value.as_object().cloned().unwrap_or_default())
}

/// 1e-6 that went through f32 as 1e-6 again.
fn short(x: f64) -> f64 {
    (x as f32).to_string().parse().unwrap_or(x)
}

fn scaling(
    file: &File,
    prefix: &str,
    theta: f64,
    dim: usize,
    frequencies: Option<&[f32]>,
) -> Result<Json> {
    let key = |name: &str| format!("{prefix}.rope.scaling.{name}");
    let number = |name: &str| file.number(&key(name));
    if let Some(found) = frequencies {
        let factor = found.iter().fold(1.0f64, |m, &f| m.max(f64::from(f)));
        let near = llama3_factors(theta, dim, factor, LLAMA3);
        let same = near.len() == found.len()
            && near.iter().zip(found).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-3 * a);
        if !same {
            return Err(Error::input("rope_freqs.weight is not Llama 3's")
                .hint("only Llama 3.1's rotary scaling (and 3.2's, 3.3's) is read from GGUF"));
        }
        return Ok(json!({
            "rope_type": "llama3", "rope_theta": theta, "factor": factor,
            "low_freq_factor": LLAMA3.0, "high_freq_factor": LLAMA3.1,
            "original_max_position_embeddings": LLAMA3.2 as u64,
        }));
    }
    let mut rope = json!({ "rope_type": "default", "rope_theta": theta });
    let factor = match number("factor")? {
        None => file.number(&format!("{prefix}.rope.scale_linear"))?,
        some => some,
    };
    match file.text(&key("type")) {
        None | Some("none") if factor.is_none() => {}
        Some("none") => {}
        None | Some("linear") => {
            rope["rope_type"] = "linear".into();
            rope["factor"] = json!(factor.unwrap_or(1.0));
        }
        Some("yarn") => {
            rope["rope_type"] = "yarn".into();
            rope["factor"] = json!(factor.unwrap_or(1.0));
            if let Some(n) = number("original_context_length")? {
                rope["original_max_position_embeddings"] = json!(n as u64);
            }
        }
        Some(other) => {
            return Err(Error::input(format!("`{}` is {other:?}", key("type")))
                .hint("known: none, linear, yarn"));
        }
    }
    Ok(rope)
}

/// What Llama 3 divides each frequency by.
fn llama3_factors(
    theta: f64,
    dim: usize,
    factor: f64,
    (low, high, original): (f64, f64, f64),
) -> Vec<f64> {
    (0..dim / 2)
        .map(|i| {
            let w = theta.powf(-2.0 * i as f64 / dim as f64);
            let turns = original * w / (2.0 * std::f64::consts::PI);
            let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / ((1.0 - keep) / factor + keep)
        })
        .collect()
}

/// A folder's config.json, for writing.
pub(crate) struct Folder<'a> {
    pub config: &'a Map<String, Json>,
    pub arch: Arch,
    /// Query and key heads.
    pub heads: [usize; 2],
    pub vocabulary: usize,
}

impl<'a> Folder<'a> {
    /// # Errors
    /// Input, for an architecture that llama.cpp would compute otherwise, or that we do not write.
    pub(crate) fn new(config: &'a Map<String, Json>) -> Result<Self> {
        let model_type = config.get("model_type").and_then(Json::as_str).unwrap_or_default();
        let arch = match model_type {
            "llama" | "mistral" => Arch::Llama,
            "qwen2" => Arch::Qwen2,
            "qwen3" => Arch::Qwen3,
            "gemma3_text" => Arch::Gemma3,
            "gpt2" => Arch::Gpt2,
            other => {
                return Err(Error::input(format!("model_type {other:?} is not written as GGUF"))
                    .hint("known: llama, mistral, qwen2, qwen3, gemma3_text, gpt2"));
            }
        };
        let causal = config
            .get("architectures")
            .and_then(|a| a.as_array()?.first()?.as_str())
            .is_none_or(|name| name.ends_with("ForCausalLM") || name.ends_with("LMHeadModel"));
        if !causal {
            return Err(Error::input("only models that write text are written as GGUF")
                .hint("give a model with …ForCausalLM in its config.json"));
        }
        let folder = Self { config, arch, heads: [0; 2], vocabulary: 0 };
        let heads =
            folder.size(if arch == Arch::Gpt2 { "n_head" } else { "num_attention_heads" })?;
        let kv = folder.size("num_key_value_heads").unwrap_or(heads);
        let vocabulary = folder.size("vocab_size")?;
        Ok(Self { heads: [heads, kv], vocabulary, ..folder })
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.config.get(key).and_then(Json::as_f64)
    }

    fn size(&self, key: &str) -> Result<usize> {
        let found = self.config.get(key).and_then(Json::as_u64).filter(|&n| n > 0 && n < 1 << 31);
        found.map(|n| n as usize).ok_or_else(|| {
            Error::input(format!("`{key}` in config.json: a positive integer was expected"))
        })
    }

    /// The metadata that the architecture needs.
    pub(crate) fn metadata(&self, out: &mut Entries) -> Result<()> {
        let prefix = self.arch.name();
        let at = |key: &str| format!("{prefix}.{key}");
        let u32 = |out: &mut Entries, key: &str, n: usize| out.unsigned(&at(key), n as u32);
        u32(out, "vocab_size", self.vocabulary);
        if self.arch == Arch::Gpt2 {
            let hidden = self.size("n_embd")?;
            u32(out, "context_length", self.size("n_positions")?);
            u32(out, "embedding_length", hidden);
            u32(out, "block_count", self.size("n_layer")?);
            u32(out, "feed_forward_length", self.size("n_inner").unwrap_or(4 * hidden));
            u32(out, "attention.head_count", self.heads[0]);
            let epsilon = self.number("layer_norm_epsilon").unwrap_or(1e-5);
            out.float(&at("attention.layer_norm_epsilon"), epsilon);
            return self.only("activation_function", &["gelu_new", "gelu_pytorch_tanh"]);
        }
        let (hidden, context) = (self.size("hidden_size")?, self.size("max_position_embeddings")?);
        let head_dim = self.size("head_dim").unwrap_or(hidden / self.heads[0]);
        u32(out, "context_length", context);
        u32(out, "embedding_length", hidden);
        u32(out, "block_count", self.size("num_hidden_layers")?);
        u32(out, "feed_forward_length", self.size("intermediate_size")?);
        u32(out, "attention.head_count", self.heads[0]);
        u32(out, "attention.head_count_kv", self.heads[1]);
        u32(out, "attention.key_length", head_dim);
        u32(out, "attention.value_length", head_dim);
        u32(out, "rope.dimension_count", head_dim);
        let epsilon = self.number("rms_norm_eps").unwrap_or(1e-6);
        out.float(&at("attention.layer_norm_rms_epsilon"), epsilon);
        if self.arch == Arch::Gemma3 {
            return self.gemma(out, hidden, head_dim);
        }
        self.only("hidden_act", &["silu"])?;
        let used = self.config.get("use_sliding_window").and_then(Json::as_bool);
        let window = self.number("sliding_window").filter(|_| match self.arch {
            Arch::Llama => self.config.get("model_type") == Some(&"mistral".into()),
            _ => used == Some(true),
        });
        if window.is_some_and(|w| w < context as f64) {
            return Err(Error::input("llama.cpp has no sliding window for this architecture")
                .hint("lower max_position_embeddings to the window, or train without a window"));
        }
        self.rope(out, &["rope_scaling", "rope_parameters"], 10_000.0)
    }

    fn gemma(&self, out: &mut Entries, hidden: usize, head_dim: usize) -> Result<()> {
        self.only("hidden_activation", &["gelu_pytorch_tanh", "gelu_new"])?;
        let layers = self.size("num_hidden_layers")?;
        let refuse = |what: &str| {
            Err(Error::input(format!(
                "llama.cpp computes gemma3 with {what}, this model has others"
            )))
        };
        let global = |i: usize| (i + 1).is_multiple_of(GEMMA_PATTERN);
        let types = self.config.get("layer_types").and_then(Json::as_array);
        let usual = types.is_none_or(|t| {
            t.iter().enumerate().all(|(i, kind)| (kind == "full_attention") == global(i))
        });
        if !usual || self.number("sliding_window_pattern").is_some_and(|n| n != 6.0) {
            return refuse("every sixth layer global");
        }
        let scalar = if layers == 62 { hidden / self.heads[0] } else { head_dim };
        if self.number("query_pre_attn_scalar").unwrap_or(256.0) != scalar as f64 {
            return refuse(&format!("query_pre_attn_scalar {scalar}"));
        }
        let nested = self.config.get("rope_parameters").and_then(|r| r.get("sliding_attention"));
        let local = nested.and_then(|r| r["rope_theta"].as_f64());
        let local = local.or(self.number("rope_local_base_freq")).unwrap_or(GEMMA_LOCAL_BASE);
        if local != GEMMA_LOCAL_BASE {
            return refuse("a rotary base of 10000 in local layers");
        }
        let prefix = self.arch.name();
        let window = self.size("sliding_window").unwrap_or(4096);
        out.unsigned(&format!("{prefix}.attention.sliding_window"), window as u32);
        self.rope(out, &["rope_scaling", "rope_parameters"], 1_000_000.0)
    }

    fn only(&self, key: &str, known: &[&str]) -> Result<()> {
        match self.config.get(key).and_then(Json::as_str) {
            Some(found) if !known.contains(&found) => Err(Error::input(format!(
                "`{key}` is {found:?}; llama.cpp computes {} in this architecture",
                known[0]
            ))),
            _ => Ok(()),
        }
    }

    fn scaling(&self, places: &[&str]) -> Option<&'a Map<String, Json>> {
        let found = places.iter().find_map(|key| {
            self.config.get(*key).and_then(Json::as_object).filter(|o| !o.is_empty())
        })?;
        Some(found.get("full_attention").and_then(Json::as_object).unwrap_or(found))
    }

    fn rope(&self, out: &mut Entries, places: &[&str], default: f64) -> Result<()> {
        let prefix = self.arch.name();
        let scaling = self.scaling(places);
        let within = |key: &str| scaling.and_then(|s| s.get(key));
        let number = |key: &str| within(key).and_then(Json::as_f64);
        let theta = number("rope_theta").or(self.number("rope_theta")).unwrap_or(default);
        out.float(&format!("{prefix}.rope.freq_base"), theta);
        let kind = within("rope_type").or(within("type")).and_then(Json::as_str);
        let key = |name: &str| format!("{prefix}.rope.scaling.{name}");
        match kind.unwrap_or("default") {
            "default" | "dynamic" | "llama3" => Ok(()),
            kind @ ("linear" | "yarn") => {
                let odd = ["attention_factor", "beta_fast", "beta_slow", "mscale", "truncate"];
                if let Some(key) = odd.into_iter().find(|k| within(k).is_some_and(|v| !v.is_null()))
                {
                    return Err(Error::input(format!(
                        "llama.cpp does not read `{key}` of a rotary scaling"
                    )));
                }
                out.text(&key("type"), kind);
                out.float(&key("factor"), number("factor").unwrap_or(1.0));
                if kind == "yarn" {
                    let context = self.size("max_position_embeddings")? as f64;
                    let original = number("original_max_position_embeddings").unwrap_or(context);
                    out.unsigned(&key("original_context_length"), original as u32);
                }
                Ok(())
            }
            other => Err(Error::input(format!("rope type {other:?} is not written as GGUF"))),
        }
    }

    /// `rope_freqs.weight`, where the model's rotary scaling is Llama 3's.
    pub(crate) fn frequencies(&self) -> Option<Vec<f32>> {
        let scaling = self.scaling(&["rope_scaling", "rope_parameters"])?;
        let number =
            |key: &str, default: f64| scaling.get(key).and_then(Json::as_f64).unwrap_or(default);
        let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Json::as_str);
        if kind != Some("llama3") || self.arch != Arch::Llama {
            return None;
        }
        let dim =
            self.size("head_dim").or(self.size("hidden_size").map(|h| h / self.heads[0])).ok()?;
        let theta = number("rope_theta", self.number("rope_theta").unwrap_or(10_000.0));
        let shape = (
            number("low_freq_factor", LLAMA3.0),
            number("high_freq_factor", LLAMA3.1),
            number("original_max_position_embeddings", LLAMA3.2),
        );
        let factors = llama3_factors(theta, dim, number("factor", 8.0), shape);
        Some(factors.into_iter().map(|f| f as f32).collect())
    }
}
