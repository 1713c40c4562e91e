//! Transposed convolution and its adjoints, by the functions of the convolution that it is the adjoint of.
//!
//! With an output padding of at least the stride (which a greater dilation allows), that convolution has more outputs
//! than there are inputs here. Those get zeros, [`extended`], and contribute nothing.

use std::borrow::Cow;

use qtensor_core::Tensor;

use super::conv_grad::{adjoint, conv_weight_gradient};
use super::geometry::{Geometry, three};
use super::linear::check_rank;
use super::pad::pad;
use crate::error::{Error, Result};
use crate::spec::{ConvTransposeSpec, argument};

const OPERATION: &str = "conv_transpose";

/// Transposed convolution in one, two or three spatial dimensions.
///
/// `y[n,o,q] = b[o] + Σ x[n,c,i] · w[c,o,k]` over the channels `c` of the group of `o` and all inputs `i` and kernel
/// positions `k` with `i·stride + k·dilation − padding = q`. Shapes: input `[N, C, …]`, weights `[C, O/groups, …]`,
/// bias `[O]`, output `[N, O, …]` with the lengths of [`ConvTransposeSpec::output`].
///
/// ```
/// # use qops::{ConvTransposeSpec, float::conv_transpose};
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0], &[1, 1, 2])?;
/// let w = Tensor::from_vec(vec![1.0, 10.0, 100.0], &[1, 1, 3])?;
/// let spec = ConvTransposeSpec::new(&[2], &[0], &[0], &[1], 1)?;
/// assert_eq!(conv_transpose(&x, &w, None, &spec)?.to_vec(), [1.0, 10.0, 102.0, 20.0, 200.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Operands`] if channels or the bias do not fit the weights, [`Error::Argument`] for groups that do not divide
/// the input channels, for a specification of another rank and as [`ConvTransposeSpec::output`], a rank error outside 3 to 5.
#[doc(alias = "conv_transpose1d")]
#[doc(alias = "conv_transpose2d")]
#[doc(alias = "conv_transpose3d")]
pub fn conv_transpose(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    spec: &ConvTransposeSpec,
) -> Result<Tensor> {
    let shape = output_shape(x.shape(), weight, x, spec)?;
    if let Some(bias) = bias
        && bias.shape() != [shape[1]]
    {
        return Err(Error::Operands {
            operation: OPERATION,
            what: "the number of output channels (weights: times groups)",
            expected: shape[1],
            actual: bias.numel(),
            left: weight.shape().to_vec(),
            right: bias.shape().to_vec(),
        });
    }
    let x = extended(x, spec)?;
    let y = Tensor::scalar(0.0).expand(&shape)?;
    let g = Geometry::new(&y, weight, &spec.adjoint())?;
    adjoint(&g, &x, weight, bias.map(Tensor::contiguous).as_ref())
}

/// The gradient of `conv_transpose(x, w, b, spec)` with respect to `x`, of shape `input_shape`, from that of its output:
/// `dx[n,c,i] = Σ dy[n,o,q] · w[c,o,k]`, an ordinary convolution.
///
/// # Errors
/// As [`conv_transpose`], and [`Error::Tensor`] if `grad` does not have the output's shape.
pub fn conv_transpose_input_gradient(
    grad: &Tensor,
    weight: &Tensor,
    input_shape: &[usize],
    spec: &ConvTransposeSpec,
) -> Result<Tensor> {
    let x = Tensor::scalar(0.0).expand(input_shape)?;
    check_grad(&output_shape(input_shape, weight, &x, spec)?, grad)?;
    let mut dx = super::conv(grad, weight, None, &spec.adjoint())?;
    for (dim, &length) in input_shape.iter().enumerate() {
        if dx.shape()[dim] != length {
            dx = dx.slice(dim, 0, length, 1)?;
        }
    }
    Ok(dx.contiguous())
}

/// The gradient of `conv_transpose(x, w, b, spec)` with respect to `w`, of shape `weight_shape`, from that of its output:
/// `dw[c,o,k] = Σ x[n,c,i] · dy[n,o,q]` over all images and all `i` and `q` with
/// `i·stride + k·dilation − padding = q`.
///
/// # Errors
/// As [`conv_transpose`], and [`Error::Tensor`] if `grad` does not have the output's shape.
pub fn conv_transpose_weight_gradient(
    grad: &Tensor,
    x: &Tensor,
    weight_shape: &[usize],
    spec: &ConvTransposeSpec,
) -> Result<Tensor> {
    let weight = Tensor::scalar(0.0).expand(weight_shape)?;
    check_grad(&output_shape(x.shape(), &weight, x, spec)?, grad)?;
    let x = extended(x, spec)?;
    conv_weight_gradient(&x, grad, weight_shape, &spec.adjoint())
}

/// The output's shape for an input of shape `input`; refuses what does not go together.
fn output_shape(
    input: &[usize],
    weight: &Tensor,
    x: &Tensor,
    spec: &ConvTransposeSpec,
) -> Result<Vec<usize>> {
    check_rank(OPERATION, x, 3, 5)?;
    check_rank("conv_transpose (weight)", weight, input.len(), input.len())?;
    let w = weight.shape();
    let spatial = input.len() - 2;
    spec.validate()?;
    spec.check_spatial(spatial)?;
    if w[0] != input[1] {
        return Err(Error::Operands {
            operation: OPERATION,
            what: "the number of input channels",
            expected: w[0],
            actual: input[1],
            left: w.to_vec(),
            right: input.to_vec(),
        });
    }
    if !w[0].is_multiple_of(spec.groups) {
        let expected = format!("a divisor of the {} input channels", w[0]);
        return Err(argument(OPERATION, "groups", expected, spec.groups));
    }
    let lengths = spec.output(three(&input[2..]), three(&w[2..]))?;
    let mut shape = vec![input[0], w[1].saturating_mul(spec.groups)];
    shape.extend(&lengths[3 - spatial..]);
    Ok(shape)
}

/// The input with zeros for the outputs that the adjoint convolution has beyond it.
fn extended<'a>(x: &'a Tensor, spec: &ConvTransposeSpec) -> Result<Cow<'a, Tensor>> {
    let more: [usize; 3] =
        std::array::from_fn(|axis| spec.output_padding[axis] / spec.stride[axis]);
    if more == [0; 3] {
        return Ok(Cow::Borrowed(x));
    }
    let mut padding = vec![(0, 0); x.rank()];
    for (pair, more) in padding.iter_mut().rev().zip(more.into_iter().rev()) {
        pair.1 = more;
    }
    Ok(Cow::Owned(pad(x, &padding, 0.0)?))
}

fn check_grad(expected: &[usize], grad: &Tensor) -> Result<()> {
    if grad.shape() == expected {
        return Ok(());
    }
    Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
        operation: OPERATION,
        expected: expected.to_vec(),
        actual: grad.shape().to_vec(),
    }))
}
