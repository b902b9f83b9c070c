//! A number for a text or a pair of texts: the mean square error of one score (Devlin et al. 2019, section
//! 4.1, for STS-B). `label` gives the number.

use athanor_data::LabelledSection;
use athanor_models::{Head, Model, heads::losses};
use athanor_store::{Error, Figure, Result};
use athanor_tensor::Var;
use athanor_training::Forward;
use serde_json::{Map, json};

use crate::{
    encoding::Encoded,
    metrics::{MSE, PEARSON, SPEARMAN, pearson, spearman},
    scores::{padded, picked, text_scores},
    settings::Settings,
    task::{Baseline, Example, Item, Kit, Read, Shown, Task},
    texts::{self, Text},
};

pub struct Regression;

impl Task for Regression {
    type Question = Text;
    type Answer = f64;
    type Row = Encoded;
    type Prediction = f64;

    const NAME: &'static str = "regression";
    const ABOUT: &'static str = "a number for a text or a pair of texts";
    const USES: &'static [&'static str] =
        &["data.examples.text", "data.examples.pair", "data.examples.label"];

    fn question(_: &Settings, source: &LabelledSection) -> Result<Read<Text>> {
        texts::question(source)
    }

    fn answers(_: &Settings, source: &LabelledSection) -> Result<Read<Vec<String>>> {
        texts::answers(source)
    }

    fn identity(question: &Text) -> String {
        question.identity()
    }

    fn new(_: &Settings, _: &[&[String]]) -> Result<Self> {
        Ok(Self)
    }

    fn of_model(model: &Model) -> Option<Self> {
        (model.head() == Head::SCALAR).then_some(Self)
    }

    fn head(&self) -> (Head, Vec<String>) {
        (Head::SCALAR, vec!["LABEL_0".to_owned()])
    }

    fn answer(&self, said: &[String], place: &str) -> Result<f64> {
        let said = said.concat();
        said.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| {
            Error::input(format!("a number was expected, found {said:?}"))
                .at(place)
                .hint("`label` names the field with the number, or is a template over fields")
        })
    }

    fn rows(&self, kit: &Kit, question: &Text) -> Result<Vec<Encoded>> {
        question.rows(kit)
    }

    fn tokens(row: &Encoded) -> usize {
        row.ids.len()
    }

    fn loss(&self, forward: Forward<'_>, batch: &[Vec<Item<'_, Self>>], total: f64) -> Var {
        let Forward { model, graph, dropout } = forward;
        let items: Vec<&Item<'_, Self>> = batch.iter().flatten().collect();
        let rows: Vec<&Encoded> = items.iter().map(|item| item.row).collect();
        let padded = padded(model, &rows);
        let (picked, mut pass) = picked(model, graph, &padded, dropout);
        let scores = model.scores_of(graph, 0, &picked, &mut |x| pass.drop(x));
        let numbers: Vec<f32> = items.iter().map(|item| *item.answer as f32).collect();
        let weights: Vec<f32> = items.iter().map(|item| (item.weight / total) as f32).collect();
        losses::square_error(&scores, &numbers, &weights)
    }

    fn predict(&self, model: &Model, _: &Kit, asked: &[(&Text, &[Encoded])]) -> Result<Vec<f64>> {
        let rows: Vec<&Encoded> = asked.iter().flat_map(|(_, rows)| rows.iter()).collect();
        Ok(text_scores(model, &rows).iter().map(|scores| f64::from(scores[0])).collect())
    }

    fn loss_of(&self, right: &f64, said: &f64) -> (f64, f64) {
        ((right - said).powi(2), 1.0)
    }

    fn score(&self, right: &[&f64], said: &[f64]) -> Vec<(&'static Figure, f64)> {
        let right: Vec<f64> = right.iter().copied().copied().collect();
        let squares = right.iter().zip(said).map(|(a, b)| (a - b).powi(2));
        let mse = squares.sum::<f64>() / right.len().max(1) as f64;
        vec![(&PEARSON, pearson(&right, said)), (&SPEARMAN, spearman(&right, said)), (&MSE, mse)]
    }

    fn baselines(&self, learned: &[Example<Self>], held: &[&Example<Self>]) -> Vec<Baseline<Self>> {
        let mean = learned.iter().map(|e| e.answer).sum::<f64>() / learned.len().max(1) as f64;
        vec![("mean of the training examples", vec![mean; held.len()])]
    }

    fn show(&self, _: &Text, said: &f64) -> Shown {
        Shown {
            short: format!("{said:.3}"),
            line: format!("{said:.4}"),
            needs_text: true,
            json: Map::from_iter([("number".to_owned(), json!(said))]),
            ..Shown::default()
        }
    }
}
