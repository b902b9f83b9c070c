//! One update of all parameters, by each optimiser.

use athanor_models::{Head, Input, Model, Pass, families};
use athanor_store::{Entry, Result};
use athanor_tensor::{Device, GradSet, Graph, ops};
use athanor_training::{OptimizerSection, TrainSection, optimizer, optimizers::OPTIMIZERS};
use serde_json::json;

use crate::{Bench, Options, Row, figure, median, seconds_of, shape, train::Sizes};

const ABOUT: &str = "one update of all parameters of the training step's model";

pub const BENCH: Bench = Bench::new("optimizer", ABOUT, &["S", "M"], run);

fn run(options: &Options) -> Result<Vec<Row>> {
    let name = shape(&BENCH, options)?;
    let sizes = Sizes::of(name);
    let mut rows = Vec::new();
    for kind in &OPTIMIZERS {
        let choice = OptimizerSection { name: kind.name().into(), ..OptimizerSection::default() };
        let section = TrainSection { optimizer: choice, ..TrainSection::default() };
        let family = families::by_name("gpt2")?;
        let mut model = Model::new(family, &sizes.shape(), Head::CAUSAL_LM, 1, Device::Cpu)?;
        let mut optimizer = optimizer(&section, &model)?;
        // Any gradient will do.
        let mut grads = GradSet::new();
        let graph = Graph::training(&model.params);
        let input = Input::causal(Device::Cpu, vec![1, 2, 3, 4], 1, 4);
        let hidden = model.hidden(&mut Pass::new(&graph, &input));
        let loss = ops::mean(&model.logits(&graph, &hidden));
        graph.backward(&loss, &mut grads);
        let share = options.share(OPTIMIZERS.iter().len());
        let seconds =
            median(seconds_of(&share, || optimizer.update(&mut model, &grads, 1e-4, 1.0))?);
        rows.push(Row::new(
            format!("{} {name}", kind.name()),
            json!({ "seconds": figure(seconds), "parameters": model.params.count() }),
        ));
    }
    Ok(rows)
}
