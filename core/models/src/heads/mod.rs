//! What stands on top of a trunk.

use serde_json::{Map, Value};

/// A model's head; `architectures` in config.json names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Next-token logits: `…ForCausalLM`, `GPT2LMHeadModel`.
    CausalLm,
    /// `labels` scores from the last token of each row: `…ForSequenceClassification`. With one
    /// label it is a reward or value.
    Sequence {
        /// How many scores.
        labels: usize,
    },
}

impl Head {
    /// One score: rewards.
    pub const SCALAR: Self = Self::Sequence { labels: 1 };

    /// Adjusts config.json to the head.
    pub(crate) fn write(self, config: &mut Map<String, Value>) {
        if let Self::Sequence { labels } = self {
            let names: Map<String, Value> =
                (0..labels).map(|i| (i.to_string(), format!("LABEL_{i}").into())).collect();
            let back: Map<String, Value> =
                (0..labels).map(|i| (format!("LABEL_{i}"), i.into())).collect();
            config.insert("id2label".into(), names.into());
            config.insert("label2id".into(), back.into());
            if labels == 1 {
                config.insert("problem_type".into(), "regression".into());
            }
        }
    }
}
