//! Other forms of `add_scalar` and `mul_scalar`: with a ReLU, and into a tensor that exists.
//!
//! The number decides scale and zero point of a result, so a destination takes these over; only its shape and type are
//! given, as for PyTorch's `out` overloads. When they answer with an error, the destination is as it was.

use qtensor_core::QTensor;

use super::elementwise::relu;
use super::scalar::{added, multiplied};
use crate::error::{Error, Result};

/// `max(x + c, 0)`, the ReLU on the integers of [`add_scalar`](super::add_scalar).
///
/// # Errors
/// As [`add_scalar`](super::add_scalar).
///
/// ```
/// # use qops::quantized::{OutQParams, add_scalar_relu, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![-1.0, 0.0, 3.5], &[3])?;
/// let x = quantize(&x, OutQParams::new(0.5, 3), DType::QUInt8)?;
/// let y = add_scalar_relu(&x, -1.0)?;
/// assert_eq!(OutQParams::of(&y)?, OutQParams::new(0.5, 5));
/// assert_eq!(y.dequantize().to_vec(), [0.0, 0.0, 2.5]);
/// # Ok::<(), qops::Error>(())
/// ```
#[doc(alias = "torch.ops.quantized.add_scalar_relu")]
pub fn add_scalar_relu(x: &QTensor, c: f64) -> Result<QTensor> {
    relu(&added("add_scalar_relu", x, c)?)
}

/// `max(x · c, 0)`, the ReLU on the integers of [`mul_scalar`](super::mul_scalar).
///
/// # Errors
/// As [`mul_scalar`](super::mul_scalar).
#[doc(alias = "torch.ops.quantized.mul_scalar_relu")]
pub fn mul_scalar_relu(x: &QTensor, c: f64) -> Result<QTensor> {
    relu(&multiplied("mul_scalar_relu", x, c)?)
}

/// [`add_scalar`](super::add_scalar) into `out`, which takes over the scale and the zero point of the result.
///
/// # Errors
/// As [`add_scalar`](super::add_scalar); [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) and
/// [`Error::DTypesDiffer`] if `out` has not the shape and type of `x`.
#[doc(alias = "torch.ops.quantized.add_scalar_out")]
pub fn add_scalar_out(x: &QTensor, c: f64, out: &mut QTensor) -> Result<()> {
    let operation = "add_scalar_out";
    store(operation, x, out, || added(operation, x, c))
}

/// [`add_scalar_relu`] into `out`, which takes over the scale and the zero point of the result.
///
/// # Errors
/// As [`add_scalar_out`].
#[doc(alias = "torch.ops.quantized.add_scalar_relu_out")]
pub fn add_scalar_relu_out(x: &QTensor, c: f64, out: &mut QTensor) -> Result<()> {
    let operation = "add_scalar_relu_out";
    store(operation, x, out, || relu(&added(operation, x, c)?))
}

/// [`mul_scalar`](super::mul_scalar) into `out`, which takes over the scale and the zero point of the result.
///
/// # Errors
/// As [`mul_scalar`](super::mul_scalar), and as [`add_scalar_out`] about `out`.
#[doc(alias = "torch.ops.quantized.mul_scalar_out")]
pub fn mul_scalar_out(x: &QTensor, c: f64, out: &mut QTensor) -> Result<()> {
    let operation = "mul_scalar_out";
    store(operation, x, out, || multiplied(operation, x, c))
}

/// [`mul_scalar_relu`] into `out`, which takes over the scale and the zero point of the result.
///
/// # Errors
/// As [`mul_scalar_out`].
#[doc(alias = "torch.ops.quantized.mul_scalar_relu_out")]
pub fn mul_scalar_relu_out(x: &QTensor, c: f64, out: &mut QTensor) -> Result<()> {
    let operation = "mul_scalar_relu_out";
    store(operation, x, out, || relu(&multiplied(operation, x, c)?))
}

/// Puts a result of the shape and type of `x` into a destination that has these.
fn store(
    operation: &'static str,
    x: &QTensor,
    out: &mut QTensor,
    result: impl FnOnce() -> Result<QTensor>,
) -> Result<()> {
    if out.dtype() != x.dtype() {
        return Err(Error::DTypesDiffer {
            operation,
            left: x.dtype(),
            right: out.dtype(),
        });
    }
    if out.shape() != x.shape() {
        return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation,
            expected: x.shape().to_vec(),
            actual: out.shape().to_vec(),
        }));
    }
    *out = result()?;
    Ok(())
}
