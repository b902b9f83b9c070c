//! What tasks of labels share: an objective says what an example is and what its loss, a [`Learner`] walks
//! the examples.

use athanor_models::{Dropout, Model, Row};
use athanor_store::{Error, Result};
use athanor_tensor::{Graph, Var};
use athanor_training::{Figures, Loss, Micro, Sample, Task, TrainSection, Trainer, fit};
use serde_json::{Value, json};

use crate::batches::Batches;

/// A supervised task.
pub(crate) trait Objective {
    /// What is learned from.
    type Example;

    /// The rows of an example: one in most tasks.
    fn rows<'a>(&self, example: &'a Self::Example) -> Vec<Row<'a>>;

    /// How much it counts in the loss.
    fn weight(&self, example: &Self::Example) -> f64;

    /// The loss of a batch, summed by weight and divided by `total`.
    fn loss(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &[&Self::Example],
        total: f64,
        dropout: Option<Dropout>,
    ) -> Var;

    /// Figures while training, the loss first; none where nothing is kept back.
    fn evaluate(&self, model: &Model) -> Result<Figures>;

    /// What the model says of the recipe's samples.
    fn sample(&self, model: &Model) -> Result<Vec<Sample>>;
}

struct Learner<'a, O: Objective> {
    objective: &'a O,
    examples: &'a [O::Example],
    batches: Batches,
    /// Mean tokens of a row.
    time: usize,
}

/// Learns from `examples`.
pub(crate) fn learn<O: Objective>(
    trainer: &mut Trainer<'_>,
    section: &TrainSection,
    objective: &O,
    examples: &[O::Example],
) -> Result<Figures> {
    if examples.is_empty() {
        return Err(Error::input("there is no example to learn from").at("finetune.data").hint(
            "all of them are held out, or have no tokens; add some, or change finetune.heldout_per_thousand",
        ));
    }
    let tokens =
        |e: &O::Example| -> usize { objective.rows(e).iter().map(|row| row.ids.len()).sum() };
    let lengths: Vec<usize> = examples.iter().map(tokens).collect();
    let time = lengths.iter().sum::<usize>() / lengths.len().max(1);
    let seed = trainer.context.run.seed;
    let batches = Batches::new(lengths, section.batch_size, section.accumulate, seed);
    fit(trainer, &mut Learner { objective, examples, batches, time })
}

impl<O: Objective> Task for Learner<'_, O> {
    type Batch = Vec<usize>;

    fn batches(&mut self, step: u64) -> Result<Vec<Micro<Vec<usize>>>> {
        let micro = |batch: Vec<usize>| {
            let examples = || batch.iter().map(|&i| &self.examples[i]);
            let rows = examples().flat_map(|e| self.objective.rows(e));
            let tokens = rows.map(|row| row.ids.len()).sum();
            let weight = examples().map(|e| self.objective.weight(e)).sum();
            Micro { batch, weight, tokens }
        };
        Ok(self.batches.step(step).into_iter().map(micro).collect())
    }

    fn loss(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &Vec<usize>,
        total: f64,
        dropout: Option<Dropout>,
    ) -> Result<Loss> {
        let examples: Vec<&O::Example> = batch.iter().map(|&i| &self.examples[i]).collect();
        let loss = self.objective.loss(model, graph, &examples, total, dropout);
        Ok(Loss { loss, figures: Vec::new() })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        self.objective.evaluate(model)
    }

    fn sample(&mut self, model: &Model) -> Result<Vec<Sample>> {
        self.objective.sample(model)
    }

    fn time(&self, _: &Model) -> usize {
        self.time
    }

    fn cursor(&self, step: u64) -> Value {
        json!(self.batches.cursor(step))
    }
}
