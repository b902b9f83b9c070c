//! Causal language modelling: Radford et al. 2018, "Improving language understanding by generative
//! pre-training", eq. 1: -Σ log p(token | the tokens before it), as a mean over tokens.

use athanor_data::Split;
use athanor_generation::{generate, text::stops};
use athanor_models::{Dropout, Head, Model, Pass};
use athanor_store::{
    Result,
    figures::{BITS_PER_BYTE, LOSS, Logged, PERPLEXITY},
};
use athanor_tensor::{Device, Graph, Ids, ops};
use athanor_text::Tokenizer;
use athanor_training::{
    EpochSampler, Figures, Forward, Loss, MicroBatch, Sample, Task, Trainer, fit,
};
use serde_json::{Value, json};

use super::{Context, Objective, Outcome, Settings, steps_of};
use crate::{
    bytes::token_bytes,
    windows::{Batch, Windows},
};

struct Causal<'a> {
    train: Windows,
    walk: EpochSampler,
    heldout: Option<Windows>,
    section: Settings<'a>,
    tokenizer: &'a Tokenizer,
    bytes: Vec<u32>,
    seed: u64,
    device: Device,
}

/// The objective's line in the registry.
pub(super) const OBJECTIVE: Objective = Objective {
    name: "causal",
    about: "the next token; GPT",
    keys: None,
    logged: Logged { train: &[], eval: &[&BITS_PER_BYTE, &PERPLEXITY], eval_also: &[] },
    head: |_| Head::CAUSAL_LM,
    config: |_, _| (),
    guest: |_, _, _| Ok(None),
    steps: |m, model, seed| Ok(steps_of(task(m, model, seed)?)),
    train,
};

fn task<'a>(m: &'a Context<'a>, model: &Model, seed: u64) -> Result<Causal<'a>> {
    let time = model.sizes().context;
    let train = Windows::new(m.open(Split::Train)?, time, m.section.document_mask);
    train.check(m.corpus)?;
    let heldout = Windows::new(m.open(Split::Heldout)?, time, m.section.document_mask);
    Ok(Causal {
        heldout: (heldout.count() > 0).then_some(heldout),
        walk: EpochSampler::new(train.count(), seed),
        train,
        section: m.section,
        tokenizer: m.tokenizer,
        bytes: token_bytes(m.tokenizer),
        seed,
        device: m.device,
    })
}

fn train(trainer: &mut Trainer<'_>, m: &Context<'_>) -> Result<Outcome> {
    let mut task = task(m, &trainer.model, trainer.context.run.seed)?;
    let figures = fit(trainer, &mut task)?;
    Ok(Outcome { figures, masking: None, baseline: None })
}

impl Causal<'_> {
    fn hidden(
        model: &Model,
        graph: &Graph<'_>,
        batch: &Batch,
        dropout: Option<Dropout>,
    ) -> athanor_tensor::Var {
        model.hidden(&mut Pass::new(graph, &batch.input).with_dropout(dropout))
    }
}

impl Task for Causal<'_> {
    type Batch = Batch;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Batch>>> {
        let t = &self.section.train;
        let windows = self.walk.items(step, t.batch_size * t.accumulate);
        Ok(windows
            .chunks(t.batch_size)
            .map(|w| {
                let batch = self.train.batch(w, self.device);
                let tokens = batch.targets.len();
                MicroBatch { batch, weight: tokens as f64, tokens }
            })
            .collect())
    }

    fn loss(&self, forward: Forward<'_>, batch: &Batch, total: f64) -> Result<Loss> {
        let Forward { model, graph, dropout } = forward;
        let hidden = Self::hidden(model, graph, batch, dropout);
        let count = batch.targets.len();
        let targets = Ids::new(model.device(), batch.targets.clone(), [count]);
        let weights = vec![(1.0 / total) as f32; count];
        let (loss, _) =
            ops::linear_cross_entropy(&hidden, &model.output(graph), &targets, &weights);
        Ok(Loss { loss, figures: Vec::new() })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let Some(heldout) = &self.heldout else { return Ok(Vec::new()) };
        let count = heldout.count().min(self.section.train.evaluate.items.max(1));
        // Spread over the whole split, so that every source has its part.
        let windows: Vec<usize> = (0..count).map(|i| i * heldout.count() / count).collect();
        let (mut nats, mut tokens, mut bytes) = (0.0, 0usize, 0u64);
        for chunk in windows.chunks(self.section.train.batch_size) {
            let batch = heldout.batch(chunk, model.device());
            let graph = Graph::inference(&model.params);
            let hidden = Self::hidden(model, &graph, &batch, None);
            let n = batch.targets.len();
            let targets = Ids::new(model.device(), batch.targets.clone(), [n]);
            let (loss, _) =
                ops::linear_cross_entropy(&hidden, &model.output(&graph), &targets, &vec![1.0; n]);
            nats += f64::from(loss.value().item());
            tokens += n;
            bytes += batch
                .targets
                .iter()
                .map(|&t| u64::from(self.bytes.get(t as usize).copied().unwrap_or(0)))
                .sum::<u64>();
        }
        let loss = nats / tokens.max(1) as f64;
        let bits = nats / std::f64::consts::LN_2 / bytes.max(1) as f64;
        Ok(vec![(LOSS.name, loss), (BITS_PER_BYTE.name, bits), (PERPLEXITY.name, loss.exp())])
    }

    fn sample(&mut self, model: &Model) -> Result<Vec<Sample>> {
        let prompts = &self.section.sample_prompts;
        let bos = self.tokenizer.bos_id();
        let ids = prompts
            .iter()
            .map(|p| Ok(bos.into_iter().chain(self.tokenizer.encode(p)?).collect()))
            .collect::<Result<Vec<Vec<u32>>>>()?;
        let sampling = self.section.sampling;
        let written = generate(model, &ids, &stops(self.tokenizer), sampling, self.seed)
            .map_err(|e| e.at("pretrain.sample_prompts"))?;
        prompts
            .iter()
            .zip(written)
            .map(|(p, c)| {
                Ok(Sample {
                    prompt: p.clone(),
                    text: self.tokenizer.decode(&c.tokens)?,
                    reward: None,
                })
            })
            .collect()
    }

    fn cursor(&self, step: u64) -> Value {
        let t = &self.section.train;
        json!(self.walk.cursor(step, t.batch_size * t.accumulate))
    }
}
