//! Variance and standard deviation over dimensions, accumulated in `f64`.

use qtensor_core::{MemoryFormat, Tensor};

use super::broadcast::sums_to;
use super::reduce::{kept_shape, mean, remaining};
use crate::error::Result;

/// `√(Σ (x − mean)² / (n − 1))` over `dims` (all if empty), `n` being how many elements each has; the divisor is `n`
/// unless `unbiased`.
///
/// The mean and the sum are in `f64` and the result is rounded once. That of no elements is NaN, as is the unbiased one of a single
/// element.
///
/// ```
/// # use qops::float::std;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 3.0, 2.0, 2.0], &[2, 2])?;
/// assert_eq!(std(&x, &[1], false, false)?.to_vec(), [1.0, 0.0]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// A dimension that does not exist, or comes twice ([`Error::Argument`](crate::Error::Argument)).
pub fn std(x: &Tensor, dims: &[usize], unbiased: bool, keep_dims: bool) -> Result<Tensor> {
    spread("std", x, dims, unbiased, keep_dims, f64::sqrt)
}

/// The square of [`std()`].
///
/// # Errors
/// As [`std()`].
pub fn var(x: &Tensor, dims: &[usize], unbiased: bool, keep_dims: bool) -> Result<Tensor> {
    spread("var", x, dims, unbiased, keep_dims, |v| v)
}

fn spread(
    operation: &'static str,
    x: &Tensor,
    dims: &[usize],
    unbiased: bool,
    keep_dims: bool,
    finish: impl Fn(f64) -> f64,
) -> Result<Tensor> {
    let kept = kept_shape(operation, x.shape(), dims)?;
    let whole = mean(x, dims, true)?;
    let count = (x.numel() / whole.numel().max(1)) as f64;
    // Deviations from the rounded mean lose no precision, and their own mean corrects for its rounding.
    let deviations = super::sub(x, &whole)?;
    let first = sums_to(&deviations, &kept);
    let squares = sums_to(&super::mul(&deviations, &deviations)?, &kept);
    let divisor = if unbiased { count - 1.0 } else { count };
    let shape = if keep_dims {
        kept
    } else {
        remaining(x.shape(), dims)
    };
    Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
        for ((o, sum), squares) in out.iter_mut().zip(first).zip(squares) {
            let around = (squares - sum * sum / count).max(0.0);
            *o = if divisor > 0.0 {
                finish(around / divisor) as f32
            } else {
                f32::NAN
            };
        }
        Ok(())
    })
}
