//! Stage 4, reinforce: a policy writes, is rewarded, and improves.
//!
//! An algorithm is one file in `algorithms/`, a reward one file in `rewards/`, each with one line in
//! its registry.

mod advantages;
mod episode;
mod evaluate;
mod figures;
mod iterate;
mod learn;
mod memory;
mod rollout;
mod section;
mod stage;

pub mod algorithms;
pub mod environments;
pub mod rewards;

pub use iterate::LOGGED;
pub use section::ReinforceSection;
pub use stage::STAGE;
