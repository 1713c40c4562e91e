//! Layer normalization over the trailing dimensions, and its adjoint.

use qkernels_x86::{Context, layer_norm_f32};
use qtensor_core::{MemoryFormat, Tensor};

use crate::error::{Error, Result};
use crate::spec::argument;

/// `y = (x − mean) / √(var + eps) · gamma + beta` over the trailing dimensions `normalized`, with the mean and
/// the biased variance of each row.
///
/// `x` is `[…, normalized…]`, both parameters have the shape `normalized`; an absent `gamma` is 1, an absent
/// `beta` 0.
///
/// ```
/// # use qops::float::layer_norm;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 3.0, 10.0, 14.0], &[2, 2])?;
/// assert_eq!(layer_norm(&x, &[2], None, None, 0.0)?.to_vec(), [-1.0, 1.0, -1.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Tensor`] if `x` does not end in `normalized` or a parameter has another shape,
/// [`Error::Argument`] without trailing dimensions and for a negative or NaN `eps`.
pub fn layer_norm(
    x: &Tensor,
    normalized: &[usize],
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    const NAME: &str = "layer_norm";
    let len = check(NAME, x, normalized, &[gamma, beta], eps)?;
    if x.numel() == 0 {
        return Ok(x.contiguous());
    }
    let gamma = gamma.map_or_else(|| vec![1.0; len], Tensor::to_vec);
    let beta = beta.map_or_else(|| vec![0.0; len], Tensor::to_vec);
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    Tensor::build(x.shape(), MemoryFormat::Contiguous, |out| {
        let context = Context::new()?;
        layer_norm_f32(&context, values, &gamma, &beta, eps as f32, out)?;
        Ok(())
    })
}

/// The adjoint of [`layer_norm`]: the gradients of `x`, `gamma` and `beta` from that of `y`.
///
/// With `x̂` the normalized row of `n` values, `g = dy · γ` and `r = 1 / √(var + eps)`:
/// `dx = r · (g − Σ g / n − x̂ · Σ g·x̂ / n)`, `dγ = Σ dy · x̂` and `dβ = Σ dy` over the rows.
///
/// # Errors
/// As [`layer_norm`], and [`Error::Tensor`] if `grad` does not have the shape of `x`.
pub fn layer_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    normalized: &[usize],
    gamma: Option<&Tensor>,
    eps: f64,
) -> Result<[Tensor; 3]> {
    const NAME: &str = "layer_norm_backward";
    let len = check(NAME, x, normalized, &[gamma], eps)?;
    if grad.shape() != x.shape() {
        return Err(mismatch(NAME, x.shape(), grad.shape()));
    }
    let gamma = gamma.map_or_else(|| vec![1.0; len], Tensor::to_vec);
    let (x, grad) = (x.contiguous(), grad.contiguous());
    let values = x.as_slice().unwrap_or_default();
    let grads = grad.as_slice().unwrap_or_default();
    let (mut dgamma, mut dbeta) = (vec![0f64; len], vec![0f64; len]);
    let dx = Tensor::build(x.shape(), MemoryFormat::Contiguous, |out| {
        for (row, out) in out.chunks_mut(len.max(1)).enumerate() {
            let (x, dy) = (&values[row * len..][..len], &grads[row * len..][..len]);
            let (mean, inverse) = statistics(x, eps);
            let standard = |i: usize| (f64::from(x[i]) - mean) * inverse;
            let (mut sum, mut dot) = (0f64, 0f64);
            for i in 0..len {
                let (dy, standard) = (f64::from(dy[i]), standard(i));
                dgamma[i] += dy * standard;
                dbeta[i] += dy;
                let g = dy * f64::from(gamma[i]);
                sum += g;
                dot += g * standard;
            }
            let n = len as f64;
            for (i, o) in out.iter_mut().enumerate() {
                let g = f64::from(dy[i]) * f64::from(gamma[i]);
                *o = (inverse * (g - sum / n - standard(i) * dot / n)) as f32;
            }
        }
        Ok::<(), Error>(())
    })?;
    let vector =
        |sums: Vec<f64>| Tensor::from_vec(sums.into_iter().map(|s| s as f32).collect(), normalized);
    Ok([dx, vector(dgamma)?, vector(dbeta)?])
}

/// Mean and `1 / √(var + eps)` of a row.
fn statistics(row: &[f32], eps: f64) -> (f64, f64) {
    let n = row.len() as f64;
    let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let squares: f64 = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    (mean, 1.0 / (squares / n + eps).sqrt())
}

/// The number of elements of a row.
fn check(
    operation: &'static str,
    x: &Tensor,
    normalized: &[usize],
    parameters: &[Option<&Tensor>],
    eps: f64,
) -> Result<usize> {
    if normalized.is_empty() {
        let expected = "at least one dimension";
        return Err(argument(operation, "normalized", expected, "none"));
    }
    if !x.shape().ends_with(normalized) {
        return Err(mismatch(operation, normalized, x.shape()));
    }
    if !(eps >= 0.0 && eps.is_finite()) {
        return Err(argument(operation, "eps", "finite and not negative", eps));
    }
    match parameters
        .iter()
        .flatten()
        .find(|p| p.shape() != normalized)
    {
        Some(parameter) => Err(mismatch(operation, normalized, parameter.shape())),
        None => Ok(normalized.iter().product()),
    }
}

fn mismatch(operation: &'static str, expected: &[usize], actual: &[usize]) -> Error {
    qtensor_core::Error::ShapeMismatch {
        operation,
        expected: expected.to_vec(),
        actual: actual.to_vec(),
    }
    .into()
}
