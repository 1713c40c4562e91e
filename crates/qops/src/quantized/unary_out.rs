//! Activation functions into a tensor that exists: PyTorch's `out` overloads.
//!
//! Scale, zero point, type and shape are those of the destination, which is written as [`add_out`](super::add_out)
//! writes it. When they answer with an error, the destination is as it was.

use qtensor_core::QTensor;

use super::unary::{Function, celu_function, elu_function, leaky_function};
use crate::error::Result;

/// [`requantize`](super::requantize()) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize`](super::requantize()); [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) and
/// [`Error::DTypesDiffer`](crate::Error::DTypesDiffer) if `out` has not the shape and type of `x`.
///
/// ```
/// # use qops::quantized::{OutQParams, quantize, requantize_out};
/// # use qtensor_core::{DType, Tensor};
/// let x = quantize(&Tensor::full(&[2], 1.0)?, OutQParams::new(0.5, 3), DType::QUInt8)?;
/// let mut out = quantize(&Tensor::zeros(&[2])?, OutQParams::new(0.25, 100), DType::QUInt8)?;
/// requantize_out(&x, &mut out)?;
/// assert_eq!(out.int_repr().to_i32_vec(), [104, 104]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn requantize_out(x: &QTensor, out: &mut QTensor) -> Result<()> {
    Function::Identity.write("requantize_out", x, out)
}

/// [`sigmoid`](super::sigmoid) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize_out`].
pub fn sigmoid_out(x: &QTensor, out: &mut QTensor) -> Result<()> {
    Function::Sigmoid.write("sigmoid_out", x, out)
}

/// [`tanh`](super::tanh) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize_out`].
pub fn tanh_out(x: &QTensor, out: &mut QTensor) -> Result<()> {
    Function::Tanh.write("tanh_out", x, out)
}

/// [`hardsigmoid`](super::hardsigmoid) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize_out`].
pub fn hardsigmoid_out(x: &QTensor, out: &mut QTensor) -> Result<()> {
    Function::HardSigmoid.write("hardsigmoid_out", x, out)
}

/// [`hardswish`](super::hardswish) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize_out`].
pub fn hardswish_out(x: &QTensor, out: &mut QTensor) -> Result<()> {
    Function::HardSwish.write("hardswish_out", x, out)
}

/// [`elu`](super::elu) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize_out`] and [`elu`](super::elu).
pub fn elu_out(x: &QTensor, alpha: f32, out: &mut QTensor) -> Result<()> {
    elu_function("elu_out", alpha)?.write("elu_out", x, out)
}

/// [`celu`](super::celu) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize_out`] and [`celu`](super::celu).
pub fn celu_out(x: &QTensor, alpha: f32, out: &mut QTensor) -> Result<()> {
    celu_function("celu_out", alpha)?.write("celu_out", x, out)
}

/// [`leaky_relu`](super::leaky_relu) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`requantize_out`] and [`leaky_relu`](super::leaky_relu).
pub fn leaky_relu_out(x: &QTensor, negative_slope: f32, out: &mut QTensor) -> Result<()> {
    leaky_function("leaky_relu_out", negative_slope)?.write("leaky_relu_out", x, out)
}
