//! The engine writes for each request what it would write alone, whichever requests join, leave or are cancelled.

use std::collections::BTreeMap;

use athanor_generation::{Engine, Finish, Request, Sampling, Ticket, generate};
use athanor_models::{Head, Model, Shape, families};
use athanor_tensor::Device;

fn model(quantised: bool) -> Model {
    let shape = Shape { layers: 2, kv_heads: 2, ..Shape::default() };
    let family = families::by_name("llama").unwrap();
    let mut model = Model::new(family, &shape, Head::CAUSAL_LM, 5, Device::Cpu).unwrap();
    for p in model.params.iter_mut().filter(|p| p.value.shape().len() == 2) {
        athanor_tensor::ops::scale_in_place(&mut p.value, 4.0);
    }
    if quantised {
        model.quantise().unwrap();
    }
    model
}

/// Requests of different lengths and settings.
fn request(i: u64) -> Request {
    Request {
        prompt: (0..1 + i % 7).map(|t| ((7 * t + i) % 61) as u32).collect(),
        stop: vec![3, 11],
        sampling: Sampling {
            temperature: [0.0, 0.7, 1.0][i as usize % 3],
            top_k: [0, 5][i as usize % 2],
            max_new_tokens: 3 + i as usize % 9,
            ..Sampling::default()
        },
        seed: 100 + i,
        stream: 0,
    }
}

#[test]
fn each_request_gets_what_it_would_get_alone() {
    for quantised in [false, true] {
        let model = model(quantised);
        let mut engine = Engine::new(&model, 48);
        let mut written: BTreeMap<Ticket, (u64, Vec<u32>, Option<Finish>)> = BTreeMap::new();
        let mut waiting = 0..12u64;
        let mut steps = 0;
        while steps == 0 || !engine.is_empty() || !waiting.is_empty() {
            // Two join at each third step.
            if steps % 3 == 0 {
                for i in waiting.by_ref().take(2) {
                    let ticket = engine.admit(vec![request(i)]).unwrap()[0];
                    written.insert(ticket, (i, Vec::new(), None));
                }
            }
            for event in engine.step() {
                let (_, tokens, finish) = written.get_mut(&event.ticket).unwrap();
                assert!(finish.is_none() && event.log_prob <= 0.0);
                tokens.push(event.token);
                *finish = event.finish;
            }
            steps += 1;
        }
        assert_eq!(written.len(), 12);
        for (i, tokens, finish) in written.into_values() {
            let Request { prompt, stop, sampling, seed, .. } = request(i);
            let alone = generate(&model, &[prompt], &stop, &sampling, seed).unwrap();
            assert_eq!((&tokens, finish), (&alone[0].tokens, Some(alone[0].finish)), "request {i}");
        }
    }
}

/// Rows of one batch and streams of one seed are the same texts, to the bits of their log-probabilities.
#[test]
fn streams_of_a_seed_are_the_rows_of_a_batch() {
    for quantised in [false, true] {
        let model = model(quantised);
        for (rows, temperature) in [(1, 1.0), (3, 0.0), (5, 0.7), (8, 0.0), (8, 1.0)] {
            let sampling = Sampling { temperature, max_new_tokens: 14, ..Sampling::default() };
            let (prompt, stop) = (vec![4, 4, 8, 1], vec![3, 11]);
            let prompts = vec![prompt.clone(); rows];
            let batch = generate(&model, &prompts, &stop, &sampling, 9).unwrap();
            let mut engine = Engine::new(&model, prompt.len() + sampling.max_new_tokens);
            let request = |stream| Request {
                prompt: prompt.clone(),
                stop: stop.clone(),
                sampling: sampling.clone(),
                seed: 9,
                stream,
            };
            let tickets = engine.admit((0..rows as u64).map(request).collect()).unwrap();
            let mut written = vec![(Vec::new(), Vec::new(), None); rows];
            while !engine.is_empty() {
                for event in engine.step() {
                    let row = tickets.iter().position(|t| *t == event.ticket).unwrap();
                    written[row].0.push(event.token);
                    written[row].1.push(event.log_prob);
                    written[row].2 = event.finish;
                }
            }
            for (got, want) in written.into_iter().zip(batch) {
                assert_eq!(got, (want.tokens, want.log_probs, Some(want.finish)));
            }
        }
    }
}

#[test]
fn a_cancelled_request_leaves_the_others_alone() {
    let model = model(false);
    let mut engine = Engine::new(&model, 48);
    let endless = |i| Request { stop: Vec::new(), ..request(i) };
    let tickets: Vec<Ticket> = engine.admit((0..4).map(endless).collect()).unwrap();
    let mut written: BTreeMap<Ticket, Vec<u32>> = BTreeMap::new();
    let mut take = |engine: &mut Engine<'_>| {
        engine.step().iter().for_each(|e| written.entry(e.ticket).or_default().push(e.token));
    };
    take(&mut engine);
    assert!(engine.cancel(tickets[1]) && !engine.cancel(tickets[1]));
    assert_eq!(engine.len(), 3);
    while !engine.is_empty() {
        take(&mut engine);
    }
    assert_eq!(written[&tickets[1]].len(), 1);
    for i in [0, 2, 3] {
        let Request { prompt, stop, sampling, seed, .. } = endless(i);
        let alone = generate(&model, &[prompt], &stop, &sampling, seed).unwrap();
        assert_eq!(written[&tickets[i as usize]], alone[0].tokens, "request {i}");
    }
}

#[test]
fn a_prompt_that_cannot_be_read_is_an_error() {
    let model = model(false);
    let mut engine = Engine::new(&model, 8);
    let with = |prompt: Vec<u32>| Request { prompt, ..request(0) };
    for (prompt, part) in [
        (vec![], "the prompt is empty"),
        (vec![1; 8], "8 fit with what is written"),
        (vec![61], "token 61 is not in the vocabulary"),
    ] {
        let error = engine.admit(vec![request(1), with(prompt)]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(engine.is_empty() && engine.step().is_empty());
}
