//! Writing text with a model: KV cache, batches of prompts of different lengths, sampling.
//!
//! A row's random numbers depend on the seed, the row's number and the place in the row alone, so
//! the same prompt gives the same text in any batch. [`Decoder`] writes a batch of equal settings to its end, for the
//! stages; [`Engine`] writes for users, whose requests join and leave.

mod beam;
mod decode;
mod engine;
mod sampling;
pub mod text;

pub use beam::{Beams, beam_search};
pub use decode::{Completion, Decoder, Finish, generate};
pub use engine::{Engine, Event, Request, Ticket};
pub use sampling::Sampling;
