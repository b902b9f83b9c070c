//! A second model that is trained beside a first and shares parameters with it: ELECTRA's generator
//! and discriminator have the same embeddings.
//!
//! The guest's parameters are among the host's, so one tape, one optimiser and one checkpoint hold
//! both. A guest computes with the host's graph; what counts parameters asks the host.

use std::{collections::HashMap, path::Path};

use athanor_store::Result;
use athanor_tensor::{ParamId, Params};
use serde_json::{Map, Value};

use super::Model;
use crate::{builder::Builder, families::Family, folder, heads::Head};

/// What the names of a guest's own parameters begin with.
const OUTER: &str = "guest.";

impl Model {
    /// Adds a guest with random parameters of its own, and these of the host's: tensors of the trunk,
    /// by their names without the family's prefix.
    ///
    /// # Errors
    /// Input, for a config that its family cannot be, or a shared tensor of another shape.
    pub fn add_guest(
        &mut self,
        family: &'static Family,
        config: Map<String, Value>,
        head: Head,
        shared: &[&str],
        seed: u64,
    ) -> Result<Self> {
        let prefix = super::prefix(self.family, self.head)?;
        let shared: HashMap<String, ParamId> = shared
            .iter()
            .filter_map(|name| {
                Some(((*name).into(), self.params.find(&format!("{prefix}{name}"))?))
            })
            .collect();
        self.guest_from = Some(self.params.len());
        let own = (std::mem::take(&mut self.params), std::mem::take(&mut self.parameters));
        let prefix = super::prefix(family, head)?;
        let builder = Builder::guest(self.device, prefix, seed, own, OUTER, shared);
        let mut guest = Self::assemble(family, config, head, builder)?;
        self.params = std::mem::take(&mut guest.params);
        self.parameters = std::mem::take(&mut guest.parameters);
        Ok(guest)
    }

    /// Writes a guest's folder, as [`save`](Self::save) writes the host's.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save_guest(&self, guest: &Self, dir: &Path) -> Result<()> {
        let own = self.guest_from.unwrap_or(usize::MAX);
        let mut params = Params::new();
        for (i, p) in self.params.iter().enumerate() {
            let name = p.name.strip_prefix(OUTER).unwrap_or(&p.name);
            if i >= own || guest.shared.iter().any(|id| id.index() == i) {
                params.insert(name, p.value.clone());
            }
        }
        folder::write(dir, &guest.config, &params, None)
    }
}
