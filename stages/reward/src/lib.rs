//! Stage 3, reward: what people thought of texts becomes a model that scores texts.
//!
//! Bradley and Terry 1952: the probability that text i is preferred to text j is σ(r_i - r_j).

mod baseline;
mod figures;
mod losses;
mod pairs;
mod scores;
mod section;
mod stage;
mod task;
mod texts;

pub use section::RewardSection;
pub use stage::STAGE;
pub use task::LOGGED;
