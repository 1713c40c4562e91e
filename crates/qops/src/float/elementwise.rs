//! Element by element: arithmetic with broadcasting, activations and their adjoints.

use qtensor_core::{MemoryFormat, Tensor};

use super::broadcast::{Walk, broadcast_shape};
use super::parallel;
use crate::error::{Error, Result};
use crate::spec::argument;

/// `y = a + b`, broadcasting.
///
/// ```
/// # use qops::float::add;
/// # use qtensor_core::Tensor;
/// let rows = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], &[2, 2])?;
/// let bias = Tensor::from_vec(vec![10.0, 20.0], &[2])?;
/// assert_eq!(add(&rows, &bias)?.to_vec(), [11.0, 22.0, 13.0, 24.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotBroadcastable`] with both shapes.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary("add", a, b, |a, b| a + b)
}

/// `y = a − b`, broadcasting.
///
/// # Errors
/// [`Error::NotBroadcastable`] with both shapes.
pub fn sub(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary("sub", a, b, |a, b| a - b)
}

/// `y = a · b`, broadcasting.
///
/// # Errors
/// [`Error::NotBroadcastable`] with both shapes.
pub fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary("mul", a, b, |a, b| a * b)
}

/// `y = a / b`, broadcasting. A division by 0 gives infinity or NaN, as IEEE 754 says.
///
/// # Errors
/// [`Error::NotBroadcastable`] with both shapes.
pub fn div(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    binary("div", a, b, |a, b| a / b)
}

/// `y = x + c`.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn add_scalar(x: &Tensor, c: f32) -> Result<Tensor> {
    unary(x, move |x| x + c)
}

/// `y = x · c`.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn mul_scalar(x: &Tensor, c: f32) -> Result<Tensor> {
    unary(x, move |x| x * c)
}

/// `y = max(x, 0)`. NaN stays NaN.
///
/// # Errors
/// None at present; a `Result` as all operations return one.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    unary(x, |x| if x < 0.0 { 0.0 } else { x })
}

/// The adjoint of [`relu`]: `dx = dy` where `x > 0`, else 0.
///
/// # Errors
/// [`Error::NotBroadcastable`] if the shapes differ.
pub fn relu_backward(grad: &Tensor, x: &Tensor) -> Result<Tensor> {
    paired(
        "relu_backward",
        grad,
        x,
        |g, x| if x > 0.0 { g } else { 0.0 },
    )
}

/// `y = min(max(x, lo), hi)`. NaN stays NaN; an infinite bound bounds nothing.
///
/// # Errors
/// [`Error::Argument`] if a bound is NaN or `lo` exceeds `hi`.
#[doc(alias = "hardtanh")]
pub fn clamp(x: &Tensor, lo: f32, hi: f32) -> Result<Tensor> {
    check_bounds("clamp", lo, hi)?;
    unary(x, move |x| {
        let raised = if x < lo { lo } else { x };
        if raised > hi { hi } else { raised }
    })
}

/// The adjoint of [`clamp`]: `dx = dy` where `lo ≤ x ≤ hi`, else 0.
///
/// # Errors
/// [`Error::Argument`] as [`clamp`], [`Error::NotBroadcastable`] if the shapes differ.
pub fn clamp_backward(grad: &Tensor, x: &Tensor, lo: f32, hi: f32) -> Result<Tensor> {
    check_bounds("clamp_backward", lo, hi)?;
    paired("clamp_backward", grad, x, move |g, x| {
        if x >= lo && x <= hi { g } else { 0.0 }
    })
}

fn check_bounds(operation: &'static str, lo: f32, hi: f32) -> Result<()> {
    if lo <= hi {
        return Ok(());
    }
    Err(argument(
        operation,
        "bounds",
        "numbers with lo <= hi",
        format!("lo {lo}, hi {hi}"),
    ))
}

pub(super) fn unary(x: &Tensor, f: impl Fn(f32) -> f32 + Sync) -> Result<Tensor> {
    // The memory format of a dense input is kept: there is no reason to reorder.
    let format = if x.as_slice().is_none() && x.dense_slice(MemoryFormat::ChannelsLast).is_some() {
        MemoryFormat::ChannelsLast
    } else {
        MemoryFormat::Contiguous
    };
    let x = x.to_memory_format(format)?;
    let values = x.dense_slice(format).unwrap_or_default();
    Tensor::build(x.shape(), format, |out| {
        parallel::runs(out, |start, part| {
            let source = &values[start..start + part.len()];
            part.iter_mut().zip(source).for_each(|(o, &v)| *o = f(v));
        });
        Ok(())
    })
}

/// Two operands that must have the same shape.
pub(super) fn paired(
    operation: &'static str,
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<Tensor> {
    if a.shape() != b.shape() {
        return Err(Error::NotBroadcastable {
            operation,
            left: a.shape().to_vec(),
            right: b.shape().to_vec(),
        });
    }
    binary(operation, a, b, f)
}

pub(super) fn binary(
    operation: &'static str,
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> Result<Tensor> {
    let shape = broadcast_shape(operation, a.shape(), b.shape())?;
    let (a, b) = (a.contiguous(), b.contiguous());
    let left = a.as_slice().unwrap_or_default();
    let right = b.as_slice().unwrap_or_default();
    Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
        if a.shape() == b.shape() {
            parallel::runs(out, |start, part| {
                let end = start + part.len();
                rows(part, &left[start..end], &right[start..end], &f);
            });
            return Ok(());
        }
        Walk::new(&shape, [a.shape(), b.shape()]).for_each_row(|start, [i, j], row| {
            let part = &mut out[start..start + row.len];
            match row.strides {
                [0, 0] => part.fill(f(left[i], right[j])),
                [0, _] => {
                    let (x, right) = (left[i], &right[j..j + row.len]);
                    part.iter_mut().zip(right).for_each(|(o, &y)| *o = f(x, y));
                }
                [_, 0] => {
                    let (left, y) = (&left[i..i + row.len], right[j]);
                    part.iter_mut().zip(left).for_each(|(o, &x)| *o = f(x, y));
                }
                _ => rows(part, &left[i..i + row.len], &right[j..j + row.len], &f),
            }
        });
        Ok(())
    })
}

fn rows(out: &mut [f32], left: &[f32], right: &[f32], f: impl Fn(f32, f32) -> f32) {
    for ((o, &x), &y) in out.iter_mut().zip(left).zip(right) {
        *o = f(x, y);
    }
}
