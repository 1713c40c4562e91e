//! Activations. They take float and quantized values alike; a quantized one keeps its scale and zero point.

use qops::quantized;

use crate::error::Result;
use crate::module::{Module, Node};
use crate::value::Value;

/// `max(x, 0)`. On integers: `max(q, z)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReLU;

/// `min(max(x, 0), 6)`. On integers: a clamp between `z` and the integer of 6.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReLU6;

impl Node for ReLU {
    fn kind(&self) -> &'static str {
        "ReLU"
    }
}

impl Module for ReLU {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(match input {
            Value::Float(x) => qgrad::ops::relu(x)?.into(),
            Value::Quantized(q) => quantized::relu(q)?.into(),
        })
    }
}

impl Node for ReLU6 {
    fn kind(&self) -> &'static str {
        "ReLU6"
    }
}

impl Module for ReLU6 {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(match input {
            Value::Float(x) => qgrad::ops::relu6(x)?.into(),
            Value::Quantized(q) => quantized::relu6(q)?.into(),
        })
    }
}
