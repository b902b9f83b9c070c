//! A tokenizer.json, and encoding with what it gives.
#![no_main]

use athanor_text::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), data).unwrap();
    if let Ok(tokenizer) = Tokenizer::load(dir.path()) {
        let ids = tokenizer.encode("the cat\n 人之初 <|end|> 12").unwrap_or_default();
        let _ = tokenizer.decode(&ids);
    }
});
