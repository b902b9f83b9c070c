//! Models that compute with int8 weights.

use athanor_store::{Error, Result};
use athanor_tensor::{Graph, release_spare};

use crate::{Head, Model, Pass};

impl Model {
    /// Rounds the weights of all linear maps to int8 (see [`Params::quantise`](athanor_tensor::Params::quantise)),
    /// the output's among them, and frees their f32 values; embeddings stay as they are, also where the output
    /// shares them. The model can then be read, and neither trained nor saved.
    ///
    /// # Errors
    /// Input, for a model that does not predict the next word.
    pub fn quantise(&mut self) -> Result<()> {
        if self.head() != Head::CAUSAL_LM {
            return Err(Error::input("int8 weights are for models that write")
                .hint("give a model with …ForCausalLM in its config.json"));
        }
        self.params.quantise();
        // Each matrix is rounded by the first product that it is in: a pass over one token has all of them.
        let input = self.input(vec![0], 1, 1);
        let graph = Graph::inference(&self.params);
        let hidden = self.hidden(&mut Pass::new(&graph, &input));
        drop(self.logits(&graph, &hidden));
        drop(graph);
        let looked_up: Vec<bool> = (0..self.params.len()).map(|i| self.is_embedding(i)).collect();
        self.params.release_quantised(|i| looked_up[i]);
        release_spare();
        Ok(())
    }
}
