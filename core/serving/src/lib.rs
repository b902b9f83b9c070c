//! Answering people with a model that is kept open: the model with its settings, text cut at stop strings as it is
//! written, and conversations that outgrow the context. The terminal is one user of it.

mod conversation;
mod stop_filter;
mod writer;

pub use athanor_generation::{Engine, Event, Request, Ticket};
pub use conversation::Conversation;
pub use stop_filter::StopFilter;
pub use writer::{Loaded, Overrides, check_vocabulary, has_template};
