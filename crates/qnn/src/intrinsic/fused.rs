//! Float modules with a rectifier behind them.

use qgrad::Var;
use qobserve::Observer;
use qops::quantized::Activation;

use super::rectified::Rectified;
use crate::error::Result;
use crate::float::{BatchNorm, Conv, ConvTranspose, Linear};
use crate::module::{Module, Node};
use crate::state::State;
use crate::value::Value;

/// The activation of a fused module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rectifier {
    /// `max(x, 0)`.
    ReLU,
    /// `min(max(x, 0), 6)`.
    ReLU6,
}

impl Rectifier {
    /// The name that model files use.
    pub fn name(self) -> &'static str {
        match self {
            Rectifier::ReLU => "ReLU",
            Rectifier::ReLU6 => "ReLU6",
        }
    }

    /// The rectifier of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Rectifier> {
        [Rectifier::ReLU, Rectifier::ReLU6]
            .into_iter()
            .find(|r| r.name() == name)
    }

    /// The kind of a module with this rectifier behind it.
    pub(crate) fn kind_of<M: Rectified>(self) -> &'static str {
        match self {
            Rectifier::ReLU => M::WITH_RELU,
            Rectifier::ReLU6 => M::WITH_RELU6,
        }
    }

    /// The clamp that it is for a requantizing kernel.
    pub fn activation(self) -> Activation {
        match self {
            Rectifier::ReLU => Activation::Relu,
            Rectifier::ReLU6 => Activation::Relu6,
        }
    }
}

/// A module with a rectifier behind it, in one place.
#[derive(Clone, Debug)]
pub struct Fused<M> {
    module: M,
    rectifier: Rectifier,
}

/// A convolution and a rectifier.
pub type ConvReLU<const D: usize> = Fused<Conv<D>>;
/// A convolution over `(N, C, L)` and a rectifier.
pub type ConvReLU1d = ConvReLU<1>;
/// A convolution over `(N, C, H, W)` and a rectifier.
pub type ConvReLU2d = ConvReLU<2>;
/// A convolution over `(N, C, D, H, W)` and a rectifier.
pub type ConvReLU3d = ConvReLU<3>;
/// A transposed convolution and a rectifier.
pub type ConvTransposeReLU<const D: usize> = Fused<ConvTranspose<D>>;
/// A transposed convolution over `(N, C, L)` and a rectifier.
pub type ConvTransposeReLU1d = ConvTransposeReLU<1>;
/// A transposed convolution over `(N, C, H, W)` and a rectifier.
pub type ConvTransposeReLU2d = ConvTransposeReLU<2>;
/// A transposed convolution over `(N, C, D, H, W)` and a rectifier.
pub type ConvTransposeReLU3d = ConvTransposeReLU<3>;
/// A linear layer and a rectifier.
pub type LinearReLU = Fused<Linear>;
/// A batch norm and a rectifier.
pub type BNReLU<const D: usize> = Fused<BatchNorm<D>>;
/// A batch norm of `(N, C)` or `(N, C, L)` and a rectifier.
pub type BNReLU1d = BNReLU<1>;
/// A batch norm of `(N, C, H, W)` and a rectifier.
pub type BNReLU2d = BNReLU<2>;
/// A batch norm of `(N, C, D, H, W)` and a rectifier.
pub type BNReLU3d = BNReLU<3>;

impl<M> Fused<M> {
    /// The module, then the rectifier.
    pub fn new(module: M, rectifier: Rectifier) -> Fused<M> {
        Fused { module, rectifier }
    }

    /// The module without the rectifier.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// The module without the rectifier, mutably.
    pub fn module_mut(&mut self) -> &mut M {
        &mut self.module
    }

    /// The rectifier.
    pub fn rectifier(&self) -> Rectifier {
        self.rectifier
    }
}

impl<M: Rectified> Node for Fused<M> {
    fn kind(&self) -> &'static str {
        self.rectifier.kind_of::<M>()
    }

    fn extra_repr(&self) -> String {
        self.module.extra_repr()
    }

    fn state(&self) -> State {
        self.module.state()
    }

    fn config(&self) -> State {
        self.module.config()
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.module.load_state(state)
    }

    fn set_training(&mut self, training: bool) {
        self.module.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        self.module.parameters_mut(visit);
    }

    fn observers_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Observer)) {
        self.module.observers_mut(visit);
    }

    fn observers(&self, visit: &mut dyn FnMut(&str, &dyn Observer)) {
        self.module.observers(visit);
    }

    fn set_bn_frozen(&mut self, frozen: bool) {
        self.module.set_bn_frozen(frozen);
    }
}

impl<M: Rectified + Module<Input = Value, Output = Value>> Module for Fused<M> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let y = self.module.forward(input)?;
        let y = y.float(self.kind())?;
        Ok(match self.rectifier {
            Rectifier::ReLU => qgrad::ops::relu(y)?,
            Rectifier::ReLU6 => qgrad::ops::relu6(y)?,
        }
        .into())
    }
}
