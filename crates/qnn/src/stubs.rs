//! The borders between float and int8: `QuantStub` and `DeQuantStub`, which do nothing until converted.

use crate::error::Result;
use crate::module::{Module, Node};
use crate::value::Value;

/// Marks where float values become quantized ones. Observed in calibration, replaced by
/// [`quantized::Quantize`](crate::quantized::Quantize) in conversion; until then it returns its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct QuantStub;

/// Marks where quantized values become float again. Replaced by
/// [`quantized::DeQuantize`](crate::quantized::DeQuantize) in conversion; until then it returns its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeQuantStub;

impl Node for QuantStub {
    fn kind(&self) -> &'static str {
        "QuantStub"
    }
}

impl Module for QuantStub {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(input.clone())
    }
}

impl Node for DeQuantStub {
    fn kind(&self) -> &'static str {
        "DeQuantStub"
    }
}

impl Module for DeQuantStub {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(input.clone())
    }
}
