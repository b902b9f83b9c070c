//! Tokenizers of each kind: trained on books, Brown's corpus and Chinese (7.5 MB), then put to the same
//! texts. bench/peers/tokenizers_speed.py puts Hugging Face's library to them.

use std::time::Instant;

use athanor_store::{Error, Result, write_atomic};
use athanor_text::{ALGORITHMS, Training};
use serde_json::json;

use crate::{
    Bench, Options, Row, figure,
    files::{Folder, texts},
    median, seconds_of, shape,
};

const ABOUT: &str =
    "training a tokenizer of each kind, encoding on one thread and on all, decoding";

pub const BENCH: Bench = Bench::new("tokenizer", ABOUT, &["8k", "32k"], run);

fn run(options: &Options) -> Result<Vec<Row>> {
    let vocab_size = if shape(&BENCH, options)? == "32k" { 32_768 } else { 8192 };
    let folder = Folder::new(options)?;
    let texts = texts(options, &folder)?;
    let bytes = texts.iter().map(String::len).sum::<usize>() as f64;
    if options.keep.is_some() {
        let lines: String = texts.iter().map(|t| json!({ "text": t }).to_string() + "\n").collect();
        write_atomic(&folder.path().join("texts.jsonl"), lines.as_bytes())?;
    }
    let share = options.share(3 * ALGORITHMS.iter().len());
    let mut rows = Vec::new();
    for algorithm in &ALGORITHMS {
        options.interrupt.check()?;
        let training = Training { vocab_size, lowercase: false, specials: algorithm.specials("")? };
        let from = Instant::now();
        let tokenizer = algorithm.train(&mut texts.iter().cloned(), &training)?;
        let trained = from.elapsed().as_secs_f64();
        tokenizer.save(folder.within(algorithm.name)?)?;
        // Errors are those of the first time.
        let ids = tokenizer.encode_batch(&texts)?;
        let one = median(seconds_of(&share, || {
            for text in &texts {
                let _ = std::hint::black_box(tokenizer.encode(text));
            }
        })?);
        let all = median(seconds_of(&share, || {
            let _ = std::hint::black_box(tokenizer.encode_batch(&texts));
        })?);
        let text = tokenizer.decode(&ids[0])?;
        if algorithm.name == "byte_bpe" && text != texts[0] {
            return Err(Error::failed("a text did not come back"));
        }
        let decoded = median(seconds_of(&share, || {
            for ids in &ids {
                let _ = std::hint::black_box(tokenizer.decode(ids));
            }
        })?);
        let tokens = ids.iter().map(Vec::len).sum::<usize>() as f64;
        rows.push(Row::new(
            format!("{} of {} tokens", algorithm.name, tokenizer.vocab_size()),
            json!({
                "seconds_to_train": figure(trained),
                "encoded_bytes_per_second_one_thread": figure(bytes / one),
                "encoded_bytes_per_second": figure(bytes / all),
                "decoded_bytes_per_second_one_thread": figure(bytes / decoded),
                "bytes_per_token": figure(bytes / tokens),
            }),
        ));
    }
    Ok(rows)
}
