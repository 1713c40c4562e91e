//! Padding with a constant, and the adjoint of slicing, which pads with zeros and gaps.

use qtensor_core::{MemoryFormat, Tensor};

use crate::error::{Error, Result};
use crate::padding::{PadMode, padded};
use crate::spec::argument;

/// Puts `before` and `after` copies of `value` at both ends of each dimension; one pair for each dimension, first
/// to last. (PyTorch's `pad` counts them from the last dimension.)
///
/// ```
/// # use qops::float::pad;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0], &[1, 2])?;
/// assert_eq!(pad(&x, &[(0, 1), (1, 0)], 9.0)?.to_vec(), [9.0, 1.0, 2.0, 9.0, 9.0, 9.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for another number of pairs than the rank, [`Error::Tensor`] for a size that overflows.
pub fn pad(x: &Tensor, padding: &[(usize, usize)], value: f32) -> Result<Tensor> {
    if padding.len() != x.rank() {
        let expected = format!("one pair for each of {} dimensions", x.rank());
        return Err(argument("pad", "padding", expected, padding.len()));
    }
    let mut shape = Vec::with_capacity(x.rank());
    let mut starts = Vec::with_capacity(x.rank());
    for (&len, &(before, after)) in x.shape().iter().zip(padding) {
        shape.push(len.saturating_add(before).saturating_add(after));
        starts.push(before);
    }
    placed(x, &shape, &starts, &vec![1; x.rank()], value)
}

/// As [`pad`], with elements of `x` instead of a constant: mirrored, repeated, or from the other end.
///
/// # Errors
/// [`Error::Argument`] for another number of pairs than the rank, and for more elements than there are to repeat;
/// [`Error::Tensor`] for a size that overflows.
pub fn pad_with(x: &Tensor, padding: &[(usize, usize)], mode: PadMode) -> Result<Tensor> {
    padded(x, padding, mode)
}

/// The adjoint of a slice of `shape` along `dim` from `start` in steps of `step`: the gradient at its place,
/// zeros elsewhere.
///
/// # Errors
/// [`Error::Argument`] if a gradient of this shape is no such slice.
pub fn slice_backward(
    grad: &Tensor,
    shape: &[usize],
    dim: usize,
    start: usize,
    step: usize,
) -> Result<Tensor> {
    let fits = grad.rank() == shape.len()
        && dim < shape.len()
        && step > 0
        && (0..shape.len()).all(|d| {
            let (have, len) = (grad.shape()[d], shape[d]);
            let reach = have.saturating_sub(1).saturating_mul(step);
            let end = start.saturating_add(reach);
            (d != dim && have == len) || (d == dim && (have == 0 || end < len))
        });
    if !fits {
        let expected = format!("a slice of {shape:?} along dimension {dim} from {start} by {step}");
        let actual = format!("{:?}", grad.shape());
        return Err(argument("slice_backward", "grad", expected, actual));
    }
    let (mut starts, mut steps) = (vec![0; shape.len()], vec![1; shape.len()]);
    (starts[dim], steps[dim]) = (start, step);
    placed(grad, shape, &starts, &steps, 0.0)
}

/// A tensor of `shape` filled with `value`, but `x` at `starts + index · steps`, which lies inside.
fn placed(
    x: &Tensor,
    shape: &[usize],
    starts: &[usize],
    steps: &[usize],
    value: f32,
) -> Result<Tensor> {
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    let rank = shape.len();
    let mut strides = vec![1usize; rank];
    for dim in (1..rank).rev() {
        strides[dim - 1] = strides[dim].saturating_mul(shape[dim]);
    }
    Tensor::build(shape, MemoryFormat::Contiguous, |out| {
        out.fill(value);
        let row = x.shape().last().copied().unwrap_or(1);
        if values.is_empty() {
            return Ok::<(), Error>(());
        }
        let (last, outer) = (rank.saturating_sub(1), &x.shape()[..rank.saturating_sub(1)]);
        for (number, source) in values.chunks_exact(row).enumerate() {
            // The index of the row, from the innermost outer dimension outwards.
            let (mut rest, mut at) = (number, 0);
            for dim in (0..outer.len()).rev() {
                at += (starts[dim] + rest % outer[dim] * steps[dim]) * strides[dim];
                rest /= outer[dim];
            }
            let (start, step) = match rank {
                0 => (0, 1),
                _ => (starts[last], steps[last]),
            };
            let places = out[at + start..].iter_mut().step_by(step);
            places.zip(source).for_each(|(o, &v)| *o = v);
        }
        Ok(())
    })
}
