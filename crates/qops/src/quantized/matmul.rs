//! The product of two activations.

use qtensor_core::QTensor;

use super::convert::{dequantize, quantize};
use super::params::OutQParams;
use crate::error::{Error, Result};
use crate::float;

/// `a · b` of two activations: both dequantized, multiplied in `f32`, quantized, as PyTorch does it.
///
/// Shapes as [`float::matmul`]. Both operands vary, so there is nothing to pack; layers with constant weights
/// are [`linear`](super::linear). The layout of the operands does not change the result.
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
    // The float product reads transposed operands in place and sums them in another order, which shows where
    // large terms cancel.
    let (a_rows, b_rows) = (a.contiguous(), b.contiguous());
    let product = float::matmul(&dequantize(&a_rows)?, &dequantize(&b_rows)?)?;
    quantize(&product, out, a.dtype())
}
