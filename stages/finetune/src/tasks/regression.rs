//! A number for a text or a pair of texts: the mean square error of one score (Devlin et al. 2019, section
//! 4.1, for STS-B). `label` gives the number.

use athanor_data::Labelled;
use athanor_data::labelled::Part;
use athanor_models::{Dropout, Head, Model, Pass, Row};
use athanor_store::{Done, Error, Result};
use athanor_tensor::{Device, Graph, Tensor, Var, ops};
use athanor_text::Tokenizer;
use athanor_training::{Figures, Sample, load_tokenizer, set_tokens};
use serde_json::json;

use super::{
    TaskKind,
    classification::{Text, reader},
};
use crate::{
    encoding::{self, Encoded},
    examples,
    metrics::{pearson, spearman},
    objective::{Objective, learn},
    predict::text_scores,
    section::FinetuneSection,
    stage::{Job, Outcome},
};

/// The task's line in the registry.
pub const TASK: TaskKind =
    TaskKind { name: "regression", about: "a number for a text or a pair of texts", run };

struct Example {
    tokens: Encoded,
    value: f64,
    weight: f64,
}

struct Regression<'a> {
    section: &'a FinetuneSection,
    tokenizer: &'a Tokenizer,
    limit: usize,
    watched: Vec<Example>,
}

/// The number that a label says.
///
/// # Errors
/// Input, if it is none.
pub fn number(label: &str, place: &str) -> Result<f64> {
    label.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| {
        Error::input(format!("a number was expected, found {label:?}"))
            .at(place)
            .hint("`label` names the field with the number, or is a template over fields")
    })
}

fn run(job: &Job<'_>) -> Result<Done> {
    let sources = examples::read(job, reader)?;
    let name = ["LABEL_0".to_owned()];
    let seed = job.run.seed;
    let mut model = Model::load_labelled(job.folder, Head::SCALAR, &name, seed, Device::Cpu)?;
    let tokenizer = load_tokenizer(job.folder, &model)?;
    set_tokens(&mut model, &tokenizer)?;
    let limit = encoding::limit(job.section.context, &model, &tokenizer);
    let encode = |e: &Labelled<Text>, weight: f64| -> Result<Example> {
        let tokens = encoding::texts(&tokenizer, &e.item.text, e.item.pair.as_deref(), limit);
        let tokens = tokens.map_err(|error| error.at(&e.place))?;
        Ok(Example { tokens, value: number(&e.item.label, &e.place)?, weight })
    };
    let mut learned = Vec::new();
    for source in &sources {
        for example in source.of(Part::Train) {
            for _ in 0..source.section.repeat {
                learned.push(encode(example, source.section.weight)?);
            }
        }
    }
    let mut held = Vec::new();
    for source in &sources {
        let all = source.of(Part::Heldout).map(|e| encode(e, 1.0)).collect::<Result<Vec<_>>>()?;
        held.extend((!all.is_empty()).then_some((source.title.clone(), all)));
    }
    let watched = examples::watched(&sources, job.section.train.evaluate.items);
    let watched = watched.into_iter().map(|e| encode(e, 1.0)).collect::<Result<_>>()?;
    let objective = Regression { section: job.section, tokenizer: &tokenizer, limit, watched };
    let mut trainer = job.trainer(model)?;
    learn(&mut trainer, &job.section.train, &objective, &learned)?;

    let mean = learned.iter().map(|e| e.value).sum::<f64>() / learned.len() as f64;
    let mut outcome = Outcome::default();
    let (mut squares, mut count) = (0.0, 0);
    for (title, held) in &held {
        let (right, said) = values(&trainer.model, held);
        let constant = vec![mean; right.len()];
        let baseline = figures(&right, &constant);
        for ((metric, value), (_, baseline)) in figures(&right, &said).into_iter().zip(baseline) {
            outcome.tasks.push(json!({
                "name": title, "metric": metric, "value": value, "baseline": baseline,
                "baseline_is": "mean of the training examples", "n": right.len(),
            }));
        }
        squares += mse(&right, &said) * right.len() as f64;
        count += right.len();
    }
    if count > 0 {
        let mse = squares / count as f64;
        outcome.figures = vec![("loss", mse)];
        outcome.told = format!("held-out mean square error {mse:.3}");
    }
    outcome.details.insert("examples_train".into(), learned.len().into());
    job.finish(trainer, &tokenizer, None, outcome)
}

/// Right and predicted numbers.
fn values(model: &Model, examples: &[Example]) -> (Vec<f64>, Vec<f64>) {
    let rows: Vec<&Encoded> = examples.iter().map(|e| &e.tokens).collect();
    let said = text_scores(model, &rows).iter().map(|s| f64::from(s[0])).collect();
    (examples.iter().map(|e| e.value).collect(), said)
}

fn mse(right: &[f64], said: &[f64]) -> f64 {
    let squares = right.iter().zip(said).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>() / right.len().max(1) as f64
}

/// The figures of numbers, by name.
pub fn figures(right: &[f64], said: &[f64]) -> [(&'static str, f64); 3] {
    [
        ("pearson", pearson(right, said)),
        ("spearman", spearman(right, said)),
        ("mse", mse(right, said)),
    ]
}

impl Objective for Regression<'_> {
    type Example = Example;

    fn rows<'a>(&self, example: &'a Example) -> Vec<Row<'a>> {
        vec![example.tokens.row()]
    }

    fn weight(&self, example: &Example) -> f64 {
        example.weight
    }

    fn loss(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &[&Example],
        total: f64,
        dropout: Option<Dropout>,
    ) -> Var {
        let rows: Vec<Row<'_>> = batch.iter().map(|e| e.tokens.row()).collect();
        let padded = model.padded(&rows);
        let mut pass = Pass::new(graph, &padded.input).with_dropout(dropout).skip_padding();
        let hidden = model.hidden(&mut pass);
        let picked = model.pick(0, &hidden, &padded.ids);
        let said = model.scores_of(graph, 0, &picked, &mut |x| pass.drop(x));
        let constant = |f: &dyn Fn(&Example) -> f64| {
            let values: Vec<f32> = batch.iter().map(|e| f(e) as f32).collect();
            Var::constant(Tensor::from_slice(model.device(), &values, [batch.len(), 1]))
        };
        let squares = ops::square(&ops::sub(&said, &constant(&|e| e.value)));
        ops::sum(&ops::mul(&squares, &constant(&|e| e.weight / total)))
    }

    fn evaluate(&self, model: &Model) -> Result<Figures> {
        if self.watched.is_empty() {
            return Ok(Vec::new());
        }
        let (right, said) = values(model, &self.watched);
        let mut all = vec![("loss", mse(&right, &said))];
        all.extend(figures(&right, &said).into_iter().take(2));
        Ok(all)
    }

    fn sample(&self, model: &Model) -> Result<Vec<Sample>> {
        let prompts = &self.section.sample_prompts;
        let encode = |text: &String| encoding::texts(self.tokenizer, text, None, self.limit);
        let rows: Vec<Encoded> = prompts.iter().map(encode).collect::<Result<_>>()?;
        let scores = text_scores(model, &rows.iter().collect::<Vec<_>>());
        let sample = |(prompt, scores): (&String, Vec<f32>)| Sample {
            prompt: prompt.clone(),
            text: format!("{:.3}", scores[0]),
            reward: None,
        };
        Ok(prompts.iter().zip(scores).map(sample).collect())
    }
}
