//! From token shards to the batches of a pretraining step at S: windows and document masks, sentences and
//! segment pairs, hidden tokens, permutations, in shuffled order. Nothing is loaded ahead, so what a batch
//! takes is what the step waits; the share of a step says how much that is.

use std::time::Instant;

use athanor_data::{ShardWriter, Split};
use athanor_pretrain::{
    PretrainSection, load,
    objectives::{MaskedLmSection, OBJECTIVES},
};
use athanor_store::{Choice, Result, sha256_file};
use athanor_text::{ALGORITHMS, Training};
use serde_json::json;

use crate::{
    Bench, Options, Row, figure,
    files::{Folder, texts},
    median, shape,
    train::{self, Sizes},
};

const ABOUT: &str =
    "batches of each pretraining objective from shards on disk, and their share of a training step";

pub const BENCH: Bench = Bench::new("loader", ABOUT, &["S", "M"], run);

fn run(options: &Options) -> Result<Vec<Row>> {
    let name = shape(&BENCH, options)?;
    let sizes = Sizes::of(name);
    let folder = Folder::new(options)?;
    let texts = texts(options, &folder)?;
    let share = options.share(OBJECTIVES.iter().len() + 1);
    let step = (train::BENCH.run)(&Options { shape: Some(name.into()), ..share.clone() })?;
    let trained = step.first().and_then(|row| row.figures["tokens_per_second"].as_f64());
    let trained = trained.unwrap_or(f64::NAN);
    let mut rows = Vec::new();
    for objective in &OBJECTIVES {
        let (kind, family) = match objective.name {
            "causal" => ("byte_bpe", "gpt2"),
            "permutation_lm" => ("unigram", "xlnet"),
            "replaced_token" => ("wordpiece", "electra"),
            _ => ("wordpiece", "bert"),
        };
        let corpus = folder.within(&format!("shards-{kind}-{}", sizes.vocabulary))?;
        let tokens = match corpus.join("index.json").is_file() {
            true => athanor_data::Shards::open(&corpus, Split::Train)?.len(),
            false => shards(&corpus, kind, sizes.vocabulary, &texts)?,
        };
        // Copies of the rows with other masks are other epochs; one is enough.
        let mut masked = MaskedLmSection::default();
        masked.masking.copies = 1;
        let mut section = PretrainSection {
            objective: Choice::from(objective.name).with_own("masked_lm", &masked),
            ..Default::default()
        };
        section.model.family = family.into();
        section.model.context = sizes.time;
        section.model.hidden_size = sizes.hidden;
        section.model.heads = sizes.heads;
        section.model.layers = sizes.layers;
        section.train.batch_size = sizes.batch;
        let first_pass = (tokens / (sizes.batch * sizes.time) as u64).max(1) as usize;
        let began = Instant::now();
        let (mut from, mut opened) = (began, 0.0);
        let mut times: Vec<f64> = Vec::new();
        load(&section, &corpus, 1, &mut |tokens| {
            options.interrupt.check()?;
            let seconds = from.elapsed().as_secs_f64();
            match times.is_empty() && opened == 0.0 {
                // With the first step.
                true => opened = seconds,
                false => times.push(seconds / tokens.max(1) as f64),
            }
            from = Instant::now();
            let enough = began.elapsed().as_secs_f64() > share.seconds;
            Ok(times.len() < 3 || !enough && times.len() < 4 * first_pass)
        })?;
        let warm = times.split_off(first_pass.min(times.len() / 2));
        let (first, warm) = (1.0 / median(times), 1.0 / median(warm));
        rows.push(Row::new(
            format!("{} ({kind}, {tokens} tokens)", objective.name),
            json!({
                "seconds_to_open": figure(opened),
                "tokens_per_second_first_pass": figure(first),
                "tokens_per_second": figure(warm),
                "share_of_a_training_step": figure(trained / warm),
                "tokens_per_second_trained": figure(trained),
            }),
        ));
    }
    Ok(rows)
}

/// Shards of the texts and their tokenizer, as the corpus stage leaves them. Returns the tokens.
fn shards(
    folder: &std::path::Path,
    kind: &str,
    vocab_size: usize,
    texts: &[String],
) -> Result<u64> {
    let algorithm = ALGORITHMS.find(kind)?;
    let training = Training { vocab_size, lowercase: false, specials: algorithm.specials("")? };
    let tokenizer = algorithm.train(&mut texts.iter().cloned(), &training)?;
    let own = folder.join("tokenizer");
    std::fs::create_dir_all(&own).map_err(|e| athanor_store::Error::io("make", &own, e))?;
    tokenizer.save(&own)?;
    let hash = sha256_file(&own.join("tokenizer.json"))?;
    let end = tokenizer.document_end_id().unwrap_or(0);
    let mut writer = ShardWriter::new(folder, tokenizer.vocab_size(), &hash, end)?;
    let mut tokens = 0;
    for (i, ids) in tokenizer.encode_batch(texts)?.iter().enumerate() {
        let split = if i % 20 == 0 { Split::Heldout } else { Split::Train };
        let added = writer.add(split, ids)?;
        tokens += if split == Split::Train { added } else { 0 };
    }
    writer.finish()?;
    Ok(tokens)
}
