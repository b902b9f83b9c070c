//! Activations by name.

use crate::backend::Unary;

/// The non-linearity after a linear map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// x·Φ(x), by erf: Hendrycks and Gimpel 2016.
    Gelu,
    /// GELU's tanh form, `gelu_new` in GPT-2.
    GeluTanh,
    /// x·sigmoid(x).
    Silu,
    /// max(0, x).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Gelu, Self::GeluTanh, Self::Silu, Self::Relu, Self::Tanh];

    pub(crate) fn kernel(self) -> Option<Unary> {
        match self {
            Self::None => None,
            Self::Gelu => Some(Unary::Gelu),
            Self::GeluTanh => Some(Unary::GeluTanh),
            Self::Silu => Some(Unary::Silu),
            Self::Relu => Some(Unary::Relu),
            Self::Tanh => Some(Unary::Tanh),
        }
    }
}
