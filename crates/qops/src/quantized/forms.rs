//! Other forms of `add`, `mul` and `cat`: into a tensor that exists, and with the first operand's map.
//!
//! The `…_out` functions are PyTorch's `out` overloads: scale, zero point, type and shape are those of the destination,
//! which is written in place where no other tensor shares its memory, in the memory order that it has. (A tensor that is
//! shared, or not dense, gets new memory, so that a write is never seen through another tensor.)
//! When they answer with an error, the destination is as it was.
//!
//! Concatenation with the first operand's map is [`cat`](super::cat()) without one.

use qtensor_core::QTensor;

use super::bytes::{build_into, natural_format};
use super::cat::{Join, first_of};
use super::elementwise::{Pair, add, add_relu, mul, mul_relu};
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};

/// [`add`](super::add) with the scale and zero point of `a`.
///
/// # Errors
/// As [`add`](super::add).
///
/// ```
/// # use qops::quantized::{OutQParams, add_like_first, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let quantized = |x, scale| quantize(&Tensor::full(&[2], x)?, OutQParams::new(scale, 3), DType::QUInt8);
/// let (a, b) = (quantized(1.0, 0.5)?, quantized(0.25, 0.25)?);
/// let sum = add_like_first(&a, &b)?;
/// assert_eq!(OutQParams::of(&sum)?, OutQParams::new(0.5, 3));
/// assert_eq!(sum.get(&[0])?, 1.0); // 1.25 lies between two steps; the even one is 2 above the zero point
/// # Ok::<(), qops::Error>(())
/// ```
#[doc(alias = "torch.ops.quantized.add")]
pub fn add_like_first(a: &QTensor, b: &QTensor) -> Result<QTensor> {
    add(a, b, OutQParams::of(a)?)
}

/// [`add_relu`](super::add_relu) with the scale and zero point of `a`.
///
/// # Errors
/// As [`add`](super::add).
#[doc(alias = "torch.ops.quantized.add_relu")]
pub fn add_relu_like_first(a: &QTensor, b: &QTensor) -> Result<QTensor> {
    add_relu(a, b, OutQParams::of(a)?)
}

/// [`mul`](super::mul) with the scale and zero point of `a`.
///
/// # Errors
/// As [`mul`](super::mul).
#[doc(alias = "torch.ops.quantized.mul")]
pub fn mul_like_first(a: &QTensor, b: &QTensor) -> Result<QTensor> {
    mul(a, b, OutQParams::of(a)?)
}

/// [`mul_relu`](super::mul_relu) with the scale and zero point of `a`.
///
/// # Errors
/// As [`mul`](super::mul).
#[doc(alias = "torch.ops.quantized.mul_relu")]
pub fn mul_relu_like_first(a: &QTensor, b: &QTensor) -> Result<QTensor> {
    mul_relu(a, b, OutQParams::of(a)?)
}

/// [`add`](super::add) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`add`](super::add); [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) and
/// [`Error::DTypesDiffer`](crate::Error::DTypesDiffer) if `out` has not the shape and type of the result.
///
/// ```
/// # use qops::quantized::{OutQParams, add_out, quantize};
/// # use qtensor_core::{DType, QTensor, Tensor};
/// let a = quantize(&Tensor::full(&[2], 1.0)?, OutQParams::new(0.5, 3), DType::QUInt8)?;
/// let mut out = quantize(&Tensor::zeros(&[2])?, OutQParams::new(0.25, 100), DType::QUInt8)?;
/// add_out(&a, &a, &mut out)?;
/// assert_eq!(out.int_repr().to_i32_vec(), [108, 108]);
/// # Ok::<(), qops::Error>(())
/// ```
#[doc(alias = "torch.ops.quantized.add_out")]
pub fn add_out(a: &QTensor, b: &QTensor, out: &mut QTensor) -> Result<()> {
    sum_out("add_out", a, b, out, Activation::None)
}

/// [`add_relu`](super::add_relu) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`add_out`].
#[doc(alias = "torch.ops.quantized.add_relu_out")]
pub fn add_relu_out(a: &QTensor, b: &QTensor, out: &mut QTensor) -> Result<()> {
    sum_out("add_relu_out", a, b, out, Activation::Relu)
}

/// [`mul`](super::mul) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`add_out`]; [`Error::Multiplier`](crate::Error::Multiplier) as [`mul`](super::mul).
#[doc(alias = "torch.ops.quantized.mul_out")]
pub fn mul_out(a: &QTensor, b: &QTensor, out: &mut QTensor) -> Result<()> {
    product_out("mul_out", a, b, out, Activation::None)
}

/// [`mul_relu`](super::mul_relu) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`mul_out`].
#[doc(alias = "torch.ops.quantized.mul_relu_out")]
pub fn mul_relu_out(a: &QTensor, b: &QTensor, out: &mut QTensor) -> Result<()> {
    product_out("mul_relu_out", a, b, out, Activation::Relu)
}

/// [`cat`](super::cat()) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`cat`](super::cat()); [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) and
/// [`Error::DTypesDiffer`](crate::Error::DTypesDiffer) if `out` has not the shape and type of the result.
#[doc(alias = "torch.ops.quantized.cat_out")]
pub fn cat_out(tensors: &[&QTensor], dim: usize, out: &mut QTensor) -> Result<()> {
    joined_out("cat_out", tensors, dim, out, Activation::None)
}

/// [`cat_relu`](super::cat_relu) into `out`, with its scale and zero point.
///
/// # Errors
/// As [`cat_out`].
#[doc(alias = "torch.ops.quantized.cat_relu_out")]
pub fn cat_relu_out(tensors: &[&QTensor], dim: usize, out: &mut QTensor) -> Result<()> {
    joined_out("cat_relu_out", tensors, dim, out, Activation::Relu)
}

fn sum_out(
    operation: &'static str,
    a: &QTensor,
    b: &QTensor,
    out: &mut QTensor,
    activation: Activation,
) -> Result<()> {
    let map = map_of(operation, out)?;
    let pair = Pair::new(operation, a, b, Some(natural_format(out.layout())))?;
    let (shape, format) = (&pair.shape, pair.format);
    build_into(operation, shape, format, pair.dtype(), out, |y| {
        pair.sum(map, activation, y)
    })
}

fn product_out(
    operation: &'static str,
    a: &QTensor,
    b: &QTensor,
    out: &mut QTensor,
    activation: Activation,
) -> Result<()> {
    let map = map_of(operation, out)?;
    let pair = Pair::new(operation, a, b, Some(natural_format(out.layout())))?;
    let (shape, format) = (&pair.shape, pair.format);
    build_into(operation, shape, format, pair.dtype(), out, |y| {
        pair.product(operation, map, activation, y)
    })
}

fn joined_out(
    operation: &'static str,
    tensors: &[&QTensor],
    dim: usize,
    out: &mut QTensor,
    activation: Activation,
) -> Result<()> {
    let first = first_of(operation, tensors)?;
    let map = map_of(operation, out)?;
    // The inputs are requantized before there is anything to write: the map must be one that their type can have.
    if out.dtype() != first.dtype() {
        return Err(Error::DTypesDiffer {
            operation,
            left: first.dtype(),
            right: out.dtype(),
        });
    }
    // A destination of another rank is refused below, in whatever order.
    let layout = if out.rank() == first.rank() {
        out.layout()
    } else {
        first.layout()
    };
    let format = natural_format(layout);
    let join = Join::new(operation, tensors, dim, format, map, activation)?;
    build_into(operation, &join.shape, format, first.dtype(), out, |y| {
        join.write(y);
        Ok(())
    })
}

/// The map of a destination.
fn map_of(operation: &'static str, out: &QTensor) -> Result<OutQParams> {
    let (scale, zero_point) = out.per_tensor(operation)?;
    Ok(OutQParams { scale, zero_point })
}
