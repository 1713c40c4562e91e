//! Other forms of `matmul` and `prelu`: with the first operand's map, and into a tensor that exists.

use qtensor_core::QTensor;

use super::bytes::{Bytes, build_into, natural_format};
use super::matmul::matmul;
use super::params::OutQParams;
use super::prelu::prelu;
use crate::error::Result;

/// [`matmul`] with the scale and zero point of `a`.
///
/// # Errors
/// As [`matmul`].
pub fn matmul_like_first(a: &QTensor, b: &QTensor) -> Result<QTensor> {
    matmul(a, b, OutQParams::of(a)?)
}

/// [`matmul`] into `out`, with its scale and zero point.
///
/// # Errors
/// As [`matmul`]; [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) and
/// [`Error::DTypesDiffer`](crate::Error::DTypesDiffer) if `out` has not the shape and type of the result.
///
/// ```
/// # use qops::quantized::{OutQParams, matmul_out, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let a = quantize(&Tensor::full(&[2, 3], 1.0)?, OutQParams::new(0.5, 3), DType::QUInt8)?;
/// let b = quantize(&Tensor::full(&[3, 1], 2.0)?, OutQParams::new(0.5, 3), DType::QUInt8)?;
/// let mut out = quantize(&Tensor::zeros(&[2, 1])?, OutQParams::new(0.25, 100), DType::QUInt8)?;
/// matmul_out(&a, &b, &mut out)?;
/// assert_eq!(out.int_repr().to_i32_vec(), [124, 124]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn matmul_out(a: &QTensor, b: &QTensor, out: &mut QTensor) -> Result<()> {
    let map = map_of("matmul_out", out)?;
    store("matmul_out", &matmul(a, b, map)?, out)
}

/// [`prelu`] with the scale and zero point of `x`.
///
/// # Errors
/// As [`prelu`].
pub fn prelu_like_first(x: &QTensor, weight: &QTensor) -> Result<QTensor> {
    prelu(x, weight, OutQParams::of(x)?)
}

/// [`prelu`] into `out`, with its scale and zero point.
///
/// # Errors
/// As [`prelu`]; as [`matmul_out`] about `out`.
pub fn prelu_out(x: &QTensor, weight: &QTensor, out: &mut QTensor) -> Result<()> {
    let map = map_of("prelu_out", out)?;
    store("prelu_out", &prelu(x, weight, map)?, out)
}

/// The map of a destination.
fn map_of(operation: &'static str, out: &QTensor) -> Result<OutQParams> {
    let (scale, zero_point) = out.per_tensor(operation)?;
    Ok(OutQParams { scale, zero_point })
}

/// Copies a result into a destination of its map, in the order that the destination has.
fn store(operation: &'static str, result: &QTensor, out: &mut QTensor) -> Result<()> {
    let layout = if out.rank() == result.rank() {
        out.layout()
    } else {
        result.layout()
    };
    let format = natural_format(layout);
    let bytes = Bytes::new(operation, result, format)?;
    build_into(
        operation,
        result.shape(),
        format,
        result.dtype(),
        out,
        |y| {
            y.copy_from_slice(bytes.exact(format));
            Ok(())
        },
    )
}
