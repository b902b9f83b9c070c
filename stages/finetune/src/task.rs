//! What a task of fine-tuning is: how it reads a record, which head it trains, what its loss is, what the model
//! says and how good that is. [`learn`](crate::learn) and [`predict`](crate::predict) do the rest for all tasks.

use std::path::Path;

use athanor_data::labelled::{Labelled, Reader};
use athanor_data::{LabelledSection, Record, Shares};
use athanor_models::{Head, Model};
use athanor_store::{
    Figure, OwnKeys, Recipe, Result,
    figures::{FinetuneSummary, LOSS},
};
use athanor_tensor::{Device, Var};
use athanor_text::{ChatTemplate, Tokenizer};
use athanor_training::{Figures, Forward, Sample, TrainSection, load_tokenizer, set_tokens};
use serde_json::{Map, Value, json};

use crate::{
    encoding,
    settings::{ExampleSection, Settings},
};

/// What a model reads with.
pub struct Kit {
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How conversations are written, where the task has any.
    pub template: Option<ChatTemplate>,
    /// Longest row in tokens.
    pub limit: usize,
    /// Whether the model sees no token ahead.
    pub causal: bool,
}

/// A record as a task reads it: what is asked, and what people answered, in the file's words.
#[derive(Clone, Debug)]
pub struct Asked<Q> {
    /// What the model is given.
    pub question: Q,
    /// What people said: a label, one for each word, the number of the right choice.
    pub answers: Vec<String>,
}

/// A record as the model reads it.
pub struct Example<T: Task> {
    /// What is asked.
    pub question: T::Question,
    /// What is right.
    pub answer: T::Answer,
    /// What goes into the model.
    pub rows: Vec<T::Row>,
    /// How much it counts in the loss.
    pub weight: f64,
    /// By the text that decides what it is for: an order that no file's order shines through.
    pub hash: u64,
}

/// A row that is learned from.
pub struct Item<'a, T: Task> {
    /// The row.
    pub row: &'a T::Row,
    /// What is right of its example.
    pub answer: &'a T::Answer,
    /// How much each of its targets counts in the loss.
    pub weight: f64,
}

/// Another way to answer, which the model should beat: its name and what it says of each example.
pub type Baseline<T> = (&'static str, Vec<<T as Task>::Prediction>);

/// What a person or a program is shown of a prediction.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// In a word or two.
    pub short: String,
    /// On one line among others.
    pub line: String,
    /// Whether the text comes behind `line`, which does not hold it.
    pub needs_text: bool,
    /// Of one prediction alone: likeliest first. Empty where `line` says all.
    pub table: Vec<(String, String)>,
    /// For programs.
    pub json: Map<String, Value>,
}

/// Makes something of a record.
pub type Read<T> = Box<dyn Fn(&Record) -> Result<T>>;

/// A kind of supervised task.
pub trait Task: Sized + 'static {
    /// What the model is asked.
    type Question: Clone;
    /// What is right.
    type Answer: Clone;
    /// What goes through the model at once: a text, a piece of a sentence, the choices of a question.
    type Row;
    /// What the model says.
    type Prediction;

    /// Its name in a recipe.
    const NAME: &'static str;
    /// What it learns, from what.
    const ABOUT: &'static str;
    /// Its own keys.
    const KEYS: Option<OwnKeys> = None;
    /// Keys of `[finetune]`, of a source (`data.…`) and of its examples (`data.examples.…`) that have a meaning
    /// for some tasks only, and for this one.
    const USES: &'static [&'static str] = &[];
    /// Whether it learns from conversations and not from labelled examples.
    const CONVERSATIONS: bool = false;
    /// Whether several examples stand in one row.
    const PACKED: bool = false;
    /// What is said where there is nothing to learn from, and what to do then.
    const NOTHING: (&'static str, &'static str) = (
        "there is no example to learn from",
        "all of them are held out, or have no tokens; add some, or change finetune.heldout_per_thousand",
    );
    /// What its examples are called.
    const UNIT: &'static str = "examples";

    /// What asks the question of a record.
    ///
    /// # Errors
    /// Input, for a template or an expression that is wrong; of a record, for a field that it does not have.
    fn question(section: &Settings, source: &LabelledSection) -> Result<Read<Self::Question>>;

    /// What takes the answers from a record.
    ///
    /// # Errors
    /// As [`question`](Self::question).
    fn answers(section: &Settings, source: &LabelledSection) -> Result<Read<Vec<String>>>;

    /// The text that decides what an example is for.
    fn identity(question: &Self::Question) -> String;

    /// The records of a source.
    ///
    /// # Errors
    /// Input, naming file and line.
    fn read(
        section: &Settings,
        source: &ExampleSection,
        recipe: &Recipe,
        shares: Shares,
    ) -> Result<Vec<Labelled<Asked<Self::Question>>>> {
        let Some(examples) = &source.examples else { return Ok(Vec::new()) };
        examples.read(recipe, shares, &reader::<Self>(section, examples)?)
    }

    /// The task for a recipe and the answers of the files that it learns from.
    ///
    /// # Errors
    /// Input, for answers that nothing can be learned from.
    fn new(section: &Settings, answers: &[&[String]]) -> Result<Self>;

    /// The task of a model that was fine-tuned; none if its head is another's.
    fn of_model(model: &Model) -> Option<Self>;

    /// The head that it trains, with the names of its scores, if they have any.
    fn head(&self) -> (Head, Vec<String>);

    /// Says in config.json what Hugging Face's classes want to know.
    fn configure(&self, _config: &mut Map<String, Value>) {}

    /// Opens the model that it starts from.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    fn open(
        &self,
        section: &Settings,
        folder: &Path,
        seed: u64,
        device: Device,
    ) -> Result<(Model, Kit)> {
        let (head, names) = self.head();
        let mut model = match names.is_empty() {
            true => Model::load_with_head(folder, head, seed, device)?,
            false => Model::load_labelled(folder, head, &names, seed, device)?,
        };
        let tokenizer = load_tokenizer(folder, &model)?;
        set_tokens(&mut model, &tokenizer)?;
        self.configure(&mut model.config);
        let limit = encoding::limit(section.context, &model, &tokenizer);
        let causal = model.causal();
        Ok((model, Kit { tokenizer, template: None, limit, causal }))
    }

    /// What is right, of what people said.
    ///
    /// # Errors
    /// Input, for an answer that the task does not know.
    fn answer(&self, said: &[String], place: &str) -> Result<Self::Answer>;

    /// The rows of a question; none if there is nothing to learn from it.
    ///
    /// # Errors
    /// Input, for a text without tokens.
    fn rows(&self, kit: &Kit, question: &Self::Question) -> Result<Vec<Self::Row>>;

    /// Tokens of a row.
    fn tokens(row: &Self::Row) -> usize;

    /// Targets of a row: each counts as much as the example's weight.
    fn targets(_row: &Self::Row) -> usize {
        1
    }

    /// The loss of a batch, each unit of which is a row, or several packed into one: the sum over its targets by
    /// weight, divided by `total`.
    fn loss(&self, forward: Forward<'_>, batch: &[Vec<Item<'_, Self>>], total: f64) -> Var;

    /// What the model says of each example's question.
    ///
    /// # Errors
    /// Those of writing answers.
    fn predict(
        &self,
        model: &Model,
        kit: &Kit,
        asked: &[(&Self::Question, &[Self::Row])],
    ) -> Result<Vec<Self::Prediction>>;

    /// The loss of a prediction, summed over its targets, and how many there are.
    fn loss_of(&self, right: &Self::Answer, said: &Self::Prediction) -> (f64, f64);

    /// Figures of predictions.
    fn score(
        &self,
        right: &[&Self::Answer],
        said: &[Self::Prediction],
    ) -> Vec<(&'static Figure, f64)>;

    /// Other ways to answer the questions of `held`, made from what was learned from; the first is the one to
    /// beat.
    fn baselines(&self, learned: &[Example<Self>], held: &[&Example<Self>]) -> Vec<Baseline<Self>>;

    /// What was measured, and how often: the first is summary.json's `n`.
    fn counts(right: &[&Self::Answer]) -> Vec<(&'static str, u64)> {
        vec![(Self::UNIT, right.len() as u64)]
    }

    /// What always giving the commonest answer of `right` itself would score, by its name; none where that is no
    /// figure of the task.
    fn floor(&self, _right: &[&Self::Answer]) -> Option<(&'static str, f64)> {
        None
    }

    /// The fields of summary.json that only this task has.
    fn details(&self, _right: &[&Self::Answer], _said: &[Self::Prediction]) -> FinetuneSummary {
        FinetuneSummary::default()
    }

    /// Held-out examples of a source that predictions are measured on, at most.
    fn measured(_source: &ExampleSection) -> usize {
        usize::MAX
    }

    /// Figures while training, the loss first.
    ///
    /// # Errors
    /// Those of [`predict`](Self::predict).
    fn evaluate(
        &self,
        model: &Model,
        kit: &Kit,
        _section: &TrainSection,
        examples: &[&Example<Self>],
    ) -> Result<Figures> {
        let said = predict_all(self, model, kit, examples)?;
        let right: Vec<&Self::Answer> = examples.iter().map(|e| &e.answer).collect();
        let mut figures = vec![(LOSS.name, mean_loss(self, &right, &said))];
        let scores = self.score(&right, &said).into_iter();
        figures.extend(scores.map(|(metric, value)| (metric.name, value)));
        Ok(figures)
    }

    /// What the model says of the recipe's samples.
    ///
    /// # Errors
    /// Input, for a sample that cannot be asked.
    fn sample(
        &self,
        model: &Model,
        kit: &Kit,
        section: &Settings,
        _seed: u64,
    ) -> Result<Vec<Sample>> {
        let ask = Self::question(section, &LabelledSection::default())?;
        let record = |text: &String| Record(Map::from_iter([("text".to_owned(), json!(text))]));
        let prompts = &section.sample_prompts;
        let questions: Vec<_> = prompts.iter().map(|p| ask(&record(p))).collect::<Result<_>>()?;
        let said = answer(self, model, kit, &questions)?;
        let sample = |((prompt, question), said): ((&String, _), _)| {
            let text = self.show(question, said).short;
            Sample { prompt: prompt.clone(), text, reward: None }
        };
        Ok(prompts.iter().zip(&questions).zip(&said).map(sample).collect())
    }

    /// How a prediction is shown.
    fn show(&self, question: &Self::Question, said: &Self::Prediction) -> Shown;
}

/// Reads records with their answers.
///
/// # Errors
/// Those of [`Task::question`].
pub(crate) fn reader<T: Task>(
    section: &Settings,
    source: &LabelledSection,
) -> Result<Reader<Asked<T::Question>>> {
    let (question, answers) = (T::question(section, source)?, T::answers(section, source)?);
    Ok(Box::new(move |record: &Record| {
        let asked = Asked { question: question(record)?, answers: answers(record)? };
        let identity = T::identity(&asked.question);
        Ok((asked, identity))
    }))
}

/// What the model says of examples.
pub(crate) fn predict_all<T: Task>(
    task: &T,
    model: &Model,
    kit: &Kit,
    examples: &[&Example<T>],
) -> Result<Vec<T::Prediction>> {
    let asked: Vec<_> = examples.iter().map(|e| (&e.question, &e.rows[..])).collect();
    task.predict(model, kit, &asked)
}

/// What the model says of questions.
pub(crate) fn answer<T: Task>(
    task: &T,
    model: &Model,
    kit: &Kit,
    questions: &[T::Question],
) -> Result<Vec<T::Prediction>> {
    let rows = questions.iter().map(|q| task.rows(kit, q)).collect::<Result<Vec<_>>>()?;
    let asked: Vec<_> = questions.iter().zip(&rows).map(|(q, rows)| (q, &rows[..])).collect();
    task.predict(model, kit, &asked)
}

/// Mean loss of a target.
pub(crate) fn mean_loss<T: Task>(task: &T, right: &[&T::Answer], said: &[T::Prediction]) -> f64 {
    let each = right.iter().zip(said).map(|(right, said)| task.loss_of(right, said));
    let (nats, targets) = each.fold((0.0, 0.0), |sum, (n, t)| (sum.0 + n, sum.1 + t));
    nats / targets.max(1.0)
}
