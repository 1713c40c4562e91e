//! Sums and means over dimensions, accumulated in `f64`.

use qtensor_core::{MemoryFormat, Tensor};

use super::broadcast::sums_to;
use crate::error::{Error, Result};

/// `y = Σ x` over `dims`, or over all dimensions if `dims` is empty.
///
/// The summed dimensions have length 1 in the result with `keep_dims`, and are gone without. The sum
/// is accumulated in `f64` and rounded once; that of no elements is 0.
///
/// ```
/// # use qops::float::sum;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
/// assert_eq!(sum(&x, &[1], false)?.to_vec(), [6.0, 15.0]);
/// assert_eq!(sum(&x, &[], false)?.item()?, 21.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A dimension that does not exist, or comes twice ([`Error::Argument`]).
pub fn sum(x: &Tensor, dims: &[usize], keep_dims: bool) -> Result<Tensor> {
    reduced("sum", x, dims, keep_dims, |_| 1.0)
}

/// `y = Σ x / n` over `dims` (all if empty), `n` being how many elements each sum has.
///
/// As [`sum`]; the mean of no elements is NaN.
///
/// # Errors
/// As [`sum`].
pub fn mean(x: &Tensor, dims: &[usize], keep_dims: bool) -> Result<Tensor> {
    reduced("mean", x, dims, keep_dims, |n| n as f64)
}

fn reduced(
    operation: &'static str,
    x: &Tensor,
    dims: &[usize],
    keep_dims: bool,
    divisor: impl Fn(usize) -> f64,
) -> Result<Tensor> {
    let kept = kept_shape(operation, x.shape(), dims)?;
    let sums = sums_to(x, &kept);
    let shape = if keep_dims {
        kept
    } else {
        remaining(x.shape(), dims)
    };
    let summed = |dim: &usize| dims.is_empty() || dims.contains(dim);
    let each = (0..x.rank())
        .filter(summed)
        .map(|dim| x.shape()[dim])
        .product();
    let divisor = divisor(each);
    Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
        for (o, sum) in out.iter_mut().zip(sums) {
            *o = (sum / divisor) as f32;
        }
        Ok(())
    })
}

/// The shape with 1 at the summed dimensions.
pub(super) fn kept_shape(
    operation: &'static str,
    shape: &[usize],
    dims: &[usize],
) -> Result<Vec<usize>> {
    let mut kept = shape.to_vec();
    if dims.is_empty() {
        kept.fill(1);
    }
    for (i, &dim) in dims.iter().enumerate() {
        if dim >= shape.len() {
            return Err(qtensor_core::Error::NoSuchDim {
                operation,
                dim,
                rank: shape.len(),
                shape: shape.to_vec(),
            }
            .into());
        }
        if dims[..i].contains(&dim) {
            return Err(Error::Argument {
                operation,
                argument: "dims",
                expected: "each dimension once".to_owned(),
                actual: format!("{dims:?}"),
            });
        }
        kept[dim] = 1;
    }
    Ok(kept)
}

pub(super) fn remaining(shape: &[usize], dims: &[usize]) -> Vec<usize> {
    if dims.is_empty() {
        return Vec::new();
    }
    let left = (0..shape.len()).filter(|dim| !dims.contains(dim));
    left.map(|dim| shape[dim]).collect()
}

/// The sum of a slice in `f64`, in eight interleaved partial sums that the compiler can vectorize.
pub(super) fn sum_slice(values: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let whole = values.chunks_exact(8);
    let rest: f64 = whole.remainder().iter().map(|&v| f64::from(v)).sum();
    for chunk in whole {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(v);
        }
    }
    lanes.iter().sum::<f64>() + rest
}
