//! Arithmetic with broadcasting, and activations.
//!
//! Broadcasting repeats elements, so each gradient is summed back to the shape of its operand.

use qops::float::{self, sum_to};

use super::when;
use crate::error::Result;
use crate::value::Var;

/// `y = a + b`, broadcasting. See [`float::add`].
///
/// # Errors
/// Shapes that do not broadcast.
pub fn add(a: &Var, b: &Var) -> Result<Var> {
    let y = float::add(a.untraced(), b.untraced())?;
    let (left, right) = (a.shape().to_vec(), b.shape().to_vec());
    Ok(Var::from_operation(
        "add",
        &[a, b],
        y,
        move |grad, needed| {
            Ok(vec![
                when(needed[0], || sum_to(grad, &left))?,
                when(needed[1], || sum_to(grad, &right))?,
            ])
        },
    ))
}

/// `y = a − b`, broadcasting. See [`float::sub`].
///
/// # Errors
/// Shapes that do not broadcast.
pub fn sub(a: &Var, b: &Var) -> Result<Var> {
    let y = float::sub(a.untraced(), b.untraced())?;
    let (left, right) = (a.shape().to_vec(), b.shape().to_vec());
    Ok(Var::from_operation(
        "sub",
        &[a, b],
        y,
        move |grad, needed| {
            Ok(vec![
                when(needed[0], || sum_to(grad, &left))?,
                when(needed[1], || {
                    float::mul_scalar(&sum_to(grad, &right)?, -1.0)
                })?,
            ])
        },
    ))
}

/// `y = a · b`, broadcasting. See [`float::mul`].
///
/// # Errors
/// Shapes that do not broadcast.
pub fn mul(a: &Var, b: &Var) -> Result<Var> {
    let (left, right) = (a.untraced().clone(), b.untraced().clone());
    let y = float::mul(&left, &right)?;
    Ok(Var::from_operation(
        "mul",
        &[a, b],
        y,
        move |grad, needed| {
            Ok(vec![
                when(needed[0], || {
                    sum_to(&float::mul(grad, &right)?, left.shape())
                })?,
                when(needed[1], || {
                    sum_to(&float::mul(grad, &left)?, right.shape())
                })?,
            ])
        },
    ))
}

/// `y = a / b`, broadcasting. See [`float::div`].
///
/// # Errors
/// Shapes that do not broadcast.
pub fn div(a: &Var, b: &Var) -> Result<Var> {
    let (left, right) = (a.untraced().clone(), b.untraced().clone());
    let y = float::div(&left, &right)?;
    let quotient = y.clone();
    Ok(Var::from_operation(
        "div",
        &[a, b],
        y,
        move |grad, needed| {
            // ∂/∂a = 1/b and ∂/∂b = −a/b² = −y/b.
            let by_left = float::div(grad, &right)?;
            let by_right = when(needed[1], || {
                let product = float::mul(&by_left, &quotient)?;
                float::mul_scalar(&sum_to(&product, right.shape())?, -1.0)
            })?;
            Ok(vec![
                when(needed[0], || sum_to(&by_left, left.shape()))?,
                by_right,
            ])
        },
    ))
}

/// `y = x + c`. See [`float::add_scalar`].
///
/// # Errors
/// None at present.
pub fn add_scalar(x: &Var, c: f32) -> Result<Var> {
    let y = float::add_scalar(x.untraced(), c)?;
    Ok(Var::from_operation("add_scalar", &[x], y, |grad, _| {
        Ok(vec![Some(grad.clone())])
    }))
}

/// `y = x · c`. See [`float::mul_scalar`].
///
/// # Errors
/// None at present.
pub fn mul_scalar(x: &Var, c: f32) -> Result<Var> {
    let y = float::mul_scalar(x.untraced(), c)?;
    Ok(Var::from_operation(
        "mul_scalar",
        &[x],
        y,
        move |grad, _| Ok(vec![Some(float::mul_scalar(grad, c)?)]),
    ))
}

/// `y = max(x, 0)`; the gradient at 0 is 0. See [`float::relu`].
///
/// # Errors
/// None at present.
pub fn relu(x: &Var) -> Result<Var> {
    let input = x.untraced().clone();
    let y = float::relu(&input)?;
    Ok(Var::from_operation("relu", &[x], y, move |grad, _| {
        Ok(vec![Some(float::relu_backward(grad, &input)?)])
    }))
}

/// `y = min(max(x, lo), hi)`; the gradient at the bounds is passed. See [`float::clamp`].
///
/// # Errors
/// A bound that is NaN, or `lo` above `hi`.
#[doc(alias = "hardtanh")]
pub fn clamp(x: &Var, lo: f32, hi: f32) -> Result<Var> {
    let input = x.untraced().clone();
    let y = float::clamp(&input, lo, hi)?;
    Ok(Var::from_operation("clamp", &[x], y, move |grad, _| {
        Ok(vec![Some(float::clamp_backward(grad, &input, lo, hi)?)])
    }))
}
