//! Every op: forward against a plain f64 reference, backward against its finite differences.

mod attention;
mod backends;
mod common;
mod counting;
mod dense;
mod elementwise;
mod feed_forward;
mod losses;
mod random;
mod relative;
mod tape;
