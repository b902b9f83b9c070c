//! Losses of reward models, one file each: what the rewards of compared texts cost.

pub(crate) mod bradley_terry;
