//! Smooth activations and their adjoints, which take what each needs: the input, or the output where the
//! derivative is a function of it.

use qkernels_x86::{Context, Curve, curve_f32};
use qtensor_core::{MemoryFormat, Tensor};

use super::elementwise::{paired, unary};
use crate::error::Result;

/// `1 / √2`.
const INVERSE_ROOT: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// `y = min(max(x, 0), 6)`. NaN stays NaN.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn relu6(x: &Tensor) -> Result<Tensor> {
    super::clamp(x, 0.0, 6.0)
}

/// The adjoint of [`relu6`]: `dx = dy` where `0 < x < 6`, else 0. (That of [`clamp`](super::clamp) passes
/// the bounds themselves, as PyTorch's does.)
///
/// # Errors
/// [`Error::NotBroadcastable`](crate::Error::NotBroadcastable) if the shapes differ.
pub fn relu6_backward(grad: &Tensor, x: &Tensor) -> Result<Tensor> {
    let pass = |g: f32, x: f32| if x > 0.0 && x < 6.0 { g } else { 0.0 };
    paired("relu6_backward", grad, x, pass)
}

/// `y = x · min(max(x + 3, 0), 6) / 6`.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn hardswish(x: &Tensor) -> Result<Tensor> {
    unary(x, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)
}

/// The adjoint of [`hardswish`]: `dx = dy · (0 below −3, x / 3 + 1 / 2 up to 3, 1 above)`.
///
/// # Errors
/// [`Error::NotBroadcastable`](crate::Error::NotBroadcastable) if the shapes differ.
pub fn hardswish_backward(grad: &Tensor, x: &Tensor) -> Result<Tensor> {
    paired("hardswish_backward", grad, x, |g, x| {
        if x < -3.0 {
            0.0
        } else if x <= 3.0 {
            g * (x / 3.0 + 0.5)
        } else {
            g
        }
    })
}

/// `y = 1 / (1 + e⁻ˣ)`.
///
/// ```
/// # use qops::float::sigmoid;
/// # use qtensor_core::Tensor;
/// assert_eq!(sigmoid(&Tensor::zeros(&[2])?)?.to_vec(), [0.5, 0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    curve(Curve::Sigmoid, x)
}

/// The adjoint of [`sigmoid`] from its output: `dx = dy · y · (1 − y)`.
///
/// # Errors
/// [`Error::NotBroadcastable`](crate::Error::NotBroadcastable) if the shapes differ.
pub fn sigmoid_backward(grad: &Tensor, y: &Tensor) -> Result<Tensor> {
    paired("sigmoid_backward", grad, y, |g, y| g * (y * (1.0 - y)))
}

/// `y = tanh(x)`.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    curve(Curve::Tanh, x)
}

/// The adjoint of [`tanh`] from its output: `dx = dy · (1 − y²)`.
///
/// # Errors
/// [`Error::NotBroadcastable`](crate::Error::NotBroadcastable) if the shapes differ.
pub fn tanh_backward(grad: &Tensor, y: &Tensor) -> Result<Tensor> {
    paired("tanh_backward", grad, y, |g, y| g * (1.0 - y * y))
}

/// `y = x · Φ(x)`, `Φ` being the distribution function of the standard normal: the exact form, with `erf`.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    curve(Curve::Gelu, x)
}

/// `y = x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2`, an approximation of [`gelu`].
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    curve(Curve::GeluTanh, x)
}

/// A function of each element, with the kernels' fixed formulas.
fn curve(curve: Curve, x: &Tensor) -> Result<Tensor> {
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    Tensor::build(x.shape(), MemoryFormat::Contiguous, |out| {
        Ok(curve_f32(&Context::new()?, curve, values, out)?)
    })
}

/// The adjoint of [`gelu`]: `dx = dy · (Φ(x) + x · φ(x))` with the density `φ`.
///
/// # Errors
/// [`Error::NotBroadcastable`](crate::Error::NotBroadcastable) if the shapes differ.
pub fn gelu_backward(grad: &Tensor, x: &Tensor) -> Result<Tensor> {
    // 1 / √(2π)
    const DENSITY: f32 = 0.398_942_3;
    paired("gelu_backward", grad, x, |g, x| {
        let below = 0.5 * (1.0 + libm::erff(x * INVERSE_ROOT));
        g * (below + x * DENSITY * libm::expf(-0.5 * x * x))
    })
}
