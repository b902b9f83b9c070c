//! Conversations: the loss is that of the assistant's tokens alone, as in Ouyang et al. 2022,
//! "Training language models to follow instructions with human feedback", section 3.5 (SFT).
//! Conversations are packed into rows with a mask that keeps them apart.

use athanor_generation::{Sampling, generate, text::stops};
use athanor_models::{Dropout, Model, Pass};
use athanor_store::{Done, Result};
use athanor_tensor::{Device, Graph, Ids, ops};
use athanor_text::{ChatTemplate, Message, SpecialTokens, Tokenizer, encode_prompt};
use athanor_training::{
    Figures, Loss, Micro, Sample, Task, Trainer, Walk, fit, load_tokenizer, load_writer,
};
use serde_json::{Value, json};

use super::TaskKind;
use crate::{
    conversations::{Batch, Rows, encode},
    section::FinetuneSection,
    stage::{Job, Outcome},
};

/// The task's line in the registry.
pub const TASK: TaskKind =
    TaskKind { name: "conversation", about: "answers in conversations", run };

/// What a model reads and writes with.
struct Materials<'a> {
    section: &'a FinetuneSection,
    tokenizer: &'a Tokenizer,
    template: &'a ChatTemplate,
}

struct Conversation<'a> {
    materials: &'a Materials<'a>,
    train: Rows,
    heldout: Rows,
    walk: Walk,
    seed: u64,
}

/// Held-out conversations of a source whose answers are compared.
struct Measured {
    title: String,
    items: Vec<(Vec<Message>, String)>,
    majority: f64,
}

fn run(job: &Job<'_>) -> Result<Done> {
    let model = load_writer(job.folder, job.context.device())?;
    let tokenizer = load_tokenizer(job.folder, &model)?.with_eos(SpecialTokens::END)?;
    let template = ChatTemplate::load(job.folder).unwrap_or_default();
    let mut trainer = job.trainer(model)?;
    let materials = Materials { section: job.section, tokenizer: &tokenizer, template: &template };
    let outcome = train(&mut trainer, job, &materials)?;
    job.finish(trainer, &tokenizer, Some(&template), outcome)
}

fn train(trainer: &mut Trainer<'_>, job: &Job<'_>, m: &Materials<'_>) -> Result<Outcome> {
    let model = trainer.model.sizes().context;
    let limit = if m.section.context == 0 { model } else { m.section.context.min(model) };
    let (mut train, mut heldout, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    for section in &m.section.data {
        let Some(source) = &section.dialogue else { continue };
        let dialogues = source.read(&job.run.recipe, m.section.heldout_per_thousand as u32)?;
        let mut items = Vec::new();
        let mut answers: std::collections::BTreeMap<String, usize> = Default::default();
        for dialogue in dialogues {
            let (messages, weight) = (&dialogue.messages, section.weight);
            let Some(example) = encode(m.tokenizer, m.template, messages, limit + 1, weight)?
            else {
                continue;
            };
            if !dialogue.heldout {
                train.extend(std::iter::repeat_n(example, section.repeat));
                continue;
            }
            heldout.push(example);
            if section.metric == "accuracy"
                && items.len() < section.metric_items
                && let Some((answer, asked)) = dialogue.messages.split_last()
            {
                *answers.entry(answer.content.clone()).or_default() += 1;
                items.push((asked.to_vec(), answer.content.clone()));
            }
        }
        if !items.is_empty() {
            let most = answers.values().copied().max().unwrap_or(0);
            let majority = most as f64 / items.len() as f64;
            measured.push(Measured { title: source.title(), items, majority });
        }
    }
    let train = Rows::new(train, limit);
    train.check()?;
    let seed = trainer.context.run.seed;
    let mut task = Conversation {
        materials: m,
        walk: Walk::new(train.rows.len(), seed),
        train,
        heldout: Rows::new(heldout, limit),
        seed,
    };
    let figures = fit(trainer, &mut task)?;
    let tasks = measured.iter().map(|s| measure(&trainer.model, m, s)).collect::<Result<_>>()?;
    let loss = figures.first().filter(|(name, _)| *name == "loss");
    let told = loss.map_or(String::new(), |(_, l)| format!("held-out loss {l:.3}"));
    Ok(Outcome { figures, told, tasks, ..Outcome::default() })
}

/// Share of held-out requests whose greedy answer is the expected one.
fn measure(model: &Model, m: &Materials<'_>, measured: &Measured) -> Result<Value> {
    let prompts = measured
        .items
        .iter()
        .map(|(asked, _)| encode_prompt(m.tokenizer, m.template, asked))
        .collect::<Result<Vec<_>>>()?;
    let longest = measured.items.iter().map(|(_, answer)| answer.len()).max().unwrap_or(1);
    let sampling =
        Sampling { temperature: 0.0, max_new_tokens: longest.clamp(4, 64), ..Sampling::default() };
    let mut right = 0;
    for (prompts, items) in prompts.chunks(32).zip(measured.items.chunks(32)) {
        let written = generate(model, prompts, &stops(m.tokenizer), &sampling, 0)?;
        for (completion, (_, answer)) in written.iter().zip(items) {
            right += usize::from(m.tokenizer.decode(&completion.tokens)?.trim() == answer.trim());
        }
    }
    let n = measured.items.len();
    Ok(json!({
        "name": measured.title,
        "metric": "accuracy",
        "value": right as f64 / n as f64,
        "baseline": measured.majority,
        "n": n,
    }))
}

impl Conversation<'_> {
    fn loss_of(
        model: &Model,
        graph: &Graph<'_>,
        batch: &Batch,
        weights: &[f32],
        dropout: Option<Dropout>,
    ) -> athanor_tensor::Var {
        let hidden = model.hidden(&mut Pass::new(graph, &batch.input).with_dropout(dropout));
        let learned = model.rows(&hidden, batch.places.clone());
        let count = batch.targets.len();
        let targets = Ids::new(model.device(), batch.targets.clone(), [count]);
        ops::linear_cross_entropy(&learned, &model.output(graph), &targets, weights).0
    }
}

impl Task for Conversation<'_> {
    type Batch = Batch;

    fn batches(&mut self, step: u64) -> Result<Vec<Micro<Batch>>> {
        let t = &self.materials.section.train;
        let rows = self.walk.items(step, t.batch_size * t.accumulate);
        Ok(rows
            .chunks(t.batch_size)
            .map(|rows| {
                let batch = self.train.batch(rows, Device::Cpu);
                let weight = batch.weights.iter().map(|&w| f64::from(w)).sum();
                let tokens = batch.tokens;
                Micro { batch, weight, tokens }
            })
            .collect())
    }

    fn loss(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &Batch,
        total: f64,
        dropout: Option<Dropout>,
    ) -> Result<Loss> {
        let weights: Vec<f32> =
            batch.weights.iter().map(|&w| (f64::from(w) / total) as f32).collect();
        let loss = Self::loss_of(model, graph, batch, &weights, dropout);
        Ok(Loss { loss, figures: Vec::new() })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let t = &self.materials.section.train;
        let rows: Vec<usize> = (0..self.heldout.rows.len().min(t.evaluate.items)).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (mut nats, mut tokens) = (0.0, 0);
        for rows in rows.chunks(t.batch_size) {
            let batch = self.heldout.batch(rows, model.device());
            let graph = Graph::inference(&model.params);
            let count = batch.targets.len();
            let loss = Self::loss_of(model, &graph, &batch, &vec![1.0; count], None);
            nats += f64::from(loss.value().item());
            tokens += count;
        }
        let loss = nats / tokens.max(1) as f64;
        Ok(vec![("loss", loss), ("perplexity", loss.exp())])
    }

    fn sample(&mut self, model: &Model) -> Result<Vec<Sample>> {
        let m = self.materials;
        let prompts = &m.section.sample_prompts;
        let ids = prompts
            .iter()
            .map(|p| encode_prompt(m.tokenizer, m.template, &[Message::user(p)]))
            .collect::<Result<Vec<_>>>()?;
        let written = generate(model, &ids, &stops(m.tokenizer), &m.section.sampling, self.seed)
            .map_err(|e| e.at("finetune.sample_prompts"))?;
        prompts
            .iter()
            .zip(written)
            .map(|(p, c)| {
                Ok(Sample { prompt: p.clone(), text: m.tokenizer.decode(&c.tokens)?, reward: None })
            })
            .collect()
    }

    fn cursor(&self, step: u64) -> Value {
        let t = &self.materials.section.train;
        json!(self.walk.cursor(step, t.batch_size * t.accumulate))
    }
}
