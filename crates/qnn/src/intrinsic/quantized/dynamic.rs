//! Dynamically quantized counterparts of fused modules.

use qobserve::QConfig;

use super::Fused;
use crate::dynamic::Linear;
use crate::error::Result;
use crate::intrinsic;
use crate::module::{Module, Node};
use crate::value::Value;

/// A dynamically quantized linear layer with a rectifier: float in, float out.
pub type LinearReLU = Fused<Linear>;

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

impl Module for LinearReLU {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let activation = self.rectifier().activation();
        self.module().run(self.kind(), input, activation)
    }
}
