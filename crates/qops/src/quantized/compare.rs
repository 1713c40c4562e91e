//! Comparisons of the real values that integers stand for: 1 where they hold, else 0.
//!
//! Both operands are dequantized, whatever their types and maps, so equal integers under different maps are different
//! numbers. (Whether two tensors are the same in every respect is [`QTensor::equal`].)

use qtensor_core::{QTensor, Tensor};

use super::convert::dequantize;
use crate::error::Result;
use crate::float;

/// `a = b`, broadcasting.
///
/// ```
/// # use qops::quantized::{OutQParams, eq, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![1.0, 2.0], &[2])?;
/// let a = quantize(&x, OutQParams::new(0.5, 10), DType::QUInt8)?;
/// let b = quantize(&x, OutQParams::new(0.75, 0), DType::QUInt8)?; // 0.75 and 2.25
/// assert_eq!(eq(&a, &a)?.to_vec(), [1, 1]);
/// assert_eq!(eq(&a, &b)?.to_vec(), [0, 0]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`Error::NotBroadcastable`](crate::Error::NotBroadcastable) with both shapes.
pub fn eq(a: &QTensor, b: &QTensor) -> Result<Tensor<u8>> {
    float::eq(&dequantize(a)?, &dequantize(b)?)
}

/// `a ≠ b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn ne(a: &QTensor, b: &QTensor) -> Result<Tensor<u8>> {
    float::ne(&dequantize(a)?, &dequantize(b)?)
}

/// `a < b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn lt(a: &QTensor, b: &QTensor) -> Result<Tensor<u8>> {
    float::lt(&dequantize(a)?, &dequantize(b)?)
}

/// `a ≤ b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn le(a: &QTensor, b: &QTensor) -> Result<Tensor<u8>> {
    float::le(&dequantize(a)?, &dequantize(b)?)
}

/// `a > b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn gt(a: &QTensor, b: &QTensor) -> Result<Tensor<u8>> {
    float::gt(&dequantize(a)?, &dequantize(b)?)
}

/// `a ≥ b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn ge(a: &QTensor, b: &QTensor) -> Result<Tensor<u8>> {
    float::ge(&dequantize(a)?, &dequantize(b)?)
}

/// `x = c` for one number; see [`eq`].
///
/// # Errors
/// None beyond those of dequantizing.
pub fn eq_scalar(x: &QTensor, c: f32) -> Result<Tensor<u8>> {
    float::eq(&dequantize(x)?, &Tensor::scalar(c))
}

/// `x ≠ c` for one number; see [`eq`].
///
/// # Errors
/// None beyond those of dequantizing.
pub fn ne_scalar(x: &QTensor, c: f32) -> Result<Tensor<u8>> {
    float::ne(&dequantize(x)?, &Tensor::scalar(c))
}

/// `x < c` for one number; see [`eq`].
///
/// # Errors
/// None beyond those of dequantizing.
pub fn lt_scalar(x: &QTensor, c: f32) -> Result<Tensor<u8>> {
    float::lt(&dequantize(x)?, &Tensor::scalar(c))
}

/// `x ≤ c` for one number; see [`eq`].
///
/// # Errors
/// None beyond those of dequantizing.
pub fn le_scalar(x: &QTensor, c: f32) -> Result<Tensor<u8>> {
    float::le(&dequantize(x)?, &Tensor::scalar(c))
}

/// `x > c` for one number; see [`eq`].
///
/// # Errors
/// None beyond those of dequantizing.
pub fn gt_scalar(x: &QTensor, c: f32) -> Result<Tensor<u8>> {
    float::gt(&dequantize(x)?, &Tensor::scalar(c))
}

/// `x ≥ c` for one number; see [`eq`].
///
/// # Errors
/// None beyond those of dequantizing.
pub fn ge_scalar(x: &QTensor, c: f32) -> Result<Tensor<u8>> {
    float::ge(&dequantize(x)?, &Tensor::scalar(c))
}
