//! Multiple choice: which of several texts goes with a first one, as in SWAG (Zellers et al. 2018) and COPA (Roemmele
//! et al. 2011). Each choice is read together with the text, one score each; the loss is the cross-entropy of the
//! right one among its question's (Devlin et al. 2019, section 4.4). `label` is the right one's number, from 0.

use athanor_data::labelled::{Field, list};
use athanor_data::{Expression, LabelledSection};
use athanor_models::{Head, Model, heads::losses};
use athanor_store::{Check, Error, Figure, OwnKeys, Problem, Result, section};
use athanor_tensor::{Graph, Tensor, Var, ops};
use athanor_training::Forward;
use serde_json::{Map, json};

use crate::{
    encoding::{self, Encoded},
    metrics::ACCURACY,
    scores::{best, by_length, negative_log_likelihood, padded, picked, softmax},
    settings::Settings,
    task::{Baseline, Example, Item, Kit, Read, Shown, Task},
};

section! {
    /// Keys of multiple choice.
    pub struct MultipleChoiceSection {
        /// Expression that gives the list of choices, as in "[ending0, ending1]".
        choices: String = "choices".into(),
    }
}

impl Check for MultipleChoiceSection {
    fn check(&self) -> Result<(), Problem> {
        let good = Expression::new(&self.choices);
        good.map(drop).map_err(|e| Problem::new("choices", e.to_string()))
    }
}

pub struct MultipleChoice;

/// A text and what may go with it.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
    choices: Vec<String>,
}

/// What reads the choices of a record.
fn choices(section: &Settings) -> Result<Read<Vec<String>>> {
    let source = section.own::<MultipleChoiceSection>().choices;
    let choices = Expression::new(&source)?;
    Ok(Box::new(move |record| {
        let found = list(&choices, &source, record).map_err(|e| {
            e.hint("finetune.multiple_choice.choices is an expression that gives a list of texts")
        })?;
        match found.len() {
            0 | 1 => Err(Error::input(format!("{} choices, at least 2 are needed", found.len()))),
            _ => Ok(found),
        }
    }))
}

impl Task for MultipleChoice {
    type Question = Question;
    type Answer = usize;
    /// A row of the model for each choice.
    type Row = Vec<Encoded>;
    /// A score for each choice.
    type Prediction = Vec<f32>;

    const NAME: &'static str = "multiple_choice";
    const ABOUT: &'static str = "which of several texts goes with a first one";
    const KEYS: Option<OwnKeys> = Some(OwnKeys::of::<MultipleChoiceSection>());
    const USES: &'static [&'static str] = &["data.examples.text", "data.examples.label"];
    const UNIT: &'static str = "questions";

    fn question(section: &Settings, source: &LabelledSection) -> Result<Read<Question>> {
        let (text, choices) = (Field::new(&source.text)?, choices(section)?);
        Ok(Box::new(move |record| {
            Ok(Question { text: text.text(record)?, choices: choices(record)? })
        }))
    }

    fn answers(section: &Settings, source: &LabelledSection) -> Result<Read<Vec<String>>> {
        let (label, choices) = (Field::new(&source.label)?, choices(section)?);
        Ok(Box::new(move |record| {
            let (label, count) = (label.text(record)?.trim().to_owned(), choices(record)?.len());
            match label.parse::<usize>() {
                Ok(number) if number < count => Ok(vec![label]),
                _ => Err(Error::input(format!(
                    "{label:?} is none of the choices 0 to {}",
                    count - 1
                ))
                .hint("`label` is the right choice's number, or a template that gives it")),
            }
        }))
    }

    fn identity(question: &Question) -> String {
        format!("{}\n{}", question.text, question.choices.join("\n"))
    }

    fn new(_: &Settings, _: &[&[String]]) -> Result<Self> {
        Ok(Self)
    }

    fn of_model(model: &Model) -> Option<Self> {
        (model.head() == Head::MULTIPLE_CHOICE).then_some(Self)
    }

    fn head(&self) -> (Head, Vec<String>) {
        (Head::MULTIPLE_CHOICE, Vec::new())
    }

    fn answer(&self, said: &[String], place: &str) -> Result<usize> {
        let said = said.concat();
        said.parse().map_err(|_| Error::input(format!("{said:?} is no number")).at(place))
    }

    fn rows(&self, kit: &Kit, question: &Question) -> Result<Vec<Vec<Encoded>>> {
        let row = |choice: &String| {
            encoding::texts(&kit.tokenizer, &question.text, Some(choice), kit.limit)
        };
        Ok(vec![question.choices.iter().map(row).collect::<Result<_>>()?])
    }

    fn tokens(row: &Vec<Encoded>) -> usize {
        row.iter().map(|choice| choice.ids.len()).sum()
    }

    fn loss(&self, forward: Forward<'_>, batch: &[Vec<Item<'_, Self>>], total: f64) -> Var {
        let Forward { model, graph, dropout } = forward;
        let items: Vec<&Item<'_, Self>> = batch.iter().flatten().collect();
        let rows: Vec<&Encoded> = items.iter().flat_map(|item| item.row).collect();
        let padded = padded(model, &rows);
        let (picked, mut pass) = picked(model, graph, &padded, dropout);
        let scores = model.scores_of(graph, 0, &picked, &mut |x| pass.drop(x));
        let counts: Vec<usize> = items.iter().map(|item| item.row.len()).collect();
        let right: Vec<Option<usize>> = items.iter().map(|item| Some(*item.answer)).collect();
        let weights: Vec<f32> = items.iter().map(|item| (item.weight / total) as f32).collect();
        losses::choice(&side_by_side(model, &scores, &counts), &right, &weights)
    }

    fn predict(
        &self,
        model: &Model,
        _: &Kit,
        asked: &[(&Question, &[Vec<Encoded>])],
    ) -> Result<Vec<Vec<f32>>> {
        let questions: Vec<&Vec<Encoded>> = asked.iter().flat_map(|(_, rows)| *rows).collect();
        let said = by_length(&questions, Self::tokens, |questions| {
            let rows: Vec<&Encoded> = questions.iter().copied().flatten().collect();
            let graph = Graph::inference(&model.params);
            let padded = padded(model, &rows);
            let (picked, _) = picked(model, &graph, &padded, None);
            let mut scores = model.logits(&graph, &picked).value().to_vec().into_iter();
            questions.iter().map(|row| scores.by_ref().take(row.len()).collect()).collect()
        });
        Ok(said)
    }

    fn loss_of(&self, right: &usize, said: &Vec<f32>) -> (f64, f64) {
        (negative_log_likelihood(said, *right), 1.0)
    }

    fn score(&self, right: &[&usize], said: &[Vec<f32>]) -> Vec<(&'static Figure, f64)> {
        let hits = right.iter().zip(said).filter(|(right, said)| **right == &best(said)).count();
        vec![(&ACCURACY, hits as f64 / right.len().max(1) as f64)]
    }

    fn baselines(&self, learned: &[Example<Self>], held: &[&Example<Self>]) -> Vec<Baseline<Self>> {
        let most = learned.iter().map(|e| e.answer + 1).max().unwrap_or(1);
        let mut counts = vec![0u64; most];
        learned.iter().for_each(|e| counts[e.answer] += 1);
        let commonest = (0..most).rev().max_by_key(|&c| counts[c]).unwrap_or(0);
        let said = |e: &&Example<Self>| {
            let one = |i: usize| f32::from(u8::from(i == commonest));
            (0..e.question.choices.len()).map(one).collect()
        };
        vec![("commonest place of the right choice", held.iter().map(said).collect())]
    }

    fn show(&self, question: &Question, said: &Vec<f32>) -> Shown {
        let (shares, place) = (softmax(said), best(said));
        let choice = &question.choices[place];
        let mut order: Vec<usize> = (0..said.len()).collect();
        order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
        let row = |&i: &usize| (question.choices[i].clone(), format!("{:.2}%", 100.0 * shares[i]));
        Shown {
            short: format!("{choice} ({:.2})", shares[place]),
            line: format!("{choice}\t{:.4}", shares[place]),
            needs_text: true,
            table: order.iter().map(row).collect(),
            json: Map::from_iter([
                ("choice".to_owned(), json!(place)),
                ("choices".to_owned(), json!(question.choices)),
                ("probabilities".to_owned(), json!(shares)),
            ]),
        }
    }
}

/// Scores of all choices, one after the other, as [questions, most choices]; what is not there has no chance.
fn side_by_side(model: &Model, scores: &Var, counts: &[usize]) -> Var {
    let most = counts.iter().copied().max().unwrap_or(0);
    let (mut places, mut missing, mut first) = (Vec::new(), Vec::new(), 0);
    for &count in counts {
        for i in 0..most {
            places.push((first + i.min(count - 1)) as i32);
            missing.push(if i < count { 0.0 } else { -1e30 });
        }
        first += count;
    }
    let shape = [counts.len(), most];
    let all = ops::reshape(&model.rows(scores, places), shape);
    let missing = Tensor::from_slice(model.device(), &missing, shape);
    ops::add(&all, &Var::constant(missing))
}
