//! Float batch normalization, in evaluation mode.

use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::float::conv::by_dims;
use crate::module::{Module, Node};
use crate::parameter::Parameter;
use crate::state::{Entry, State};
use crate::value::Value;

/// `y = (x − mean) / √(var + eps) · γ + β` for each channel, with the running statistics.
///
/// `D` spatial dimensions behind `(N, C)`; a `BatchNorm1d` also takes `(N, C)` alone.
#[derive(Clone, Debug)]
pub struct BatchNorm<const D: usize> {
    weight: Parameter,
    bias: Parameter,
    running_mean: Tensor,
    running_var: Tensor,
    eps: f32,
}

/// Batch normalization of `(N, C)` or `(N, C, L)`.
pub type BatchNorm1d = BatchNorm<1>;
/// Batch normalization of `(N, C, H, W)`.
pub type BatchNorm2d = BatchNorm<2>;
/// Batch normalization of `(N, C, D, H, W)`.
pub type BatchNorm3d = BatchNorm<3>;

impl<const D: usize> BatchNorm<D> {
    const KIND: &'static str = by_dims::<D>(["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]);

    /// Identity statistics: mean 0, variance 1, γ = 1, β = 0, eps = 1e-5.
    ///
    /// # Errors
    /// [`Error::Config`] without channels.
    pub fn new(channels: usize) -> Result<BatchNorm<D>> {
        if channels == 0 {
            return Err(Error::Config {
                module: Self::KIND,
                what: "0 channels".into(),
            });
        }
        Ok(BatchNorm {
            weight: Tensor::ones(&[channels])?.into(),
            bias: Tensor::zeros(&[channels])?.into(),
            running_mean: Tensor::zeros(&[channels])?,
            running_var: Tensor::ones(&[channels])?,
            eps: 1e-5,
        })
    }

    /// The number added to the variance.
    pub fn with_eps(mut self, eps: f32) -> BatchNorm<D> {
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

    /// The mean of each channel.
    pub fn running_mean(&self) -> &Tensor {
        &self.running_mean
    }

    /// The variance of each channel.
    pub fn running_var(&self) -> &Tensor {
        &self.running_var
    }

    /// The number added to the variance.
    pub fn eps(&self) -> f32 {
        self.eps
    }
}

impl<const D: usize> Node for BatchNorm<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, eps={}", self.weight().numel(), self.eps)
    }

    fn state(&self) -> State {
        State::default()
            .with_tensor("weight", Some(self.weight()))
            .with_tensor("bias", Some(self.bias()))
            .with_tensor("running_mean", Some(&self.running_mean))
            .with_tensor("running_var", Some(&self.running_var))
    }

    fn config(&self) -> State {
        State::default().with("eps", Entry::Real(self.eps.into()))
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.weight
            .set(state.take_shaped(Self::KIND, "weight", self.weight.tensor())?);
        self.bias
            .set(state.take_shaped(Self::KIND, "bias", self.bias.tensor())?);
        self.running_mean = state.take_shaped(Self::KIND, "running_mean", &self.running_mean)?;
        self.running_var = state.take_shaped(Self::KIND, "running_var", &self.running_var)?;
        Ok(())
    }

    fn set_training(&mut self, training: bool) {
        self.weight.set_training(training);
        self.bias.set_training(training);
    }
}

impl<const D: usize> Module for BatchNorm<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let (gamma, beta) = (self.weight.var(), self.bias.var());
        let y = qgrad::ops::batch_norm_eval(
            x,
            &self.running_mean,
            &self.running_var,
            Some(gamma),
            Some(beta),
            self.eps.into(),
        )?;
        Ok(y.into())
    }
}
