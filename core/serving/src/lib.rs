//! Answers of a model that is kept open: the model with its settings, texts that are written at once and cut at stop
//! strings, and conversations that outgrow the context. The command line is one user of this crate.

mod conversation;
mod stop_filter;
mod text_engine;
mod writer;

pub use athanor_generation::{Engine, Event, Finish, Request, Ticket};
pub use conversation::Conversation;
pub use stop_filter::StopFilter;
pub use text_engine::{Piece, TextEngine};
pub use writer::{Loaded, Overrides, check_vocabulary, has_template};
