//! The float fully connected layer.

use qgrad::Var;
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::init;
use crate::module::{Module, Node};
use crate::parameter::Weights;
use crate::state::State;
use crate::value::Value;

/// `y = x Wᵀ + b`.
///
/// Shapes: input `(…, in_features)`, weight `(out_features, in_features)`, output `(…, out_features)`.
#[derive(Clone, Debug)]
pub struct Linear {
    weights: Weights,
}

impl Linear {
    const KIND: &'static str = "Linear";

    /// A layer with drawn parameters.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is zero.
    pub fn new(in_features: usize, out_features: usize) -> Result<Linear> {
        Linear::drawn(in_features, out_features, true)
    }

    /// As [`new`](Linear::new), without a bias.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is zero.
    pub fn without_bias(in_features: usize, out_features: usize) -> Result<Linear> {
        Linear::drawn(in_features, out_features, false)
    }

    fn drawn(in_features: usize, out_features: usize, bias: bool) -> Result<Linear> {
        if in_features == 0 || out_features == 0 {
            let what = format!("{in_features} input and {out_features} output features");
            return Err(Error::Config {
                module: Self::KIND,
                what,
            });
        }
        let outputs = bias.then_some(out_features);
        let (weight, bias) = init::weight_and_bias(&[out_features, in_features], outputs)?;
        Linear::from_parts(weight, bias)
    }

    /// A layer with given parameters.
    ///
    /// # Errors
    /// [`Error::StateShape`] if the shapes contradict each other.
    pub fn from_parts(weight: Tensor, bias: Option<Tensor>) -> Result<Linear> {
        let refuse = |key: &str, expected: Vec<usize>, actual: &[usize]| {
            Err(Error::StateShape {
                module: Self::KIND,
                key: key.into(),
                expected,
                actual: actual.to_vec(),
            })
        };
        if weight.rank() != 2 {
            return Err(qtensor_core::Error::Rank {
                operation: "Linear weight",
                expected: "2 (out_features, in_features)".into(),
                actual: weight.rank(),
                shape: weight.shape().to_vec(),
            }
            .into());
        }
        let out = weight.shape()[0];
        match &bias {
            Some(b) if b.shape() != [out] => refuse("bias", vec![out], b.shape()),
            _ => Ok(Linear {
                weights: Weights::new(weight, bias),
            }),
        }
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        self.weights.weight.tensor()
    }

    /// Weight and bias as training sees them.
    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The bias, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.weights.bias()
    }
}

impl Node for Linear {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let shape = self.weight().shape();
        format!(
            "in_features={}, out_features={}, bias={}",
            shape[1],
            shape[0],
            self.bias().is_some()
        )
    }

    fn state(&self) -> State {
        self.weights.state()
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.weights.load(Self::KIND, state)
    }

    fn set_training(&mut self, training: bool) {
        self.weights.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        self.weights.each(visit);
    }
}

impl Module for Linear {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        Ok(qgrad::ops::linear(x, self.weights.weight.var(), self.weights.bias_var())?.into())
    }
}
