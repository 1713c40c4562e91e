//! The product of two activations.

use qtensor_core::QTensor;

use super::convert::{dequantize, quantize};
use super::params::OutQParams;
use crate::error::{Error, Result};
use crate::float;

/// `a · b` of two activations: both dequantized, multiplied in `f32`, quantized, as PyTorch does it.
///
/// Shapes as [`float::matmul`]. Both operands vary, so there is nothing to pack; layers with constant weights
/// are [`linear`](super::linear).
///
/// # Errors
/// [`Error::DTypesDiffer`], bad `out` parameters, and those of [`float::matmul`].
pub fn matmul(a: &QTensor, b: &QTensor, out: OutQParams) -> Result<QTensor> {
    if a.dtype() != b.dtype() {
        return Err(Error::DTypesDiffer {
            operation: "matmul",
            left: a.dtype(),
            right: b.dtype(),
        });
    }
    let product = float::matmul(&dequantize(a)?, &dequantize(b)?)?;
    quantize(&product, out, a.dtype())
}
