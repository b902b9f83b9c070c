//! Groups of parameters: whether they learn, how fast, whether they decay.

use athanor_tensor::Params;

/// What a group of parameters does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Share of the learning rate.
    pub rate: f64,
    /// Whether weights decay: matrices do, norms and biases do not.
    pub decays: bool,
    /// Whether the parameters change at all.
    pub learns: bool,
}

/// The group of each parameter, in the model's order.
#[derive(Clone, Debug)]
pub struct Groups(Vec<Group>);

impl Groups {
    /// A group for each parameter, in the model's order.
    pub fn of_each(groups: Vec<Group>) -> Self {
        Self(groups)
    }

    /// The group of the parameter at `index`.
    ///
    /// # Panics
    /// If there is no such parameter.
    pub fn of(&self, index: usize) -> Group {
        self.0[index]
    }

    /// Marks the parameters that learn.
    pub fn set_trainable(&self, params: &mut Params) {
        for (p, group) in params.iter_mut().zip(&self.0) {
            p.trainable = group.learns;
        }
    }
}
