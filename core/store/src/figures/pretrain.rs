//! Figures of the stage pretrain that the report knows, and its summary.json.

use serde_json::{Map, Value};

use super::{
    BITS_PER_BYTE, LOSS, PERPLEXITY,
    Unit::{Named, Number, Share},
    describe::objects,
};

crate::figures! {
    /// Figures of pretraining objectives, in the report's order.
    ALL:
    /// Loss of a guess that knows only how frequent tokens are, at the hidden tokens of held-out text.
    UNIGRAM_LOSS = "unigram_loss", "loss by frequency", Named("nats"), Lower;
    /// Share of the hidden tokens that are the most frequent token.
    UNIGRAM_ACCURACY = "unigram_accuracy", "right guesses by frequency", Share, Higher;
    /// Loss of a guess by the counts of pairs of tokens, from the token before.
    BIGRAM_LOSS = "bigram_loss", "loss by the token before", Named("nats"), Lower;
    /// Share of the hidden tokens that most often follow the token before.
    BIGRAM_ACCURACY = "bigram_accuracy", "right guesses by the token before", Share, Higher;
    /// Loss of a guess by the counts of pairs of tokens, from the tokens before and after.
    BOTH_SIDES_LOSS = "both_sides_loss", "loss by both neighbours", Named("nats"), Lower;
    /// Share of the hidden tokens that the tokens before and after let one guess.
    BOTH_SIDES_ACCURACY = "both_sides_accuracy", "right guesses by both neighbours", Share, Higher;
    /// Loss of the answer whether the second segment follows the first (Devlin et al. 2019).
    PAIRS_LOSS = "pairs_loss", "loss of segment pairs", Named("nats"), Lower;
    /// Share of segment pairs for which the model says rightly whether the second follows the first.
    PAIRS_ACCURACY = "pairs_accuracy", "right answers about segment pairs", Share, Higher;
    /// Share of the held-out segment pairs that have the commoner answer.
    PAIRS_MAJORITY = "pairs_majority", "the commoner answer about segment pairs", Share, Neither;
    /// Loss of the small model that writes replaced tokens (Clark et al. 2020), at the hidden tokens.
    GENERATOR_LOSS = "generator_loss", "generator's loss", Named("nats"), Lower;
    /// Share of the hidden tokens that the generator guesses.
    GENERATOR_ACCURACY = "generator_accuracy", "generator's right guesses", Share, Higher;
    /// Share of tokens that have the commoner answer, replaced or not: what no knowledge reaches.
    MAJORITY = "majority", "the commoner answer", Share, Neither;
    /// Share of the tokens called replaced that were replaced.
    PRECISION = "precision", "precision", Share, Higher;
    /// Share of the replaced tokens that were found.
    RECALL = "recall", "recall", Share, Higher;
    /// Harmonic mean of precision and recall of replaced tokens.
    F1 = "f1", "F1", Share, Higher;
}

objects! {
    /// summary.json of the stage pretrain.
    PretrainSummary of "pretrain" {
        /// The objective's name.
        objective: String, Number;
        /// Seconds of work, all sessions.
        seconds: Option<f64>, Named("s");
        /// Parameters of the model.
        parameters: Option<u64>, Number;
        /// Tokens that training read.
        tokens: Option<u64>, Named("tokens");
        /// Mean loss of held-out tokens; null without held-out text.
        heldout_loss: Option<f64>, LOSS.unit;
        /// The loss by bytes; null if the objective does not measure it.
        heldout_bits_per_byte: Option<f64>, BITS_PER_BYTE.unit;
        /// e to the loss; null if the objective does not measure it.
        heldout_perplexity: Option<f64>, PERPLEXITY.unit;
        /// Updates that were withheld because loss or gradient was not finite.
        withheld_updates: Option<u64>, Number;
        /// The forecast of the memory that training needs; null if it was not made.
        expected_memory_bytes: Option<u64>, Named("bytes");
        /// Greatest memory of the process; null if the system does not say.
        resident_memory_bytes: Option<u64>, Named("bytes");
        /// Greatest memory of tensors.
        peak_memory_bytes: Option<u64>, Named("bytes");
        /// Every other held-out figure of the objective, its name behind `heldout_`.
        #[serde(flatten)]
        others: Map<String, Value>, Number;
        /// What was hidden, counted over the rows of the first steps; only of objectives that hide tokens.
        #[serde(skip_serializing_if = "Option::is_none")]
        masking: Option<Masking>, Number;
        /// Figures of guesses without a network, by name. On held-out text all targets are the mask, so that none can be copied.
        #[serde(skip_serializing_if = "Option::is_none")]
        baseline: Option<Map<String, Value>>, Number;
    }

    /// What an objective hid.
    Masking {
        /// Tokens that are targets.
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<f64>, Share;
        /// Targets in whose place the model saw the mask.
        #[serde(skip_serializing_if = "Option::is_none")]
        mask_share: Option<f64>, Share;
        /// Targets in whose place the model saw a random token.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_share: Option<f64>, Share;
        /// Targets that were left as they are.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept_share: Option<f64>, Share;
        /// Words with a target all of whose tokens are targets.
        #[serde(skip_serializing_if = "Option::is_none")]
        whole_words: Option<f64>, Share;
        /// Tokens of a unit (token, word or span).
        #[serde(skip_serializing_if = "Option::is_none")]
        unit_length: Option<f64>, Named("tokens");
        /// Targets counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        targets: Option<u64>, Number;
        /// Rows counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        rows: Option<u64>, Number;
        /// Tokens of a row.
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens_per_row: Option<f64>, Named("tokens");
        /// Segment pairs with a second segment that does not follow the first.
        #[serde(skip_serializing_if = "Option::is_none")]
        foreign_pairs: Option<f64>, Share;
        /// Chinese words learnt from the corpus.
        #[serde(skip_serializing_if = "Option::is_none")]
        chinese_words: Option<u64>, Number;
        /// The commonest 24 of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        chinese_words_first: Option<String>, Number;
        /// Lanes with a memory each.
        #[serde(skip_serializing_if = "Option::is_none")]
        lanes: Option<u64>, Number;
        /// Rows of a lane.
        #[serde(skip_serializing_if = "Option::is_none")]
        rows_per_lane: Option<u64>, Number;
    }
}
