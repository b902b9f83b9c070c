//! BERT's tokeniser from a folder that has only a vocab.txt, a token a line: WordPiece (Schuster and
//! Nakajima 2012; Devlin et al. 2019), each Chinese character a word of its own.

use std::path::Path;

use athanor_store::{Error, Result, read_text};
use serde_json::{Map, Value, json};

/// The file's name.
pub(crate) const VOCABULARY: &str = "vocab.txt";

/// What a tokenizer.json would say: the settings of tokenizer_config.json, with transformers' defaults.
pub(crate) fn from_vocabulary(file: &Path, config: &Map<String, Value>) -> Result<String> {
    let text = read_text(file)?;
    // A later line of the same token wins, as in transformers.
    let mut vocabulary = Map::new();
    for (id, token) in text.lines().enumerate() {
        vocabulary.insert(token.trim_end_matches('\r').to_owned(), id.into());
    }
    let name = |key: &str, default: &'static str| -> String {
        let value = config.get(key);
        let text = value.and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
        text.unwrap_or(default).to_owned()
    };
    let flag = |key: &str| config.get(key).and_then(Value::as_bool);
    let parts = [
        ("unk_token", "[UNK]"),
        ("sep_token", "[SEP]"),
        ("pad_token", "[PAD]"),
        ("cls_token", "[CLS]"),
        ("mask_token", "[MASK]"),
    ];
    let mut added: Vec<(u64, String)> = Vec::new();
    for (key, default) in parts {
        let token = name(key, default);
        let id = vocabulary.get(&token).and_then(Value::as_u64);
        match (id, key) {
            (Some(id), _) if added.iter().all(|(other, _)| *other != id) => {
                added.push((id, token));
            }
            (Some(_), _) | (None, "pad_token" | "mask_token") => {}
            (None, _) => {
                return Err(Error::input(format!("the vocabulary has no {token}"))
                    .at(file.display())
                    .hint(
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
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece",
            "unk_token": unk,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    });
    Ok(json.to_string())
}
