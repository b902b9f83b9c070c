//! summary.json of the stage corpus.

use serde_json::{Map, Value};

use super::describe::objects;

objects! {
    /// summary.json of the stage corpus. The report also reads account.json.
    CorpusSummary of "corpus" {
        /// Seconds of this process's work.
        seconds: Option<f64>, "s";
        /// Documents kept, held-out ones included.
        documents: Option<u64>, "documents";
        /// Bytes of their text.
        bytes: Option<u64>, "bytes";
        /// Tokens in the shards, held-out ones, closing tokens and repeats included;
        /// 0 without `write_shards`.
        tokens: Option<u64>, "tokens";
        /// Tokens in the held-out shards.
        heldout_tokens: Option<u64>, "tokens";
        /// Bytes of kept text for each token, closing tokens included, repeats not.
        bytes_per_token: Option<f64>, "bytes";
        /// Entries of the tokenizer's vocabulary.
        vocab_size: Option<u64>, "";
        /// Figures of another version.
        #[serde(flatten)]
        others: Map<String, Value>, "";
    }
}
