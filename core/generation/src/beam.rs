//! Beam search: the likeliest texts, as transformers' `generate` with `do_sample=False` and
//! `early_stopping=False` finds them. The length normalisation is score / length^penalty, over new
//! tokens (Wu et al. 2016, section 7, without its constants); the end of the search is a heuristic,
//! transformers' default: the best open beam at its present length is below the worst finished one.

use athanor_models::Model;
use athanor_store::Result;

use crate::{
    Sampling,
    decode::{Completion, Finish, check, feed},
    sampling::penalise,
};

/// How wide, and what length is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beams {
    /// Beams kept.
    pub beams: usize,
    /// Exponent of the length that the score is divided by: above 0 favours longer texts.
    pub length_penalty: f64,
}

#[derive(Clone)]
struct Beam {
    out: Completion,
    /// Sum of the log-probabilities; of a finished beam, divided by its length's power.
    score: f32,
}

/// A way to go on: which beam, with which token, at which score.
struct Next {
    beam: usize,
    token: u32,
    score: f32,
}

/// The best texts after `prompt`, at most `beams` of them, the best first. Of `sampling` the limit of
/// tokens and the penalty on repetition count (on log-probabilities, as in transformers).
///
/// # Errors
/// Input, for a prompt that is empty, too long or not in the vocabulary.
pub fn beam_search(
    model: &Model,
    prompt: &[u32],
    stop: &[u32],
    sampling: &Sampling,
    beams: &Beams,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<Completion>> {
    check(model, prompt)?;
    let sizes = model.sizes();
    let width = beams.beams.max(1);
    let limit = sampling.max_new_tokens.min(sizes.context - prompt.len());
    let mut cache = model.kv_cache(1, prompt.len() + limit);
    let ids = prompt.iter().map(|&t| t as i32).collect();
    let mut logits = feed(model, None, &mut cache, ids, prompt.len(), &[prompt.len()]);
    let empty = Completion { tokens: Vec::new(), log_probs: Vec::new(), finish: Finish::Length };
    let mut open = vec![Beam { out: empty, score: 0.0 }];
    let mut done: Vec<Beam> = Vec::new();
    for length in 1..=limit {
        let (nexts, log_probs) =
            continuations(logits.host(), &open, prompt, sampling, (1 + stop.len()).max(2) * width);
        let ends = |n: &Next| length == limit || stop.contains(&n.token);
        let grown = |n: &Next, finish: Finish| {
            let mut out = open[n.beam].out.clone();
            out.tokens.push(n.token);
            out.log_probs.push(log_probs[n.beam * sizes.vocabulary + n.token as usize]);
            out.finish = finish;
            out
        };
        let power = (length as f64).powf(beams.length_penalty) as f32;
        for next in nexts.iter().take(width).filter(|n| ends(n)) {
            let stopped = stop.contains(&next.token);
            let out = grown(next, if stopped { Finish::Stop } else { Finish::Length });
            done.push(Beam { out, score: next.score / power });
        }
        done.sort_by(|a, b| b.score.total_cmp(&a.score));
        done.truncate(width);
        let kept: Vec<&Next> = nexts.iter().filter(|n| !ends(n)).take(width).collect();
        let Some(best) = kept.first() else { break };
        let full = done.len() == width;
        let hopeless = done.last().is_some_and(|worst| best.score / power <= worst.score);
        if (full && hopeless) || interrupted() {
            break;
        }
        cache.keep(&kept.iter().map(|n| n.beam).collect::<Vec<_>>());
        open = kept
            .into_iter()
            .map(|n| Beam { out: grown(n, Finish::Length), score: n.score })
            .collect();
        let last = open.iter().filter_map(|b| b.out.tokens.last()).map(|&t| t as i32).collect();
        logits = feed(model, None, &mut cache, last, 1, &vec![1; open.len()]);
    }
    Ok(done.into_iter().map(|b| b.out).collect())
}

/// The `count` best continuations of all beams, the best first, and every log-probability before the
/// penalty, [beams, vocabulary].
fn continuations(
    logits: &[f32],
    open: &[Beam],
    prompt: &[u32],
    sampling: &Sampling,
    count: usize,
) -> (Vec<Next>, Vec<f32>) {
    let vocabulary = logits.len() / open.len();
    let mut log_probs = Vec::with_capacity(logits.len());
    let mut all: Vec<Next> = Vec::new();
    let falling = |a: &Next, b: &Next| {
        b.score.total_cmp(&a.score).then(a.beam.cmp(&b.beam)).then(a.token.cmp(&b.token))
    };
    for (at, (row, beam)) in logits.chunks(vocabulary).zip(open).enumerate() {
        let top = row.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
        let sum: f64 = row.iter().map(|&v| f64::from((v - top).exp())).sum();
        let shift = top + sum.ln() as f32;
        log_probs.extend(row.iter().map(|v| v - shift));
        let mut scores = log_probs[at * vocabulary..].to_vec();
        if sampling.repetition_penalty != 1.0 {
            let text = prompt.iter().chain(&beam.out.tokens);
            penalise(&mut scores, sampling.repetition_penalty as f32, text);
        }
        let mut row: Vec<Next> = (0u32..)
            .zip(scores)
            .map(|(token, s)| Next { beam: at, token, score: beam.score + s })
            .collect();
        if row.len() > count {
            row.select_nth_unstable_by(count, falling);
            row.truncate(count);
        }
        all.extend(row);
    }
    all.sort_by(falling);
    all.truncate(count);
    (all, log_probs)
}
