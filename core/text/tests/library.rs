//! What we read of a tokenizer.json cuts texts as the tokenizers crate does, and is written as it writes.

mod common;

use std::fs;

use athanor_text::{ALGORITHMS, Tokenizer, Training};
use common::texts;
use serde_json::{Value, json};
use tokenizers::Tokenizer as Theirs;

fn compare(name: &str, json: &str, texts: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.json"), json).unwrap();
    let ours = Tokenizer::load(dir.path()).unwrap();
    let theirs: Theirs = json.parse().unwrap();
    let mut plain = theirs.clone();
    plain.set_encode_special_tokens(true);
    for text in texts {
        // Byte-level BPE has a way of its own to ids alone; Unigram finds its special tokens by itself.
        if json.contains("ByteLevel") {
            let want = plain.encode_fast(text.as_str(), false).unwrap();
            assert_eq!(ours.encode(text).unwrap(), want.get_ids(), "{name}: ids of {text:?}");
        }
        let want = theirs.encode(text.as_str(), true).unwrap();
        let got = ours.encode_input_with_specials(text, None).unwrap();
        assert_eq!(got.ids, want.get_ids(), "{name}: {text:?}");
        assert_eq!(got.offsets, want.get_offsets(), "{name}: {text:?}");
        assert_eq!(
            ours.decode_with_specials(&got.ids).unwrap(),
            theirs.decode(&got.ids, false).unwrap(),
            "{name}: {text:?}"
        );
    }
    assert!(ours.to_json().unwrap() == theirs.to_string(true).unwrap(), "{name} is written anew");
    assert_eq!(ours.vocab_size(), theirs.get_vocab_size(true), "{name}");
    let largest = theirs.get_vocab(true).into_values().max();
    assert_eq!(ours.id_limit(), largest.unwrap() as usize + 1, "{name}");
}

/// Patterns of GPT-4 and Llama 3, of Qwen 2, of DeepSeek, of right-to-left groups of digits, and some
/// that match nothing or at odd places.
const PATTERNS: &[&str] = &[
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}(?=(?:\p{N}{3})*(?:\P{N}|$))",
    r"(?<=[a-z])(?=[A-Z])",
    r"(?<!\d)\d(?!\d)",
    r"\b",
    r"(?x) [a-c]+ (?!z) # a comment",
    r"(?=a)|b*",
    "",
];

#[test]
fn texts_are_cut_as_the_library_cuts_them() {
    let mut all = texts("zh.jsonl.gz");
    all.extend(texts("human_ratings.jsonl.gz").into_iter().take(2000));
    let mut some: Vec<String> = all.iter().step_by(17).take(120).cloned().collect();
    some.extend(
        [
            "",
            " ",
            "  \n\n  x",
            "12345678 1,234 fooBarBaz\u{301} 'S",
            "[MASK] <s></s> <|end|>  [SEP]\t",
        ]
        .map(String::from),
    );
    for algorithm in &ALGORITHMS {
        let specials = algorithm.specials("").unwrap();
        let training =
            Training { vocab_size: 1500, lowercase: algorithm.name != "byte_bpe", specials };
        let tokenizer = algorithm.train(&mut all.iter().cloned(), &training).unwrap();
        let mut base: Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
        compare(algorithm.name, &base.to_string(), &some);
        if algorithm.name != "byte_bpe" {
            continue;
        }
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                            "use_regex": false });
        for pattern in PATTERNS {
            for (behavior, invert) in [("Isolated", false), ("MergedWithPrevious", true)] {
                base["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
                    { "type": "Split", "pattern": { "Regex": pattern }, "behavior": behavior,
                      "invert": invert },
                    bytes,
                ]});
                compare(pattern, &base.to_string(), &some);
            }
        }
        // GPT-2's cut; pieces that are in the vocabulary taken as they are; tokens without a merge.
        base["pre_tokenizer"] = bytes.clone();
        base["pre_tokenizer"]["use_regex"] = true.into();
        some.push("\u{1F642}ab12 ".repeat(200) + &"春風".repeat(300));
        compare("GPT-2", &base.to_string(), &some);
        base["model"]["ignore_merges"] = true.into();
        let merges = base["model"]["merges"].as_array_mut().unwrap();
        *merges = merges.iter().filter(|m| m[0] != "t").cloned().collect();
        compare("whole pieces", &base.to_string(), &some);
        base["added_tokens"][2]["special"] = false.into();
        compare("an added token that is no special one", &base.to_string(), &some);
        base["pre_tokenizer"] = bytes.clone();
        base["normalizer"] = json!({ "type": "Sequence", "normalizers": [
            { "type": "NFKC" },
            { "type": "Replace", "pattern": { "Regex": "\\s+" }, "content": " " },
            { "type": "Replace", "pattern": { "String": "the" }, "content": "" },
            { "type": "Prepend", "prepend": "_" },
        ]});
        base["decoder"] = json!({ "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "Ġ" }, "content": " " },
            { "type": "Fuse" },
            { "type": "Strip", "content": "_", "start": 1, "stop": 0 },
        ]});
        compare("normalised", &base.to_string(), &some);
    }
}
