//! Permutation language modelling: Yang et al. 2019, "XLNet: Generalized autoregressive pretraining for
//! language understanding", eq. 3 to 5: -ln p(token | the tokens before it in a random order) as a mean
//! over the targets, the last 1/K of each order. The query stream guesses, the content stream is what it
//! sees, and each lane of the corpus remembers the hidden states of its last row.
//!
//! Memory is made by the weights of its time, so it cannot be computed anew: it is in each
//! checkpoint, and a run that goes on has the bytes of one that was never stopped.
//!
//! Departures: the corpus is read forwards only (the authors read half of the lanes backwards).

use std::cell::RefCell;

use athanor_data::{Shards, Split};
use athanor_models::{Dropout, Extra, Head, Input, Model, Pass, TwoStreams};
use athanor_store::{
    Array, ArrayData, Check, Error, OwnKeys, Problem, Result,
    figures::{ACCURACY, LOSS, Logged, Masking, PERPLEXITY},
    section,
};
use athanor_tensor::{Graph, Ids, Rng, Tensor, Var};
use athanor_training::{Figures, Forward, Loss, MicroBatch, Task, Trainer, fit};
use serde_json::{Map, Value, json};

use super::{Context, Objective, Outcome, Settings, steps_of};
use crate::{
    inputs::{
        memory::{Lanes, Row},
        permutation::{Order, Targets},
        rng_stream::RngStream,
        sentences::Ends,
    },
    masked::{argmax, ids, need},
    ngrams::{GUESSES, Ngrams, Score, mean_scores},
};

/// The objective's line in the registry.
pub(super) const OBJECTIVE: Objective = Objective {
    name: "permutation_lm",
    about: "tokens in a random order; XLNet",
    keys: Some(OwnKeys::of::<PermutationLmSection>()),
    logged: Logged {
        train: &[],
        eval: &[&PERPLEXITY, &ACCURACY, &UNIGRAM_ENTROPY],
        eval_also: GUESSES,
    },
    head: |_| Head::PERMUTATION_LM,
    config,
    guest: |_, _, _| Ok(None),
    steps: |m, _, seed| Ok(steps_of(task(m, seed)?)),
    train,
};

athanor_store::figures! {
    /// Entropy of the frequencies of the training tokens: the loss of a guess by frequency on text like it.
    UNIGRAM_ENTROPY = "unigram_entropy", "entropy of frequencies", "nats", Neither;
}

section! {
    /// Permutation language modelling (XLNet). The defaults are the paper's.
    pub struct PermutationLmSection {
        /// One token of this many is a target: the paper's K.
        part: usize = 6,
        /// Longest span of targets in tokens.
        longest_span: usize = 5,
        /// Tokens of a row with hidden states that its lane remembers; 0 takes half of the row.
        reuse: usize = 0,
        /// Most places that are remembered; 0 remembers nothing.
        memory: usize = 384,
    }
}

impl Check for PermutationLmSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless((1..=1000).contains(&self.part), "part", "must be 1 to 1000")?;
        let spans = (1..=1000).contains(&self.longest_span);
        Problem::unless(spans, "longest_span", "must be 1 to 1000")?;
        Problem::unless(self.memory < 1 << 20, "memory", "must be below 1048576")
    }
}

/// Tokens of a row, and those with remembered states.
fn sizes(section: &Settings<'_>) -> [usize; 2] {
    let time = section.model.context;
    let reuse = section.objective.own::<PermutationLmSection>().reuse;
    [time, if reuse == 0 { time / 2 } else { reuse }]
}

/// XLNet keeps its memory's sizes in config.json.
fn config(section: &Settings<'_>, config: &mut Map<String, Value>) {
    let [_, reuse] = sizes(section);
    config.insert(
        "mem_len".into(),
        section.objective.own::<PermutationLmSection>().memory.max(1).into(),
    );
    config.insert("reuse_len".into(), reuse.into());
}

/// Rows side by side.
struct Batch {
    ids: Vec<i32>,
    types: Vec<i32>,
    /// perm_mask [rows, time, time].
    hidden: Vec<f32>,
    rows: usize,
    time: usize,
    /// Places of the targets in [rows · time], and their tokens.
    places: Vec<i32>,
    targets: Vec<i32>,
    /// Which of the step's micro-batches it is, or of the held-out lanes.
    lane: usize,
    /// Whether its lanes begin.
    fresh: bool,
    spans: usize,
}

impl Batch {
    /// As the model takes it; and where the query stream has the targets.
    fn input(&self, model: &Model, memory: Vec<Tensor>) -> (Input, Vec<i32>) {
        let (device, shape) = (model.device(), [self.rows, self.time]);
        let mut each = vec![Vec::new(); self.rows];
        for &place in &self.places {
            each[place as usize / self.time].push(place % self.time as i32);
        }
        let most = each.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut asked = vec![-1; self.rows * most];
        let mut rows = Vec::new();
        for (i, row) in each.iter().enumerate() {
            for (j, &place) in row.iter().enumerate() {
                asked[i * most + j] = place;
                rows.push((i * most + j) as i32);
            }
        }
        let square = [self.rows, self.time, self.time];
        let input = Input {
            types: Some(Ids::new(device, self.types.clone(), shape)),
            extra: Extra::TwoStreams(TwoStreams {
                permutation: Some(Tensor::from_slice(device, &self.hidden, square)),
                targets: Some(Ids::new(device, asked, [self.rows, most])),
                memory,
            }),
            ..model.input(self.ids.clone(), self.rows, self.time)
        };
        (input, rows)
    }
}

/// One split.
struct Part {
    shards: Shards,
    lanes: Lanes,
}

/// What each layer remembers, for each micro-batch.
type Memory = Vec<Vec<Tensor>>;

struct PermutationLm<'m> {
    train: Part,
    heldout: Option<Part>,
    ends: Ends,
    special: [u32; 2],
    targets: Targets,
    remembers: bool,
    context: &'m Context<'m>,
    memory: RefCell<Memory>,
    baseline: Option<Figures>,
    rng: Rng,
}

fn task<'a>(m: &'a Context<'a>, seed: u64) -> Result<PermutationLm<'a>> {
    let [time, reuse] = sizes(&m.section);
    if time < reuse + 5 {
        return Err(Error::input(format!(
            "rows of {time} tokens of which {reuse} are remembered: at least 5 more are needed"
        ))
        .at("pretrain.model.context"));
    }
    let name = m.section.objective.name();
    let special = [
        need(m.tokenizer.sep_id(), "separating (<sep>)", name)?,
        need(m.tokenizer.cls_id(), "last (<cls>)", name)?,
    ];
    let rows = m.section.train.batch_size * m.section.train.accumulate;
    let part = |split, most: usize| -> Result<Part> {
        let shards = m.open(split)?;
        // Held-out text may be too short for as many lanes.
        let fit = (shards.len() / (4 * time as u64)).max(1) as usize;
        let lanes = Lanes { tokens: shards.len(), lanes: most.min(fit), time, reuse };
        Ok(Part { shards, lanes })
    };
    let train = part(Split::Train, rows)?;
    if train.lanes.lanes < rows || train.lanes.rows() == 0 {
        return Err(Error::input(format!(
            "{} tokens, at least {} were expected for {rows} lanes",
            train.lanes.tokens,
            4 * time * rows
        ))
        .at(m.corpus.display())
        .hint("give the corpus more text, or lower pretrain.train.batch_size or pretrain.model.context"));
    }
    let heldout = part(Split::Heldout, m.section.train.batch_size)?;
    let keys: PermutationLmSection = m.section.objective.own();
    Ok(PermutationLm {
        train,
        heldout: (heldout.lanes.rows() > 0).then_some(heldout),
        ends: Ends::new(m.tokenizer),
        special,
        targets: Targets { part: keys.part, longest: keys.longest_span },
        remembers: keys.memory > 0,
        context: m,
        memory: RefCell::new(vec![Vec::new(); m.section.train.accumulate]),
        baseline: None,
        rng: Rng::new(seed).fork("pretrain").fork(name),
    })
}

fn train(trainer: &mut Trainer<'_>, m: &Context<'_>) -> Result<Outcome> {
    let mut task = task(m, trainer.context.run.seed)?;
    let figures = fit(trainer, &mut task)?;
    let masking = task.statistics(trainer.steps());
    Ok(Outcome::hidden(figures, masking, task.baseline.take()))
}

impl PermutationLm<'_> {
    fn batch(
        &self,
        part: &Part,
        lanes: std::ops::Range<usize>,
        step: u64,
        lane: usize,
        rng: Rng,
    ) -> Batch {
        let [sep, cls] = self.special;
        let time = part.lanes.time;
        let mut batch = Batch {
            ids: Vec::new(),
            types: Vec::new(),
            hidden: Vec::new(),
            rows: lanes.len(),
            time,
            places: Vec::new(),
            targets: Vec::new(),
            lane,
            fresh: false,
            spans: 0,
        };
        for (i, lane) in lanes.enumerate() {
            let place = part.lanes.place(lane, step);
            let mut draw = RngStream::new(rng.at(place.epoch).at(place.from));
            let Row { ids, types, fixed } =
                part.lanes.row(&part.shards, &self.ends, place, sep, cls, &mut draw);
            let order: Order = part.lanes.order(&fixed, &self.targets, &mut draw);
            batch.fresh |= place.fresh;
            batch.spans += order.spans;
            batch.hidden.extend(order.mask());
            batch.places.extend(order.targets.iter().map(|t| (i * time + t) as i32));
            batch.targets.extend(order.targets.iter().map(|&t| ids[t] as i32));
            batch.ids.extend(ids.iter().map(|&id| id as i32));
            batch.types.extend(types.iter().map(|&t| t as i32));
        }
        batch
    }

    fn step(&self, step: u64) -> Vec<Batch> {
        let size = self.context.section.train.batch_size;
        (0..self.context.section.train.accumulate)
            .map(|i| {
                self.batch(&self.train, i * size..(i + 1) * size, step, i, self.rng.fork("order"))
            })
            .collect()
    }

    /// Loss over the targets, divided by `total`; the query stream's states; what is remembered.
    fn pass(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &Batch,
        memory: Vec<Tensor>,
        total: f64,
        dropout: Option<Dropout>,
    ) -> (Var, Var, Vec<Tensor>) {
        let (input, rows) = batch.input(model, memory);
        let mut pass = Pass::new(graph, &input).with_dropout(dropout);
        pass.memory = self.remembers.then(Vec::new);
        let states = model.hidden(&mut pass);
        let rows = model.rows(&states, rows);
        let targets = ids(model.device(), &batch.targets);
        let weights = vec![(1.0 / total) as f32; batch.targets.len()];
        let (loss, _) = model.token_loss(graph, &rows, &targets, &weights);
        (loss, rows, pass.memory.unwrap_or_default())
    }

    /// How well counts guess a target from the neighbours that its order lets it see.
    fn guesses(ngrams: &Ngrams, batches: &[Batch]) -> Figures {
        let mut sums = [Score::default(); 3];
        let mut count = 0;
        for batch in batches {
            for (&place, &target) in batch.places.iter().zip(&batch.targets) {
                let (place, time) = (place as usize, batch.time);
                let seen = |at: Option<usize>| {
                    let at = at.filter(|at| at / time == place / time)?;
                    let hidden = batch.hidden[place * time + at % time] > 0.0;
                    (!hidden).then(|| batch.ids[at] as u32)
                };
                let next = Some(place + 1).filter(|&n| n < batch.ids.len());
                let scores = ngrams.guess(target as u32, seen(place.checked_sub(1)), seen(next));
                for (sum, score) in sums.iter_mut().zip(scores) {
                    sum.nats += score.nats;
                    sum.right += score.right;
                }
                count += 1;
            }
        }
        let n = f64::from(count.max(1));
        let mut figures = vec![(UNIGRAM_ENTROPY.name, ngrams.entropy())];
        figures.extend(mean_scores(&sums, n));
        figures
    }

    fn statistics(&self, steps: u64) -> Masking {
        let (mut tokens, mut targets, mut spans, mut rows) = (0, 0, 0, 0);
        for step in 0..steps.min(20) {
            for batch in self.step(step) {
                tokens += batch.ids.len();
                targets += batch.targets.len();
                spans += batch.spans;
                rows += batch.rows;
            }
        }
        let of = |a: usize, b: usize| Some(a as f64 / b.max(1) as f64);
        Masking {
            rate: of(targets, tokens),
            unit_length: of(targets, spans),
            targets: Some(targets as u64),
            rows: Some(rows as u64),
            lanes: Some(self.train.lanes.lanes as u64),
            rows_per_lane: Some(self.train.lanes.rows()),
            ..Masking::default()
        }
    }
}

impl Task for PermutationLm<'_> {
    type Batch = Batch;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Batch>>> {
        let batches = self.step(step).into_iter();
        Ok(batches
            .map(|batch| {
                let (weight, tokens) = (batch.targets.len() as f64, batch.ids.len());
                MicroBatch { batch, weight, tokens }
            })
            .collect())
    }

    fn loss(&self, forward: Forward<'_>, batch: &Batch, total: f64) -> Result<Loss> {
        let Forward { model, graph, dropout } = forward;
        let before = match batch.fresh {
            true => Vec::new(),
            false => self.memory.borrow()[batch.lane].clone(),
        };
        let (loss, _, memory) = self.pass(model, graph, batch, before, total, dropout);
        self.memory.borrow_mut()[batch.lane] = memory;
        Ok(Loss { loss, figures: Vec::new() })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let Some(part) = &self.heldout else { return Ok(Vec::new()) };
        let lanes = part.lanes.lanes;
        // Lanes from their beginning, memory and all.
        let wanted = self.context.section.train.evaluate.items.div_ceil(lanes).max(1) as u64;
        let batches: Vec<Batch> = (0..wanted.min(part.lanes.rows()))
            .map(|step| self.batch(part, 0..lanes, step, 0, self.rng.fork("heldout")))
            .collect();
        let (mut nats, mut right, mut targets) = (0.0, 0usize, 0usize);
        let mut memory = Vec::new();
        for batch in &batches {
            let graph = Graph::inference(&model.params);
            let (loss, rows, next) = self.pass(model, &graph, batch, memory, 1.0, None);
            memory = next;
            nats += f64::from(loss.value().item());
            let logits = model.logits(&graph, &rows).value().to_vec();
            let found = argmax(&logits, model.sizes().vocabulary);
            right += found.iter().zip(&batch.targets).filter(|(g, t)| **g == **t as usize).count();
            targets += batch.targets.len();
        }
        if self.baseline.is_none() {
            // What closes documents, and what is unknown, are targets here like any other token.
            let tokenizer = self.context.tokenizer;
            let [sep, cls] = self.special;
            let none = [Some(sep), Some(cls), tokenizer.pad_id(), tokenizer.mask_id()];
            let ngrams = Ngrams::new(&self.train.shards, |id| none.contains(&Some(id)));
            self.baseline = Some(Self::guesses(&ngrams, &batches));
        }
        let loss = nats / targets.max(1) as f64;
        let mut figures = vec![
            (LOSS.name, loss),
            (PERPLEXITY.name, loss.exp()),
            (ACCURACY.name, right as f64 / targets.max(1) as f64),
        ];
        figures.extend(self.baseline.iter().flatten().copied());
        Ok(figures)
    }

    fn cursor(&self, step: u64) -> Value {
        let place = self.train.lanes.place(0, step);
        json!({ "epoch": place.epoch, "position": place.from })
    }

    fn time(&self, _model: &Model) -> usize {
        self.train.lanes.time
    }

    fn tensors(&self) -> Vec<(String, Tensor)> {
        let memory = self.memory.borrow();
        let each = memory.iter().enumerate().flat_map(|(lane, layers)| {
            layers.iter().enumerate().map(move |(i, t)| (format!("memory.{lane}.{i}"), t.clone()))
        });
        each.collect()
    }

    fn forget(&mut self) {
        self.memory.get_mut().iter_mut().for_each(Vec::clear);
    }

    fn restore(&mut self, arrays: Vec<Array>, model: &Model) -> Result<()> {
        let mut memory = self.memory.borrow_mut();
        for Array { name, shape, data } in arrays {
            let wrong = || Error::input("not a memory of this run").at(format!("tensor {name}"));
            let mut parts = name.split('.').skip(1).map(|p| p.parse::<usize>().ok());
            let (Some(Some(lane)), Some(Some(layer))) = (parts.next(), parts.next()) else {
                return Err(wrong());
            };
            let ArrayData::F32(values) = data else { return Err(wrong()) };
            let layers = memory.get_mut(lane).ok_or_else(wrong)?;
            if layers.len() != layer || shape.len() != 3 {
                return Err(wrong());
            }
            let shape = [shape[0], shape[1], shape[2]];
            layers.push(Tensor::from_slice(model.device(), &values, shape));
        }
        Ok(())
    }
}
