//! Models: families of Transformers, their heads, and Hugging Face folders.
//!
//! A family is one folder under `families/` and one line in [`families::FAMILIES`]; a head is one file
//! under `heads/` and one line in [`heads::HEADS`].

pub mod adapters;
mod architecture;
mod builder;
pub mod cache;
pub mod config;
pub mod families;
mod folder;
pub mod forward;
mod gaps;
pub mod heads;
mod host;
mod input;
mod layers;
mod left_over;
mod model;
mod padded;
mod parameter;
pub mod pass;
mod quantised;
mod sentence;
mod sizes;

pub use architecture::Architecture;
pub use builder::Builder;
pub use cache::KvCache;
pub use config::Fields;
pub use families::Family;
pub use heads::Head;
pub use host::HostTensors;
pub use input::{Extra, Input, TwoStreams};
pub use left_over::LeftOver;
pub use model::{Guest, Model};
pub use padded::{Padded, Row};
pub use parameter::{Init, Level, Parameter, Role, SavedIn};
pub use pass::{Dropout, Pass};
pub use sentence::{Pooling, Sentences};
pub use sizes::{Shape, Sizes};
