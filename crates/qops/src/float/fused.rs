//! Operations with a ReLU behind them, as quantized models fuse them.

use qtensor_core::Tensor;

use super::cat::cat;
use super::elementwise::{add, add_scalar, mul, mul_scalar, relu};
use crate::error::Result;

/// `max(a + b, 0)`, broadcasting.
///
/// # Errors
/// As [`add`].
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    relu(&add(a, b)?)
}

/// `max(a · b, 0)`, broadcasting.
///
/// # Errors
/// As [`mul`].
pub fn mul_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    relu(&mul(a, b)?)
}

/// `max(x + c, 0)`.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn add_scalar_relu(x: &Tensor, c: f32) -> Result<Tensor> {
    relu(&add_scalar(x, c)?)
}

/// `max(x · c, 0)`.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn mul_scalar_relu(x: &Tensor, c: f32) -> Result<Tensor> {
    relu(&mul_scalar(x, c)?)
}

/// `max(cat, 0)`; see [`cat`].
///
/// # Errors
/// As [`cat`].
pub fn cat_relu(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
    relu(&cat(tensors, dim)?)
}
