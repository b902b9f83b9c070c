//! The memory that a run will take, found before it begins: its first and last steps and some between run
//! on [`Device::Plan`](athanor_tensor::Device::Plan), where nothing is computed and every tensor is counted.

use athanor_models::Model;
use athanor_store::{Error, Result};
use athanor_tensor::{
    GradSet, PoolStats, most_held, plan, planned_stats, pool_stats, release_spare,
};

use crate::{
    expected::Expected,
    section::TrainSection,
    system::SystemMemory,
    task::{Forward, Task},
    trainer::Trainer,
};

/// Bytes that do not grow with the batch: blocks of logits and of the feed-forward part, one at a time.
const BLOCKS: u64 = 40 << 20;

/// What kernels, evaluation and files hold beside tensors: measured, see docs/log.md.
const BESIDE: u64 = 24 << 20;

/// Steps between the first and the last that are looked at, as rows are not all of one length.
const LOOKS: u64 = 24;

/// Bytes of a value.
const VALUE: u64 = 4;

/// Goes through steps on paper.
pub(crate) fn expect<T: Task>(
    trainer: &Trainer<'_>,
    task: &mut T,
    section: &TrainSection,
) -> Result<Expected> {
    // Rows may become longer, and what is remembered of a step comes into the next.
    let last = trainer.steps().saturating_sub(1);
    let first = trainer.step();
    let mut steps = vec![first, first + 1, last.saturating_sub(1), last];
    steps.extend((1..LOOKS).map(|i| first + last.saturating_sub(first) * i / LOOKS));
    steps.retain(|step| *step <= last);
    steps.sort_unstable();
    steps.dedup();
    let mut held = Vec::new();
    let (done, stats) = plan(|| -> Result<()> {
        let mut params = trainer.model.params.planned();
        // The average begins as the weights; the first update parts them.
        let _average = (section.average > 0.0).then(|| params.clone());
        for step in steps {
            let batches = task.batches(step)?;
            let total: f64 = batches.iter().map(|b| b.weight).sum();
            let mut grads = GradSet::new();
            for (i, micro) in batches.iter().enumerate() {
                let graph = section.graph(&params);
                let dropout = trainer.dropout(i as u64);
                let forward = Forward { model: &trainer.model, graph: &graph, dropout };
                let part = task.loss(forward, &micro.batch, total.max(1.0))?;
                graph.backward(&part.loss, &mut grads);
            }
            trainer.plan_update(&mut params, &grads);
            drop(grads);
            held.push(planned_stats().held);
        }
        Ok(())
    });
    task.forget();
    done?;
    // What the second step still adds is what the first left behind.
    let varies = held.get(1).is_some_and(|second| stats.held > *second);
    Ok(expected(&trainer.model, stats, varies))
}

fn expected(model: &Model, stats: PoolStats, varies: bool) -> Expected {
    let real = pool_stats();
    let spare = (real.held - real.in_use) as u64;
    // Where rows differ in length, spare buffers of many sizes come up to the pool's bound in the end.
    let most = most_held(real.in_use + stats.peak) - real.in_use;
    let held = if varies { stats.held.max(most) } else { stats.held };
    let steps = (held as u64 + BESIDE).saturating_sub(spare);
    let gradients = model.params.count() as u64 * VALUE;
    let fixed = (gradients + BLOCKS).min(gradients.max(steps / 2));
    let now = SystemMemory::now().map_or(real.held as u64, |m| m.resident);
    Expected { now, steps, fixed: fixed.min(steps) }
}

/// What `work` on [`Device::Plan`](athanor_tensor::Device::Plan) takes beside `model`'s weights and optimiser, rows of
/// many lengths as they are.
///
/// # Errors
/// Those of the work.
fn planned(model: &Model, work: impl FnOnce() -> Result<()>) -> Result<Expected> {
    let (done, stats) = plan(work);
    done?;
    Ok(expected(model, stats, true))
}

/// Reports the stage's expected memory; fails with a batch size that fits.
///
/// # Errors
/// Input, at the stage's `train.batch_size`; those of the task's data.
pub(crate) fn check<T: Task>(trainer: &mut Trainer<'_>, task: &mut T) -> Result<()> {
    // What making the model and reading the data left behind.
    release_spare();
    let here = &*trainer;
    let expected = admitted(here, "", &mut |section| expect(here, task, section))?;
    trainer.set_memory(expected);
    Ok(())
}

/// How many texts a stage writes at once.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    /// Those that are planned.
    pub texts: usize,
    /// Those that are written whatever the stage's `answers` says.
    pub least: usize,
    /// What `answers` has to be a multiple of.
    pub unit: usize,
}

/// The same for a stage whose policy writes texts and then learns from them, its key `answers` says how many. Both
/// kinds of work are done on paper.
///
/// # Errors
/// Input, at the stage's `answers` or `train.batch_size`; those of the work.
pub fn check_writing(
    trainer: &mut Trainer<'_>,
    Writing { texts, least, unit }: Writing,
    writing: &dyn Fn() -> Result<()>,
    learning: &dyn Fn(&Trainer<'_>, &TrainSection) -> Result<()>,
) -> Result<()> {
    release_spare();
    let written = planned(&trainer.model, writing)?;
    let (room, whose) = room(trainer, written);
    if written.steps > room {
        let fits = written.fitting(texts, room) as usize / unit * unit;
        let name = trainer.context.folder.name();
        let way = match fits {
            n if n < least.max(1) => {
                "no number fits: take a smaller model or lower max_new_tokens".into()
            }
            n => format!("{name}.answers = {n} fits"),
        };
        return Err(Error::input(format!(
            "writing {texts} answers at once needs {} of memory, {whose}",
            gb(written.total())
        ))
        .at(format!("{name}.answers"))
        .hint(way));
    }
    let here = &*trainer;
    let expected = admitted(here, "up to ", &mut |section| {
        let both = planned(&here.model, || {
            writing()?;
            learning(here, section)
        })?;
        // A smaller batch does not make what writing takes less.
        Ok(Expected { fixed: both.fixed.max(written.steps).min(both.steps), ..both })
    })?;
    trainer.set_memory(expected);
    Ok(())
}

/// What a run may take beyond what it holds, and who says so.
fn room(trainer: &Trainer<'_>, expected: Expected) -> (u64, String) {
    match (trainer.section().memory_gigabytes, SystemMemory::now()) {
        (limit, _) if limit > 0.0 => {
            let limit = (limit * 1e9) as u64;
            (
                limit.saturating_sub(expected.now),
                format!("train.memory_gigabytes allows {}", gb(limit)),
            )
        }
        (_, Some(system)) => (system.free, format!("{} are free", gb(expected.now + system.free))),
        (_, None) => (u64::MAX, String::new()),
    }
}

/// Tells what steps of the section's rows will take, with a word before it, or refuses them.
fn admitted(
    trainer: &Trainer<'_>,
    before: &str,
    expect: &mut dyn FnMut(&TrainSection) -> Result<Expected>,
) -> Result<Expected> {
    let section = trainer.section().clone();
    let expected = expect(&section)?;
    let name = trainer.context.folder.name();
    let (room, whose) = room(trainer, expected);
    if expected.steps <= room {
        let told = format!(
            "{name}: {before}{} of memory expected: {} of program, data, weights and optimiser, {} for a step",
            gb(expected.total()),
            gb(expected.now),
            gb(expected.steps)
        );
        trainer.context.run.console.say(&told);
        return Ok(expected);
    }
    let rows = section.batch_size * section.accumulate;
    let fits = expected.fitting(section.batch_size, room);
    let mut ways = Vec::new();
    if fits > 0 {
        let accumulate = (rows as u64).div_ceil(fits);
        ways.push(format!(
            "{name}.train.batch_size = {fits} fits (with accumulate = {accumulate} a step still learns from \
             {} rows)",
            fits * accumulate
        ));
    }
    if !section.recompute {
        let less = TrainSection { recompute: true, ..section.clone() };
        let less = expect(&less)?;
        let rows = less.fitting(section.batch_size, room);
        if less.steps <= room {
            ways.push(format!("{name}.train.recompute = true needs {}", gb(less.total())));
        } else if rows > fits {
            ways.push(format!("with {name}.train.recompute = true, batch_size = {rows} fits"));
        }
    }
    if ways.is_empty() {
        ways.push("no batch fits: take a smaller model or a shorter context".into());
    }
    Err(Error::input(format!(
        "a step of {} rows needs {} of memory, {whose}",
        section.batch_size,
        gb(expected.total())
    ))
    .at(format!("{name}.train.batch_size"))
    .hint(ways.join("; or ")))
}

/// Refuses a model whose weights, gradients and optimiser alone are more than there is, before any of it
/// is made. `model` is one on [`Device::Plan`](athanor_tensor::Device::Plan).
///
/// # Errors
/// Input, at the stage's `model`.
pub fn check_weights(name: &str, model: &Model, section: &TrainSection) -> Result<()> {
    let count = model.params.count() as u64;
    // Weights, gradients and what every optimiser keeps at least.
    let needs = 3 * VALUE * count;
    let system = SystemMemory::now().map(|m| m.resident + m.free);
    let most = match section.memory_gigabytes {
        limit if limit > 0.0 => Some((limit * 1e9) as u64),
        _ => system,
    };
    let Some(most) = most.filter(|&most| needs > most) else { return Ok(()) };
    Err(Error::input(format!(
        "{count} parameters need {} for weights, gradients and optimiser alone, {} are there",
        gb(needs),
        gb(most)
    ))
    .at(format!("{name}.model"))
    .hint("take fewer layers or a smaller hidden_size"))
}

fn gb(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}
