//! A direct method as a supervised task: pairs of answers in a shuffled order, their log-probabilities under the policy
//! now and under the reference once.

use std::sync::Arc;

use athanor_data::{
    Split,
    preferences::{Comparison, JudgedText},
};
use athanor_models::{Dropout, Model, Pass};
use athanor_store::{
    Console, Error, Result,
    figures::{ACCURACY, LOSS, MARGIN},
};
use athanor_tensor::{
    Graph, Tensor, Var,
    ops::{self, Activation, Weights},
};
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_chat, encode_prompt};
use athanor_training::{
    EpochSampler, Figures, Forward, Loss, MicroBatch, Sample, Task, TrainSection,
};
use serde_json::{Value, json};

use super::{Direct, Pairs};
use crate::{
    episode::{End, Episode, Turn},
    rollout::{Batch, episode_log_probs},
};

/// Texts of one request up to which all of them are compared; of more, each is compared with one other.
const COMPARE_ALL: usize = 8;

/// Pairs that are measured at once.
const READ_TOGETHER: usize = 16;

/// A pair of answers, chosen and rejected, and the sums of the reference's log-probabilities.
struct Pair {
    answers: [Episode; 2],
    reference: [f32; 2],
}

/// Comparisons to learn from and to measure on.
pub(crate) struct Preferences {
    train: Vec<Pair>,
    heldout: Vec<Pair>,
}

impl Preferences {
    /// Compares judged texts of one request with each other. Leaves out answers that are longer than `longest`
    /// tokens with their request, and pairs with an order less sure than `confidence`; prints their numbers.
    ///
    /// # Errors
    /// Those of the template; input, where nothing is left to learn from.
    pub fn new(
        judged: &[JudgedText],
        confidence: f64,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        longest: usize,
        console: &dyn Console,
    ) -> Result<Self> {
        let mut answers = Vec::with_capacity(judged.len());
        for text in judged {
            let answer = answer(text, tokenizer, template).map_err(|e| e.at(&text.place))?;
            answers.push(answer.filter(|a| a.tokens.len() <= longest));
        }
        let left_out = answers.iter().filter(|a| a.is_none()).count();
        let mut preferences = Self { train: Vec::new(), heldout: Vec::new() };
        let mut unsure = 0;
        for (a, b) in candidates(judged) {
            let pair = Comparison::new([a, b], [&judged[a].judgement, &judged[b].judgement]);
            let (Some(better), Some(worse)) = (&answers[pair.better], &answers[pair.worse]) else {
                continue;
            };
            if pair.gap <= 0.0 || pair.confidence < confidence {
                unsure += 1;
                continue;
            }
            let new = Pair { answers: [better.clone(), worse.clone()], reference: [0.0; 2] };
            match judged[a].split {
                Split::Heldout => preferences.heldout.push(new),
                Split::Train | Split::Validation => preferences.train.push(new),
            }
        }
        for (count, what) in [
            (left_out, format!("texts were left out: they have no tokens, or more than {longest}")),
            (unsure, format!("pairs were left out: their order is less sure than {confidence}")),
        ] {
            if count > 0 {
                console.say(&format!("reinforce: {count} {what}"));
            }
        }
        if preferences.train.is_empty() {
            return Err(Error::input("there is no comparison to learn from")
                .at("reinforce.preferences")
                .hint("add pairs of answers to one request, or change heldout_per_thousand"));
        }
        Ok(preferences)
    }

    /// Takes the reference's log-probabilities.
    pub fn measure(&mut self, reference: &Model) {
        for pair in self.train.iter_mut().chain(&mut self.heldout) {
            let sums = episode_log_probs(reference, &pair.answers, 1.0, false).log_probs;
            for (kept, own) in pair.reference.iter_mut().zip(sums) {
                *kept = own.iter().sum();
            }
        }
    }
}

/// A judged text as an episode whose last turn is learned; none where it has no tokens.
fn answer(
    text: &JudgedText,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Option<Episode>> {
    let Some((last, before)) = text.messages.split_last() else { return Ok(None) };
    let from = encode_prompt(tokenizer, template, before)?.len();
    let tokens: Vec<u32> =
        encode_chat(tokenizer, template, &text.messages)?.into_iter().map(|(t, _)| t).collect();
    if tokens.len() <= from || from == 0 {
        return Ok(None);
    }
    let turn = Turn {
        message: Message::new("assistant", &last.content),
        tokens: from..tokens.len(),
        learned: true,
        reward: 0.0,
    };
    Ok(Some(Episode {
        group: 0,
        record: None,
        opening: Arc::from(before),
        tokens,
        turns: vec![turn],
        log_probs: Vec::new(),
        end: End::Finished,
    }))
}

/// Places of texts to compare: of one set and one request.
fn candidates(judged: &[JudgedText]) -> Vec<(usize, usize)> {
    let mut groups: std::collections::BTreeMap<(&str, String, Split), Vec<usize>> =
        Default::default();
    for (i, text) in judged.iter().enumerate() {
        let before = &text.messages[..text.messages.len().saturating_sub(1)];
        let request: Vec<&str> = before.iter().map(|m| m.content.as_str()).collect();
        groups.entry((&text.set, request.join("\n"), text.split)).or_default().push(i);
    }
    let mut all = Vec::new();
    for group in groups.into_values() {
        if group.len() <= COMPARE_ALL {
            for (i, &a) in group.iter().enumerate() {
                all.extend(group[i + 1..].iter().map(|&b| (a, b)));
            }
        } else {
            all.extend(group.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        }
    }
    all.sort_unstable();
    all
}

/// Sums of what stands at the tokens of episodes, one after the other: [episodes] of [tokens].
pub(crate) fn sum_by_episode(values: &Var, lengths: &[usize]) -> Var {
    let total: usize = lengths.iter().sum();
    let mut members = vec![0.0f32; lengths.len() * total];
    let mut first = 0;
    for (row, &n) in lengths.iter().enumerate() {
        members[row * total + first..][..n].fill(1.0);
        first += n;
    }
    let device = values.value().device();
    let members = Var::constant(Tensor::from_slice(device, &members, [lengths.len(), total]));
    let column = ops::reshape(values, [total, 1]);
    let sums = ops::linear(&members, &column, None, Weights::InOut, Activation::None);
    ops::reshape(&sums, [lengths.len()])
}

/// Writes samples with a model.
type Sampler<'a> = Box<dyn Fn(&Model) -> Result<Vec<Sample>> + 'a>;

/// Learning from comparisons by a direct method.
pub(crate) struct Comparisons<'a> {
    method: &'a dyn Direct,
    preferences: &'a Preferences,
    section: &'a TrainSection,
    walk: EpochSampler,
    sample: Sampler<'a>,
}

impl<'a> Comparisons<'a> {
    pub fn new(
        method: &'a dyn Direct,
        preferences: &'a Preferences,
        section: &'a TrainSection,
        seed: u64,
        sample: impl Fn(&Model) -> Result<Vec<Sample>> + 'a,
    ) -> Self {
        let walk = EpochSampler::new(preferences.train.len(), seed);
        Self { method, preferences, section, walk, sample: Box::new(sample) }
    }

    /// Losses [pairs], and h = β · (the margin of the log-probability ratios) of each pair.
    fn losses(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        pairs: &[&Pair],
        dropout: Option<Dropout>,
    ) -> (Var, Vec<f32>) {
        let episodes: Vec<&Episode> =
            (0..2).flat_map(|side| pairs.iter().map(move |p| &p.answers[side])).collect();
        let batch = Batch::new(model, &episodes);
        let mut pass = Pass::new(graph, &batch.input).with_dropout(dropout);
        let log_probs = batch.log_probs(model, graph, &mut pass);
        let lengths: Vec<usize> = episodes.iter().map(|e| e.learned_count()).collect();
        let sums = sum_by_episode(&log_probs, &lengths);
        let n = pairs.len();
        let rows = ops::reshape(&sums, [2 * n, 1]);
        let side = |side: usize| {
            let places = (side * n..(side + 1) * n).map(|i| i as i32).collect();
            let ids = athanor_tensor::Ids::new(model.device(), places, [n]);
            ops::reshape(&ops::embedding(&rows, &ids), [n])
        };
        let reference = |side: usize| {
            let values: Vec<f32> = pairs.iter().map(|p| p.reference[side]).collect();
            Var::constant(Tensor::from_slice(model.device(), &values, [n]))
        };
        let all = Pairs {
            chosen: side(0),
            rejected: side(1),
            reference_chosen: reference(0),
            reference_rejected: reference(1),
            lengths: [lengths[..n].to_vec(), lengths[n..].to_vec()],
        };
        let ratio = |own: &Var, other: &Var| ops::sub(own, other);
        let margin = ops::sub(
            &ratio(&all.chosen, &all.reference_chosen),
            &ratio(&all.rejected, &all.reference_rejected),
        );
        let beta = self.method.beta() as f32;
        let margins = margin.value().to_vec().into_iter().map(|m| m * beta).collect();
        (self.method.losses(&all), margins)
    }
}

impl Task for Comparisons<'_> {
    type Batch = Vec<usize>;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Vec<usize>>>> {
        let per_step = self.section.batch_size * self.section.accumulate;
        let items = self.walk.items(step, per_step);
        let micro = |rows: &[usize]| {
            let answers = rows.iter().flat_map(|&i| &self.preferences.train[i].answers);
            let tokens = answers.map(|a| a.tokens.len()).sum();
            MicroBatch { batch: rows.to_vec(), weight: rows.len() as f64, tokens }
        };
        Ok(items.chunks(self.section.batch_size).map(micro).collect())
    }

    fn loss(&self, forward: Forward<'_>, batch: &Vec<usize>, total: f64) -> Result<Loss> {
        let Forward { model, graph, dropout } = forward;
        let pairs: Vec<&Pair> = batch.iter().map(|&i| &self.preferences.train[i]).collect();
        let (losses, margins) = self.losses(model, graph, &pairs, dropout);
        let loss = ops::scale(&ops::sum(&losses), (1.0 / total) as f32);
        let right = margins.iter().filter(|m| **m > 0.0).count();
        let margin: f64 = margins.iter().map(|&m| f64::from(m)).sum();
        Ok(Loss {
            loss,
            figures: vec![(ACCURACY.name, right as f64 / total), (MARGIN.name, margin / total)],
        })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let pairs: Vec<&Pair> =
            self.preferences.heldout.iter().take(self.section.evaluate.items).collect();
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let (mut loss, mut right, mut margin) = (0.0, 0.0, 0.0);
        for chunk in pairs.chunks(READ_TOGETHER) {
            let graph = Graph::inference(&model.params);
            let (losses, margins) = self.losses(model, &graph, chunk, None);
            loss += losses.value().to_vec().iter().map(|&x| f64::from(x)).sum::<f64>();
            right += margins.iter().filter(|m| **m > 0.0).count() as f64;
            margin += margins.iter().map(|&m| f64::from(m)).sum::<f64>();
        }
        let n = pairs.len() as f64;
        Ok(vec![(LOSS.name, loss / n), (ACCURACY.name, right / n), (MARGIN.name, margin / n)])
    }

    fn sample(&mut self, model: &Model) -> Result<Vec<Sample>> {
        (self.sample)(model)
    }

    fn cursor(&self, step: u64) -> Value {
        json!(self.walk.cursor(step, self.section.batch_size * self.section.accumulate))
    }
}
