//! Smooth activations. Those with a known range take quantized values too, and give them the map of that range.

use qgrad::Var;
use qops::quantized::{self, OutQParams};
use qtensor_core::QTensor;

use crate::error::Result;
use crate::module::{Module, Node};
use crate::state::State;
use crate::value::Value;

/// `1 / (1 + e⁻ˣ)`. On integers with scale 1/256 and the least integer as zero point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sigmoid;

/// The hyperbolic tangent. On integers with scale 1/128 and the integer in the middle as zero point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tanh;

/// `x · Φ(x)` with the distribution function `Φ` of the standard normal, in the exact form.
#[derive(Clone, Copy, Debug, Default)]
pub struct GELU;

/// `min(max(x + 3, 0), 6) / 6`. On integers with scale 1/256 and the least integer as zero point.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hardsigmoid;

/// `exp(x) / Σ exp(x)` along a dimension. On integers with scale 1/256 and the least integer as zero point.
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

    /// The dimension.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

macro_rules! curve {
    ($module:ty, $name:literal, $float:expr, $quantized:expr) => {
        impl Node for $module {
            fn kind(&self) -> &'static str {
                $name
            }
        }

        impl Module for $module {
            type Input = Value;
            type Output = Value;

            fn forward(&self, input: &Value) -> Result<Value> {
                Ok(match input {
                    Value::Float(x) => $float(x)?.into(),
                    Value::Quantized(q) => $quantized(q)?.into(),
                })
            }
        }
    };
}
curve!(Sigmoid, "Sigmoid", qgrad::ops::sigmoid, |q| {
    quantized::sigmoid(q, None)
});
curve!(Tanh, "Tanh", qgrad::ops::tanh, |q| quantized::tanh(q, None));
curve!(Hardsigmoid, "Hardsigmoid", hardsigmoid, |q| {
    quantized::hardsigmoid(q, None)
});
curve!(GELU, "GELU", qgrad::ops::gelu, |q| quantized::gelu(
    q,
    quantized::Gelu::Exact
));

/// `relu6(x + 3) / 6`.
fn hardsigmoid(x: &Var) -> qgrad::Result<Var> {
    let shifted = qgrad::ops::relu6(&qgrad::ops::add_scalar(x, 3.0)?)?;
    qgrad::ops::mul_scalar(&shifted, 1.0 / 6.0)
}

/// The map of shares of one: scale 1/256 from the least integer on.
fn shares(x: &QTensor) -> OutQParams {
    OutQParams::new(1.0 / 256.0, x.dtype().range().0)
}

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
        Ok(match input {
            Value::Float(x) => qgrad::ops::softmax(x, self.dim)?.into(),
            Value::Quantized(q) => quantized::softmax(q, self.dim, shares(q))?.into(),
        })
    }
}
