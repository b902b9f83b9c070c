//! Tensors of a file that the opened model has no place for.

use crate::{
    families::Family,
    heads::{HEADS, Head, Stack},
};

/// What a file held beyond the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOver {
    /// Tensors that no head of the family has either: the file may be of a model that computes something else.
    pub unknown: Vec<String>,
    /// Tensors of heads that the family can have, and that this model was opened without.
    pub heads: Vec<String>,
}

/// How the names of buffers end that old exports carry along: tables that the network makes itself, and masks.
const BUFFERS: [&str; 5] =
    ["position_ids", "token_type_ids", "rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"];

/// How many names a message gives.
const NAMED: usize = 3;

impl LeftOver {
    /// Sorts the names of tensors that a model of this family and head did not take; `heads` are known to be a head's.
    pub(crate) fn of(names: Vec<String>, heads: Vec<String>, family: &Family, head: Head) -> Self {
        let heads_of = |own: bool| {
            let kinds = HEADS.iter().filter(move |kind| own == (kind.name == head.kind().name));
            let variants = kinds.filter_map(|kind| family.variant(kind));
            variants.flat_map(|v| v.stacks).flat_map(Stack::tensors).collect::<Vec<_>>()
        };
        // What the model's own head has under these names is there already: tied weights, a bias's second name.
        let (own, others) = (heads_of(true), heads_of(false));
        let mut found = Self { heads, ..Self::default() };
        for name in names {
            let bare = name.strip_prefix(family.prefix).unwrap_or(&name);
            let is_in = |all: &[String]| all.iter().any(|n| *n == name || n == bare);
            if is_in(&own) || BUFFERS.iter().any(|end| name.ends_with(end)) {
                continue;
            }
            if is_in(&others) { found.heads.push(name) } else { found.unknown.push(name) }
        }
        found.heads.sort();
        found
    }

    /// A warning that names the unknown tensors, if there are any.
    pub fn warning(&self) -> Option<String> {
        let count = self.unknown.len();
        (count > 0).then(|| {
            let tensors = if count == 1 { "tensor was" } else { "tensors were" };
            let names = listed(&self.unknown);
            format!("{count} {tensors} ignored, which this model does not have: {names}")
        })
    }

    /// A remark that names the heads' tensors, if there are any.
    pub fn remark(&self) -> Option<String> {
        (!self.heads.is_empty())
            .then(|| format!("another head in the file was left out: {}", listed(&self.heads)))
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first = names[..names.len() - more].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}
