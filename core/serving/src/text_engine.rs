//! An engine whose tokens come as text, cut at stop strings.

use std::collections::BTreeMap;

use athanor_generation::{Engine, Event, Finish, Request, Ticket};
use athanor_models::Model;
use athanor_store::Result;
use athanor_text::Tokenizer;

use crate::stop_filter::StopFilter;

/// What one step adds to a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The request.
    pub ticket: Ticket,
    /// The token.
    pub token: u32,
    /// Its log-probability at the sampling temperature, in nats.
    pub log_prob: f32,
    /// The text that may be shown now; empty while a character or a stop string may go on.
    pub text: String,
    /// Why the text ends with it, if it does; a stop string is a [`Finish::Stop`].
    pub finish: Option<Finish>,
}

/// Texts that are written at once. A text that ends at a stop string leaves the engine.
pub struct TextEngine<'m> {
    engine: Engine<'m>,
    tokenizer: &'m Tokenizer,
    open: BTreeMap<Ticket, StopFilter<'m>>,
}

impl<'m> TextEngine<'m> {
    /// For texts of at most `capacity` tokens with their prompts; the model's context bounds it.
    pub fn new(model: &'m Model, tokenizer: &'m Tokenizer, capacity: usize) -> Self {
        Self { engine: Engine::new(model, capacity), tokenizer, open: BTreeMap::new() }
    }

    /// Whether nothing is being written.
    pub fn is_empty(&self) -> bool {
        self.engine.is_empty()
    }

    /// Reads the prompts of requests in one pass; each text ends before the first of `stops`. The tickets are in the
    /// order of the requests.
    ///
    /// # Errors
    /// Those of [`Engine::admit`].
    pub fn admit(&mut self, requests: Vec<Request>, stops: &[String]) -> Result<Vec<Ticket>> {
        let tickets = self.engine.admit(requests)?;
        for &ticket in &tickets {
            self.open.insert(ticket, StopFilter::new(self.tokenizer, stops));
        }
        Ok(tickets)
    }

    /// Writes one token of each text, in the order in which they came.
    ///
    /// # Errors
    /// Those of decoding.
    pub fn step(&mut self) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        for Event { ticket, token, log_prob, mut finish } in self.engine.step() {
            let Some(filter) = self.open.get_mut(&ticket) else { continue };
            let mut text = filter.push(token)?;
            if filter.is_stopped() && finish.is_none() {
                self.engine.cancel(ticket);
                finish = Some(Finish::Stop);
            }
            if finish.is_some() {
                text.push_str(&filter.finish()?);
                if filter.is_stopped() {
                    finish = Some(Finish::Stop);
                }
                self.open.remove(&ticket);
            }
            pieces.push(Piece { ticket, token, log_prob, text, finish });
        }
        Ok(pieces)
    }

    /// Ends a text early; gives the text that was held back, which is empty if the text has ended already.
    ///
    /// # Errors
    /// Those of decoding.
    pub fn cancel(&mut self, ticket: Ticket) -> Result<String> {
        self.engine.cancel(ticket);
        self.open.remove(&ticket).map_or_else(|| Ok(String::new()), |mut filter| filter.finish())
    }
}
