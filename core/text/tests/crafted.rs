//! A damaged tokenizer.json gives an error or a tokeniser, never a panic, and holds no more memory than
//! docs/contracts.md says; nor does using it. ATHANOR_CASES sets how many are tried.

use std::fs;

use athanor_text::{SpecialTokens, Tokenizer};
use peak_alloc::PeakAlloc;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// As docs/contracts.md has it.
const FIXED: usize = 16 << 20;

/// A small tokeniser of each kind of model, with each kind of part.
fn bases() -> Vec<String> {
    let vocab = json!({ "a": 0, "b": 1, "c": 2, "t": 3, "ab": 4, "##a": 5, "[UNK]": 6, "<0x61>": 7,
                        "th": 8, "h": 9, "e": 10 });
    let pieces: Vec<(&String, f64)> =
        vocab.as_object().unwrap().keys().map(|k| (k, -1.5)).collect();
    let models = [
        json!({ "type": "BPE", "unk_token": "a", "fuse_unk": true, "byte_fallback": true,
                "vocab": vocab, "merges": [["a", "b"], ["t", "h"]] }),
        json!({ "type": "BPE", "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>",
                "vocab": { "a": 0, "##a": 1, "aa": 2 }, "merges": ["a ##a"] }),
        json!({ "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab }),
        json!({ "type": "WordLevel", "unk_token": "a", "vocab": vocab }),
        json!({ "type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": pieces }),
    ];
    let regex = |r: &str| {
        json!({ "type": "Split", "pattern": { "Regex": r },
                                  "behavior": "MergedWithNext", "invert": false })
    };
    let replace = |p: Value, c: &str| json!({ "type": "Replace", "pattern": p, "content": c });
    let special = json!({ "SpecialToken": { "id": "a", "type_id": 0 } });
    let text = |t: &str| json!({ "Sequence": { "id": t, "type_id": 1 } });
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                        "use_regex": true });
    let parts = [
        (
            "normalizer",
            json!({ "type": "Sequence", "normalizers": [{ "type": "NFKC" },
            { "type": "Lowercase" }, replace(json!({ "Regex": " {2,}" }), " "),
            { "type": "Prepend", "prepend": "_" }, replace(json!({ "String": " " }), "_")] }),
        ),
        (
            "normalizer",
            json!({ "type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true }),
        ),
        ("normalizer", json!({ "type": "Strip", "strip_left": true, "strip_right": true })),
        (
            "normalizer",
            json!({ "type": "Precompiled", "precompiled_charsmap":
            format!("AAQAAA{}YQA=", "A".repeat(1366)) }),
        ),
        ("pre_tokenizer", regex(r"(?i:'s|'t)|[^\r\n\p{L}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+")),
        ("pre_tokenizer", regex(r"(?<=a)b|(a)\1")),
        (
            "pre_tokenizer",
            json!({ "type": "Sequence", "pretokenizers": [
            { "type": "BertPreTokenizer" }, { "type": "Digits", "individual_digits": true },
            { "type": "Punctuation", "behavior": "Contiguous" },
            { "type": "FixedLength", "length": 3 }] }),
        ),
        ("pre_tokenizer", bytes.clone()),
        (
            "pre_tokenizer",
            json!({ "type": "Metaspace", "replacement": "_",
            "prepend_scheme": "always", "split": true }),
        ),
        ("pre_tokenizer", json!({ "type": "UnicodeScripts" })),
        (
            "post_processor",
            json!({ "type": "TemplateProcessing", "single": [special, text("A")],
            "pair": [text("A"), special, text("B")],
            "special_tokens": { "a": { "id": "a", "ids": [0], "tokens": ["a"] } } }),
        ),
        ("post_processor", json!({ "type": "BertProcessing", "sep": ["b", 1], "cls": ["a", 0] })),
        (
            "post_processor",
            json!({ "type": "Sequence", "processors": [bytes,
            { "type": "RobertaProcessing", "sep": ["b", 1], "cls": ["a", 0], "trim_offsets": true,
              "add_prefix_space": true }] }),
        ),
        ("decoder", json!({ "type": "WordPiece", "prefix": "##", "cleanup": true })),
        ("decoder", json!({ "type": "BPEDecoder", "suffix": "</w>" })),
        (
            "decoder",
            json!({ "type": "CTC", "pad_token": "a", "word_delimiter_token": "b",
            "cleanup": true }),
        ),
        (
            "decoder",
            json!({ "type": "Sequence", "decoders": [
            replace(json!({ "String": "_" }), " "), { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": "a", "start": 1, "stop": 2 }] }),
        ),
    ];
    let texts = ["the cat sat on the mat", "人之初，性本善。", "Hello, world!"];
    let ours = Tokenizer::train_byte_bpe(texts, 300, &SpecialTokens::default()).unwrap();
    let made = parts.into_iter().enumerate().map(|(n, (key, part))| {
        let mut all = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [{ "id": 0, "content": "<|end|>", "single_word": n.is_multiple_of(2),
                "lstrip": n.is_multiple_of(3), "rstrip": n.is_multiple_of(5), "normalized": n.is_multiple_of(7),
                "special": n % 2 == 1 }],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": models[n % models.len()],
        });
        all[key] = part;
        all.to_string()
    });
    made.chain([ours.to_json().unwrap()]).collect()
}

#[test]
fn crafted_tokenizers() {
    let bases = bases();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    for base in &bases {
        fs::write(&path, base).unwrap();
        Tokenizer::load(dir.path()).unwrap();
    }
    let words = [
        "null",
        "0",
        "-1",
        "4294967295",
        "18446744073709551615",
        "\"\"",
        "true",
        "[]",
        "{}",
        "\"a\"",
        "1e308",
        "[[\"a\",1]]",
        "\\u0000",
        "\\ud800",
        "é",
        "{1,9}",
        "(?=",
        ",\"a\"",
    ];
    let edit = prop_oneof![
        any::<u8>().prop_map(|b| vec![b]),
        prop::sample::select(words.to_vec()).prop_map(|w| w.as_bytes().to_vec()),
    ];
    let place = (any::<prop::sample::Index>(), prop_oneof![Just(0usize), Just(1), 0usize..6], edit);
    let edits = prop::collection::vec(place, 1..3);
    let cut = prop::option::weighted(0.05, any::<prop::sample::Index>());
    let strategy = (prop::sample::select(bases), edits, cut);
    let cases = std::env::var("ATHANOR_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(600);
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig {
            cases,
            failure_persistence: None,
            max_shrink_iters: 200,
            ..ProptestConfig::default()
        },
        match std::env::var("ATHANOR_CASES") {
            Ok(_) => TestRng::from_seed(
                RngAlgorithm::ChaCha,
                &std::process::id().to_le_bytes().repeat(8),
            ),
            Err(_) => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        },
    );
    let (most, read) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    runner
        .run(&strategy, |(base, edits, cut)| {
            let mut bytes = base.into_bytes();
            for (at, over, with) in edits {
                let at = at.index(bytes.len());
                let end = (at + over).min(bytes.len());
                bytes.splice(at..end, with);
            }
            bytes.truncate(cut.map_or(bytes.len(), |c| c.index(bytes.len())));
            fs::write(&path, &bytes).unwrap();
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            if let Ok(t) = Tokenizer::load(dir.path()) {
                read.set(read.get() + 1);
                let ids = t.encode("the cat\n 人之初 <|end|> 12 aab").unwrap_or_default();
                let _ = t.decode(&ids);
                let _ = t.decode_with_specials(&[0, 3, 999, 4]);
                let _ = t.encode_input("a", Some("b"));
                let _ = t.encode_input_with_specials("a <|end|> ", None);
                let mut stream = t.stream();
                ids.iter().for_each(|&id| drop(stream.push(id)));
                drop(t.to_json());
            }
            let taken = MEMORY.peak_usage().saturating_sub(before);
            most.set(most.get().max(taken));
            prop_assert!(taken <= 8 * bytes.len() + FIXED, "{} bytes", taken);
            Ok(())
        })
        .unwrap();
    println!("{cases} files, {} read, {} bytes at most", read.get(), most.get());
}
