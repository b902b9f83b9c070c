//! BERT's tokeniser from a vocab.txt alone.

use std::{fs, path::Path};

use athanor_text::Tokenizer;

const VOCABULARY: [&str; 14] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "春", "眠", "cafe", "!",
    "Un", "café",
];

fn folder(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("vocab.txt"), VOCABULARY.join("\n")).unwrap();
    if !config.is_empty() {
        fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    }
    dir
}

fn ids(dir: &Path, text: &str) -> Vec<u32> {
    Tokenizer::load(dir).unwrap().encode_input(text, None).unwrap().ids
}

#[test]
fn words_pieces_and_chinese_characters() {
    let dir = folder("");
    // A Chinese character is a word; accents and capitals go; what has no pieces is unknown.
    assert_eq!(ids(dir.path(), "Unaffable春眠 Café!xyz"), [2, 5, 6, 7, 8, 9, 10, 11, 1, 3]);
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(tokenizer.mask(), Some(("[MASK]".into(), 4)));
    // What a text says is text, unless it is asked for.
    assert_eq!(tokenizer.encode_input("[MASK]", None).unwrap().ids, [2, 1, 1, 1, 3]);
    assert_eq!(tokenizer.encode_input_with_specials("un[MASK]", None).unwrap().ids, [2, 5, 4, 3]);
    let pair = tokenizer.encode_input("春", Some("眠!")).unwrap();
    assert_eq!(pair.ids, [2, 8, 3, 9, 11, 3]);
    assert_eq!(pair.types, [0, 0, 0, 1, 1, 1]);
    // The same once it is saved, with its tokenizer.json.
    let copy = tempfile::tempdir().unwrap();
    tokenizer.save(copy.path()).unwrap();
    assert!(copy.path().join("tokenizer.json").is_file());
    assert_eq!(ids(copy.path(), "Unaffable春眠 Café!xyz"), [2, 5, 6, 7, 8, 9, 10, 11, 1, 3]);
}

#[test]
fn settings_of_tokenizer_config() {
    let dir = folder(r#"{"do_lower_case": false, "strip_accents": false, "model_max_length": 4}"#);
    assert_eq!(ids(dir.path(), "Unaffable café"), [2, 12, 6, 7, 13, 3]);
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(tokenizer.longest(), Some(4));
    let mut input = tokenizer.encode_input("un春眠!", None).unwrap();
    input.truncate(4);
    assert_eq!((input.ids, input.offsets.len()), (vec![2, 5, 8, 3], 4));
    // Shorter than its special tokens.
    let mut input = tokenizer.encode_input("un", None).unwrap();
    input.truncate(1);
    assert!(input.ids.ends_with(&[3]));
}

#[test]
fn a_vocabulary_without_its_special_tokens() {
    let dir = tempfile::tempdir().unwrap();
    for (text, word) in [("a\nb\n", "[UNK]"), ("[UNK]\n[CLS]\n", "[SEP]"), ("", "[UNK]")] {
        fs::write(dir.path().join("vocab.txt"), text).unwrap();
        let error = Tokenizer::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("vocab.txt") && error.contains(word), "{error}");
    }
}
