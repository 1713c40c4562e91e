//! Comparisons, element by element: 1 where they hold, else 0. Such masks go into
//! [`Tensor::masked_fill`](qtensor_core::Tensor::masked_fill) and [`Index::Mask`](qtensor_core::Index::Mask).

use qtensor_core::Tensor;

use super::broadcast::broadcast_shape;
use crate::error::Result;

/// `a = b`, broadcasting. NaN equals nothing.
///
/// ```
/// # use qops::float::eq;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 1.0], &[3])?;
/// assert_eq!(eq(&x, &Tensor::scalar(1.0))?.to_vec(), [1, 0, 1]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`Error::NotBroadcastable`](crate::Error::NotBroadcastable) with both shapes.
pub fn eq(a: &Tensor, b: &Tensor) -> Result<Tensor<u8>> {
    compared("eq", a, b, |a, b| a == b)
}

/// `a ≠ b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn ne(a: &Tensor, b: &Tensor) -> Result<Tensor<u8>> {
    compared("ne", a, b, |a, b| a != b)
}

/// `a < b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn lt(a: &Tensor, b: &Tensor) -> Result<Tensor<u8>> {
    compared("lt", a, b, |a, b| a < b)
}

/// `a ≤ b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn le(a: &Tensor, b: &Tensor) -> Result<Tensor<u8>> {
    compared("le", a, b, |a, b| a <= b)
}

/// `a > b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn gt(a: &Tensor, b: &Tensor) -> Result<Tensor<u8>> {
    compared("gt", a, b, |a, b| a > b)
}

/// `a ≥ b`; see [`eq`].
///
/// # Errors
/// As [`eq`].
pub fn ge(a: &Tensor, b: &Tensor) -> Result<Tensor<u8>> {
    compared("ge", a, b, |a, b| a >= b)
}

fn compared(
    operation: &'static str,
    a: &Tensor,
    b: &Tensor,
    holds: impl Fn(f32, f32) -> bool,
) -> Result<Tensor<u8>> {
    let shape = broadcast_shape(operation, a.shape(), b.shape())?;
    let (a, b) = (a.expand(&shape)?.to_vec(), b.expand(&shape)?.to_vec());
    let marks = a.into_iter().zip(b).map(|(a, b)| u8::from(holds(a, b)));
    Ok(Tensor::from_vec(marks.collect(), &shape)?)
}
