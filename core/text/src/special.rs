//! The special tokens of a tokeniser and the part that each plays.

/// Special tokens in the order of their ids, and which of them ends a text, begins one, pads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// All of them; a trained tokeniser gives them the ids 0, 1, 2, ….
    pub tokens: Vec<String>,
    /// The token that begins a text.
    pub bos: Option<String>,
    /// The token at which generation stops.
    pub eos: Option<String>,
    /// The token that fills up a batch.
    pub pad: Option<String>,
}

impl SpecialTokens {
    /// Closes a document; what precedes a document in a stream of documents, so also its beginning.
    pub const END_OF_TEXT: &str = "<|endoftext|>";
    /// Fills up a batch.
    pub const PAD: &str = "<|pad|>";
    /// Opens a user's turn.
    pub const USER: &str = "<|user|>";
    /// Opens the assistant's turn.
    pub const ASSISTANT: &str = "<|assistant|>";
    /// Opens the system's turn.
    pub const SYSTEM: &str = "<|system|>";
    /// Closes a turn: a chat model's end of sequence.
    pub const END: &str = "<|end|>";
}

impl Default for SpecialTokens {
    fn default() -> Self {
        let all =
            [Self::END_OF_TEXT, Self::PAD, Self::USER, Self::ASSISTANT, Self::SYSTEM, Self::END];
        Self {
            tokens: all.map(String::from).to_vec(),
            bos: Some(Self::END_OF_TEXT.into()),
            eos: Some(Self::END_OF_TEXT.into()),
            pad: Some(Self::PAD.into()),
        }
    }
}
