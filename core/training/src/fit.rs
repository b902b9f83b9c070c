//! Supervised training of a task.

use std::collections::BTreeMap;

use athanor_models::HostTensors;
use athanor_store::{
    Error, Result,
    figures::{EVAL, FLOPS, GRAD_NORM, LEARNING_RATE, LOSS, SPEED, TOKENS, TRAIN, WITHHELD},
    load_arrays, save_arrays,
};
use athanor_tensor::GradSet;
use serde_json::{Value, json};

use crate::{
    forecast,
    task::{Figures, Forward, Task},
    trainer::{Trainer, restore_weights},
};

/// The best evaluation so far.
#[derive(Clone, Copy, Debug)]
struct Best {
    loss: f64,
    step: u64,
    since: u64,
}

const BEST_FILE: &str = "best.safetensors";

/// Trains until the steps are done or patience ends. Returns the last figures on held-out data,
/// those of the best weights if the recipe keeps them.
///
/// # Errors
/// Interrupted after a checkpoint; those of the task and of writing.
pub fn fit<T: Task>(trainer: &mut Trainer<'_>, task: &mut T) -> Result<Figures> {
    let section = trainer.section().clone();
    let saved = &trainer.state()["best"];
    let mut best = Best {
        loss: saved["loss"].as_f64().unwrap_or(f64::INFINITY),
        step: saved["step"].as_u64().unwrap_or(0),
        since: saved["since"].as_u64().unwrap_or(0),
    };
    let mut stopped = trainer.state()["stopped"].as_bool().unwrap_or(false);
    forecast::check(trainer, task)?;
    task.restore(trainer.take_arrays(), &trainer.model)?;
    if trainer.step() == 0 {
        let samples = task.sample(&trainer.model)?;
        trainer.sample(&samples)?;
        evaluate(trainer, task)?;
    }
    while trainer.step() < trainer.steps() && !stopped {
        train_step(trainer, task)?;
        let done = trainer.step() + 1;
        let last = done == trainer.steps();
        // Figures and samples belong to the step that is ending: the bar moves in end_step.
        let mut after = |trainer: &mut Trainer<'_>| -> Result<()> {
            if section.evaluate.every > 0 && done.is_multiple_of(section.evaluate.every) && !last {
                let figures = evaluate_at(trainer, task, done)?;
                if let Some((_, loss)) = figures.first() {
                    best.since += 1;
                    if *loss < best.loss {
                        best = Best { loss: *loss, step: done, since: 0 };
                        if section.evaluate.keep_best {
                            save_best(trainer)?;
                        }
                    }
                    stopped =
                        section.evaluate.patience > 0 && best.since >= section.evaluate.patience;
                }
            }
            if section.evaluate.sample_every > 0
                && done.is_multiple_of(section.evaluate.sample_every)
                && !last
            {
                let samples = task.sample(&trainer.model)?;
                trainer.sample_at(done, &samples)?;
                trainer.reset_rates();
            }
            Ok(())
        };
        after(trainer)?;
        let best = json!({ "loss": finite(best.loss), "step": best.step, "since": best.since });
        trainer.keep(task.tensors());
        trainer
            .end_step(json!({ "best": best, "stopped": stopped, "cursor": task.cursor(done) }))?;
    }
    trainer.settle_average();
    let mut figures = evaluate(trainer, task)?;
    let worse = figures.first().is_some_and(|(_, loss)| best.loss < *loss || loss.is_nan());
    if section.evaluate.keep_best && worse && best.loss.is_finite() {
        let context = trainer.context;
        if context.is_first() {
            let path = context.folder.path(BEST_FILE);
            restore_weights(&mut trainer.model, load_arrays(&path)?)?;
            context.run.console.say(&format!(
                "{}: took the weights of step {}, the best on held-out data",
                context.folder.name(),
                best.step
            ));
        }
        context.communicator.broadcast(&mut trainer.model.params)?;
        figures = evaluate(trainer, task)?;
    }
    let samples = task.sample(&trainer.model)?;
    trainer.sample(&samples)?;
    Ok(figures)
}

fn finite(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

fn train_step<T: Task>(trainer: &mut Trainer<'_>, task: &mut T) -> Result<()> {
    let batches = task.batches(trainer.step())?;
    let total: f64 = batches.iter().map(|b| b.weight).sum();
    let mut grads = GradSet::new();
    let mut loss = 0.0;
    let mut figures: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut tokens = 0;
    let communicator = trainer.context.communicator.clone();
    let (rank, size) = (communicator.rank(), communicator.size());
    if batches.len() < size {
        return Err(Error::input(format!(
            "a step has {} micro-batches for {size} processes",
            batches.len()
        ))
        .hint("raise accumulate, or start fewer processes"));
    }
    // Every size-th micro-batch is this process's; which they are does not depend on what it has read.
    for (i, micro) in batches.iter().enumerate().skip(rank).step_by(size) {
        let dropout = trainer.dropout(i as u64);
        let graph = trainer.section().graph(&trainer.model.params);
        let forward = Forward { model: &trainer.model, graph: &graph, dropout };
        let part = task.loss(forward, &micro.batch, total.max(1.0))?;
        loss += f64::from(part.loss.value().item());
        for (name, value) in part.figures {
            *figures.entry(name).or_default() += value;
        }
        tokens += micro.tokens;
        graph.backward(&part.loss, &mut grads);
    }
    let mut sums = vec![loss, tokens as f64];
    sums.extend(figures.values());
    let update = trainer.update(&mut grads, &mut sums)?;
    let tokens = sums[1];
    figures.values_mut().zip(&sums[2..]).for_each(|(value, sum)| *value = *sum);
    let context = task.time(&trainer.model);
    let flops = trainer.model.flops_per_token(context) * tokens;
    trainer.count(tokens as u64, flops);
    let done = trainer.step() + 1;
    if done.is_multiple_of(trainer.section().log_every) || done == trainer.steps() {
        let (rate, flops) = trainer.rates();
        let mut values = vec![
            (LOSS.name, update.loss),
            (LEARNING_RATE.name, update.learning_rate),
            (GRAD_NORM.name, update.grad_norm),
            (TOKENS.name, trainer.tokens() as f64),
            (SPEED.name, rate),
            (FLOPS.name, flops),
            (WITHHELD.name, trainer.withheld() as f64),
        ];
        values.extend(figures);
        trainer.record_at(TRAIN, done, &values)?;
        let loss = update.loss;
        trainer.message(&format!("loss {loss:.4}  {rate:.0} tok/s  {:.1} GFLOP/s", flops / 1e9));
    }
    Ok(())
}

fn evaluate<T: Task>(trainer: &mut Trainer<'_>, task: &mut T) -> Result<Figures> {
    let step = trainer.step();
    evaluate_at(trainer, task, step)
}

fn evaluate_at<T: Task>(trainer: &mut Trainer<'_>, task: &mut T, step: u64) -> Result<Figures> {
    trainer.swap_average();
    let figures = task.evaluate(&trainer.model);
    trainer.swap_average();
    let figures = figures?;
    if !figures.is_empty() {
        trainer.record_at(EVAL, step, &figures)?;
    }
    trainer.reset_rates();
    Ok(figures)
}

fn save_best(trainer: &mut Trainer<'_>) -> Result<()> {
    trainer.swap_average();
    let saved = write_best(trainer);
    trainer.swap_average();
    saved
}

fn write_best(trainer: &Trainer<'_>) -> Result<()> {
    let weights = HostTensors::new(trainer.model.params.iter().map(|p| (p.name.clone(), &p.value)));
    if !trainer.context.is_first() {
        return Ok(());
    }
    save_arrays(&trainer.context.folder.path(BEST_FILE), &weights.arrays(), &BTreeMap::new())
}
