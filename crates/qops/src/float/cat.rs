//! Joining tensors along a dimension, one they have or a new one.

use qtensor_core::Tensor;

use crate::error::Result;
use crate::joined;

/// Joins tensors along `dim`; all other dimensions must agree.
///
/// ```
/// # use qops::float::cat;
/// # use qtensor_core::Tensor;
/// let (a, b) = (Tensor::ones(&[2, 1])?, Tensor::zeros(&[2, 2])?);
/// assert_eq!(cat(&[&a, &b], 1)?.to_vec(), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) for no tensors, [`Error::Operands`](crate::Error::Operands) if another dimension
/// differs, a dimension that does not exist, ranks that differ.
#[doc(alias = "concat")]
pub fn cat(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
    joined::cat("cat", tensors, dim)
}

/// Puts tensors of one shape side by side along a new dimension before `dim`.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) for no tensors; [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch);
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim) if `dim` exceeds the rank.
pub fn stack(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
    let shapes: Vec<&[usize]> = tensors.iter().map(|t| t.shape()).collect();
    joined::check_stack("stack", &shapes, dim)?;
    let wide = tensors.iter().map(|t| t.unsqueeze(dim));
    let wide: Vec<Tensor> = wide.collect::<qtensor_core::Result<_>>()?;
    joined::cat("stack", &wide.iter().collect::<Vec<_>>(), dim)
}
