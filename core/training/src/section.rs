//! Recipe sections that stages share.

use athanor_models::{Shape, families};
use athanor_store::{Check, Problem, section};
use athanor_tensor::{Graph, Params};

use crate::{optimizers, schedule};

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

section! {
    /// How a model is trained.
    pub struct TrainSection {
        /// Optimiser steps.
        steps: u64 = 500,
        /// Sequences in a micro-batch.
        batch_size: usize = 8,
        /// Micro-batches whose gradients are summed for one step.
        accumulate: usize = 1,
        /// Optimiser: adamw, or muon (hidden matrices by Muon, the rest by AdamW).
        optimizer: String = "adamw".into(),
        /// Peak learning rate; not set: 1e-3 with adamw, 7e-3 with muon.
        learning_rate: Option<f64> = None,
        /// The embeddings' learning rate, as a share of the others'. Adam moves a rare word's row as far as a
        /// common one's, so on few labels a small share keeps rare words from learning by heart; 0 leaves
        /// the embeddings as they are.
        embedding_rate: f64 = 1.0,
        /// Learning rate of a block, as a share of that of the block above; the embeddings are below the first
        /// block, the head above the last (Clark et al. 2020, "ELECTRA", appendix B; also Howard and Ruder 2018).
        layer_decay: f64 = 1.0,
        /// How much of the model stays as it is: 1 the embeddings, 2 the first block as well, and so on; 0
        /// nothing.
        freeze: usize = 0,
        /// Last learning rate, as a share of the peak.
        final_share: f64 = 0.1,
        /// Steps of linear warm-up.
        warmup_steps: u64 = 50,
        /// Schedule after the warm-up: cosine, linear, wsd (flat, then down to the end), constant.
        schedule: String = "cosine".into(),
        /// Share of the steps in which wsd goes down.
        decay_share: f64 = 0.2,
        /// AdamW: decay of the mean gradient.
        beta1: f64 = 0.9,
        /// AdamW: decay of the mean squared gradient.
        beta2: f64 = 0.95,
        /// AdamW: added to the root of the mean squared gradient.
        epsilon: f64 = 1e-8,
        /// Decoupled weight decay of matrices; norms and biases have none.
        weight_decay: f64 = 0.1,
        /// Muon: momentum.
        momentum: f64 = 0.95,
        /// The gradient's global norm is cut to this; 0 never cuts.
        clip: f64 = 1.0,
        /// Decay of a running average of the weights, which is then measured and kept; 0 keeps none.
        average: f64 = 0.0,
        /// Probability of dropout after embeddings, attention and feed-forward parts.
        dropout: f64 = 0.0,
        /// Keep less of the forward pass and compute it again on the way back (Chen et al. 2016): less memory,
        /// about a fifth more time, the same bytes.
        #[watch]
        recompute: bool = false,
        /// Gigabytes (10^9 bytes) that the run may hold; 0: what the machine has free. What a run will need is found
        /// before it begins, and one that does not fit is refused.
        #[watch]
        memory_gigabytes: f64 = 0.0,
        /// Steps between evaluations on held-out data; 0 evaluates at the end only.
        eval_every: u64 = 100,
        /// Most sequences (or pairs) that an evaluation takes.
        eval_items: usize = 200,
        /// Evaluations without a better held-out loss after which training stops; 0 never stops early.
        patience: u64 = 0,
        /// End with the weights of the best evaluation instead of the last.
        keep_best: bool = false,
        /// Steps between samples; 0 samples at the beginning and the end only.
        sample_every: u64 = 0,
        /// Seconds between checkpoints.
        #[watch]
        checkpoint_seconds: f64 = 60.0,
        /// Checkpoints that are kept.
        #[watch]
        keep_checkpoints: usize = 2,
        /// Steps between lines in metrics.jsonl.
        #[watch]
        log_every: u64 = 1,
    }
}

impl TrainSection {
    /// What pretraining starts from: optimiser and schedule of the recipe that came soonest, of those tried, to
    /// the loss of a GPT-2 trained with AdamW (recipes/time-to-quality.toml; figures in bench/RESULTS.md).
    pub fn pretraining() -> Self {
        Self {
            optimizer: "muon".into(),
            schedule: "linear".into(),
            final_share: 0.0,
            ..Self::default()
        }
    }

    /// The peak learning rate: the recipe's, or the optimiser's own.
    pub fn peak_learning_rate(&self) -> f64 {
        self.learning_rate.unwrap_or(optimizers::by_name(&self.optimizer).learning_rate)
    }

    /// A pass that can go backward, as the recipe wants it.
    pub fn graph<'p>(&self, params: &'p Params) -> Graph<'p> {
        if self.recompute { Graph::recomputing(params) } else { Graph::training(params) }
    }
}

impl Check for TrainSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless(self.batch_size > 0, "batch_size", "must be at least 1")?;
        Problem::unless(self.accumulate > 0, "accumulate", "must be at least 1")?;
        Problem::unless(self.log_every > 0, "log_every", "must be at least 1")?;
        Problem::unless(self.keep_checkpoints > 0, "keep_checkpoints", "must be at least 1")?;
        let names: Vec<&str> = optimizers::OPTIMIZERS.iter().map(|o| o.name).collect();
        Problem::unless_one_of("optimizer", &self.optimizer, &names)?;
        let names: Vec<&str> = schedule::SCHEDULES.iter().map(|s| s.name).collect();
        Problem::unless_one_of("schedule", &self.schedule, &names)?;
        for (key, value) in [
            ("learning_rate", self.peak_learning_rate()),
            ("embedding_rate", self.embedding_rate),
            ("final_share", self.final_share),
            ("epsilon", self.epsilon),
            ("weight_decay", self.weight_decay),
            ("clip", self.clip),
            ("checkpoint_seconds", self.checkpoint_seconds),
            ("memory_gigabytes", self.memory_gigabytes),
        ] {
            Problem::unless(
                value >= 0.0 && value.is_finite(),
                key,
                format!("is {value}, it must be 0 or more"),
            )?;
        }
        for (key, value) in [
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("momentum", self.momentum),
            ("average", self.average),
            ("dropout", self.dropout),
        ] {
            Problem::unless(
                (0.0..1.0).contains(&value),
                key,
                format!("is {value}, it must be 0 or more and below 1"),
            )?;
        }
        let decays = self.layer_decay > 0.0 && self.layer_decay <= 1.0;
        Problem::unless(decays, "layer_decay", "must be above 0 and at most 1")?;
        Problem::unless((0.0..=1.0).contains(&self.decay_share), "decay_share", "must be 0 to 1")
    }
}
