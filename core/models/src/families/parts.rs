//! What every family is made of.

pub(super) use athanor_store::{Error, Result};
pub(super) use athanor_tensor::{
    ParamId, Var,
    ops::{self, Activation},
};
pub(super) use serde_json::{Map, Value, json};

pub(super) use crate::{
    architecture::Architecture,
    builder::{Builder, Owner},
    config::Fields,
    heads::{Activate, Layer, Out, Readout, Stack, Start, Variant, Width},
    layers::{Attention, Embedding, GatedMlp, Linear, LinearSpec, Mlp, Norm},
    parameter::{Init, Role},
    pass::Pass,
    sizes::{Shape, Sizes},
};

/// The entries of an object that `json!` made.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
