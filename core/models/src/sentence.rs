//! Vectors of sentences: a trunk, and over its hidden states what a sentence-transformers folder's
//! modules.json says (Reimers and Gurevych 2019, "Sentence-BERT", section 3).

use std::path::Path;

use athanor_store::{Array, ArrayData, Error, Result, load_arrays, read_json};
use athanor_tensor::{Device, Graph, ops::Activation};
use serde_json::{Map, Value};

use crate::{config::Fields, heads::Head, model::Model, padded::Row, pass::Pass};

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's.
    First,
    /// The last token's.
    Last,
    /// The greatest of each dimension.
    Max,
    /// The mean.
    Mean,
    /// The sum over the root of the number of tokens.
    MeanRoot,
    /// The mean with weights 1, 2, 3, … (Muennighoff 2022, "SGPT", eq. 2).
    Weighted,
}

impl Pooling {
    /// By the name that sentence-transformers has for it.
    ///
    /// # Errors
    /// Input, for an unknown name.
    pub fn by_name(name: &str) -> Result<Self> {
        Ok(match name {
            "cls" => Self::First,
            "lasttoken" => Self::Last,
            "max" => Self::Max,
            "mean" => Self::Mean,
            "mean_sqrt_len_tokens" => Self::MeanRoot,
            "weightedmean" => Self::Weighted,
            other => {
                return Err(Error::input(format!("unknown pooling {other:?}"))
                    .hint("known: mean, cls, max, lasttoken, mean_sqrt_len_tokens, weightedmean"));
            }
        })
    }

    /// Of states [time, width].
    fn pool(self, states: &[f32], width: usize) -> Vec<f32> {
        let count = states.len() / width;
        let rows = || states.chunks_exact(width);
        let sum = |weight: &dyn Fn(usize) -> f64| -> Vec<f32> {
            let mut sums = vec![0.0f64; width];
            for (t, row) in rows().enumerate() {
                let w = weight(t);
                sums.iter_mut().zip(row).for_each(|(s, &x)| *s += w * f64::from(x));
            }
            sums.into_iter().map(|s| s as f32).collect()
        };
        let n = count as f64;
        match self {
            Self::First => states[..width].to_vec(),
            Self::Last => states[(count - 1) * width..].to_vec(),
            Self::Max => rows().fold(vec![f32::NEG_INFINITY; width], |best, row| {
                best.iter().zip(row).map(|(a, b)| a.max(*b)).collect()
            }),
            Self::Mean => sum(&|_| 1.0 / n),
            Self::MeanRoot => sum(&|_| 1.0 / n.sqrt()),
            Self::Weighted => sum(&|t| (t + 1) as f64 * 2.0 / (n * (n + 1.0))),
        }
    }
}

enum Module {
    Pool(Vec<Pooling>),
    /// Weights [out, in], bias, activation.
    Dense(Vec<f32>, Vec<f32>, Activation),
    Normalize,
}

/// Sentence vectors from rows of token ids.
pub struct Sentences {
    model: Model,
    modules: Vec<Module>,
    longest: Option<usize>,
    width: usize,
}

impl Sentences {
    /// Opens a folder. Without a modules.json the vector is the mean of the last hidden states, of
    /// length 1; `pooling` overrides how it is pooled.
    ///
    /// # Errors
    /// Input, naming the file; also for a module that is not computed.
    pub fn load(dir: &Path, pooling: Option<Pooling>, device: Device) -> Result<Self> {
        let file = dir.join("modules.json");
        let listed: Vec<Map<String, Value>> =
            if file.is_file() { read_json(&file)? } else { Vec::new() };
        let (mut trunk, mut modules) = (dir.to_path_buf(), Vec::new());
        for entry in &listed {
            let fields = Fields(entry);
            let at = |e: Error| e.at(file.display());
            let path = fields.text("path", "").map_err(at)?;
            if Path::new(path).components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
                return Err(at(Error::input(format!("path {path:?} leaves the folder"))));
            }
            let folder = dir.join(path);
            let kind = fields.text("type", "").map_err(at)?;
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => trunk = folder,
                "Pooling" => modules.push(Module::Pool(poolings(&folder.join("config.json"))?)),
                "Dense" => modules.push(dense(&folder)?),
                "Normalize" => modules.push(Module::Normalize),
                _ => {
                    return Err(at(Error::input(format!("module {kind:?} is not computed")))
                        .hint("known: Transformer, Pooling, Dense, Normalize"));
                }
            }
        }
        if listed.is_empty() {
            modules = vec![Module::Pool(vec![Pooling::Mean]), Module::Normalize];
        }
        if let Some(wanted) = pooling {
            for module in &mut modules {
                if let Module::Pool(all) = module {
                    *all = vec![wanted];
                }
            }
        }
        let path = trunk.join("sentence_bert_config.json");
        let settings: Map<String, Value> =
            if path.is_file() { read_json(&path)? } else { Map::new() };
        let longest = match Fields(&settings).size("max_seq_length", Some(0)) {
            Ok(0) => None,
            Ok(n) => Some(n),
            Err(e) => return Err(e.at(path.display())),
        };
        let model = Model::load_with_head(&trunk, Head::BARE, 0, device)?;
        let width = check(&modules, model.sizes().hidden).map_err(|e| e.at(dir.display()))?;
        Ok(Self { model, modules, longest, width })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Dimensions of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The most tokens of a text: what the folder says, and what the model takes.
    pub fn longest(&self) -> usize {
        self.longest.unwrap_or(usize::MAX).min(self.model.sizes().context)
    }

    /// A vector for each row of ids, special tokens included. A row without tokens gives zeros.
    ///
    /// # Panics
    /// If an id is not in the vocabulary or a row is longer than the model takes.
    pub fn embed(&self, rows: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let (batch, time) = (rows.len(), rows.iter().map(Vec::len).max().unwrap_or(0));
        if time == 0 {
            return vec![vec![0.0; self.width]; batch];
        }
        let types = &[];
        let rows: Vec<Row<'_>> = rows.iter().map(|ids| Row { ids, types }).collect();
        let input = self.model.padded(&rows).input;
        let graph = Graph::inference(&self.model.params);
        let hidden = self.model.hidden(&mut Pass::new(&graph, &input).skip_padding());
        let width = self.model.sizes().hidden;
        let vector = |(b, row): (usize, &Row<'_>), states: &[f32]| match row.ids.len() {
            0 => vec![0.0; self.width],
            n => self.finish(&states[b * time * width..][..n * width], width),
        };
        hidden
            .value()
            .with_host(|states| rows.iter().enumerate().map(|r| vector(r, states)).collect())
    }

    fn finish(&self, states: &[f32], width: usize) -> Vec<f32> {
        let mut x = states.to_vec();
        for module in &self.modules {
            x = match module {
                Module::Pool(all) => all.iter().flat_map(|p| p.pool(&x, width)).collect(),
                Module::Normalize => {
                    let length = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
                    // torch.nn.functional.normalize's epsilon.
                    x.iter().map(|&v| (f64::from(v) / length.max(1e-12)) as f32).collect()
                }
                Module::Dense(weight, bias, activation) => {
                    let rows = weight.chunks_exact(x.len()).zip(bias);
                    let dot = |(w, b): (&[f32], &f32)| {
                        let sum: f64 =
                            w.iter().zip(&x).map(|(a, c)| f64::from(*a) * f64::from(*c)).sum();
                        let y = sum + f64::from(*b);
                        if *activation == Activation::Tanh { y.tanh() as f32 } else { y as f32 }
                    };
                    rows.map(dot).collect()
                }
            };
        }
        x
    }
}

/// The vector's width behind all modules.
fn check(modules: &[Module], hidden: usize) -> Result<usize> {
    let mut pooled = None;
    for module in modules {
        pooled = Some(match (module, pooled) {
            (Module::Pool(all), None) => all.len() * hidden,
            (Module::Normalize, Some(width)) => width,
            (Module::Dense(weight, bias, _), Some(width)) if weight.len() == bias.len() * width => {
                bias.len()
            }
            (Module::Dense(..), Some(width)) => {
                return Err(Error::input(format!(
                    "a Dense module does not fit a width of {width}"
                )));
            }
            _ => {
                return Err(Error::input(
                    "modules.json must have one Pooling module, first of all \
                                         behind the Transformer",
                ));
            }
        });
    }
    pooled.ok_or_else(|| Error::input("modules.json has no Pooling module"))
}

fn poolings(file: &Path) -> Result<Vec<Pooling>> {
    let config: Map<String, Value> = read_json(file)?;
    // Newer folders name the modes, older ones have a flag for each.
    const FLAGS: [(&str, &str); 6] = [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
        ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ("pooling_mode_lasttoken", "lasttoken"),
    ];
    let flagged = || {
        let on = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
        FLAGS.iter().filter(|(key, _)| on(key)).map(|(_, name)| *name).collect::<Vec<_>>()
    };
    let names = match config.get("pooling_mode") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => flagged(),
    };
    let names = if names.is_empty() { vec!["mean"] } else { names };
    names.into_iter().map(|n| Pooling::by_name(n).map_err(|e| e.at(file.display()))).collect()
}

fn dense(folder: &Path) -> Result<Module> {
    let file = folder.join("config.json");
    let config: Map<String, Value> = read_json(&file)?;
    let name = Fields(&config)
        .text("activation_function", "torch.nn.modules.activation.Tanh")
        .map_err(|e| e.at(file.display()))?;
    let activation = match name.rsplit('.').next().unwrap_or_default() {
        "Tanh" => Activation::Tanh,
        "Identity" => Activation::None,
        other => {
            return Err(Error::input(format!("activation {other:?} is not computed"))
                .at(file.display())
                .hint("known: Tanh, Identity"));
        }
    };
    let file = folder.join("model.safetensors");
    let (mut weight, mut bias) = (None, None);
    for Array { name, shape, data } in load_arrays(&file)? {
        match (name.as_str(), data) {
            ("linear.weight", ArrayData::F32(values)) if shape.len() == 2 => {
                weight = Some((shape[0], values));
            }
            ("linear.bias", ArrayData::F32(values)) => bias = Some(values),
            _ => {}
        }
    }
    let Some((out, weight)) = weight else {
        return Err(Error::input("tensor linear.weight is missing").at(file.display()));
    };
    let bias = bias.unwrap_or_else(|| vec![0.0; out]);
    if bias.len() != out {
        return Err(Error::input(format!("{} values, {out} were expected", bias.len()))
            .at(format!("{}: tensor linear.bias", file.display())));
    }
    Ok(Module::Dense(weight, bias, activation))
}
