//! A tokenizer.json, what encoding and decoding with it do, and writing it again.
#![no_main]

use athanor_fuzz::{bounded, folder, put};
use athanor_text::Tokenizer;
use libfuzzer_sys::fuzz_target;

/// Beside what grows with the file, as docs/contracts.md says.
const FIXED: usize = 16 << 20;

fuzz_target!(|data: &[u8]| {
    let dir = folder();
    put(dir.path(), "tokenizer.json", data);
    bounded(data.len(), FIXED, || {
        let Ok(tokenizer) = Tokenizer::load(dir.path()) else { return };
        let text = "the cat\n 人之初 <|end|> 12 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let ids = tokenizer.encode(text).unwrap_or_default();
        let _ = tokenizer.decode(&ids);
        let _ = tokenizer.encode_input_with_specials("a", Some("b [MASK]"));
        let mut stream = tokenizer.stream();
        for &id in &ids {
            let _ = stream.push(id);
        }
        let _ = (tokenizer.id_limit(), tokenizer.document_end_id());
        drop(tokenizer.to_json());
    });
});
