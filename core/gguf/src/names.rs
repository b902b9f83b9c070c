//! Tensor names of llama.cpp and of Hugging Face, architecture by architecture, and how the numbers
//! under them differ: convert_hf_to_gguf.py of llama.cpp.

/// An architecture of llama.cpp that we read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
    Gpt2,
}

/// How numbers in GGUF come from those in a Hugging Face folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The same.
    None,
    /// Rows of each head go from halves to pairs: llama.cpp's rotary turns neighbours in llama.
    PairQuery,
    /// The same for keys.
    PairKey,
    /// Gemma's norms: GGUF has the gain, 1 + w.
    AddOne,
    /// GPT-2's matrices are [in, out].
    Transpose,
}

/// Name in GGUF, name in the folder; `{i}` is the layer. `.weight` and `.bias` come behind both.
type Names = &'static [(&'static str, &'static str, Change)];

use Change::{AddOne, None as Same, PairKey, PairQuery, Transpose};

const LLAMA: Names = &[
    ("token_embd", "model.embed_tokens", Same),
    ("output_norm", "model.norm", Same),
    ("output", "lm_head", Same),
    ("blk.{i}.attn_norm", "model.layers.{i}.input_layernorm", Same),
    ("blk.{i}.attn_q", "model.layers.{i}.self_attn.q_proj", PairQuery),
    ("blk.{i}.attn_k", "model.layers.{i}.self_attn.k_proj", PairKey),
    ("blk.{i}.attn_v", "model.layers.{i}.self_attn.v_proj", Same),
    ("blk.{i}.attn_output", "model.layers.{i}.self_attn.o_proj", Same),
    ("blk.{i}.ffn_norm", "model.layers.{i}.post_attention_layernorm", Same),
    ("blk.{i}.ffn_gate", "model.layers.{i}.mlp.gate_proj", Same),
    ("blk.{i}.ffn_up", "model.layers.{i}.mlp.up_proj", Same),
    ("blk.{i}.ffn_down", "model.layers.{i}.mlp.down_proj", Same),
];

const QWEN: Names = &[
    ("token_embd", "model.embed_tokens", Same),
    ("output_norm", "model.norm", Same),
    ("output", "lm_head", Same),
    ("blk.{i}.attn_norm", "model.layers.{i}.input_layernorm", Same),
    ("blk.{i}.attn_q", "model.layers.{i}.self_attn.q_proj", Same),
    ("blk.{i}.attn_k", "model.layers.{i}.self_attn.k_proj", Same),
    ("blk.{i}.attn_v", "model.layers.{i}.self_attn.v_proj", Same),
    ("blk.{i}.attn_output", "model.layers.{i}.self_attn.o_proj", Same),
    ("blk.{i}.attn_q_norm", "model.layers.{i}.self_attn.q_norm", Same),
    ("blk.{i}.attn_k_norm", "model.layers.{i}.self_attn.k_norm", Same),
    ("blk.{i}.ffn_norm", "model.layers.{i}.post_attention_layernorm", Same),
    ("blk.{i}.ffn_gate", "model.layers.{i}.mlp.gate_proj", Same),
    ("blk.{i}.ffn_up", "model.layers.{i}.mlp.up_proj", Same),
    ("blk.{i}.ffn_down", "model.layers.{i}.mlp.down_proj", Same),
];

const GEMMA3: Names = &[
    ("token_embd", "model.embed_tokens", Same),
    ("output_norm", "model.norm", AddOne),
    ("output", "lm_head", Same),
    ("blk.{i}.attn_norm", "model.layers.{i}.input_layernorm", AddOne),
    ("blk.{i}.attn_q", "model.layers.{i}.self_attn.q_proj", Same),
    ("blk.{i}.attn_k", "model.layers.{i}.self_attn.k_proj", Same),
    ("blk.{i}.attn_v", "model.layers.{i}.self_attn.v_proj", Same),
    ("blk.{i}.attn_output", "model.layers.{i}.self_attn.o_proj", Same),
    ("blk.{i}.attn_q_norm", "model.layers.{i}.self_attn.q_norm", AddOne),
    ("blk.{i}.attn_k_norm", "model.layers.{i}.self_attn.k_norm", AddOne),
    ("blk.{i}.post_attention_norm", "model.layers.{i}.post_attention_layernorm", AddOne),
    ("blk.{i}.ffn_norm", "model.layers.{i}.pre_feedforward_layernorm", AddOne),
    ("blk.{i}.post_ffw_norm", "model.layers.{i}.post_feedforward_layernorm", AddOne),
    ("blk.{i}.ffn_gate", "model.layers.{i}.mlp.gate_proj", Same),
    ("blk.{i}.ffn_up", "model.layers.{i}.mlp.up_proj", Same),
    ("blk.{i}.ffn_down", "model.layers.{i}.mlp.down_proj", Same),
];

const GPT2: Names = &[
    ("token_embd", "transformer.wte", Same),
    ("position_embd", "transformer.wpe", Same),
    ("output_norm", "transformer.ln_f", Same),
    ("output", "lm_head", Same),
    ("blk.{i}.attn_norm", "transformer.h.{i}.ln_1", Same),
    ("blk.{i}.attn_qkv", "transformer.h.{i}.attn.c_attn", Transpose),
    ("blk.{i}.attn_output", "transformer.h.{i}.attn.c_proj", Transpose),
    ("blk.{i}.ffn_norm", "transformer.h.{i}.ln_2", Same),
    ("blk.{i}.ffn_up", "transformer.h.{i}.mlp.c_fc", Transpose),
    ("blk.{i}.ffn_down", "transformer.h.{i}.mlp.c_proj", Transpose),
];

impl Arch {
    /// All, by `general.architecture`.
    pub(crate) const ALL: [(&'static str, Self); 5] = [
        ("llama", Self::Llama),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("gemma3", Self::Gemma3),
        ("gpt2", Self::Gpt2),
    ];

    /// `general.architecture`.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, a)| *a == self).map_or("", |(name, _)| name)
    }

    fn names(self) -> Names {
        match self {
            Self::Llama => LLAMA,
            Self::Qwen2 | Self::Qwen3 => QWEN,
            Self::Gemma3 => GEMMA3,
            Self::Gpt2 => GPT2,
        }
    }

    /// The folder's name of a tensor of GGUF.
    pub(crate) fn to_folder(self, name: &str) -> Option<(String, Change)> {
        self.find(name, |row| (row.0, row.1))
    }

    /// GGUF's name of a folder's tensor.
    pub(crate) fn to_gguf(self, name: &str) -> Option<(String, Change)> {
        self.find(name, |row| (row.1, row.0))
    }

    fn find(
        self,
        name: &str,
        sides: impl Fn(&(&'static str, &'static str, Change)) -> (&'static str, &'static str),
    ) -> Option<(String, Change)> {
        let (stem, kind) = name.rsplit_once('.').filter(|(_, k)| ["weight", "bias"].contains(k))?;
        let layer = stem.split('.').find(|part| part.parse::<u32>().is_ok());
        self.names().iter().find_map(|row| {
            let (from, to) = sides(row);
            let fill = |pattern: &str| pattern.replace("{i}", layer.unwrap_or("{i}"));
            (fill(from) == stem).then(|| (format!("{}.{kind}", fill(to)), row.2))
        })
    }
}

impl Change {
    /// From the folder's numbers of a [rows, width] (or [rows]) tensor to GGUF's, or back.
    pub(crate) fn apply(
        self,
        values: &mut Vec<f32>,
        shape: &mut [usize],
        heads: [usize; 2],
        back: bool,
    ) {
        match self {
            Self::None => {}
            Self::AddOne => {
                let one = if back { -1.0 } else { 1.0 };
                values.iter_mut().for_each(|v| *v += one);
            }
            Self::Transpose => {
                if let [rows, columns] = shape[..] {
                    *values = transposed(values, rows, columns, 1);
                    shape.reverse();
                }
            }
            Self::PairQuery | Self::PairKey => {
                let heads = heads[usize::from(self == Self::PairKey)].max(1);
                let width = if shape.len() == 2 { shape[1] } else { 1 };
                let dim = shape.first().map_or(0, |rows| rows / heads);
                if dim == 0 || !dim.is_multiple_of(2) {
                    return;
                }
                let (a, b) = if back { (dim / 2, 2) } else { (2, dim / 2) };
                let per_head = dim * width;
                *values = values
                    .chunks(per_head)
                    .flat_map(|head| transposed(head, a, b, width))
                    .collect();
            }
        }
    }
}

/// [a, b, width] as [b, a, width].
fn transposed(values: &[f32], a: usize, b: usize, width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for j in 0..b {
        for i in 0..a {
            let at = (i * b + j) * width;
            out.extend(values.get(at..at + width).into_iter().flatten());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_comes_back() {
        for change in [Same, PairQuery, PairKey, AddOne, Transpose] {
            let (mut values, mut shape) =
                ((0..96).map(|i| i as f32).collect::<Vec<_>>(), vec![24, 4]);
            let whole = (values.clone(), shape.clone());
            change.apply(&mut values, &mut shape, [4, 2], false);
            assert!(change == Same || values != whole.0);
            change.apply(&mut values, &mut shape, [4, 2], true);
            assert_eq!((values, shape), whole, "{change:?}");
        }
    }

    #[test]
    fn names_go_both_ways() {
        let (name, change) = Arch::Llama.to_folder("blk.11.attn_k.bias").unwrap();
        assert_eq!((name.as_str(), change), ("model.layers.11.self_attn.k_proj.bias", PairKey));
        assert_eq!(Arch::Llama.to_gguf(&name).unwrap().0, "blk.11.attn_k.bias");
        assert_eq!(
            Arch::Gpt2.to_gguf("transformer.h.0.mlp.c_fc.weight").unwrap().0,
            "blk.0.ffn_up.weight"
        );
        assert_eq!(Arch::Gpt2.to_folder("rope_freqs.weight"), None);
    }
}
