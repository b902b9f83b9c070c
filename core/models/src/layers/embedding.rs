//! Tables that are looked up.

use athanor_store::Result;
use athanor_tensor::{Graph, Ids, ParamId, Var, ops};

use crate::{
    builder::Builder,
    parameter::{Init, Role},
};

/// A table [rows, width].
#[derive(Clone, Copy)]
pub(crate) struct Embedding {
    table: ParamId,
}

impl Embedding {
    /// Declares `NAME.weight` of the trunk.
    pub(crate) fn declare(
        b: &mut Builder,
        name: &str,
        [rows, width]: [usize; 2],
        init: Init,
    ) -> Result<Self> {
        let table = b.trunk(&format!("{name}.weight"), &[rows, width], init, Role::Embedding)?;
        Ok(Self { table })
    }

    /// The table.
    pub(crate) fn table(&self) -> ParamId {
        self.table
    }

    /// [.., width] of ids [..].
    pub(crate) fn apply(&self, g: &Graph<'_>, ids: &Ids) -> Var {
        ops::embedding(&g.param(self.table), ids)
    }

    /// [`apply`](Self::apply) where the row of one id, padding's, never learns.
    pub(crate) fn apply_with_padding(&self, g: &Graph<'_>, ids: &Ids, padding: Option<i32>) -> Var {
        ops::embedding_with_padding(&g.param(self.table), ids, padding)
    }
}
