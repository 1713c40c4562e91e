//! Smooth activations: each rule holds the input, or the output where the derivative is a function of it.

use qops::float;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::value::Var;

/// An operation on one input, whose adjoint takes the gradient and what `keep` chose.
fn unary(
    name: &'static str,
    x: &Var,
    forward: fn(&Tensor) -> qops::Result<Tensor>,
    keep: Keep,
    backward: fn(&Tensor, &Tensor) -> qops::Result<Tensor>,
) -> Result<Var> {
    let y = forward(x.untraced())?;
    let kept = match keep {
        Keep::Input => x.untraced().clone(),
        Keep::Output => y.clone(),
    };
    Ok(Var::from_operation(name, &[x], y, move |grad, _| {
        Ok(vec![Some(backward(grad, &kept)?)])
    }))
}

/// What an adjoint needs besides the gradient.
enum Keep {
    Input,
    Output,
}

/// `y = min(max(x, 0), 6)`; the gradient at 0 and at 6 is 0. See [`float::relu6`].
///
/// # Errors
/// None at present.
pub fn relu6(x: &Var) -> Result<Var> {
    unary("relu6", x, float::relu6, Keep::Input, float::relu6_backward)
}

/// `y = x · min(max(x + 3, 0), 6) / 6`. See [`float::hardswish`].
///
/// # Errors
/// None at present.
pub fn hardswish(x: &Var) -> Result<Var> {
    let back = float::hardswish_backward;
    unary("hardswish", x, float::hardswish, Keep::Input, back)
}

/// `y = 1 / (1 + e⁻ˣ)`. See [`float::sigmoid`].
///
/// # Errors
/// None at present.
pub fn sigmoid(x: &Var) -> Result<Var> {
    let back = float::sigmoid_backward;
    unary("sigmoid", x, float::sigmoid, Keep::Output, back)
}

/// `y = tanh(x)`. See [`float::tanh`].
///
/// # Errors
/// None at present.
pub fn tanh(x: &Var) -> Result<Var> {
    unary("tanh", x, float::tanh, Keep::Output, float::tanh_backward)
}

/// `y = x · Φ(x)`, the exact form. See [`float::gelu`].
///
/// # Errors
/// None at present.
pub fn gelu(x: &Var) -> Result<Var> {
    unary("gelu", x, float::gelu, Keep::Input, float::gelu_backward)
}

/// `y = exp(x) / Σ exp(x)` along `dim`. See [`float::softmax`].
///
/// # Errors
/// A dimension that does not exist.
pub fn softmax(x: &Var, dim: usize) -> Result<Var> {
    let y = float::softmax(x.untraced(), dim)?;
    let kept = y.clone();
    Ok(Var::from_operation("softmax", &[x], y, move |grad, _| {
        Ok(vec![Some(float::softmax_backward(grad, &kept, dim)?)])
    }))
}

/// `y = x − ln Σ exp(x)` along `dim`. See [`float::log_softmax`].
///
/// # Errors
/// A dimension that does not exist.
pub fn log_softmax(x: &Var, dim: usize) -> Result<Var> {
    let y = float::log_softmax(x.untraced(), dim)?;
    let kept = y.clone();
    let rule = move |grad: &Tensor, _: &[bool]| {
        Ok(vec![Some(float::log_softmax_backward(grad, &kept, dim)?)])
    };
    Ok(Var::from_operation("log_softmax", &[x], y, rule))
}
