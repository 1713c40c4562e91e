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

#[cfg(test)]
mod tests {
    use super::super::testing::{Values, at_broadcast, each_index};
    use super::*;

    #[test]
    fn broadcasting_agrees_with_indexing() {
        let mut values = Values::new(1);
        for (left, right) in [
            (&[2, 3, 4][..], &[2, 3, 4][..]),
            (&[2, 3, 4], &[4]),
            (&[3, 1], &[2, 1, 5]),
            (&[2, 3, 2, 2], &[3, 1, 1]),
            (&[], &[2, 2]),
            (&[2, 1, 3], &[1, 4, 1]),
            (&[0, 3], &[1]),
        ] {
            let (a, b) = (values.tensor(left), values.tensor(right));
            for (op, f) in [
                (
                    add as fn(&Tensor, &Tensor) -> Result<Tensor>,
                    (|a, b| a + b) as fn(f32, f32) -> f32,
                ),
                (sub, |a, b| a - b),
                (mul, |a, b| a * b),
                (div, |a, b| a / b),
            ] {
                let y = op(&a, &b).unwrap();
                assert_eq!(y.shape(), broadcast_shape("add", left, right).unwrap());
                each_index(y.shape(), |at| {
                    let want = f(at_broadcast(&a, at), at_broadcast(&b, at));
                    assert_eq!(y.get(at).unwrap(), want, "{left:?} {right:?} {at:?}");
                });
            }
        }
        assert!(add(&values.tensor(&[2]), &values.tensor(&[3])).is_err());
    }

    #[test]
    fn long_operands_are_cut_into_runs_without_a_seam() {
        let mut values = Values::new(2);
        let (a, b) = (values.tensor(&[100_003]), values.tensor(&[100_003]));
        let y = mul(&a, &b).unwrap().to_vec();
        for (i, (x, z)) in a.to_vec().iter().zip(b.to_vec()).enumerate() {
            assert_eq!(y[i], x * z);
        }
    }

    #[test]
    fn activations_and_their_adjoints() {
        let x = Tensor::from_vec(vec![-2.0, -0.5, 0.0, 0.5, 3.0, f32::NAN], &[6]).unwrap();
        let g = Tensor::full(&[6], 7.0).unwrap();
        let y = relu(&x).unwrap().to_vec();
        assert_eq!(y[..5], [0.0, 0.0, 0.0, 0.5, 3.0]);
        assert!(y[5].is_nan());
        let d = relu_backward(&g, &x).unwrap().to_vec();
        assert_eq!(d, [0.0, 0.0, 0.0, 7.0, 7.0, 0.0]);
        let y = clamp(&x, -0.5, 0.5).unwrap().to_vec();
        assert_eq!(y[..5], [-0.5, -0.5, 0.0, 0.5, 0.5]);
        assert!(y[5].is_nan());
        let d = clamp_backward(&g, &x, -0.5, 0.5).unwrap().to_vec();
        assert_eq!(d, [0.0, 7.0, 7.0, 7.0, 0.0, 0.0]);
        assert!(clamp(&x, 1.0, 0.0).is_err());
        assert!(clamp(&x, f32::NAN, 0.0).is_err());
        assert!(relu_backward(&g.slice(0, 0, 1, 1).unwrap(), &x).is_err());
        assert_eq!(add_scalar(&g, 1.0).unwrap().to_vec(), [8.0; 6]);
        assert_eq!(mul_scalar(&g, 2.0).unwrap().to_vec(), [14.0; 6]);
    }

    #[test]
    fn strided_and_channels_last_inputs_give_the_same_values() {
        let x = Values::new(3).tensor(&[2, 3, 4, 5]);
        let want = relu(&x).unwrap();
        let last = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
        let y = relu(&last).unwrap();
        assert_eq!(y, want);
        assert!(y.dense_slice(MemoryFormat::ChannelsLast).is_some());
        assert_eq!(add(&last, &x).unwrap(), add(&x, &x).unwrap());
        let swapped = x.transpose(1, 3).unwrap();
        assert_eq!(relu(&swapped).unwrap(), want.transpose(1, 3).unwrap());
    }
}
