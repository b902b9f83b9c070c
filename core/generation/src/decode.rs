//! The decoding loop.

use athanor_models::{Input, KvCache, Model, Pass};
use athanor_store::{Error, Result};
use athanor_tensor::{Device, Graph, Ids, PackedParams, Rng, Tensor, Var, host};

use crate::sampling::{Sampling, choose};

/// Why a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It wrote a stop token, which is its last.
    Stop,
    /// It reached the limit of tokens or the end of the context.
    Length,
}

/// What a model wrote after a prompt.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The new tokens, a stop token included.
    pub tokens: Vec<u32>,
    /// Log-probability of each, at the sampling temperature.
    pub log_probs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// From this many rows on the weights are packed, which takes as much memory again.
pub(crate) const PACK_FROM: usize = 6;

struct Row {
    prompt: Vec<u32>,
    out: Completion,
    number: u64,
}

/// Several rows that are being written, one token a step.
pub struct Decoder<'m> {
    model: &'m Model,
    packed: Option<PackedParams>,
    /// On [`Device::Plan`], the memory that they would take.
    _planned_packed: Option<Tensor>,
    cache: KvCache,
    rows: Vec<Row>,
    /// Which rows still grow; the cache's rows are these.
    open: Vec<usize>,
    stop: Vec<u32>,
    sampling: Sampling,
    rng: Rng,
    logits: Tensor,
}

impl<'m> Decoder<'m> {
    /// Reads the prompts; `stop` tokens end a row.
    ///
    /// # Errors
    /// Input: an empty prompt, or one that leaves no place in the context.
    pub fn new(
        model: &'m Model,
        prompts: &[Vec<u32>],
        stop: &[u32],
        sampling: &Sampling,
        seed: u64,
    ) -> Result<Self> {
        let sizes = model.sizes();
        prompts.iter().try_for_each(|p| check(model, p))?;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(1);
        let capacity = (longest + sampling.max_new_tokens).min(sizes.context);
        let cache = model.kv_cache(prompts.len(), capacity);
        let rows: Vec<Row> = prompts
            .iter()
            .enumerate()
            .map(|(i, p)| Row {
                prompt: p.clone(),
                out: Completion {
                    tokens: Vec::new(),
                    log_probs: Vec::new(),
                    finish: Finish::Length,
                },
                number: i as u64,
            })
            .collect();
        let open = (0..rows.len()).collect();
        let rng = Rng::new(seed).fork("sample");
        let packs = prompts.len() >= PACK_FROM && !model.params.is_quantised();
        let planned = model.device() == Device::Plan;
        let mut decoder = Self {
            model,
            packed: (packs && !planned).then(|| PackedParams::new(&model.params)),
            _planned_packed: (packs && planned)
                .then(|| Tensor::zeros(Device::Plan, [model.params.count()])),
            cache,
            rows,
            open,
            stop: stop.to_vec(),
            sampling: sampling.clone(),
            rng,
            logits: Tensor::zeros(Device::HOST, [0]),
        };
        if !prompts.is_empty() {
            let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            decoder.logits = read(model, decoder.packed.as_ref(), &mut decoder.cache, &prompts);
        }
        Ok(decoder)
    }

    fn feed(&mut self, tokens: Vec<i32>, time: usize, lengths: &[usize]) {
        let packed = self.packed.as_ref();
        self.logits = feed(self.model, packed, &mut self.cache, tokens, time, lengths);
    }

    /// Whether all rows have ended.
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Writes one token in each open row: (row, token) of those.
    pub fn step(&mut self) -> Vec<(usize, u32)> {
        let vocabulary = self.model.sizes().vocabulary;
        let mut written = Vec::with_capacity(self.open.len());
        let mut still = Vec::with_capacity(self.open.len());
        let logits = self.logits.host();
        let chosen = host::map(self.open.len(), |place| {
            let row = &self.rows[self.open[place]];
            let logits = &logits[place * vocabulary..(place + 1) * vocabulary];
            let at = row.out.tokens.len() as u64;
            let text = row.prompt.iter().chain(&row.out.tokens);
            choose(logits, &self.sampling, text, self.rng.at(row.number), at)
        });
        for ((place, &i), (token, log_prob)) in self.open.iter().enumerate().zip(chosen) {
            let row = &mut self.rows[i];
            row.out.tokens.push(token);
            row.out.log_probs.push(log_prob);
            written.push((i, token));
            let full = row.out.tokens.len() >= self.sampling.max_new_tokens
                || row.prompt.len() + row.out.tokens.len() >= self.cache.capacity();
            if self.stop.contains(&token) {
                row.out.finish = Finish::Stop;
            } else if !full {
                still.push(place);
            }
        }
        if still.len() < self.open.len() {
            self.cache.keep(&still);
            self.open = still.iter().map(|&p| self.open[p]).collect();
        }
        if !self.open.is_empty() {
            let last = |i: &usize| self.rows[*i].out.tokens.last().map_or(0, |&t| t as i32);
            let tokens = self.open.iter().map(last).collect();
            self.feed(tokens, 1, &vec![1; self.open.len()]);
        }
        written
    }

    /// [`step`](Self::step) of a model on [`Device::Plan`]: any token in each row.
    pub fn plan_step(&mut self) {
        let rows = self.open.len();
        self.feed(vec![0; rows], 1, &vec![1; rows]);
    }

    /// What was written so far, in the order of the prompts.
    pub fn finish(self) -> Vec<Completion> {
        self.rows.into_iter().map(|r| r.out).collect()
    }
}

/// Reads prompts into a cache without tokens; gives the logits after each, on the host.
pub(crate) fn read(
    model: &Model,
    packed: Option<&PackedParams>,
    cache: &mut KvCache,
    prompts: &[&[u32]],
) -> Tensor {
    let lengths: Vec<usize> = prompts.iter().map(|p| p.len()).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    // Shorter prompts are padded on the right; what padding leaves in the cache is overwritten.
    let padded = |p: &&[u32]| {
        let ids = p.iter().copied().chain(std::iter::repeat(0));
        ids.take(longest).map(|t| t as i32).collect::<Vec<_>>()
    };
    let tokens = prompts.iter().flat_map(padded).collect();
    feed(model, packed, cache, tokens, longest, &lengths)
}

/// Runs `time` tokens of each row, of which the first `lengths` count, and gives the logits after the last that
/// counts, on the host.
pub(crate) fn feed(
    model: &Model,
    packed: Option<&PackedParams>,
    cache: &mut KvCache,
    tokens: Vec<i32>,
    time: usize,
    lengths: &[usize],
) -> Tensor {
    let batch = lengths.len();
    let device = model.device();
    let starts = cache.lengths().iter();
    let positions = starts.flat_map(|&start| (0..time).map(move |t| (start + t) as i32)).collect();
    let input = Input {
        positions: Ids::new(device, positions, [batch, time]),
        ..Input::causal(device, tokens, batch, time)
    };
    let graph = match packed {
        Some(packed) => Graph::decoding(&model.params, packed),
        None => Graph::inference(&model.params),
    };
    let hidden: Var = model.hidden(&mut Pass::new(&graph, &input).with_cache(cache));
    cache.advance(lengths);
    let last = lengths.iter().enumerate().map(|(b, n)| (b * time + n - 1) as i32).collect();
    let rows = model.rows(&hidden, last);
    let logits = model.logits(&graph, &rows);
    match device {
        // It has no values.
        Device::Plan => logits.value().clone(),
        _ => logits.value().to_device(Device::HOST),
    }
}

/// Fails for a prompt that the model cannot read.
pub(crate) fn check(model: &Model, prompt: &[u32]) -> Result<()> {
    let sizes = model.sizes();
    if prompt.is_empty() {
        return Err(Error::input("the prompt is empty").hint("give at least one token of text"));
    }
    if prompt.len() >= sizes.context {
        return Err(Error::input(format!(
            "the prompt has {} tokens; the model's context is {}",
            prompt.len(),
            sizes.context
        ))
        .hint("shorten the prompt"));
    }
    if let Some(bad) = prompt.iter().find(|&&t| t as usize >= sizes.vocabulary) {
        return Err(Error::input(format!(
            "token {bad} is not in the vocabulary of {}",
            sizes.vocabulary
        ))
        .hint("the tokenizer and the model must come from the same folder"));
    }
    Ok(())
}

/// Writes after each prompt until a stop token or the limit.
///
/// # Errors
/// As [`Decoder::new`].
pub fn generate(
    model: &Model,
    prompts: &[Vec<u32>],
    stop: &[u32],
    sampling: &Sampling,
    seed: u64,
) -> Result<Vec<Completion>> {
    let mut decoder = Decoder::new(model, prompts, stop, sampling, seed)?;
    while !decoder.is_done() {
        decoder.step();
    }
    Ok(decoder.finish())
}
