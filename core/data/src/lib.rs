//! Data: records, templates over them, what is held out, token shards, order and packing.
//!
//! Architecture Invariant: everything here is decided by content and seed, never by the clock, the
//! number of threads or the order of a hash map, so that a stopped run goes on as if it had not been.

pub mod compressed;
mod dialogue;
pub mod formats;
mod hash;
pub mod labelled;
mod order;
mod packing;
pub mod preferences;
pub mod records;
mod shard_writer;
mod shards;
mod split;
pub mod table;
mod template;

pub use athanor_tensor::splitmix64;
pub use dialogue::{Dialogue, DialogueSection};
pub use hash::hash64;
pub use labelled::{Labelled, LabelledSection};
pub use order::{Cursor, Order, Shuffle};
pub use packing::pack;
pub use records::Record;
pub use shard_writer::ShardWriter;
pub use shards::{Dtype, Index, ShardInfo, Shards};
pub use split::{Shares, Split, heldout};
pub use template::{Expression, Template};
