//! Answers to many users at once: requests join while others are being written, each with its own sampling
//! settings, and leave when they end or are cancelled.
//!
//! A request's random numbers come from its own seed and stream and the place in its own text, so its text does not
//! depend on the other requests.

use athanor_models::{KvCache, Model};
use athanor_store::{Error, Result};
use athanor_tensor::{Device, Ids, PackedParams, Rng, Tensor, host, ops};

use crate::{
    decode::{Finish, PACK_FROM, check, feed, read},
    sampling::{Sampling, choose},
};

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids of the text so far.
    pub prompt: Vec<u32>,
    /// Tokens that end the text.
    pub stop: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What its randomness comes from.
    pub seed: u64,
    /// Which of the seed's texts this is: row i of a [`Decoder`](crate::Decoder) with the same seed writes the
    /// text of stream i.
    pub stream: u64,
}

/// A request that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// A token of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The request.
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
            logits: Tensor::zeros(Device::HOST, [0, model.sizes().vocabulary]),
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

    /// Reads the prompts of requests in one pass; their first tokens come with the next step. The tickets are in
    /// the order of the requests.
    ///
    /// # Errors
    /// Input: an empty prompt, one that leaves no place for a token, or an unknown token; then none is admitted.
    pub fn admit(&mut self, requests: Vec<Request>) -> Result<Vec<Ticket>> {
        let capacity = self.cache.capacity();
        for Request { prompt, .. } in &requests {
            check(self.model, prompt)?;
            if prompt.len() >= capacity {
                return Err(Error::input(format!(
                    "the prompt has {} tokens; {capacity} fit with what is written",
                    prompt.len()
                ))
                .hint("shorten the prompt"));
            }
        }
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        if self.rows.len() + requests.len() >= PACK_FROM && !self.model.params.is_quantised() {
            self.packed.get_or_insert_with(|| PackedParams::new(&self.model.params));
        }
        let mut own = self.model.kv_cache(requests.len(), capacity);
        let prompts: Vec<&[u32]> = requests.iter().map(|r| r.prompt.as_slice()).collect();
        let logits = read(self.model, self.packed.as_ref(), &mut own, &prompts);
        if self.rows.is_empty() {
            (self.cache, self.logits) = (own, logits);
        } else {
            self.cache.append(&own);
            self.logits = ops::append_rows(&self.logits, &logits);
        }
        let mut tickets = Vec::with_capacity(requests.len());
        for request in requests {
            let rng = Rng::new(request.seed).fork("sample").at(request.stream);
            tickets.push(Ticket(self.next));
            self.rows.push(Row { ticket: Ticket(self.next), request, written: Vec::new(), rng });
            self.next += 1;
        }
        Ok(tickets)
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

    /// Ends a request; false if it has ended already.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let open: Vec<usize> =
            (0..self.rows.len()).filter(|&i| self.rows[i].ticket != ticket).collect();
        let found = open.len() < self.rows.len();
        if found {
            let rows = open.iter().map(|&i| i as i32).collect();
            let rows = Ids::new(self.logits.device(), rows, [open.len()]);
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
            self.logits = Tensor::zeros(Device::HOST, [0, self.model.sizes().vocabulary]);
        }
    }
}
