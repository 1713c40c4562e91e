//! Dynamically quantized counterparts of fused modules.

use qobserve::QConfig;

use super::Fused;
use crate::dynamic::{Conv, ConvTranspose, Linear};
use crate::error::Result;
use crate::float::{self, LeakyReLU, Tanh};
use crate::intrinsic::{self, Activated, Curve};
use crate::module::{Module, Node};
use crate::value::Value;

/// A dynamically quantized linear layer with a rectifier: float in, float out.
pub type LinearReLU = Fused<Linear>;
/// A dynamically quantized linear layer with a leaky ReLU: float in, float out.
pub type LinearLeakyReLU = Activated<Linear, LeakyReLU>;
/// A dynamically quantized linear layer with a hyperbolic tangent: float in, float out.
pub type LinearTanh = Activated<Linear, Tanh>;
/// A dynamically quantized convolution with a rectifier: float in, float out.
pub type ConvReLU<const D: usize> = Fused<Conv<D>>;
/// A dynamically quantized transposed convolution with a rectifier: float in, float out.
pub type ConvTransposeReLU<const D: usize> = Fused<ConvTranspose<D>>;

impl LinearReLU {
    /// The counterpart of a fused float layer.
    ///
    /// # Errors
    /// Those of [`Linear::from_float`].
    pub fn from_float(fused: &intrinsic::LinearReLU, qconfig: &QConfig) -> Result<LinearReLU> {
        let module = Linear::from_float(fused.module(), qconfig)?;
        Ok(Fused::new(module, fused.rectifier()))
    }
}

impl<A: Curve> Activated<Linear, A> {
    /// The counterpart of a fused float layer.
    ///
    /// # Errors
    /// Those of [`Linear::from_float`].
    pub fn from_float(
        fused: &Activated<float::Linear, A>,
        qconfig: &QConfig,
    ) -> Result<Activated<Linear, A>> {
        let linear = Linear::from_float(fused.module(), qconfig)?;
        Ok(Activated::new(linear, fused.activation().clone()))
    }
}

impl<const D: usize> ConvReLU<D> {
    /// The counterpart of a fused float convolution.
    ///
    /// # Errors
    /// Those of [`Conv::from_float`].
    pub fn from_float(fused: &intrinsic::ConvReLU<D>, qconfig: &QConfig) -> Result<ConvReLU<D>> {
        let module = Conv::from_float(fused.module(), qconfig)?;
        Ok(Fused::new(module, fused.rectifier()))
    }
}

impl<const D: usize> ConvTransposeReLU<D> {
    /// The counterpart of a fused float transposed convolution.
    ///
    /// # Errors
    /// Those of [`ConvTranspose::from_float`].
    pub fn from_float(
        fused: &intrinsic::ConvTransposeReLU<D>,
        qconfig: &QConfig,
    ) -> Result<ConvTransposeReLU<D>> {
        let module = ConvTranspose::from_float(fused.module(), qconfig)?;
        Ok(Fused::new(module, fused.rectifier()))
    }
}

impl Module for LinearReLU {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let activation = self.rectifier().activation();
        self.module().run(self.kind(), input, activation)
    }
}

impl<const D: usize> Module for ConvReLU<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let activation = self.rectifier().activation();
        self.module().run(self.kind(), input, activation)
    }
}

impl<const D: usize> Module for ConvTransposeReLU<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let activation = self.rectifier().activation();
        self.module().run(self.kind(), input, activation)
    }
}
