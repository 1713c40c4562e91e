//! Checks gradients against finite differences.
//!
//! With fixed pseudo-random weights `w`, `L = Σ w·f(x)` is a number. Its gradient by
//! [`Var::backward_with`] is compared, for every element `x_i`, with the central difference
//! `(L(x_i + h) − L(x_i − h)) / 2h`.
//!
//! Values are `f32`, so `h` cannot be tiny: rounding errors of the results are divided by it. For functions that
//! are linear in each single element (products, convolutions, sums) central differences are exact, and a
//! large `h` is best; for others the error also has a part in `h²`. Where a function has a kink, elements
//! must be farther from it than `h`.

use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::mode::no_grad;
use crate::value::Var;

/// The step, and how far gradient and finite difference may be apart:
/// `absolute + relative · |finite difference|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The step `h`.
    pub step: f32,
    /// The difference allowed everywhere.
    pub absolute: f64,
    /// The difference allowed in proportion.
    pub relative: f64,
}

impl Tolerance {
    /// For functions linear in each single element: step 0.25, 5e-5 absolute, 1e-5 relative.
    pub const LINEAR: Tolerance = Tolerance {
        step: 0.25,
        absolute: 5e-5,
        relative: 1e-5,
    };
    /// For other functions with values and third derivatives of about 1: step 5e-3, 5e-4 absolute, 1e-3
    /// relative.
    pub const SMOOTH: Tolerance = Tolerance {
        step: 5e-3,
        absolute: 5e-4,
        relative: 1e-3,
    };
}

/// Compares the gradients of `f` at `inputs` with finite differences, element by element.
///
/// ```
/// # use qgrad::{gradcheck::{Tolerance, gradcheck}, ops};
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, -2.0, 0.5], &[3])?;
/// let y = Tensor::from_vec(vec![2.0, 1.0, 1.5], &[3])?;
/// gradcheck(|v| ops::mul(&v[0], &v[1]), &[x.clone(), y.clone()], Tolerance::LINEAR)?;
/// gradcheck(|v| ops::div(&v[0], &v[1]), &[x, y], Tolerance::SMOOTH)?;
/// # Ok::<(), qgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::GradientMismatch`] for the element that exceeds its tolerance the most, and what `f` or backward
/// return.
pub fn gradcheck(
    f: impl Fn(&[Var]) -> Result<Var>,
    inputs: &[Tensor],
    tolerance: Tolerance,
) -> Result<()> {
    let parameters: Vec<Var> = inputs.iter().cloned().map(Var::parameter).collect();
    let output = f(&parameters)?;
    let weights = weights(output.shape())?;
    output.backward_with(&weights)?;
    let weights = weights.to_vec();

    let mut worst: Option<(f64, Error)> = None;
    for (input, parameter) in parameters.iter().enumerate() {
        let gradient = match parameter.grad() {
            Some(gradient) => gradient.to_vec(),
            None => vec![0.0; parameter.untraced().numel()],
        };
        for (element, &analytic) in gradient.iter().enumerate() {
            let analytic = f64::from(analytic);
            let numeric = difference(&f, inputs, [input, element], tolerance.step, &weights)?;
            let allowed = tolerance.absolute + tolerance.relative * numeric.abs();
            let off = (analytic - numeric).abs() / allowed;
            // NaN would compare as small.
            let excess = if off.is_nan() { f64::INFINITY } else { off };
            if excess > 1.0 && worst.as_ref().is_none_or(|(most, _)| excess > *most) {
                let error = Error::GradientMismatch {
                    input,
                    element,
                    analytic,
                    numeric,
                    tolerance: allowed,
                };
                worst = Some((excess, error));
            }
        }
    }
    worst.map_or(Ok(()), |(_, error)| Err(error))
}

/// The central difference of the weighted output with respect to one element of one input.
fn difference(
    f: impl Fn(&[Var]) -> Result<Var>,
    inputs: &[Tensor],
    [input, element]: [usize; 2],
    step: f32,
    weights: &[f32],
) -> Result<f64> {
    let moved = |by: f32| -> Result<(f32, Vec<f32>)> {
        let mut values = inputs[input].to_vec();
        values[element] += by;
        let at = values[element];
        let mut inputs: Vec<Var> = inputs.iter().cloned().map(Var::from).collect();
        inputs[input] = Var::from(Tensor::from_vec(values, inputs[input].shape())?);
        Ok((at, no_grad(|| f(&inputs))?.untraced().to_vec()))
    };
    let ((above, up), (below, down)) = (moved(step)?, moved(-step)?);
    // Differences are taken output by output: where nothing changed, nothing is lost to rounding.
    let change: f64 = up
        .iter()
        .zip(&down)
        .zip(weights)
        .map(|((&up, &down), &w)| (f64::from(up) - f64::from(down)) * f64::from(w))
        .sum();
    Ok(change / (f64::from(above) - f64::from(below)))
}

/// Reproducible weights in [0.5, 1.5) of alternating sign, so that no output is left out.
fn weights(shape: &[usize]) -> Result<Tensor> {
    let count = qtensor_core::checked_numel(shape)?;
    let weight = |i: usize| {
        // Multiples of the golden ratio, modulo 1, are spread evenly.
        let spread = (i as f32 * 0.618_034).fract() + 0.5;
        if i.is_multiple_of(2) { spread } else { -spread }
    };
    Ok(Tensor::from_vec((0..count).map(weight).collect(), shape)?)
}
