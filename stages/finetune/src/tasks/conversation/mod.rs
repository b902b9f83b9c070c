//! Conversations: the loss is that of the assistant's tokens alone, as in Ouyang et al. 2022,
//! "Training language models to follow instructions with human feedback", section 3.5 (SFT).
//! Conversations are packed into rows with a mask that keeps them apart.

mod rows;

use std::{collections::BTreeMap, path::Path};

use athanor_data::{Labelled, LabelledSection, Shares};
use athanor_generation::{Sampling, generate, text::stops};
use athanor_models::{Dropout, Head, Model, Pass};
use athanor_store::{
    Error, Figure, Recipe, Result,
    figures::{LOSS, PERPLEXITY},
};
use athanor_tensor::{Device, Graph, Ids, Var, ops};
use athanor_text::{ChatTemplate, Message, SpecialTokens, encode_prompt};
use athanor_training::{Figures, Forward, Sample, TrainSection, load_tokenizer, load_writer};

use crate::{
    metrics::ACCURACY,
    settings::{ExampleSection, Settings},
    task::{Asked, Baseline, Example, Item, Kit, Read, Shown, Task},
};
use rows::{Batch, Row};

/// Requests that are answered together.
const TOGETHER: usize = 32;

pub struct Conversation;

impl Task for Conversation {
    /// All messages; the last is the answer that is measured.
    type Question = Vec<Message>;
    type Answer = String;
    type Row = Row;
    /// The greedy answer.
    type Prediction = String;

    const NAME: &'static str = "conversation";
    const ABOUT: &'static str = "answers in conversations";
    const USES: &'static [&'static str] = &["sampling", "data.metric", "data.metric_items"];
    const CONVERSATIONS: bool = true;
    const PACKED: bool = true;
    const NOTHING: (&'static str, &'static str) = (
        "no conversation has an answer to learn from",
        "an answer is a message with the role assistant that fits into the context",
    );
    const UNIT: &'static str = "conversations";

    fn question(_: &Settings, _: &LabelledSection) -> Result<Read<Vec<Message>>> {
        Err(Error::input("conversations are no labelled examples"))
    }

    fn answers(_: &Settings, _: &LabelledSection) -> Result<Read<Vec<String>>> {
        Err(Error::input("conversations are no labelled examples"))
    }

    fn identity(question: &Vec<Message>) -> String {
        question.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join("\n")
    }

    fn read(
        _: &Settings,
        source: &ExampleSection,
        recipe: &Recipe,
        shares: Shares,
    ) -> Result<Vec<Labelled<Asked<Vec<Message>>>>> {
        let Some(source) = &source.dialogue else { return Ok(Vec::new()) };
        let all = source.read(recipe, shares)?.into_iter().map(|d| {
            let answers = d.messages.last().map(|m| m.content.clone()).into_iter().collect();
            let item = Asked { question: d.messages, answers };
            Labelled { item, split: d.split, place: d.place, hash: d.hash }
        });
        Ok(all.collect())
    }

    fn new(_: &Settings, _: &[&[String]]) -> Result<Self> {
        Ok(Self)
    }

    fn of_model(_: &Model) -> Option<Self> {
        None
    }

    fn head(&self) -> (Head, Vec<String>) {
        (Head::CAUSAL_LM, Vec::new())
    }

    fn open(
        &self,
        section: &Settings,
        folder: &Path,
        _: u64,
        device: Device,
    ) -> Result<(Model, Kit)> {
        let model = load_writer(folder, device)?;
        let tokenizer = load_tokenizer(folder, &model)?.with_eos(SpecialTokens::END)?;
        let template = Some(ChatTemplate::load(folder).unwrap_or_default());
        let context = model.sizes().context;
        let limit = if section.context == 0 { context } else { section.context.min(context) };
        Ok((model, Kit { tokenizer, template, limit, causal: true }))
    }

    fn answer(&self, said: &[String], _: &str) -> Result<String> {
        Ok(said.concat())
    }

    fn rows(&self, kit: &Kit, messages: &Vec<Message>) -> Result<Vec<Row>> {
        Ok(Row::of(&kit.tokenizer, template(kit), messages, kit.limit)?.into_iter().collect())
    }

    fn tokens(row: &Row) -> usize {
        row.read().len()
    }

    fn targets(row: &Row) -> usize {
        row.learned()
    }

    fn loss(&self, forward: Forward<'_>, batch: &[Vec<Item<'_, Self>>], total: f64) -> Var {
        let Forward { model, graph, dropout } = forward;
        fn weighted<'a>(total: f64) -> impl Fn(&Item<'a, Conversation>) -> (&'a Row, f32) {
            move |item| (item.row, (item.weight / total) as f32)
        }
        loss_of(model, graph, &Batch::new(model.device(), batch, weighted(total)), dropout)
    }

    fn predict(
        &self,
        model: &Model,
        kit: &Kit,
        asked: &[(&Vec<Message>, &[Row])],
    ) -> Result<Vec<String>> {
        let prompt = |(messages, _): &(&Vec<Message>, &[Row])| {
            let asked = messages.split_last().map_or(&[][..], |(_, asked)| asked);
            encode_prompt(&kit.tokenizer, template(kit), asked)
        };
        let prompts = asked.iter().map(prompt).collect::<Result<Vec<_>>>()?;
        let answers = asked.iter().filter_map(|(messages, _)| messages.last());
        let longest = answers.map(|answer| answer.content.len()).max().unwrap_or(1);
        let sampling = Sampling {
            temperature: 0.0,
            max_new_tokens: longest.clamp(4, 64),
            ..Sampling::default()
        };
        let mut said = Vec::new();
        for prompts in prompts.chunks(TOGETHER) {
            for completion in generate(model, prompts, &stops(&kit.tokenizer), &sampling, 0)? {
                said.push(kit.tokenizer.decode(&completion.tokens)?);
            }
        }
        Ok(said)
    }

    /// Answers are compared as they are; the loss is that of [`evaluate`](Self::evaluate).
    fn loss_of(&self, right: &String, said: &String) -> (f64, f64) {
        (f64::from(u8::from(right.trim() != said.trim())), 1.0)
    }

    fn score(&self, right: &[&String], said: &[String]) -> Vec<(&'static Figure, f64)> {
        let hits = right.iter().zip(said).filter(|(r, s)| r.trim() == s.trim()).count();
        vec![(&ACCURACY, hits as f64 / right.len().max(1) as f64)]
    }

    fn baselines(&self, _: &[Example<Self>], held: &[&Example<Self>]) -> Vec<Baseline<Self>> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        held.iter().for_each(|e| *counts.entry(&e.answer).or_default() += 1);
        let commonest = counts.iter().max_by_key(|(_, n)| **n).map_or("", |(answer, _)| answer);
        vec![("commonest held-out answer", vec![commonest.to_owned(); held.len()])]
    }

    fn measured(source: &ExampleSection) -> usize {
        if source.metric == "accuracy" { source.metric_items } else { 0 }
    }

    fn evaluate(
        &self,
        model: &Model,
        kit: &Kit,
        section: &TrainSection,
        examples: &[&Example<Self>],
    ) -> Result<Figures> {
        let rows: Vec<&Row> = examples.iter().flat_map(|e| &e.rows).collect();
        let lengths: Vec<usize> = rows.iter().map(|row| row.read().len()).collect();
        let packed = athanor_data::pack(&lengths, kit.limit);
        let packed = &packed[..packed.len().min(section.evaluate.items)];
        let (mut nats, mut tokens) = (0.0, 0);
        for units in packed.chunks(section.batch_size) {
            let batch = Batch::new(model.device(), units, |&i| (rows[i], 1.0));
            let graph = Graph::inference(&model.params);
            tokens += batch.targets.len();
            nats += f64::from(loss_of(model, &graph, &batch, None).value().item());
        }
        let loss = nats / tokens.max(1) as f64;
        Ok(vec![(LOSS.name, loss), (PERPLEXITY.name, loss.exp())])
    }

    fn sample(
        &self,
        model: &Model,
        kit: &Kit,
        section: &Settings,
        seed: u64,
    ) -> Result<Vec<Sample>> {
        let prompts = &section.sample_prompts;
        let encode = |p: &String| encode_prompt(&kit.tokenizer, template(kit), &[Message::user(p)]);
        let ids = prompts.iter().map(encode).collect::<Result<Vec<_>>>()?;
        let written = generate(model, &ids, &stops(&kit.tokenizer), &section.sampling, seed)
            .map_err(|e| e.at("finetune.sample_prompts"))?;
        let sample = |(prompt, completion): (&String, athanor_generation::Completion)| {
            let text = kit.tokenizer.decode(&completion.tokens)?;
            Ok(Sample { prompt: prompt.clone(), text, reward: None })
        };
        prompts.iter().zip(written).map(sample).collect()
    }

    fn show(&self, _: &Vec<Message>, said: &String) -> Shown {
        Shown { short: said.clone(), line: said.clone(), ..Shown::default() }
    }
}

fn template(kit: &Kit) -> &ChatTemplate {
    static USUAL: std::sync::LazyLock<ChatTemplate> =
        std::sync::LazyLock::new(ChatTemplate::default);
    kit.template.as_ref().unwrap_or(&USUAL)
}

fn loss_of(model: &Model, graph: &Graph<'_>, batch: &Batch, dropout: Option<Dropout>) -> Var {
    let hidden = model.hidden(&mut Pass::new(graph, &batch.input).with_dropout(dropout));
    let learned = model.rows(&hidden, batch.places.clone());
    let targets = Ids::new(model.device(), batch.targets.clone(), [batch.targets.len()]);
    ops::linear_cross_entropy(&learned, &model.output(graph), &targets, &batch.weights).0
}
