//! The keys of training, which all stages share.

use athanor_store::{Check, Choice, Problem, section};
use athanor_tensor::{Graph, Params};

use crate::{
    checks::{below_one, not_negative},
    optimizers::OptimizerKind,
    schedule::{self, Schedule},
};

section! {
    /// How gradients change weights. `optimizer = "muon"` is short for `optimizer.name = "muon"`.
    pub struct OptimizerSection {
        /// The rule.
        name: Choice<OptimizerKind> = "adamw".into(),
        /// Decoupled weight decay of matrices; norms and biases have none.
        weight_decay: f64 = 0.1,
    }
}

impl Check for OptimizerSection {
    fn check(&self) -> Result<(), Problem> {
        not_negative([("weight_decay", self.weight_decay)])
    }
}

section! {
    /// The learning rate by step. `schedule = "linear"` is short for `schedule.name = "linear"`.
    pub struct ScheduleSection {
        /// The way down after the warm-up.
        name: Choice<Schedule> = "cosine".into(),
        /// Steps of linear warm-up.
        warmup_steps: u64 = 50,
        /// Last learning rate, as a share of the peak.
        final_share: f64 = 0.1,
    }
}

impl Check for ScheduleSection {
    fn check(&self) -> Result<(), Problem> {
        not_negative([("final_share", self.final_share)])
    }
}

impl ScheduleSection {
    /// Learning rate of step `step` (from 0) of `steps`: linear warm-up to `peak`, reached at step
    /// `warmup_steps`, then the schedule down to the final share of the peak.
    pub fn learning_rate(&self, peak: f64, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup_steps.min(steps);
        if step < warmup {
            return peak * (step + 1) as f64 / (warmup + 1) as f64;
        }
        let down = schedule::down(&self.name, step - warmup, steps - warmup, steps);
        peak + peak * (self.final_share - 1.0) * down
    }
}

section! {
    /// Parameters that learn at a rate of their own, or not at all.
    pub struct GroupSection {
        /// Pattern of their names as in model.safetensors: * stands for any characters.
        names: String = String::new(),
        /// Learning rate, as a share of that of the others.
        rate: f64 = 1.0,
        /// Whether they learn.
        learns: bool = true,
    }
}

impl Check for GroupSection {
    fn check(&self) -> Result<(), Problem> {
        glob::Pattern::new(&self.names).map_err(|e| Problem::new("names", e.msg))?;
        Problem::unless(!self.names.is_empty(), "names", "is missing")?;
        not_negative([("rate", self.rate)])
    }
}

section! {
    /// Which parameters learn, and how fast. A parameter that does not learn costs no gradient, and neither does
    /// anything below the lowest that does.
    pub struct LearnsSection {
        /// How much of the model stays as it is: 1 the embeddings, 2 the first block as well, and so on; 0
        /// nothing.
        freeze: usize = 0,
        /// The embeddings' learning rate, as a share of the others'. Adam moves a rare word's row as far as a
        /// common one's, so on few labels a small share keeps rare words from learning by heart; 0 leaves
        /// the embeddings as they are.
        embedding_rate: f64 = 1.0,
        /// Learning rate of a block, as a share of that of the block above; the embeddings are below the first
        /// block, the head above the last (Clark et al. 2020, "ELECTRA", appendix B; also Howard and Ruder 2018).
        layer_decay: f64 = 1.0,
        /// Parameters by name; a later entry overrides an earlier one and the keys above.
        groups: Vec<GroupSection> = Vec::new(),
    }
}

impl Check for LearnsSection {
    fn check(&self) -> Result<(), Problem> {
        let decays = self.layer_decay > 0.0 && self.layer_decay <= 1.0;
        Problem::unless(decays, "layer_decay", "must be above 0 and at most 1")?;
        not_negative([("embedding_rate", self.embedding_rate)])
    }
}

section! {
    /// What is looked at while the model learns.
    pub struct EvaluateSection {
        /// Steps between evaluations on held-out data; 0 evaluates at the end only.
        every: u64 = 100,
        /// Most sequences (or pairs) that an evaluation takes.
        items: usize = 200,
        /// Evaluations without a better held-out loss after which training stops; 0 never stops early.
        patience: u64 = 0,
        /// End with the weights of the best evaluation instead of the last.
        keep_best: bool = false,
        /// Steps between samples; 0 samples at the beginning and the end only.
        sample_every: u64 = 0,
    }
}

impl Check for EvaluateSection {}

section! {
    /// How a model is trained.
    pub struct TrainSection {
        /// Optimiser steps.
        steps: u64 = 500,
        /// Sequences in a micro-batch.
        batch_size: usize = 8,
        /// MicroBatch-batches whose gradients are summed for one step.
        accumulate: usize = 1,
        /// Peak learning rate; the optimiser's own if not set (adamw 1e-3, muon 7e-3).
        learning_rate: Option<f64> = None,
        /// The gradient's global norm is cut to this; 0 never cuts.
        clip: f64 = 1.0,
        /// Probability of dropout after embeddings, attention and feed-forward parts.
        dropout: f64 = 0.0,
        /// Decay of a running average of the weights, which is then measured and kept; 0 keeps none.
        average: f64 = 0.0,
        /// How gradients change weights.
        optimizer: OptimizerSection = OptimizerSection::default(),
        /// The learning rate by step.
        schedule: ScheduleSection = ScheduleSection::default(),
        /// Which parameters learn, and how fast.
        learns: LearnsSection = LearnsSection::default(),
        /// What is looked at while the model learns.
        evaluate: EvaluateSection = EvaluateSection::default(),
        /// Keep less of the forward pass and compute it again on the way back (Chen et al. 2016): less memory,
        /// about a fifth more time, the same bytes.
        #[watch]
        recompute: bool = false,
        /// Gigabytes (10^9 bytes) that the run may hold; 0: what the machine has free. What a run will need is found
        /// before it begins, and one that does not fit is refused.
        #[watch]
        memory_gigabytes: f64 = 0.0,
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
            optimizer: OptimizerSection { name: "muon".into(), ..OptimizerSection::default() },
            schedule: ScheduleSection {
                name: "linear".into(),
                final_share: 0.0,
                ..ScheduleSection::default()
            },
            ..Self::default()
        }
    }

    /// The peak learning rate: the recipe's, or the optimiser's own.
    pub fn peak_learning_rate(&self) -> f64 {
        let own = || self.optimizer.name.entry().map_or(0.0, |kind| kind.learning_rate);
        self.learning_rate.unwrap_or_else(own)
    }

    /// A pass that can go backward, as the recipe wants it.
    pub fn graph<'p>(&self, params: &'p Params) -> Graph<'p> {
        if self.recompute { Graph::recomputing(params) } else { Graph::training(params) }
    }
}

impl Check for TrainSection {
    fn check(&self) -> Result<(), Problem> {
        for (key, count) in [("batch_size", self.batch_size), ("accumulate", self.accumulate)] {
            Problem::unless(count > 0, key, "must be at least 1")?;
        }
        Problem::unless(self.log_every > 0, "log_every", "must be at least 1")?;
        Problem::unless(self.keep_checkpoints > 0, "keep_checkpoints", "must be at least 1")?;
        not_negative([
            ("learning_rate", self.peak_learning_rate()),
            ("clip", self.clip),
            ("checkpoint_seconds", self.checkpoint_seconds),
            ("memory_gigabytes", self.memory_gigabytes),
        ])?;
        below_one([("average", self.average), ("dropout", self.dropout)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::SCHEDULES;

    #[test]
    fn schedules_have_their_shapes() {
        for name in SCHEDULES.names() {
            let s = ScheduleSection { name: name.into(), warmup_steps: 10, final_share: 0.1 };
            let rate: Vec<f64> = (0..110).map(|i| s.learning_rate(1.0, i, 110)).collect();
            assert!(rate[..=10].is_sorted() && rate[0] > 0.0, "{name}");
            assert!((rate[10] - 1.0).abs() < 1e-12, "{name}");
            assert!(rate[10..].windows(2).all(|w| w[1] <= w[0] + 1e-12), "{name}");
            let last = if name == "constant" { 1.0 } else { 0.1 };
            assert!((rate[109] - last).abs() < 1e-12, "{name}: {}", rate[109]);
            let flat = rate[60] > 0.999;
            assert_eq!(flat, matches!(name, "wsd" | "constant"), "{name}");
        }
        let none = ScheduleSection { warmup_steps: 0, ..ScheduleSection::default() };
        assert!(none.learning_rate(1.0, 0, 1) > 0.0 && none.learning_rate(1.0, 0, 0) > 0.0);
    }
}
