//! Smooth activations on float values.

use crate::error::Result;
use crate::module::{Module, Node};
use crate::state::State;
use crate::value::Value;

/// `1 / (1 + e⁻ˣ)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sigmoid;

/// The hyperbolic tangent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tanh;

/// `x · Φ(x)` with the distribution function `Φ` of the standard normal, in the exact form.
#[derive(Clone, Copy, Debug, Default)]
pub struct GELU;

/// `exp(x) / Σ exp(x)` along a dimension.
///
/// # Errors
/// Its `forward` refuses an input without that dimension.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    dim: usize,
}

impl Softmax {
    /// Along dimension `dim`.
    pub fn new(dim: usize) -> Softmax {
        Softmax { dim }
    }
}

macro_rules! curve {
    ($module:ty, $name:literal, $function:path) => {
        impl Node for $module {
            fn kind(&self) -> &'static str {
                $name
            }
        }

        impl Module for $module {
            type Input = Value;
            type Output = Value;

            fn forward(&self, input: &Value) -> Result<Value> {
                Ok($function(input.float($name)?)?.into())
            }
        }
    };
}
curve!(Sigmoid, "Sigmoid", qgrad::ops::sigmoid);
curve!(Tanh, "Tanh", qgrad::ops::tanh);
curve!(GELU, "GELU", qgrad::ops::gelu);

impl Node for Softmax {
    fn kind(&self) -> &'static str {
        "Softmax"
    }

    fn extra_repr(&self) -> String {
        format!("dim={}", self.dim)
    }

    fn config(&self) -> State {
        State::default().with_sizes("dim", &[self.dim])
    }
}

impl Module for Softmax {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(qgrad::ops::softmax(input.float("Softmax")?, self.dim)?.into())
    }
}
