//! Float layer normalization.

use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::module::{Module, Node};
use crate::parameter::Parameter;
use crate::state::{Entry, State};
use crate::value::Value;

/// `y = (x − mean) / √(variance + eps) · γ + β` over the trailing dimensions.
///
/// Shapes: input and output `(…, normalized…)`, both parameters `normalized`.
///
/// # Errors
/// Its `forward` refuses an input that does not end in these dimensions.
///
/// ```
/// use qnn::{LayerNorm, Module};
/// use qtensor_core::Tensor;
///
/// let norm = LayerNorm::new(&[2])?;
/// let y = norm.forward(&Tensor::from_vec(vec![1.0, 3.0], &[1, 2])?.into())?;
/// assert!((y.to_tensor().get(&[0, 1])? - 1.0).abs() < 1e-4);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
    eps: f64,
}

impl LayerNorm {
    const KIND: &'static str = "LayerNorm";

    /// γ = 1, β = 0, eps = 1e-5.
    ///
    /// # Errors
    /// [`Error::Config`] without dimensions or with one of length 0.
    pub fn new(normalized: &[usize]) -> Result<LayerNorm> {
        if normalized.is_empty() || normalized.contains(&0) {
            return Err(Error::Config {
                module: Self::KIND,
                what: format!("nothing to normalize over in {normalized:?}"),
            });
        }
        Ok(LayerNorm {
            weight: Tensor::ones(normalized)?.into(),
            bias: Tensor::zeros(normalized)?.into(),
            eps: 1e-5,
        })
    }

    /// The number added to the variance.
    pub fn with_eps(mut self, eps: f64) -> LayerNorm {
        self.eps = eps;
        self
    }

    /// γ.
    pub fn weight(&self) -> &Tensor {
        self.weight.tensor()
    }

    /// β.
    pub fn bias(&self) -> &Tensor {
        self.bias.tensor()
    }

    /// The number added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// The trailing dimensions.
    pub fn normalized(&self) -> &[usize] {
        self.weight.tensor().shape()
    }
}

impl Node for LayerNorm {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{:?}, eps={}", self.normalized(), self.eps)
    }

    fn state(&self) -> State {
        State::default()
            .with_tensor("weight", Some(self.weight.tensor()))
            .with_tensor("bias", Some(self.bias.tensor()))
    }

    fn config(&self) -> State {
        State::default().with("eps", Entry::Real(self.eps))
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        let weight = state.take_shaped(Self::KIND, "weight", self.weight.tensor())?;
        self.weight.set(weight);
        self.bias
            .set(state.take_shaped(Self::KIND, "bias", self.bias.tensor())?);
        Ok(())
    }

    fn set_training(&mut self, training: bool) {
        self.weight.set_training(training);
        self.bias.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut qgrad::Var)) {
        visit("weight", self.weight.var_mut());
        visit("bias", self.bias.var_mut());
    }
}

impl Module for LayerNorm {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let (weight, bias) = (self.weight.var(), self.bias.var());
        let normalized = self.normalized();
        Ok(qgrad::ops::layer_norm(x, normalized, Some(weight), Some(bias), self.eps)?.into())
    }
}
