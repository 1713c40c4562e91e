//! Batch normalization with given statistics.

use qtensor_core::{MemoryFormat, Tensor};

use super::linear::check_rank;
use super::parallel;
use crate::error::{Error, Result};
use crate::spec::argument;

/// `y = (x − mean) / sqrt(var + eps) · gamma + beta` per channel (dimension 1), the form used in evaluation.
///
/// `x` is `[N, C, …]`, all parameters are `[C]`; an absent `gamma` is 1, an absent `beta` is 0. Computed
/// in `f32` as `x·α + (beta − mean·α)` with `α = gamma / sqrt(var + eps)`, as PyTorch does.
///
/// ```
/// # use qops::float::batch_norm;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], &[1, 2, 2])?;
/// let (mean, var) = (Tensor::from_vec(vec![1.0, 3.0], &[2])?, Tensor::from_vec(vec![1.0, 4.0], &[2])?);
/// let y = batch_norm(&x, &mean, &var, None, None, 0.0)?;
/// assert_eq!(y.to_vec(), [0.0, 1.0, 0.0, 0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Operands`] if a parameter does not have one value per channel, [`Error::Argument`] for a
/// negative or NaN `eps`, a rank error below rank 2.
pub fn batch_norm(
    x: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    const NAME: &str = "batch_norm";
    check_rank(NAME, x, 2, usize::MAX)?;
    check_parameters(NAME, x, &[Some(mean), Some(var), gamma, beta], eps)?;
    let channels = x.shape()[1];
    let gamma = gamma.map_or_else(|| vec![1.0; channels], Tensor::to_vec);
    let beta = beta.map_or_else(|| vec![0.0; channels], Tensor::to_vec);
    let (mean, var) = (mean.to_vec(), var.to_vec());
    let lines: Vec<(f32, f32)> = (0..channels)
        .map(|c| {
            let scale = gamma[c] * (1.0 / (var[c] + eps as f32).sqrt());
            (scale, beta[c] - mean[c] * scale)
        })
        .collect();
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    let plane: usize = x.shape()[2..].iter().product();
    // Rows of whole channels, so that small planes do not become small pieces of work.
    let image = channels * plane;
    Tensor::build(x.shape(), MemoryFormat::Contiguous, |out| {
        let work = out.len();
        parallel::chunks(out, image, work, |n, out| {
            let image = values[n * image..].chunks_exact(plane.max(1));
            let planes = out.chunks_exact_mut(plane.max(1)).zip(image);
            for ((out, x), &(scale, shift)) in planes.zip(&lines) {
                out.iter_mut()
                    .zip(x)
                    .for_each(|(o, &v)| *o = v * scale + shift);
            }
        });
        Ok(())
    })
}

/// Refuses an unusable `eps`, and parameters that do not have one value per channel of `x`.
pub(super) fn check_parameters(
    operation: &'static str,
    x: &Tensor,
    parameters: &[Option<&Tensor>],
    eps: f64,
) -> Result<()> {
    if !(eps >= 0.0 && eps.is_finite()) {
        return Err(argument(operation, "eps", "finite and not negative", eps));
    }
    for parameter in parameters.iter().flatten() {
        if parameter.shape() != &x.shape()[1..2] {
            return Err(Error::Operands {
                operation,
                what: "the number of channels",
                expected: x.shape()[1],
                actual: parameter.numel(),
                left: x.shape().to_vec(),
                right: parameter.shape().to_vec(),
            });
        }
    }
    Ok(())
}
