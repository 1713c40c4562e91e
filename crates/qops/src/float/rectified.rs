//! Activations that treat numbers above and below a bound apart.
//!
//! Exponentials are evaluated in `f64` and rounded once, so that they are the same numbers on every platform.

use qtensor_core::Tensor;

use super::elementwise::unary;
use crate::error::{Error, Result};
use crate::spec::argument;

/// `x` where it is positive, else `negative_slope · x`.
///
/// # Errors
/// [`Error::Argument`] unless `negative_slope` is finite.
pub fn leaky_relu(x: &Tensor, negative_slope: f32) -> Result<Tensor> {
    let slope = finite("leaky_relu", "negative_slope", negative_slope)?;
    unary(x, move |x| if x > 0.0 { x } else { x * slope })
}

/// `x` where it is positive, else `weight · x`, with one weight for all or one for each channel (dimension 1).
///
/// ```
/// # use qops::float::prelu;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![-4.0, -4.0, 3.0, 3.0], &[2, 2])?;
/// let weight = Tensor::from_vec(vec![0.25, 0.5], &[2])?;
/// assert_eq!(prelu(&x, &weight)?.to_vec(), [-1.0, -2.0, 3.0, 3.0]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`Rank`](qtensor_core::Error::Rank) if `x` has no dimension or `weight` more than one; [`Error::Length`] for another number
/// of weights.
pub fn prelu(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let operation = "prelu";
    for (fits, expected, shape) in [
        (x.rank() > 0, "at least 1", x.shape()),
        (weight.rank() <= 1, "0 or 1 (the weights)", weight.shape()),
    ] {
        if !fits {
            return Err(Error::Tensor(qtensor_core::Error::Rank {
                operation,
                expected: expected.into(),
                actual: shape.len(),
                shape: shape.to_vec(),
            }));
        }
    }
    if weight.numel() == 1 {
        let slope = weight.item()?;
        return unary(x, move |x| if x > 0.0 { x } else { x * slope });
    }
    let channels = x.shape().get(1).copied().unwrap_or(1);
    if weight.numel() != channels {
        return Err(Error::Length {
            operation,
            what: "the number of weights (or 1)",
            expected: channels,
            actual: weight.numel(),
        });
    }
    let mut shape = vec![1; x.rank()];
    if let Some(axis) = shape.get_mut(1) {
        *axis = channels;
    }
    let slopes = weight.reshape(&shape)?;
    super::elementwise::binary(
        operation,
        x,
        &slopes,
        |x, slope| {
            if x > 0.0 { x } else { x * slope }
        },
    )
}

/// `x` where it is positive, else `alpha · (exp(x) − 1)`.
///
/// # Errors
/// [`Error::Argument`] unless `alpha` is finite.
pub fn elu(x: &Tensor, alpha: f32) -> Result<Tensor> {
    let alpha = f64::from(finite("elu", "alpha", alpha)?);
    unary(x, move |x| {
        if x > 0.0 {
            return x;
        }
        (alpha * libm::expm1(f64::from(x))) as f32
    })
}

/// `x` where it is positive, else `alpha · (exp(x / alpha) − 1)`.
///
/// # Errors
/// [`Error::Argument`] unless `alpha` is finite and positive.
pub fn celu(x: &Tensor, alpha: f32) -> Result<Tensor> {
    if !(alpha.is_finite() && alpha > 0.0) {
        return Err(argument("celu", "alpha", "finite and positive", alpha));
    }
    let alpha = f64::from(alpha);
    unary(x, move |x| {
        if x > 0.0 {
            return x;
        }
        (alpha * libm::expm1(f64::from(x) / alpha)) as f32
    })
}

/// `x` where it exceeds `threshold`, else `value`. NaN stays NaN.
///
/// # Errors
/// [`Error::Argument`] if `threshold` or `value` is NaN.
pub fn threshold(x: &Tensor, threshold: f32, value: f32) -> Result<Tensor> {
    for (name, number) in [("threshold", threshold), ("value", value)] {
        if number.is_nan() {
            return Err(argument("threshold", name, "a number", number));
        }
    }
    unary(x, move |x| if x <= threshold { value } else { x })
}

/// `min(max(x + 3, 0), 6) / 6`. NaN stays NaN.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn hardsigmoid(x: &Tensor) -> Result<Tensor> {
    unary(x, |x| (x + 3.0).clamp(0.0, 6.0) / 6.0)
}

fn finite(operation: &'static str, name: &'static str, number: f32) -> Result<f32> {
    if number.is_finite() {
        return Ok(number);
    }
    Err(argument(operation, name, "finite", number))
}
