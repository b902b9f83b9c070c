//! Answers, and what policy, reference and value head say of each of their tokens.

use athanor_generation::{Finish, Sampling, generate};
use athanor_models::{Input, Model, Pass};
use athanor_store::Result;
use athanor_tensor::{Graph, Ids, Var, ops};
use athanor_training::Packed;

use crate::prompts::Prompt;

/// A request with the policy's answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Request and answer.
    pub tokens: Vec<u32>,
    /// Tokens of the request.
    pub prompt: usize,
    /// Log-probability of each token of the answer, as it was drawn.
    pub log_probs: Vec<f32>,
    /// Whether the answer came to its end.
    pub finished: bool,
}

impl Answer {
    /// The answer's tokens.
    pub fn written(&self) -> &[u32] {
        &self.tokens[self.prompt..]
    }
}

/// Lets the policy answer.
pub(crate) fn answer(
    model: &Model,
    prompts: &[&Prompt],
    stops: &[u32],
    sampling: &Sampling,
    seed: u64,
) -> Result<Vec<Answer>> {
    let tokens: Vec<Vec<u32>> = prompts.iter().map(|p| p.tokens.clone()).collect();
    let written = generate(model, &tokens, stops, sampling, seed)?;
    Ok(tokens
        .into_iter()
        .zip(written)
        .map(|(mut tokens, c)| {
            let prompt = tokens.len();
            tokens.extend(&c.tokens);
            Answer { tokens, prompt, log_probs: c.log_probs, finished: c.finish == Finish::Stop }
        })
        .collect())
}

/// Answers packed into rows: the model's input, and for each token of each answer the place that
/// predicts it. Tokens of all answers stand one after the other.
pub(crate) struct Batch {
    pub input: Input,
    places: Vec<i32>,
    targets: Ids,
}

impl Batch {
    pub fn new(model: &Model, answers: &[&Answer]) -> Self {
        // The last token is predicted, never read.
        let read: Vec<&[u32]> = answers.iter().map(|a| &a.tokens[..a.tokens.len() - 1]).collect();
        let Packed { input, starts } = Packed::new(&read, model.sizes().context, model.device());
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (a, start) in answers.iter().zip(starts) {
            for (t, &token) in a.tokens.iter().enumerate().skip(a.prompt) {
                places.push((start + t - 1) as i32);
                targets.push(token as i32);
            }
        }
        let count = targets.len();
        Self { input, places, targets: Ids::new(model.device(), targets, [count]) }
    }
}

/// What a model says of the tokens of a batch.
pub(crate) struct Opinion {
    /// Log-probability of each.
    pub log_probs: Var,
    /// Entropy of the distribution each was drawn from, in nats.
    pub entropy: Vec<f32>,
    /// Value of the state before each; only with a value head.
    pub values: Option<Var>,
}

/// One forward pass; gradients flow if `graph` trains.
pub(crate) fn opinion(
    model: &Model,
    graph: &Graph<'_>,
    batch: &Batch,
    temperature: f64,
    with_values: bool,
) -> Opinion {
    let hidden = model.hidden(&mut Pass::new(graph, &batch.input));
    let rows = model.rows(&hidden, batch.places.clone());
    let said =
        ops::linear_log_prob(&rows, &model.output(graph), &batch.targets, temperature as f32);
    let values = with_values.then(|| model.values(graph, &rows));
    Opinion { log_probs: said.log_prob, entropy: said.entropy.to_vec(), values }
}

/// What a model says of each token of many answers, without gradient.
pub(crate) struct Measured {
    /// Log-probability.
    pub log_probs: Vec<Vec<f32>>,
    /// Value; zeros without a value head.
    pub values: Vec<Vec<f32>>,
    /// Mean entropy over all tokens.
    pub entropy: f64,
}

/// Forward passes over answers, a few rows at a time.
pub(crate) fn measure(
    model: &Model,
    answers: &[Answer],
    temperature: f64,
    with_values: bool,
) -> Measured {
    let mut measured = Measured { log_probs: Vec::new(), values: Vec::new(), entropy: 0.0 };
    let mut count = 0;
    for chunk in answers.chunks(32) {
        let batch = Batch::new(model, &chunk.iter().collect::<Vec<_>>());
        let graph = Graph::inference(&model.params);
        let said = opinion(model, &graph, &batch, temperature, with_values);
        let log_probs = said.log_probs.value().to_vec();
        let values = said.values.map_or_else(|| vec![0.0; log_probs.len()], |v| v.value().to_vec());
        measured.entropy += said.entropy.iter().map(|&e| f64::from(e)).sum::<f64>();
        count += log_probs.len();
        let mut at = 0;
        for a in chunk {
            let end = at + a.written().len();
            measured.log_probs.push(log_probs[at..end].to_vec());
            measured.values.push(values[at..end].to_vec());
            at = end;
        }
    }
    measured.entropy /= count.max(1) as f64;
    measured
}
