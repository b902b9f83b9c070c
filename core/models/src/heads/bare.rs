//! The trunk alone: hidden states, and `pooler_output` where the family has a pooler.

use athanor_store::Result;

use super::{Call, HeadKind};

pub const HEAD: HeadKind =
    HeadKind { standard: Some(&[]), labels: &[], ..HeadKind::new("bare", "Model", forward) };

fn forward(call: &mut Call<'_>) -> Result<()> {
    for i in 0..call.head.stacks().len() {
        call.scores(i);
    }
    Ok(())
}
