//! Float modules with a rectifier behind them.

use qops::quantized::Activation;

use crate::error::Result;
use crate::float::{BatchNorm, Conv, Linear};
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

    /// The rectifier.
    pub fn rectifier(&self) -> Rectifier {
        self.rectifier
    }
}

/// The kind of a module with a rectifier; modules of other kinds are never fused so.
pub(crate) fn fused_kind(module: &'static str, rectifier: Rectifier) -> &'static str {
    match (module, rectifier) {
        ("Conv1d", Rectifier::ReLU) => "ConvReLU1d",
        ("Conv2d", Rectifier::ReLU) => "ConvReLU2d",
        ("Conv3d", Rectifier::ReLU) => "ConvReLU3d",
        ("Linear", Rectifier::ReLU) => "LinearReLU",
        ("BatchNorm1d", Rectifier::ReLU) => "BNReLU1d",
        ("BatchNorm2d", Rectifier::ReLU) => "BNReLU2d",
        ("BatchNorm3d", Rectifier::ReLU) => "BNReLU3d",
        ("Conv1d", Rectifier::ReLU6) => "ConvReLU6_1d",
        ("Conv2d", Rectifier::ReLU6) => "ConvReLU6_2d",
        ("Conv3d", Rectifier::ReLU6) => "ConvReLU6_3d",
        ("Linear", Rectifier::ReLU6) => "LinearReLU6",
        ("BatchNorm1d", Rectifier::ReLU6) => "BNReLU6_1d",
        ("BatchNorm2d", Rectifier::ReLU6) => "BNReLU6_2d",
        ("BatchNorm3d", Rectifier::ReLU6) => "BNReLU6_3d",
        ("QuantizedConv1d", Rectifier::ReLU) => "QuantizedConvReLU1d",
        ("QuantizedConv2d", Rectifier::ReLU) => "QuantizedConvReLU2d",
        ("QuantizedConv3d", Rectifier::ReLU) => "QuantizedConvReLU3d",
        ("QuantizedLinear", Rectifier::ReLU) => "QuantizedLinearReLU",
        ("QuantizedBatchNorm1d", Rectifier::ReLU) => "QuantizedBNReLU1d",
        ("QuantizedBatchNorm2d", Rectifier::ReLU) => "QuantizedBNReLU2d",
        ("QuantizedBatchNorm3d", Rectifier::ReLU) => "QuantizedBNReLU3d",
        ("QuantizedConv1d", Rectifier::ReLU6) => "QuantizedConvReLU6_1d",
        ("QuantizedConv2d", Rectifier::ReLU6) => "QuantizedConvReLU6_2d",
        ("QuantizedConv3d", Rectifier::ReLU6) => "QuantizedConvReLU6_3d",
        ("QuantizedLinear", Rectifier::ReLU6) => "QuantizedLinearReLU6",
        ("QuantizedBatchNorm1d", Rectifier::ReLU6) => "QuantizedBNReLU6_1d",
        ("QuantizedBatchNorm2d", Rectifier::ReLU6) => "QuantizedBNReLU6_2d",
        ("QuantizedBatchNorm3d", Rectifier::ReLU6) => "QuantizedBNReLU6_3d",
        _ => "Fused",
    }
}

impl<M: Node> Node for Fused<M> {
    fn kind(&self) -> &'static str {
        fused_kind(self.module.kind(), self.rectifier)
    }

    fn extra_repr(&self) -> String {
        self.module.extra_repr()
    }

    fn state(&self) -> State {
        self.module.state()
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.module.load_state(state)
    }

    fn set_training(&mut self, training: bool) {
        self.module.set_training(training);
    }
}

impl<M: Module<Input = Value, Output = Value>> Module for Fused<M> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let y = self.module.forward(input)?;
        let y = y.float(self.kind())?;
        Ok(match self.rectifier {
            Rectifier::ReLU => qgrad::ops::relu(y)?,
            Rectifier::ReLU6 => qgrad::ops::clamp(y, 0.0, 6.0)?,
        }
        .into())
    }
}
