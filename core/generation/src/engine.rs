//! Answers to many people at once: requests join while others are being written, each with sampling settings of its
//! own, and leave when they end or are cancelled.
//!
//! A request's random numbers come from its own seed and the place in its own text, so its text does not depend
//! on who else is there.

use athanor_models::{KvCache, Model};
use athanor_store::{Error, Result};
use athanor_tensor::{Device, PackedParams, Rng, Tensor, host, ops};

use crate::{
    decode::{Finish, PACK_FROM, check, feed},
    sampling::{Sampling, choose},
};

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids that stand already.
    pub prompt: Vec<u32>,
    /// Tokens that end the text.
    pub stop: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What its randomness comes from.
    pub seed: u64,
}

/// A request that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A token of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Whose it is.
    pub ticket: Ticket,
    /// The token.
    pub token: u32,
    /// Its log-probability at the sampling temperature, in nats.
    pub log_prob: f32,
    /// Why the text ends with it, if it does.
    pub finish: Option<Finish>,
}

struct Row {
    ticket: Ticket,
    request: Request,
    written: Vec<u32>,
    rng: Rng,
}

/// Rows that are being written, one token a step. Weights stay as they are while it lives.
pub struct Engine<'m> {
    model: &'m Model,
    packed: Option<PackedParams>,
    /// Rows of the cache and of the logits are those of `rows`.
    cache: KvCache,
    rows: Vec<Row>,
    /// Logits after the last token of each row, [rows, vocabulary], on the host.
    logits: Tensor,
    next: u64,
}

impl<'m> Engine<'m> {
    /// For texts of at most `capacity` tokens with their prompts; the model's context bounds it.
    pub fn new(model: &'m Model, capacity: usize) -> Self {
        let capacity = capacity.min(model.sizes().context);
        Self {
            model,
            packed: None,
            cache: model.kv_cache(0, capacity),
            rows: Vec::new(),
            logits: Tensor::zeros(Device::Cpu, [0, model.sizes().vocabulary]),
            next: 0,
        }
    }

    /// The number of requests that are being written.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is being written.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Reads a request's prompt; its first token comes with the next step.
    ///
    /// # Errors
    /// Input: an empty prompt, one that leaves no place for a token, or an unknown token.
    pub fn admit(&mut self, request: Request) -> Result<Ticket> {
        check(self.model, &request.prompt)?;
        let (length, capacity) = (request.prompt.len(), self.cache.capacity());
        if length >= capacity {
            return Err(Error::input(format!(
                "the prompt has {length} tokens; {capacity} fit with what is written"
            ))
            .hint("shorten the prompt"));
        }
        let mut own = self.model.kv_cache(1, capacity);
        let tokens = request.prompt.iter().map(|&t| t as i32).collect();
        let logits = feed(self.model, self.packed.as_ref(), &mut own, tokens, length, &[length]);
        self.cache.append(&own);
        self.logits = ops::append_rows(&self.logits, &logits);
        let ticket = Ticket(self.next);
        self.next += 1;
        // The stream of the only row of a batch: the same text as alone.
        let rng = Rng::new(request.seed).fork("sample").at(0);
        self.rows.push(Row { ticket, request, written: Vec::new(), rng });
        if self.rows.len() >= PACK_FROM && !self.model.params.is_quantised() {
            self.packed.get_or_insert_with(|| PackedParams::new(&self.model.params));
        }
        Ok(ticket)
    }

    /// Writes one token of each request, in the order in which they came.
    pub fn step(&mut self) -> Vec<Event> {
        let vocabulary = self.model.sizes().vocabulary;
        let (logits, rows) = (self.logits.host(), &self.rows);
        let chosen = host::map(rows.len(), |i| {
            let Row { request, written, rng, .. } = &rows[i];
            let logits = &logits[i * vocabulary..(i + 1) * vocabulary];
            let text = request.prompt.iter().chain(written);
            choose(logits, &request.sampling, text, *rng, written.len() as u64)
        });
        let capacity = self.cache.capacity();
        let (mut events, mut open) = (Vec::with_capacity(chosen.len()), Vec::new());
        for (i, (row, (token, log_prob))) in self.rows.iter_mut().zip(chosen).enumerate() {
            row.written.push(token);
            let full = row.written.len() >= row.request.sampling.max_new_tokens
                || row.request.prompt.len() + row.written.len() >= capacity;
            let finish = match () {
                () if row.request.stop.contains(&token) => Some(Finish::Stop),
                () if full => Some(Finish::Length),
                () => None,
            };
            if finish.is_none() {
                open.push(i);
            }
            events.push(Event { ticket: row.ticket, token, log_prob, finish });
        }
        self.keep(&open);
        if !self.rows.is_empty() {
            let last = |row: &Row| row.written.last().map_or(0, |&t| t as i32);
            let tokens = self.rows.iter().map(last).collect();
            let ones = vec![1; self.rows.len()];
            self.logits = feed(self.model, self.packed.as_ref(), &mut self.cache, tokens, 1, &ones);
        }
        events
    }

    /// Ends a request; false where it has ended already.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let open: Vec<usize> =
            (0..self.rows.len()).filter(|&i| self.rows[i].ticket != ticket).collect();
        let found = open.len() < self.rows.len();
        if found {
            let rows = open.iter().map(|&i| i as i32).collect();
            let rows = athanor_tensor::Ids::new(Device::Cpu, rows, [open.len()]);
            self.logits = ops::take_rows(&self.logits, &rows);
            self.keep(&open);
        }
        found
    }

    /// Drops all rows but those at `places`; their logits are the caller's.
    fn keep(&mut self, places: &[usize]) {
        if places.len() == self.rows.len() {
            return;
        }
        self.cache.keep(places);
        let mut number = 0;
        self.rows.retain(|_| {
            number += 1;
            places.binary_search(&(number - 1)).is_ok()
        });
        if self.rows.is_empty() {
            self.logits = Tensor::zeros(Device::Cpu, [0, self.model.sizes().vocabulary]);
        }
    }
}
