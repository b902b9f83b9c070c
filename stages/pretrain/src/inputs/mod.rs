//! What models are given to learn from: rows of tokens, and what is hidden in them. Everything here
//! is a function of tokens and a stream of random numbers; no model is needed.

pub mod masking;
pub mod memory;
pub mod permutation;
pub mod rng_stream;
pub mod rows;
pub mod sentences;
pub mod words;
