//! A damaged tokenizer.json gives an error or a tokeniser, never a panic; nor does using it.

use std::fs;

use athanor_text::{SpecialTokens, Tokenizer};
use peak_alloc::PeakAlloc;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn crafted_tokenizers() {
    let texts = ["the cat sat on the mat", "人之初，性本善。", "Hello, world!"];
    let tokenizer = Tokenizer::train_byte_bpe(texts, 300, &SpecialTokens::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path()).unwrap();
    let path = dir.path().join("tokenizer.json");
    let base = fs::read(&path).unwrap();
    let words =
        ["null", "0", "-1", "4294967295", "18446744073709551615", "\"\"", "true", "[]", "{}"];
    let edit = prop_oneof![
        any::<u8>().prop_map(|b| vec![b]),
        prop::sample::select(words.to_vec()).prop_map(|w| w.as_bytes().to_vec()),
    ];
    let edits = prop::collection::vec((0..base.len(), edit), 1..4);
    let strategy = (edits, prop::option::weighted(0.2, 0..base.len()));
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let most = std::cell::Cell::new(0);
    runner
        .run(&strategy, |(edits, cut)| {
            let mut bytes = base.clone();
            for (at, with) in edits {
                let end = (at + with.len()).min(bytes.len());
                bytes.splice(at..end, with);
            }
            bytes.truncate(cut.unwrap_or(bytes.len()));
            fs::write(&path, &bytes).unwrap();
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            if let Ok(t) = Tokenizer::load(dir.path()) {
                let ids = t.encode("the cat\n 人之初 <|end|> 12").unwrap_or_default();
                let _ = t.decode(&ids);
                let _ = t.encode_input("a", Some("b"));
            }
            let taken = MEMORY.peak_usage().saturating_sub(before);
            most.set(most.get().max(taken / bytes.len().max(1)));
            Ok(())
        })
        .unwrap();
    println!("at most {} times its size", most.get());
}
