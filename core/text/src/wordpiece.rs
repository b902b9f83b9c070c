//! BERT's tokeniser around a WordPiece vocabulary (Schuster and Nakajima 2012; Devlin et al. 2019),
//! each Chinese character a word of its own; and the vocabulary from a vocab.txt, a token a line.

use athanor_store::{Error, Result};
use serde_json::{Map, Value, json};

/// The file's name.
pub(crate) const VOCABULARY: &str = "vocab.txt";
/// What a piece that goes on a word begins with.
pub(crate) const CONTINUES: &str = "##";
/// A longer word is unknown as a whole.
pub(crate) const MAX_WORD_CHARS: usize = 100;

const PARTS: [(&str, &str); 5] = [
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];

/// Puts transformers' defaults into a tokenizer_config.json.
pub(crate) fn complete(config: &mut Map<String, Value>) {
    let rest = [("tokenizer_class", "BertTokenizer")];
    for (key, value) in PARTS.into_iter().chain(rest) {
        config.entry(key).or_insert_with(|| value.into());
    }
    config.entry("do_lower_case").or_insert_with(|| true.into());
}

/// [`tokenizer`] of the lines of a vocab.txt.
pub(crate) fn from_lines(text: &str, config: &Map<String, Value>) -> Result<Value> {
    // A later line of the same token wins, as in transformers.
    let mut vocabulary = Map::new();
    for (id, token) in text.lines().enumerate() {
        vocabulary.insert(token.trim_end_matches('\r').to_owned(), id.into());
    }
    tokenizer(vocabulary, config)
}

/// What tokenizer.json says: the settings of tokenizer_config.json, with transformers' defaults.
///
/// # Errors
/// Input, for a vocabulary without the special tokens.
pub(crate) fn tokenizer(
    vocabulary: Map<String, Value>,
    config: &Map<String, Value>,
) -> Result<Value> {
    let name = |key: &str, default: &'static str| -> String {
        let value = config.get(key);
        let text = value.and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
        text.unwrap_or(default).to_owned()
    };
    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    let mut added: Vec<(u64, String)> = Vec::new();
    for (key, default) in PARTS {
        let token = name(key, default);
        let id = vocabulary.get(&token).and_then(Value::as_u64);
        match (id, key) {
            (Some(id), _) if added.iter().all(|(other, _)| *other != id) => {
                added.push((id, token));
            }
            (Some(_), _) | (None, "pad_token" | "mask_token") => {}
            (None, _) => {
                return Err(Error::input(format!("the vocabulary has no {token}")).hint(
                    "WordPiece needs [UNK], [CLS] and [SEP], or the names that \
                           tokenizer_config.json gives",
                ));
            }
        }
    }
    added.sort();
    let added: Vec<Value> = added
        .into_iter()
        .map(|(id, content)| {
            json!({ "id": id, "content": content, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true })
        })
        .collect();
    let (unk, sep, cls) =
        (name("unk_token", "[UNK]"), name("sep_token", "[SEP]"), name("cls_token", "[CLS]"));
    let (sep_id, cls_id) = (vocabulary[&sep].clone(), vocabulary[&cls].clone());
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": flag("tokenize_chinese_chars").unwrap_or(true),
            "strip_accents": flag("strip_accents"),
            "lowercase": flag("do_lower_case").unwrap_or(true),
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "BertProcessing",
            "sep": [sep, sep_id],
            "cls": [cls, cls_id],
        },
        "decoder": { "type": "WordPiece", "prefix": CONTINUES, "cleanup": true },
        "model": {
            "type": "WordPiece",
            "unk_token": unk,
            "continuing_subword_prefix": CONTINUES,
            "max_input_chars_per_word": MAX_WORD_CHARS,
            "vocab": vocabulary,
        },
    });
    Ok(json)
}
