//! A second model that is trained beside a first and shares parameters with it: ELECTRA's generator
//! and discriminator have the same embeddings.
//!
//! The guest's parameters are among the host's, so one tape, one optimiser and one checkpoint hold
//! both. A guest computes with the host's graph; what counts parameters asks the host.

use std::{collections::HashMap, path::Path};

use athanor_store::Result;
use athanor_tensor::ParamId;
use serde_json::{Map, Value};

use super::{Model, prefix};
use crate::{builder::Builder, families::Family, folder, heads::Head, parameter::SavedIn};

/// What the names of a guest's own parameters begin with.
const OUTER: &str = "guest.";

/// A model that has its parameters among those of its host.
pub struct Guest {
    /// The network; it has no parameters of its own.
    pub model: Model,
    /// The host's parameters that it shares.
    shared: Vec<ParamId>,
}

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
    ) -> Result<Guest> {
        let own = prefix(self.family, self.head())?;
        let shared: HashMap<String, ParamId> = shared
            .iter()
            .filter_map(|name| Some(((*name).into(), self.params.find(&format!("{own}{name}"))?)))
            .collect();
        let ids = shared.values().copied().collect();
        let parts = (self.params.clone(), self.parameters.clone());
        let builder =
            Builder::guest(self.device, prefix(family, head)?, seed, parts, OUTER, shared);
        let mut model = Self::assemble(family, config, head, builder)?;
        self.params = std::mem::take(&mut model.params);
        self.parameters = std::mem::take(&mut model.parameters);
        Ok(Guest { model, shared: ids })
    }

    /// Writes a guest's folder, as [`save`](Self::save) writes the host's.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save_guest(&self, guest: &Guest, dir: &Path) -> Result<()> {
        let is_guests = |(i, known): (usize, SavedIn)| {
            known == SavedIn::Guest || guest.shared.iter().any(|id| id.index() == i)
        };
        let all =
            self.parameters().enumerate().filter(|(i, (_, known))| is_guests((*i, known.saved_in)));
        let named = all.map(|(_, (p, _))| {
            (p.name.strip_prefix(OUTER).unwrap_or(&p.name).to_owned(), &p.value)
        });
        folder::write_tensors(&dir.join(folder::WEIGHTS), named)?;
        folder::write_config(dir, &guest.model.config)
    }
}
