//! The special tokens of a tokeniser and the part that each plays.

/// Special tokens in the order of their ids, and which part each of them plays.
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
    /// The token with the hidden state of the whole input.
    pub cls: Option<String>,
    /// The token that separates two texts and ends the last.
    pub sep: Option<String>,
    /// The token that hides another one.
    pub mask: Option<String>,
    /// The token for what is not in the vocabulary.
    pub unk: Option<String>,
}

/// The special tokens of a family of models, by name.
pub struct SpecialSet {
    /// Its name in a recipe.
    pub name: &'static str,
    /// The tokens.
    pub tokens: fn() -> SpecialTokens,
}

/// All sets that a tokeniser can be trained with.
pub static SPECIAL_SETS: &[SpecialSet] = &[
    SpecialSet { name: "gpt", tokens: SpecialTokens::default },
    SpecialSet { name: "bert", tokens: SpecialTokens::bert },
    SpecialSet { name: "roberta", tokens: SpecialTokens::roberta },
    SpecialSet { name: "xlnet", tokens: SpecialTokens::xlnet },
];

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
    /// XLNet's end of a document.
    pub const END_OF_DOCUMENT: &str = "<eod>";

    /// BERT's and ELECTRA's (Devlin et al. 2019), ids 0 to 4 as in transformers' empty tokeniser.
    pub fn bert() -> Self {
        Self {
            cls: Some("[CLS]".into()),
            sep: Some("[SEP]".into()),
            ..Self::with(
                "[PAD]",
                "[UNK]",
                "[MASK]",
                &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
            )
        }
    }

    /// RoBERTa's (Liu et al. 2019). Its padding has to be id 1: positions count from the id behind it.
    pub fn roberta() -> Self {
        Self {
            bos: Some("<s>".into()),
            eos: Some("</s>".into()),
            cls: Some("<s>".into()),
            sep: Some("</s>".into()),
            ..Self::with("<pad>", "<unk>", "<mask>", &["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        }
    }

    /// XLNet's (Yang et al. 2019), in the order of its published vocabulary.
    pub fn xlnet() -> Self {
        let all = [
            "<unk>",
            "<s>",
            "</s>",
            "<cls>",
            "<sep>",
            "<pad>",
            "<mask>",
            Self::END_OF_DOCUMENT,
            "<eop>",
        ];
        Self {
            bos: Some("<s>".into()),
            eos: Some("</s>".into()),
            cls: Some("<cls>".into()),
            sep: Some("<sep>".into()),
            ..Self::with("<pad>", "<unk>", "<mask>", &all)
        }
    }

    fn with(pad: &str, unk: &str, mask: &str, tokens: &[&str]) -> Self {
        Self {
            tokens: tokens.iter().map(|t| (*t).into()).collect(),
            bos: None,
            eos: None,
            pad: Some(pad.into()),
            cls: None,
            sep: None,
            mask: Some(mask.into()),
            unk: Some(unk.into()),
        }
    }

    /// The parts that are played, under transformers' names for them.
    pub fn roles(&self) -> impl Iterator<Item = (&'static str, &String)> {
        [
            ("bos_token", &self.bos),
            ("eos_token", &self.eos),
            ("unk_token", &self.unk),
            ("sep_token", &self.sep),
            ("pad_token", &self.pad),
            ("cls_token", &self.cls),
            ("mask_token", &self.mask),
        ]
        .into_iter()
        .filter_map(|(name, token)| Some((name, token.as_ref()?)))
    }

    /// Reads the parts by transformers' names for them.
    pub(crate) fn from_roles(named: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            tokens: Vec::new(),
            bos: named("bos_token"),
            eos: named("eos_token"),
            pad: named("pad_token"),
            cls: named("cls_token"),
            sep: named("sep_token"),
            mask: named("mask_token"),
            unk: named("unk_token"),
        }
    }
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
            cls: None,
            sep: None,
            mask: None,
            unk: None,
        }
    }
}
