//! Adapters put into a model, and merged into its weights.

use std::sync::Arc;

use athanor_store::{Error, Result};
use athanor_tensor::Params;

use super::Model;
use crate::{
    adapters::Adaptation,
    parameter::{Parameter, Role, SavedIn},
};

impl Model {
    /// Gives linear maps adapters; their parameters start at random from `seed`. From here on they alone learn; see
    /// [`set_trainable`](Self::set_trainable) for what else should, such as a new head.
    ///
    /// # Errors
    /// Failed, if the model has adapters already, or a guest.
    pub fn adapt(&mut self, adaptation: Arc<dyn Adaptation>, seed: u64) -> Result<()> {
        if self.adaptation.is_some() || self.parameters.iter().any(|p| p.saved_in == SavedIn::Guest)
        {
            return Err(Error::failed("a model with adapters or a guest is not adapted"));
        }
        *self = self.over(self.params.clone(), self.device, Some(adaptation), seed)?;
        self.set_trainable(|p| p.role == Role::Adapter);
        Ok(())
    }

    /// Puts what the adapters learned into the weights, and removes the adapters. All parameters learn again.
    ///
    /// # Errors
    /// None in practice: the network was built from the same configuration before.
    pub fn merge_adapters(&mut self) -> Result<()> {
        let mut merged = self.params.clone();
        for (weight, adapter) in &self.adapters {
            *merged.get_mut(*weight) = adapter.merged(&self.params, self.params.get(*weight));
        }
        let is_own = |known: &Parameter| known.role != Role::Adapter;
        let mut params = Params::new();
        for (p, _) in merged.iter().zip(&self.parameters).filter(|(_, known)| is_own(known)) {
            params.insert(&p.name, p.value.clone());
        }
        self.parameters.retain(is_own);
        *self = self.over(params, self.device, None, 0)?;
        Ok(())
    }
}
