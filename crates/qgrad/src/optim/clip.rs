//! Gradient clipping: by the norm of all gradients together, or element by element.

use super::{ParameterSet, check, norm};
use crate::error::{Error, Result};

/// Scales all gradients by one factor so that their common Euclidean norm is at most `most`; returns the norm
/// before.
///
/// The factor is `most / (norm + 1e-6)` where that is below 1, as in PyTorch.
///
/// # Errors
/// [`Error::NoParameters`]; [`Error::NotFinite`] with the first parameter whose gradient holds NaN or an infinity;
/// [`Error::Argument`] unless `most` is positive. No gradient has changed then.
///
/// ```
/// # use qgrad::{Var, ops, optim::clip_grad_norm};
/// # use qtensor_core::Tensor;
/// let mut w = vec![Var::parameter(Tensor::from_vec(vec![3.0, 4.0], &[2])?)];
/// ops::sum(&ops::mul(&w[0], &w[0])?, &[], false)?.backward()?; // the gradient is [6, 8]
/// assert_eq!(clip_grad_norm(&mut w, 1.0)?, 10.0);
/// let clipped = w[0].grad().map(|g| g.to_vec()).unwrap_or_default();
/// assert!((clipped[0] - 0.6).abs() < 1e-5 && (clipped[1] - 0.8).abs() < 1e-5);
/// # Ok::<(), qgrad::Error>(())
/// ```
#[doc(alias = "clip_grad_norm_")]
pub fn clip_grad_norm(parameters: &mut dyn ParameterSet, most: f64) -> Result<f64> {
    const NAME: &str = "clip_grad_norm";
    check(NAME, "most", most, most > 0.0, "positive")?;
    let (mut count, mut squares) = (0usize, 0f64);
    let mut bad: Option<(String, f64)> = None;
    parameters.each(&mut |name, var| {
        count += usize::from(var.requires_grad());
        if let Some(grad) = var.grad() {
            let norm = norm(&grad);
            squares += norm * norm;
            if !norm.is_finite() && bad.is_none() {
                bad = Some((name.to_string(), norm));
            }
        }
    });
    if count == 0 {
        return Err(Error::NoParameters { operation: NAME });
    }
    if let Some((parameter, norm)) = bad {
        return Err(Error::NotFinite {
            operation: NAME,
            parameter,
            norm,
        });
    }
    let total = squares.sqrt();
    let factor = most / (total + 1e-6);
    if factor < 1.0 {
        map_grads(parameters, |g| g * factor as f32)?;
    }
    Ok(total)
}

/// Clamps every element of every gradient to `−most..=most`.
///
/// # Errors
/// [`Error::NoParameters`], and [`Error::Argument`] unless `most` is positive.
#[doc(alias = "clip_grad_value_")]
pub fn clip_grad_value(parameters: &mut dyn ParameterSet, most: f32) -> Result<()> {
    const NAME: &str = "clip_grad_value";
    check(NAME, "most", most.into(), most > 0.0, "positive")?;
    let mut count = 0usize;
    parameters.each(&mut |_, var| count += usize::from(var.requires_grad()));
    if count == 0 {
        return Err(Error::NoParameters { operation: NAME });
    }
    map_grads(parameters, |g| g.clamp(-most, most))
}

fn map_grads(parameters: &mut dyn ParameterSet, f: impl Fn(f32) -> f32) -> Result<()> {
    let mut result = Ok(());
    parameters.each(&mut |_, var| {
        if let (Some(grad), true) = (var.grad(), result.is_ok()) {
            result = var.set_grad(grad.map(&f));
        }
    });
    result
}
