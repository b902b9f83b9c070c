//! Classification of a text or of a pair of texts: one label each, cross-entropy on the scores of the
//! sequence head (Devlin et al. 2019, section 4.1; for decoders the last token's, Radford et al. 2018,
//! section 3.2).

use athanor_data::LabelledSection;
use athanor_models::{Head, Model};
use athanor_store::{Figure, Result, figures::FinetuneSummary};
use athanor_tensor::{Ids, Var};
use athanor_training::Forward;
use serde_json::{Map, Value, json};

use crate::{
    details,
    encoding::Encoded,
    labels::Labels,
    metrics::{ACCURACY, Confusion, F1, MACRO_F1, MATTHEWS},
    scores::{best, negative_log_likelihood, padded, picked, softmax, text_scores},
    settings::Settings,
    task::{Baseline, Example, Item, Kit, Read, Shown, Task},
    texts::{self, Text},
};

pub struct Classification {
    labels: Labels,
}

impl Task for Classification {
    type Question = Text;
    type Answer = usize;
    type Row = Encoded;
    /// A score for each label.
    type Prediction = Vec<f32>;

    const NAME: &'static str = "classification";
    const ABOUT: &'static str = "a label for a text or a pair of texts";
    const USES: &'static [&'static str] =
        &["labels", "data.examples.text", "data.examples.pair", "data.examples.label"];

    fn question(_: &Settings, source: &LabelledSection) -> Result<Read<Text>> {
        texts::question(source)
    }

    fn answers(_: &Settings, source: &LabelledSection) -> Result<Read<Vec<String>>> {
        texts::answers(source)
    }

    fn identity(question: &Text) -> String {
        question.identity()
    }

    fn new(section: &Settings, answers: &[&[String]]) -> Result<Self> {
        let found = answers.iter().copied().flatten();
        Ok(Self { labels: Labels::collect(&section.labels, found)? })
    }

    fn of_model(model: &Model) -> Option<Self> {
        let count = model.head().labels();
        let fits = count > 1 && model.head() == Head::sequence(count);
        fits.then(|| Self { labels: Labels::of_model(model) })
    }

    fn head(&self) -> (Head, Vec<String>) {
        let names = self.labels.names();
        (Head::sequence(names.len()), names.to_vec())
    }

    fn configure(&self, config: &mut Map<String, Value>) {
        config.insert("problem_type".into(), "single_label_classification".into());
    }

    fn answer(&self, said: &[String], place: &str) -> Result<usize> {
        self.labels.number(&said.concat(), place)
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
        let labels = items.iter().map(|item| *item.answer as i32).collect();
        let labels = Ids::new(model.device(), labels, [items.len()]);
        let weights: Vec<f32> = items.iter().map(|item| (item.weight / total) as f32).collect();
        model.dropped_loss(graph, 0, &picked, &labels, &weights, &mut |x| pass.drop(x)).0
    }

    fn predict(
        &self,
        model: &Model,
        _: &Kit,
        asked: &[(&Text, &[Encoded])],
    ) -> Result<Vec<Vec<f32>>> {
        let rows: Vec<&Encoded> = asked.iter().flat_map(|(_, rows)| rows.iter()).collect();
        Ok(text_scores(model, &rows))
    }

    fn loss_of(&self, right: &usize, said: &Vec<f32>) -> (f64, f64) {
        (negative_log_likelihood(said, *right), 1.0)
    }

    fn score(&self, right: &[&usize], said: &[Vec<f32>]) -> Vec<(&'static Figure, f64)> {
        let classes = self.labels.names().len();
        let confusion = self.confusion(right, said);
        let mut all = vec![
            (&ACCURACY, confusion.accuracy()),
            (&MACRO_F1, confusion.macro_f1()),
            (&MATTHEWS, confusion.matthews()),
        ];
        if classes == 2 {
            // Of the second label: GLUE's 1.
            all.push((&F1, confusion.of(1).f1));
        }
        all
    }

    fn baselines(&self, learned: &[Example<Self>], held: &[&Example<Self>]) -> Vec<Baseline<Self>> {
        let classes = self.labels.names().len();
        let mut counts = vec![0u64; classes];
        learned.iter().for_each(|e| counts[e.answer] += 1);
        let commonest = (0..classes).rev().max_by_key(|&c| counts[c]).unwrap_or(0);
        let scores: Vec<f32> = (0..classes).map(|c| f32::from(u8::from(c == commonest))).collect();
        vec![("commonest label", vec![scores; held.len()])]
    }

    fn floor(&self, right: &[&usize]) -> Option<(&'static str, f64)> {
        let mut counts = vec![0u64; self.labels.names().len()];
        right.iter().for_each(|&&label| counts[label] += 1);
        let most = counts.into_iter().max().unwrap_or(0);
        Some(("commonest_label", most as f64 / right.len().max(1) as f64))
    }

    fn details(&self, right: &[&usize], said: &[Vec<f32>]) -> FinetuneSummary {
        details::of_labels(&self.labels, &self.confusion(right, said))
    }

    fn show(&self, _: &Text, said: &Vec<f32>) -> Shown {
        let (names, shares) = (self.labels.names(), softmax(said));
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
        let label = &names[order[0]];
        let share = shares[order[0]];
        let all: Map<String, Value> =
            order.iter().map(|&i| (names[i].clone(), json!(shares[i]))).collect();
        let percent = |i: usize| format!("{:.2}%", 100.0 * shares[i]);
        Shown {
            short: format!("{label} ({share:.2})"),
            line: format!("{label}\t{share:.4}"),
            needs_text: true,
            table: order.iter().map(|&i| (names[i].clone(), percent(i))).collect(),
            json: Map::from_iter([
                ("label".to_owned(), json!(label)),
                ("probabilities".to_owned(), all.into()),
            ]),
        }
    }
}

impl Classification {
    fn confusion(&self, right: &[&usize], said: &[Vec<f32>]) -> Confusion {
        let pairs = right.iter().zip(said).map(|(right, said)| (**right, best(said)));
        Confusion::new(self.labels.names().len(), pairs)
    }
}
