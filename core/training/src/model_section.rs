//! The keys of a model to be made.

use athanor_models::{Shape, families};
use athanor_store::{Check, Problem, section};

section! {
    /// The model's family and sizes.
    pub struct ModelSection {
        /// Family: gpt2 (learned positions, LayerNorm, GELU), llama (rotary, RMS norm, SwiGLU) or gemma3 (local and global layers, GeGLU).
        family: String = "llama".into(),
        /// Width of the residual stream.
        hidden_size: usize = 256,
        /// Number of blocks.
        layers: usize = 4,
        /// Query heads.
        heads: usize = 4,
        /// Key and value heads; 0 takes as many as query heads.
        kv_heads: usize = 0,
        /// Inner width of the feed-forward part; 0 takes 4 times the width (gpt2, gemma3) or 8/3, rounded up to 64 (llama).
        intermediate_size: usize = 0,
        /// Longest context, in tokens.
        context: usize = 256,
        /// RMS norm on queries and keys (llama only): steadier at high learning rates.
        qk_norm: bool = false,
        /// Biases on queries, keys and values (llama only): Qwen2's.
        qkv_bias: bool = false,
        /// How many places a query sees, its own among them (llama, gemma3's local layers); 0 is all.
        sliding_window: usize = 0,
        /// Share the input and output embeddings.
        tied: bool = true,
        /// Base of the rotary angles.
        rope_theta: f64 = 10_000.0,
    }
}

impl Check for ModelSection {
    fn check(&self) -> Result<(), Problem> {
        let names: Vec<&str> = families::FAMILIES.iter().map(|f| f.name).collect();
        Problem::unless_one_of("family", &self.family, &names)?;
        for (key, size) in [
            ("hidden_size", self.hidden_size),
            ("layers", self.layers),
            ("heads", self.heads),
            ("context", self.context),
        ] {
            Problem::unless(
                size > 0 && size < 1 << 24,
                key,
                format!("is {size}, it must be 1 to 16777215"),
            )?;
        }
        Problem::unless(
            self.hidden_size.is_multiple_of(self.heads),
            "hidden_size",
            format!("is {}, it must be a multiple of heads ({})", self.hidden_size, self.heads),
        )?;
        let divides = self.kv_heads == 0
            || (self.kv_heads <= self.heads && self.heads.is_multiple_of(self.kv_heads));
        Problem::unless(
            divides,
            "kv_heads",
            format!("is {}, it must divide heads ({})", self.kv_heads, self.heads),
        )?;
        let refused = families::by_name(&self.family).ok().and_then(|f| (f.refuse)(&self.shape(1)));
        Problem::unless(refused.is_none(), "family", refused.unwrap_or_default())
    }
}

impl ModelSection {
    /// The shape, for a vocabulary.
    pub fn shape(&self, vocabulary: usize) -> Shape {
        let family = families::by_name(&self.family);
        let default = family.map_or(4 * self.hidden_size, |f| (f.intermediate)(self.hidden_size));
        Shape {
            vocabulary,
            context: self.context,
            hidden: self.hidden_size,
            layers: self.layers,
            heads: self.heads,
            kv_heads: if self.kv_heads == 0 { self.heads } else { self.kv_heads },
            intermediate: if self.intermediate_size == 0 {
                default
            } else {
                self.intermediate_size
            },
            qk_norm: self.qk_norm,
            qkv_bias: self.qkv_bias,
            sliding_window: Some(self.sliding_window).filter(|&n| n > 0),
            tied: self.tied,
            rope_theta: self.rope_theta,
        }
    }
}
