//! Logits of the places that the query stream asks for, or of all; labels are not shifted (Yang et al.
//! 2019, eq. 3 and 4).

use athanor_store::Result;

use super::{Call, HeadKind};

pub const HEAD: HeadKind =
    HeadKind { gaps: true, ..HeadKind::new("permutation-lm", "LMHeadModel", forward) };

fn forward(call: &mut Call<'_>) -> Result<()> {
    super::masked_lm::token_labels(call)
}
