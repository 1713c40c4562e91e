//! Float batch normalization: with the running statistics in evaluation, with the batch's own in training.

use qgrad::Var;
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::float::conv::by_dims;
use crate::float::running::RunningStats;
use crate::module::{Module, Node};
use crate::parameter::Parameter;
use crate::state::{Entry, State};
use crate::value::Value;

/// `y = (x − mean) / √(var + eps) · γ + β` for each channel.
///
/// In evaluation, mean and variance are the running ones. In training they are those of the batch, and a forward pass
/// moves the running ones: `r ← (1 − momentum) · r + momentum · batch`, with the unbiased variance, as in PyTorch.
/// [`set_bn_frozen`](Node::set_bn_frozen) makes training use the running ones too, and keep them.
///
/// `D` spatial dimensions behind `(N, C)`; a `BatchNorm1d` also takes `(N, C)` alone.
#[derive(Clone, Debug)]
pub struct BatchNorm<const D: usize> {
    weight: Parameter,
    bias: Parameter,
    running: RunningStats,
    eps: f32,
    momentum: f32,
    training: bool,
    frozen: bool,
}

/// Batch normalization of `(N, C)` or `(N, C, L)`.
pub type BatchNorm1d = BatchNorm<1>;
/// Batch normalization of `(N, C, H, W)`.
pub type BatchNorm2d = BatchNorm<2>;
/// Batch normalization of `(N, C, D, H, W)`.
pub type BatchNorm3d = BatchNorm<3>;

impl<const D: usize> BatchNorm<D> {
    const KIND: &'static str = by_dims::<D>(["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]);

    /// Identity statistics: mean 0, variance 1, γ = 1, β = 0, eps = 1e-5, momentum = 0.1.
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
            running: RunningStats::new(Tensor::zeros(&[channels])?, Tensor::ones(&[channels])?),
            eps: 1e-5,
            momentum: 0.1,
            training: false,
            frozen: false,
        })
    }

    /// The number added to the variance.
    pub fn with_eps(mut self, eps: f32) -> BatchNorm<D> {
        self.eps = eps;
        self
    }

    /// The share of a batch in the running statistics.
    pub fn with_momentum(mut self, momentum: f32) -> BatchNorm<D> {
        self.momentum = momentum;
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

    /// The running mean of each channel.
    pub fn running_mean(&self) -> Tensor {
        self.running.get().0
    }

    /// The running variance of each channel.
    pub fn running_var(&self) -> Tensor {
        self.running.get().1
    }

    /// Forgets the running statistics: mean 0, variance 1.
    ///
    /// # Errors
    /// None: the shapes are the module's own.
    pub fn reset_running_stats(&mut self) -> Result<()> {
        let channels = [self.weight().numel()];
        self.running = RunningStats::new(Tensor::zeros(&channels)?, Tensor::ones(&channels)?);
        Ok(())
    }

    /// [`reset_running_stats`](Self::reset_running_stats), and γ = 1, β = 0.
    ///
    /// # Errors
    /// None: the shapes are the module's own.
    pub fn reset_parameters(&mut self) -> Result<()> {
        let channels = [self.weight().numel()];
        self.reset_running_stats()?;
        self.weight.set(Tensor::ones(&channels)?);
        self.bias.set(Tensor::zeros(&channels)?);
        Ok(())
    }

    /// γ as training sees it.
    pub(crate) fn gamma(&self) -> &Var {
        self.weight.var()
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
            .with_tensor("running_mean", Some(&self.running_mean()))
            .with_tensor("running_var", Some(&self.running_var()))
    }

    fn config(&self) -> State {
        State::default().with("eps", Entry::Real(self.eps.into()))
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.weight
            .set(state.take_shaped(Self::KIND, "weight", self.weight.tensor())?);
        self.bias
            .set(state.take_shaped(Self::KIND, "bias", self.bias.tensor())?);
        let (mean, var) = self.running.get();
        let mean = state.take_shaped(Self::KIND, "running_mean", &mean)?;
        let var = state.take_shaped(Self::KIND, "running_var", &var)?;
        self.running = RunningStats::new(mean, var);
        Ok(())
    }

    fn set_training(&mut self, training: bool) {
        self.training = training;
        self.weight.set_training(training);
        self.bias.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        visit("weight", self.weight.var_mut());
        visit("bias", self.bias.var_mut());
    }

    fn set_bn_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }
}

impl<const D: usize> Module for BatchNorm<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let (gamma, beta, eps) = (self.weight.var(), self.bias.var(), self.eps.into());
        if self.training && !self.frozen {
            let (y, batch) = qgrad::ops::batch_norm_train(x, Some(gamma), Some(beta), eps)?;
            self.running.update(&batch, self.momentum)?;
            return Ok(y.into());
        }
        let (mean, var) = self.running.get();
        let y = qgrad::ops::batch_norm_eval(x, &mean, &var, Some(gamma), Some(beta), eps)?;
        Ok(y.into())
    }
}
