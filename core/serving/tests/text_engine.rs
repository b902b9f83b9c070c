//! The text engine writes what a batch decoder and a stop filter write.

use athanor_generation::{Finish, Request, Sampling, generate};
use athanor_models::{Head, Model, Shape, families};
use athanor_serving::{StopFilter, TextEngine};
use athanor_tensor::Device;
use athanor_text::{SpecialTokens, Tokenizer};

const PROMPT: &str = "the cat";
const SEED: u64 = 7;
const NEW: usize = 24;

fn open() -> (Model, Tokenizer) {
    let texts = ["the cat sat on the mat", "人之初，性本善。", "Hello, world!"];
    let tokenizer = Tokenizer::train_byte_bpe(texts, 280, &SpecialTokens::default()).unwrap();
    let shape =
        Shape { vocabulary: tokenizer.vocab_size(), layers: 2, kv_heads: 2, ..Shape::default() };
    let family = families::by_name("llama").unwrap();
    let mut model = Model::new(family, &shape, Head::CAUSAL_LM, 5, Device::Cpu).unwrap();
    for p in model.params.iter_mut().filter(|p| p.value.shape().len() == 2) {
        athanor_tensor::ops::scale_in_place(&mut p.value, 4.0);
    }
    (model, tokenizer)
}

/// What is written: how many rows, and how they end.
struct Wanted<'a> {
    rows: usize,
    sampling: &'a Sampling,
    stop: &'a [u32],
    stops: &'a [String],
}

/// Of a row: its text, its tokens and whether it stopped.
type Row = (String, Vec<u32>, bool);

/// The rows with [`generate`] and a [`StopFilter`].
fn by_batch((model, tokenizer): &(Model, Tokenizer), wanted: &Wanted<'_>) -> Vec<Row> {
    let prompts = vec![tokenizer.encode(PROMPT).unwrap(); wanted.rows];
    let written = generate(model, &prompts, wanted.stop, wanted.sampling, SEED).unwrap();
    let cut = |completion: athanor_generation::Completion| {
        let mut filter = StopFilter::new(tokenizer, wanted.stops);
        let (mut text, mut tokens) = (String::new(), Vec::new());
        for &token in completion.tokens.iter() {
            if !filter.is_stopped() {
                text.push_str(&filter.push(token).unwrap());
                tokens.push(token);
            }
        }
        text.push_str(&filter.finish().unwrap());
        (text, tokens, filter.is_stopped() || completion.finish == Finish::Stop)
    };
    written.into_iter().map(cut).collect()
}

/// The rows with a [`TextEngine`].
fn by_engine((model, tokenizer): &(Model, Tokenizer), wanted: &Wanted<'_>) -> Vec<Row> {
    let &Wanted { rows, sampling, stop, stops } = wanted;
    let prompt = tokenizer.encode(PROMPT).unwrap();
    let mut engine = TextEngine::new(model, tokenizer, prompt.len() + NEW);
    let request = |stream| Request {
        prompt: prompt.clone(),
        stop: stop.to_vec(),
        sampling: sampling.clone(),
        seed: SEED,
        stream,
    };
    let tickets = engine.admit((0..rows as u64).map(request).collect(), stops).unwrap();
    let mut found = vec![(String::new(), Vec::new(), false); rows];
    while !engine.is_empty() {
        for piece in engine.step().unwrap() {
            let row = tickets.binary_search(&piece.ticket).unwrap();
            found[row].0.push_str(&piece.text);
            found[row].1.push(piece.token);
            found[row].2 = piece.finish == Some(Finish::Stop);
        }
    }
    found
}

#[test]
fn the_text_is_that_of_a_batch_with_and_without_stop_strings() {
    let both = open();
    let mut stopped = 0;
    for temperature in [0.0, 1.0] {
        let sampling = Sampling { temperature, max_new_tokens: NEW, ..Sampling::default() };
        let free = by_batch(&both, &Wanted { rows: 8, sampling: &sampling, stop: &[], stops: &[] });
        // Stop strings of two characters and a stop token that occur in the texts.
        let part = |text: &str, at: usize| text.chars().skip(at).take(2).collect::<String>();
        let stops = [part(&free[0].0, 6), part(&free[5].0, 3), String::new()];
        let stop = [free[2].1[9]];
        for rows in [1, 8] {
            for (stop, stops) in [(&[][..], &[][..]), (&stop, &[]), (&[], &stops), (&stop, &stops)]
            {
                let wanted = Wanted { rows, sampling: &sampling, stop, stops };
                let want = by_batch(&both, &wanted);
                assert_eq!(by_engine(&both, &wanted), want);
                stopped += want.iter().filter(|row| row.2).count();
            }
        }
    }
    assert!(stopped >= 8, "only {stopped} texts stopped");
}

#[test]
fn a_cancelled_text_gives_what_was_held_back() {
    let both = open();
    let sampling = Sampling { max_new_tokens: NEW, ..Sampling::default() };
    let whole = by_batch(&both, &Wanted { rows: 1, sampling: &sampling, stop: &[], stops: &[] })
        .remove(0)
        .0;
    let (model, tokenizer) = &both;
    let prompt = tokenizer.encode(PROMPT).unwrap();
    let mut engine = TextEngine::new(model, tokenizer, prompt.len() + NEW);
    // This string does not come, so its beginning is held back only.
    let stops = [format!("{whole}and no end")];
    let request = Request { prompt, stop: Vec::new(), sampling, seed: SEED, stream: 0 };
    let ticket = engine.admit(vec![request], &stops).unwrap()[0];
    for _ in 0..5 {
        assert_eq!(engine.step().unwrap()[0].text, "");
    }
    let held = engine.cancel(ticket).unwrap();
    assert!(!held.is_empty(), "{held:?}");
    assert!(engine.is_empty() && engine.step().unwrap().is_empty());
    assert_eq!(engine.cancel(ticket).unwrap(), "");
}
