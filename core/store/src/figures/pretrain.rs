//! summary.json of the stage pretrain.

use serde_json::{Map, Value};

use super::{BITS_PER_BYTE, LOSS, Memory, PERPLEXITY, Training, describe::objects};

objects! {
    /// summary.json of the stage pretrain.
    PretrainSummary of "pretrain" {
        /// The objective's name.
        objective: String, "";
        /// What every stage that trains writes.
        #[serde(flatten)]
        training: Training, "";
        /// Mean loss of held-out tokens; null without held-out text.
        heldout_loss: Option<f64>, LOSS.unit;
        /// The loss by bytes; null if the objective does not measure it.
        heldout_bits_per_byte: Option<f64>, BITS_PER_BYTE.unit;
        /// e to the loss; null if the objective does not measure it.
        heldout_perplexity: Option<f64>, PERPLEXITY.unit;
        /// Updates that were withheld because loss or gradient was not finite.
        withheld_updates: Option<u64>, "";
        /// The memory of the stage; reinforce expects answers of full length.
        #[serde(flatten)]
        memory: Memory, "";
        /// Every other held-out figure of the objective, its name behind `heldout_`.
        #[serde(flatten)]
        others: Map<String, Value>, "";
        /// What was hidden, counted over the rows of the first steps; only of objectives that hide tokens.
        #[serde(skip_serializing_if = "Option::is_none")]
        masking: Option<Masking>, "";
        /// Figures of guesses without a network, by name. On held-out text all targets are the mask, so that none can be copied.
        #[serde(skip_serializing_if = "Option::is_none")]
        baseline: Option<Map<String, Value>>, "";
    }

    /// What an objective hid.
    Masking {
        /// Tokens that are targets.
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<f64>, "share";
        /// Targets that the model saw as the mask.
        #[serde(skip_serializing_if = "Option::is_none")]
        mask_share: Option<f64>, "share";
        /// Targets that the model saw as a random token.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_share: Option<f64>, "share";
        /// Targets that were left as they are.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept_share: Option<f64>, "share";
        /// Words with all tokens targets, as a share of the words with a target.
        #[serde(skip_serializing_if = "Option::is_none")]
        whole_words: Option<f64>, "share";
        /// Tokens of a unit (token, word or span).
        #[serde(skip_serializing_if = "Option::is_none")]
        unit_length: Option<f64>, "tokens";
        /// Targets counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        targets: Option<u64>, "";
        /// Rows counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        rows: Option<u64>, "";
        /// Tokens of a row.
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens_per_row: Option<f64>, "tokens";
        /// Segment pairs with a second segment that does not follow the first.
        #[serde(skip_serializing_if = "Option::is_none")]
        foreign_pairs: Option<f64>, "share";
        /// Chinese words learnt from the corpus.
        #[serde(skip_serializing_if = "Option::is_none")]
        chinese_words: Option<u64>, "";
        /// The commonest 24 of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        chinese_words_first: Option<String>, "";
        /// Lanes with a memory each.
        #[serde(skip_serializing_if = "Option::is_none")]
        lanes: Option<u64>, "";
        /// Rows of a lane.
        #[serde(skip_serializing_if = "Option::is_none")]
        rows_per_lane: Option<u64>, "";
    }
}
