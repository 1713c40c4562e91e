//! Images in another size.

use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::resampling::{Interpolation, ResizeTo, adjoint, axes, bilinear};

/// Images `[N, C, …]` in another size; formulas at [`Interpolation`] and [`ResizeTo`].
///
/// ```
/// # use qops::{Interpolation, ResizeTo, float::interpolate};
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], &[1, 1, 2, 2])?;
/// let y = interpolate(&x, ResizeTo::Factor(&[1.0, 2.0]), Interpolation::Nearest)?;
/// assert_eq!(y.to_vec(), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
/// let y = interpolate(&x, ResizeTo::Size(&[1, 3]), Interpolation::Bilinear { align_corners: true })?;
/// assert_eq!(y.to_vec(), [1.0, 1.5, 2.0]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`Rank`](qtensor_core::Error::Rank); [`Error::Length`](crate::Error::Length) for another number of sizes than spatial dimensions;
/// [`Error::Argument`](crate::Error::Argument) for lengths of 0 and for factors that are not positive;
/// [`TooLarge`](qtensor_core::Error::TooLarge).
#[doc(alias = "upsample")]
pub fn interpolate(x: &Tensor, to: ResizeTo<'_>, mode: Interpolation) -> Result<Tensor> {
    let axes = axes(x.shape(), to, mode)?;
    let Interpolation::Bilinear { align_corners } = mode else {
        let dims = axes.iter().enumerate();
        let y = dims.map(|(at, axis)| (at + 2, axis.nearest()));
        return Ok(y
            .into_iter()
            .try_fold(x.clone(), |x, (dim, indices)| x.index_select(dim, &indices))?);
    };
    let mut values = Vec::new();
    bilinear(&x.to_vec(), [&axes[0], &axes[1]], align_corners, |value| {
        values.push(value)
    });
    let (n, c) = (x.shape()[0], x.shape()[1]);
    Ok(Tensor::from_vec(
        values,
        &[n, c, axes[0].output, axes[1].output],
    )?)
}

/// The adjoint of [`interpolate`] for an input of shape `shape`: `dx[j] = Σ_i w_ij · dy[i]`, where the result `i` was
/// `Σ_j w_ij · x[j]`.
///
/// # Errors
/// As [`interpolate`], and [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) for a gradient of another shape than the result.
pub fn interpolate_backward(
    grad: &Tensor,
    shape: &[usize],
    to: ResizeTo<'_>,
    mode: Interpolation,
) -> Result<Tensor> {
    let axes = axes(shape, to, mode)?;
    let result = axes.iter().map(|axis| axis.output);
    let result: Vec<usize> = shape[..2].iter().copied().chain(result).collect();
    if grad.shape() != result {
        return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation: "interpolate_backward",
            expected: result,
            actual: grad.shape().to_vec(),
        }));
    }
    let planes = shape[0] * shape[1];
    Ok(Tensor::from_vec(
        adjoint(grad.to_vec(), planes, &axes, mode),
        shape,
    )?)
}
