//! Two processes that share a step's micro-batches leave what one process leaves. Threads stand in for processes.

use std::{
    fs,
    path::Path,
    sync::{Arc, Barrier, Mutex},
    thread,
};

use athanor_models::{Head, Model, Pass, Shape, families};
use athanor_store::{Interrupt, Recipe, Result, Run, Silent, Task as Role};
use athanor_tensor::{Device, GradSet, Ids, Params, Rng, Tensor, ops};
use athanor_training::{
    Figures, Forward, Loss, MicroBatch, StageContext, Task, TrainSection, Trainer, fit,
    parallel::{Alone, Communicator},
};
use serde_json::Value;

type Gradients = Vec<(usize, Vec<f32>)>;

struct Meeting {
    barrier: Barrier,
    given: Mutex<Vec<(Gradients, Vec<f64>)>>,
    weights: Mutex<Vec<Vec<f32>>>,
}

/// One thread of those that meet.
struct Member {
    rank: usize,
    size: usize,
    meeting: Arc<Meeting>,
}

fn members(size: usize) -> Vec<Arc<dyn Communicator>> {
    let meeting = Arc::new(Meeting {
        barrier: Barrier::new(size),
        given: Mutex::new(vec![Default::default(); size]),
        weights: Mutex::default(),
    });
    let member = |rank| Member { rank, size, meeting: meeting.clone() };
    (0..size).map(|rank| Arc::new(member(rank)) as Arc<dyn Communicator>).collect()
}

impl Communicator for Member {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum(&self, grads: &mut GradSet, figures: &mut [f64]) -> Result<()> {
        let own: Gradients = grads.iter().map(|(i, g)| (i, g.to_vec())).collect();
        self.meeting.given.lock().unwrap()[self.rank] = (own, figures.to_vec());
        self.barrier()?;
        let given = self.meeting.given.lock().unwrap().clone();
        for (place, (i, sum)) in grads.iter_mut().enumerate() {
            let mut all = given[0].0[place].1.clone();
            for (other, _) in &given[1..] {
                assert_eq!(other[place].0, i);
                all.iter_mut().zip(&other[place].1).for_each(|(a, b)| *a += b);
            }
            *sum = Tensor::from_slice(Device::Cpu, &all, *sum.shape());
        }
        for (i, figure) in figures.iter_mut().enumerate() {
            *figure = given.iter().map(|(_, figures)| figures[i]).sum();
        }
        self.barrier()
    }

    fn broadcast(&self, params: &mut Params) -> Result<()> {
        if self.rank == 0 {
            *self.meeting.weights.lock().unwrap() =
                params.iter().map(|p| p.value.to_vec()).collect();
        }
        self.barrier()?;
        for (p, values) in params.iter_mut().zip(self.meeting.weights.lock().unwrap().iter()) {
            p.value = Tensor::from_slice(Device::Cpu, values, *p.value.shape());
        }
        self.barrier()
    }

    fn barrier(&self) -> Result<()> {
        self.meeting.barrier.wait();
        Ok(())
    }
}

/// Next tokens of random rows, two micro-batches a step.
struct Rows;

impl Task for Rows {
    type Batch = Vec<i32>;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Vec<i32>>>> {
        let row = |micro: u64| {
            let rng = Rng::new(3).at(step).at(micro);
            let batch = (0..6).map(|i| rng.below(i, 30) as i32).collect();
            MicroBatch { batch, weight: 5.0, tokens: 6 }
        };
        Ok(vec![row(0), row(1)])
    }

    fn loss(&self, forward: Forward<'_>, row: &Vec<i32>, total: f64) -> Result<Loss> {
        let Forward { model, graph, dropout } = forward;
        let input = model.input(row.clone(), 1, 6);
        let hidden = model.hidden(&mut Pass::new(graph, &input).with_dropout(dropout));
        let rows = model.rows(&hidden, (0..5).collect());
        let targets = Ids::new(model.device(), row[1..].to_vec(), [5]);
        let (loss, _) = model.token_loss(graph, &rows, &targets, &[1.0; 5]);
        let loss = ops::scale(&loss, (1.0 / total) as f32);
        Ok(Loss { loss, figures: vec![("first", f64::from(row[0]))] })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let norm = model.params.iter().map(|p| ops::sum_squares(&p.value)).sum();
        Ok(vec![("loss", norm)])
    }
}

/// Trains in a run's folder; the weights.
fn train(dir: &Path, communicator: Arc<dyn Communicator>) -> Result<Vec<Vec<f32>>> {
    let path = dir.join("recipe.toml");
    let recipe = Recipe::load(&path, &[])?;
    let section: TrainSection = recipe.section("train")?;
    let role = Role { index: communicator.rank(), count: communicator.size() };
    let role = (role.count > 1).then_some(role);
    let console = Arc::new(Silent);
    let run = Run::open_as(dir, recipe, 1, console, Interrupt::new(), false, role)?;
    let fingerprint = run.fingerprint(&section);
    let context = StageContext::shared(&run, run.stage("pretrain"), fingerprint, communicator)?;
    fs::create_dir_all(context.folder.dir()).unwrap();
    let shape = Shape {
        vocabulary: 30,
        context: 8,
        hidden: 16,
        heads: 2,
        kv_heads: 2,
        intermediate: 24,
        ..Shape::default()
    };
    // Each process begins with other weights: those of the first count.
    let (family, seed) = (families::by_name("llama").unwrap(), context.communicator.rank() as u64);
    let model = Model::new(family, &shape, Head::CAUSAL_LM, seed, Device::Cpu)?;
    let mut trainer = Trainer::open(&context, &section, model, section.steps, section.steps)?;
    fit(&mut trainer, &mut Rows)?;
    trainer.save()?;
    Ok(trainer.model.params.iter().map(|p| p.value.to_vec()).collect())
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let recipe = "[train]\nsteps = 12\ndropout = 0.1\nlog_every = 4\naccumulate = 2\n\
                  evaluate = { every = 3, keep_best = true }\n";
    fs::write(dir.path().join("recipe.toml"), recipe).unwrap();
    dir
}

/// Rows of metrics.jsonl without times.
fn metrics(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("pretrain/metrics.jsonl")).unwrap();
    let rows = text.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        for name in ["seconds", "tokens_per_second", "flops_per_second"] {
            row.as_object_mut().unwrap().remove(name);
        }
        row
    });
    rows.collect()
}

#[test]
fn two_processes_leave_what_one_leaves() {
    let (alone, together) = (folder(), folder());
    let want = train(alone.path(), Arc::new(Alone)).unwrap();
    let found: Vec<_> = thread::scope(|scope| {
        let path = together.path();
        let start = |c: Arc<dyn Communicator>| scope.spawn(move || train(path, c).unwrap());
        let threads: Vec<_> = members(2).into_iter().map(start).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(want.iter().flatten().all(|x| x.is_finite()));
    assert!(found[0] == found[1], "every process has the same weights, to the byte");
    // One process adds the second micro-batch within the matrix product, so it rounds otherwise.
    let pairs = found[0].iter().flatten().zip(want.iter().flatten());
    let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-7, "the farthest weight is {far} away");
    let rows = metrics(alone.path());
    assert!(rows.iter().any(|row| row["first"].is_number()), "{rows:?}");
    let found = metrics(together.path());
    assert_eq!(found.len(), rows.len(), "only one process writes");
    for (row, want) in found.iter().zip(&rows) {
        for (name, want) in want.as_object().unwrap() {
            match (row[name].as_f64(), want.as_f64()) {
                (Some(a), Some(b)) => assert!((a - b).abs() < 1e-6, "{name}: {row}, alone {want}"),
                _ => assert_eq!(&row[name], want, "{name}"),
            }
        }
    }
    assert!(together.path().join("pretrain/checkpoints/step-00000012/manifest.json").is_file());
}

#[test]
fn more_processes_than_micro_batches_are_refused() {
    let dir = folder();
    let error = thread::scope(|scope| {
        let path = dir.path();
        let start = |c: Arc<dyn Communicator>| scope.spawn(move || train(path, c).unwrap_err());
        let threads: Vec<_> = members(3).into_iter().map(start).collect();
        threads.into_iter().map(|t| t.join().unwrap()).next().unwrap()
    });
    let text = error.to_string();
    assert!(text.contains("2 micro-batches for 3 processes"), "{text}");
    assert!(text.contains("raise accumulate"), "{text}");
}
