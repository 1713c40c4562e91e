//! Softmax and its logarithm along a dimension, with their adjoints.

use qkernels_x86::{Context, softmax_f32};
use qtensor_core::{MemoryFormat, Tensor};

use crate::error::{Error, Result};

/// `y = exp(x − max) / Σ exp(x − max)` along `dim`. A line of −∞ alone becomes NaN.
///
/// ```
/// # use qops::float::softmax;
/// # use qtensor_core::Tensor;
/// let y = softmax(&Tensor::zeros(&[1, 4])?, 1)?;
/// assert_eq!(y.to_vec(), [0.25; 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A dimension that does not exist.
pub fn softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    let context = Context::new()?;
    if x.rank().checked_sub(1) == Some(dim) {
        let length = x.shape()[dim];
        let x = x.contiguous();
        let values = x.as_slice().unwrap_or_default();
        return Tensor::build(x.shape(), MemoryFormat::Contiguous, |out| {
            Ok(softmax_f32(&context, values, length, out)?)
        });
    }
    along("softmax", &[x], dim, |[x], y| {
        // The lines have one length, so this cannot fail.
        let done = softmax_f32(&context, x, x.len(), y);
        debug_assert!(done.is_ok(), "{done:?}");
    })
}

/// The adjoint of [`softmax`] from its output: `dx = y · (dy − Σ dy · y)` along `dim`.
///
/// # Errors
/// A dimension that does not exist, shapes that differ.
pub fn softmax_backward(grad: &Tensor, y: &Tensor, dim: usize) -> Result<Tensor> {
    along("softmax_backward", &[grad, y], dim, |[g, y], dx| {
        let dot: f64 = g
            .iter()
            .zip(y)
            .map(|(&g, &y)| f64::from(g) * f64::from(y))
            .sum();
        for ((dx, &g), &y) in dx.iter_mut().zip(g).zip(y) {
            *dx = y * (g - dot as f32);
        }
    })
}

/// `y = x − max − ln Σ exp(x − max)` along `dim`; sums are in `f64`.
///
/// # Errors
/// A dimension that does not exist.
pub fn log_softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    along("log_softmax", &[x], dim, |[x], y| {
        let greatest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = x
            .iter()
            .map(|&x| libm::exp(f64::from(x) - f64::from(greatest)))
            .sum();
        let shift = f64::from(greatest) + libm::log(sum);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (f64::from(x) - shift) as f32;
        }
    })
}

/// The adjoint of [`log_softmax`] from its output: `dx = dy − exp(y) · Σ dy` along `dim`.
///
/// # Errors
/// A dimension that does not exist, shapes that differ.
pub fn log_softmax_backward(grad: &Tensor, y: &Tensor, dim: usize) -> Result<Tensor> {
    along("log_softmax_backward", &[grad, y], dim, |[g, y], dx| {
        let sum: f64 = g.iter().map(|&g| f64::from(g)).sum();
        for ((dx, &g), &y) in dx.iter_mut().zip(g).zip(y) {
            *dx = g - libm::expf(y) * sum as f32;
        }
    })
}

/// Runs `f` on every line of `N` tensors of one shape along `dim`, each line dense in memory.
fn along<const N: usize>(
    operation: &'static str,
    operands: &[&Tensor; N],
    dim: usize,
    f: impl Fn([&[f32]; N], &mut [f32]),
) -> Result<Tensor> {
    let shape = operands[0].shape();
    if dim >= shape.len() {
        return Err(qtensor_core::Error::NoSuchDim {
            operation,
            dim,
            rank: shape.len(),
            shape: shape.to_vec(),
        }
        .into());
    }
    if let Some(other) = operands.iter().find(|t| t.shape() != shape) {
        return Err(Error::NotBroadcastable {
            operation,
            left: shape.to_vec(),
            right: other.shape().to_vec(),
        });
    }
    // With the dimension moved to the end, lines are dense.
    let last = shape.len() - 1;
    let mut order: Vec<usize> = (0..=last).filter(|&d| d != dim).collect();
    order.push(dim);
    let moved = operands
        .iter()
        .map(|t| Ok(t.permute(&order)?.contiguous()))
        .collect::<Result<Vec<Tensor>>>()?;
    let slices: Vec<&[f32]> = moved
        .iter()
        .map(|t| t.as_slice().unwrap_or_default())
        .collect();
    let len = shape[dim].max(1);
    let y = Tensor::build(moved[0].shape(), MemoryFormat::Contiguous, |out| {
        for (line, out) in out.chunks_exact_mut(len).enumerate() {
            let at = line * len;
            f(std::array::from_fn(|i| &slices[i][at..at + len]), out);
        }
        Ok::<(), Error>(())
    })?;
    let mut back = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        back[from] = to;
    }
    Ok(y.permute(&back)?.contiguous())
}
