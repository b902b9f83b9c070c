//! The log-likelihood of documents under a model.
//!
//! Each document is preceded by the token that begins a text, as in training, and each of its tokens
//! is predicted once. A document longer than the window is read in windows that overlap: the window
//! moves on by the stride and predicts the tokens that are new in it, so that each has at least
//! window − stride tokens before it, except those at the document's beginning.

use athanor_models::{Head, Input, Model, Pass};
use athanor_store::{Error, Result};
use athanor_tensor::{Graph, Ids, ops};

use super::{Figure, Subject};
use crate::session::Session;

/// Tokens of one pass.
const BATCH_TOKENS: usize = 4096;
/// Windows that are sorted by length before they are batched.
const BUFFER: usize = 256;
/// The window if the model's context is longer and the user does not give one.
const USUAL_WINDOW: usize = 2048;

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    /// Sum of −ln p over the tokens.
    pub nats: f64,
    /// Tokens predicted.
    pub tokens: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Documents read.
    pub documents: u64,
}

impl Score {
    /// Mean loss of a token, in nats.
    pub fn loss(&self) -> f64 {
        self.nats / self.tokens.max(1) as f64
    }

    /// Bits for a byte.
    pub fn bits_per_byte(&self) -> f64 {
        self.nats / std::f64::consts::LN_2 / self.bytes.max(1) as f64
    }

    /// All figures, the measure of this name first.
    pub fn figures(&self, first: &str) -> Vec<Figure> {
        let mut figures = vec![
            Figure::new("bits_per_byte", self.bits_per_byte()),
            Figure::new("loss_per_token", self.loss()),
            Figure::new("perplexity", self.loss().exp()),
        ];
        if figures[0].name != first {
            figures.reverse();
        }
        figures.extend([
            Figure::count("tokens", self.tokens),
            Figure::count("bytes", self.bytes),
            Figure::count("documents", self.documents),
        ]);
        figures
    }
}

/// A piece of a document: predicts the last `new` of `ids[1..]`.
#[derive(Debug, PartialEq)]
struct Window {
    ids: Vec<u32>,
    new: usize,
}

/// Scores the subject's documents.
///
/// # Errors
/// Input: the model does not write, the data cannot be read or hold no text, the window is too
/// large. Interrupted.
pub fn score(session: &Session, subject: Subject<'_>) -> Result<Score> {
    let Subject { model, tokenizer, .. } = subject;
    if model.head() != Head::CAUSAL_LM {
        return Err(Error::input("this model scores texts, it does not predict words")
            .at(subject.folder.display()));
    }
    let (window, stride) = sizes(&subject, model.sizes().context)?;
    let bar = session.console.bar("eval", subject.limit as u64, "documents");
    let begin = tokenizer.bos_id().or(tokenizer.eos_id());
    let mut score = Score::default();
    let mut pending: Vec<Window> = Vec::new();
    let limit = if subject.limit == 0 { usize::MAX } else { subject.limit };
    for text in subject.documents.take(limit) {
        let text = text?;
        let mut ids: Vec<u32> = begin.into_iter().collect();
        ids.extend(tokenizer.encode(&text)?);
        score.documents += 1;
        if ids.len() > 1 {
            // Without a token before it the first one cannot be predicted.
            let first = if begin.is_some() { 0 } else { tokenizer.decode(&ids[..1])?.len() };
            score.bytes += text.len().saturating_sub(first) as u64;
        }
        if let Some(bad) = ids.iter().find(|&&i| i as usize >= model.sizes().vocabulary) {
            return Err(Error::input(format!("token {bad} is not in the model's vocabulary"))
                .at(subject.folder.display())
                .hint("tokenizer.json and model.safetensors must belong together"));
        }
        for window in windows(&ids, window, stride) {
            pending.push(window);
            if pending.len() >= BUFFER {
                flush(session, model, &mut pending, &mut score)?;
                bar.message(&format!("loss {:.4}", score.loss()));
            }
        }
        bar.set(score.documents);
    }
    flush(session, model, &mut pending, &mut score)?;
    if score.tokens == 0 {
        return Err(Error::input("the data hold no text to predict"));
    }
    bar.finish(&format!("{} documents, loss {:.4}", score.documents, score.loss()));
    Ok(score)
}

fn sizes(subject: &Subject<'_>, context: usize) -> Result<(usize, usize)> {
    let window = if subject.window == 0 { context.min(USUAL_WINDOW) } else { subject.window };
    let stride = if subject.stride == 0 { (window / 2).max(1) } else { subject.stride };
    if window > context {
        return Err(Error::input(format!("--window {window}: the model's context is {context}")));
    }
    if stride > window {
        return Err(Error::input(format!(
            "--stride {stride}: must be at most the window of {window}"
        )));
    }
    Ok((window, stride))
}

/// Windows of at most `window` tokens to read that predict each token but the first once.
fn windows(ids: &[u32], window: usize, stride: usize) -> Vec<Window> {
    let mut out = Vec::new();
    // `end` is the last token predicted so far.
    let (mut end, last) = (0, ids.len().saturating_sub(1));
    while end < last {
        let next = (if end == 0 { window } else { end + stride }).min(last);
        let start = next.saturating_sub(window);
        out.push(Window { ids: ids[start..=next].to_vec(), new: next - end });
        end = next;
    }
    out
}

/// Adds what the windows predict; empties them.
fn flush(
    session: &Session,
    model: &Model,
    pending: &mut Vec<Window>,
    score: &mut Score,
) -> Result<()> {
    // Windows of like length together waste less on padding.
    pending.sort_by_key(|w| w.ids.len());
    let mut rest: &[Window] = pending;
    while !rest.is_empty() {
        if session.interrupt.is_set() {
            return Err(Error::interrupted("stopped while evaluating"));
        }
        let fits = |n: &usize| *n == 1 || n * (rest[n - 1].ids.len() - 1) <= BATCH_TOKENS;
        let count = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
        score.nats += losses(model, &rest[..count]);
        score.tokens += rest[..count].iter().map(|w| w.new as u64).sum::<u64>();
        rest = &rest[count..];
    }
    pending.clear();
    Ok(())
}

fn losses(model: &Model, batch: &[Window]) -> f64 {
    let time = batch.iter().map(|w| w.ids.len() - 1).max().unwrap_or(0);
    let (mut ids, mut rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for (b, w) in batch.iter().enumerate() {
        let length = w.ids.len() - 1;
        // Padding is on the right, where causal attention does not look back at it.
        ids.extend(w.ids[..length].iter().map(|&i| i as i32));
        ids.resize((b + 1) * time, 0);
        for t in length - w.new..length {
            rows.push((b * time + t) as i32);
            targets.push(w.ids[t + 1] as i32);
        }
    }
    let device = model.device();
    let input = Input::causal(device, ids, batch.len(), time);
    let graph = Graph::inference(&model.params);
    let hidden = model.hidden(&mut Pass::new(&graph, &input));
    let count = targets.len();
    let picked = model.rows(&hidden, rows);
    let targets = Ids::new(device, targets, [count]);
    let (_, log_probs) =
        ops::linear_cross_entropy(&picked, &model.output(&graph), &targets, &vec![1.0; count]);
    -log_probs.to_vec().iter().map(|&p| f64::from(p)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_predicted_once() {
        for (n, window, stride) in
            [(1, 4, 2), (2, 4, 2), (5, 4, 2), (23, 4, 1), (23, 4, 3), (9, 8, 8)]
        {
            let ids: Vec<u32> = (0..n).collect();
            let mut predicted: Vec<u32> = Vec::new();
            for w in windows(&ids, window, stride) {
                assert!(w.ids.len() <= window + 1 && w.new < w.ids.len());
                let before = w.ids.len() - 1 - w.new;
                assert!(w.ids[0] == 0 || before >= window - stride, "{w:?}");
                predicted.extend(&w.ids[w.ids.len() - w.new..]);
            }
            assert_eq!(predicted, (1..n).collect::<Vec<_>>());
        }
    }
}
