//! Log-probabilities, entropies and values of the tokens that a policy wrote.

use athanor_models::{Input, Model, Pass};
use athanor_tensor::{Graph, Ids, Var, ops};
use athanor_training::Packed;

use crate::episode::Episode;

/// Episodes that are read at once where nothing is learned.
const READ_TOGETHER: usize = 32;

/// Episodes packed into rows: the model's input, and for each token that the policy wrote the place that
/// predicts it. Tokens of all episodes stand one after the other.
pub(crate) struct Batch {
    pub input: Input,
    places: Vec<i32>,
    targets: Ids,
}

impl Batch {
    pub fn new(model: &Model, episodes: &[&Episode]) -> Self {
        // The last token is predicted, never read.
        let read: Vec<&[u32]> = episodes.iter().map(|e| &e.tokens[..e.tokens.len() - 1]).collect();
        let Packed { input, starts } = Packed::new(&read, model.sizes().context, model.device());
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (episode, start) in episodes.iter().zip(starts) {
            for t in episode.learned() {
                places.push((start + t - 1) as i32);
                targets.push(episode.tokens[t] as i32);
            }
        }
        let count = targets.len();
        Self { input, places, targets: Ids::new(model.device(), targets, [count]) }
    }

    /// Log-probability of each token, [tokens], at temperature 1; `pass` is one over the batch's input.
    pub fn log_probs(&self, model: &Model, graph: &Graph<'_>, pass: &mut Pass<'_>) -> Var {
        let rows = model.rows(&model.hidden(pass), self.places.clone());
        ops::linear_log_prob(&rows, &model.output(graph), &self.targets, 1.0).log_prob
    }
}

/// A model's view of the tokens of a batch, each [tokens].
pub(crate) struct TokenLogProbs {
    /// Log-probability of each, in nats.
    pub log_probs: Var,
    /// Entropy of the distribution that each was drawn from, in nats.
    pub entropy: Vec<f32>,
    /// Value of the state before each; only with a value head.
    pub values: Option<Var>,
}

/// One forward pass; gradients flow if `graph` trains.
pub(crate) fn token_log_probs(
    model: &Model,
    graph: &Graph<'_>,
    batch: &Batch,
    temperature: f64,
    with_values: bool,
) -> TokenLogProbs {
    let hidden = model.hidden(&mut Pass::new(graph, &batch.input));
    let rows = model.rows(&hidden, batch.places.clone());
    let out = ops::linear_log_prob(&rows, &model.output(graph), &batch.targets, temperature as f32);
    let values = with_values.then(|| model.values(graph, &rows));
    TokenLogProbs { log_probs: out.log_prob, entropy: out.entropy.to_vec(), values }
}

/// A model's view of each token of many episodes, without gradient.
#[derive(Clone, Debug, Default)]
pub(crate) struct EpisodeLogProbs {
    /// Log-probabilities by episode.
    pub log_probs: Vec<Vec<f32>>,
    /// Values by episode; zeros without a value head.
    pub values: Vec<Vec<f32>>,
    /// Mean entropy over all tokens.
    pub entropy: f64,
}

impl EpisodeLogProbs {
    /// Zeros of the right sizes.
    pub fn zeros(episodes: &[Episode]) -> Self {
        let zeros: Vec<Vec<f32>> = episodes.iter().map(|e| vec![0.0; e.learned_count()]).collect();
        Self { log_probs: zeros.clone(), values: zeros, entropy: 0.0 }
    }

    /// The sum of all log-probabilities.
    pub fn sum(&self) -> f64 {
        self.log_probs.iter().flatten().map(|&x| f64::from(x)).sum()
    }
}

/// Forward passes over episodes, a few rows at a time.
pub(crate) fn episode_log_probs(
    model: &Model,
    episodes: &[Episode],
    temperature: f64,
    with_values: bool,
) -> EpisodeLogProbs {
    let mut all = EpisodeLogProbs::default();
    let mut count = 0;
    for chunk in episodes.chunks(READ_TOGETHER) {
        let batch = Batch::new(model, &chunk.iter().collect::<Vec<_>>());
        let graph = Graph::inference(&model.params);
        let out = token_log_probs(model, &graph, &batch, temperature, with_values);
        let log_probs = out.log_probs.value().to_vec();
        let values = out.values.map_or_else(|| vec![0.0; log_probs.len()], |v| v.value().to_vec());
        all.entropy += out.entropy.iter().map(|&e| f64::from(e)).sum::<f64>();
        count += log_probs.len();
        let mut at = 0;
        for episode in chunk {
            let end = at + episode.learned_count();
            all.log_probs.push(log_probs[at..end].to_vec());
            all.values.push(values[at..end].to_vec());
            at = end;
        }
    }
    all.entropy /= count.max(1) as f64;
    all
}
