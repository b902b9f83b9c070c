//! Figures of the stage corpus, and its summary.json.

use serde_json::{Map, Value};

use super::{
    BYTES_PER_TOKEN,
    Unit::{Named, Number},
    describe::objects,
};

crate::figures! {
    /// Figures of the corpus, in the report's order.
    ALL:
    /// How many documents have how many tokens.
    DOCUMENT_LENGTH = "lengths", "document lengths", Named("tokens in a document"), Neither;
    /// Different words among the first n words of the corpus. A curve that flattens early means repetition.
    VOCABULARY_GROWTH = "growth", "growth of the vocabulary", Named("different words"), Neither;
    /// Probability that two documents with this Jaccard similarity share a band, so that they are compared (Leskovec et
    /// al. 2014, section 3.4).
    PAIR_CHANCE = "curve", "MinHash: chance to find a pair", Named("probability"), Neither;
    /// How surprising a document is to a small model of the sources that the recipe calls good, document by document.
    DOCUMENT_PERPLEXITY = "percentiles", "perplexity under the good sources' model", Named("perplexity"), Neither;
}

objects! {
    /// summary.json of the stage corpus. The report also reads account.json.
    CorpusSummary of "corpus" {
        /// Seconds of this process's work.
        seconds: Option<f64>, Named("s");
        /// Documents kept, held-out ones included.
        documents: Option<u64>, Named("documents");
        /// Bytes of their text.
        bytes: Option<u64>, Named("bytes");
        /// Tokens in the shards, held-out ones, closing tokens and repeats included.
        tokens: Option<u64>, Named("tokens");
        /// Tokens in the held-out shards.
        heldout_tokens: Option<u64>, Named("tokens");
        /// Bytes of kept text for each token, closing tokens included, repeats not.
        bytes_per_token: Option<f64>, BYTES_PER_TOKEN.unit;
        /// Entries of the tokenizer's vocabulary.
        vocab_size: Option<u64>, Number;
        /// Figures of another version.
        #[serde(flatten)]
        others: Map<String, Value>, Number;
    }
}
