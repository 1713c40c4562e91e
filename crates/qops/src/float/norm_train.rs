//! Batch normalization with the batch's own statistics, the form of training, and its adjoint.

use qtensor_core::{MemoryFormat, Tensor};

use super::linear::check_rank;
use super::norm::check_parameters;
use super::parallel;
use super::reduce::sum_slice;
use crate::error::Result;

/// What [`batch_norm_train`] computes.
#[derive(Clone, Debug)]
pub struct BatchNormOutput {
    /// The normalized values, of the input's shape.
    pub y: Tensor,
    /// The mean of each channel, `[C]`.
    pub mean: Tensor,
    /// The biased variance of each channel, `[C]`: `Σ (x − mean)² / n`.
    pub var: Tensor,
    /// `1 / √(var + eps)`, `[C]`.
    pub inverse_deviation: Tensor,
    /// How many values each channel has.
    pub count: usize,
}

/// `y = (x − mean) / √(var + eps) · gamma + beta` per channel (dimension 1), with the mean and the biased
/// variance of `x` itself over all other dimensions.
///
/// `x` is `[N, C, …]`, the parameters are `[C]`; an absent `gamma` is 1, an absent `beta` 0. Statistics are
/// accumulated in `f64`, outputs computed in `f32` as `x·α + (beta − mean·α)` with
/// `α = gamma / √(var + eps)`, as PyTorch does.
///
/// ```
/// # use qops::float::batch_norm_train;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 3.0, 10.0, 14.0], &[1, 2, 2])?;
/// let out = batch_norm_train(&x, None, None, 0.0)?;
/// assert_eq!(out.y.to_vec(), [-1.0, 1.0, -1.0, 1.0]);
/// assert_eq!((out.mean.to_vec(), out.var.to_vec()), (vec![2.0, 12.0], vec![1.0, 4.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`batch_norm`](super::batch_norm), and [`Error::Argument`](crate::Error::Argument) unless each
/// channel has at least two values: the variance of one is 0, and nothing could be learned from it.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
) -> Result<BatchNormOutput> {
    const NAME: &str = "batch_norm_train";
    check_rank(NAME, x, 2, usize::MAX)?;
    check_parameters(NAME, x, &[gamma, beta], eps)?;
    let g = Planes::of(x);
    if g.count() < 2 {
        return Err(crate::spec::argument(
            NAME,
            "values of each channel",
            "at least 2 in training",
            format!("{} (shape {:?})", g.count(), x.shape()),
        ));
    }
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    let mut stats = vec![[0f64; 2]; g.channels];
    parallel::chunks(&mut stats, 1, values.len(), |c, out| {
        let n = g.count() as f64;
        let mean = g.planes(values, c).map(sum_slice).sum::<f64>() / n;
        let squares: f64 = g.planes(values, c).map(|p| square_sum(p, mean)).sum();
        out[0] = [mean, squares / n];
    });
    let vector = |f: &dyn Fn(&[f64; 2]) -> f64| {
        let values = stats.iter().map(|s| f(s) as f32).collect();
        Tensor::from_vec(values, &[g.channels])
    };
    let inverse_deviation = vector(&|s| 1.0 / (s[1] + eps).sqrt())?;
    let mean = vector(&|s| s[0])?;
    let (gammas, betas) = (gamma.map(Tensor::to_vec), beta.map(Tensor::to_vec));
    let lines: Vec<(f32, f32)> = inverse_deviation
        .to_vec()
        .iter()
        .zip(mean.to_vec())
        .enumerate()
        .map(|(c, (&r, mean))| {
            let scale = r * gammas.as_ref().map_or(1.0, |g| g[c]);
            (scale, betas.as_ref().map_or(0.0, |b| b[c]) - mean * scale)
        })
        .collect();
    let y = Tensor::build(x.shape(), MemoryFormat::Contiguous, |out| {
        g.each_plane(out, |c, at, out| {
            let (scale, shift) = lines[c];
            let x = &values[at..at + out.len()];
            out.iter_mut()
                .zip(x)
                .for_each(|(o, &v)| *o = v * scale + shift);
        });
        Ok::<(), crate::Error>(())
    })?;
    Ok(BatchNormOutput {
        y,
        mean,
        var: vector(&|s| s[1])?,
        inverse_deviation,
        count: g.count(),
    })
}

/// The adjoint of [`batch_norm_train`]: the gradients of `x`, `gamma` and `beta` from that of `y`.
///
/// With `x̂ = (x − mean) · r`: `dγ = Σ dy · x̂`, `dβ = Σ dy`, `dx = γ · r · (dy − dβ / n − x̂ · dγ / n)`.
/// `forward` is what the forward pass computed for the same `x`.
///
/// # Errors
/// [`Error::Tensor`](crate::Error::Tensor) if `grad` does not have the shape of `x`, and as the forward
/// pass.
pub fn batch_norm_train_backward(
    grad: &Tensor,
    x: &Tensor,
    gamma: Option<&Tensor>,
    forward: &BatchNormOutput,
) -> Result<[Tensor; 3]> {
    const NAME: &str = "batch_norm_train_backward";
    if grad.shape() != x.shape() || forward.y.shape() != x.shape() {
        return Err(qtensor_core::Error::ShapeMismatch {
            operation: NAME,
            expected: forward.y.shape().to_vec(),
            actual: grad.shape().to_vec(),
        }
        .into());
    }
    check_parameters(NAME, x, &[gamma], 0.0)?;
    let g = Planes::of(x);
    let (x, grad) = (x.contiguous(), grad.contiguous());
    let values = x.as_slice().unwrap_or_default();
    let grads = grad.as_slice().unwrap_or_default();
    let (means, inverses) = (forward.mean.to_vec(), forward.inverse_deviation.to_vec());
    let mut sums = vec![[0f64; 2]; g.channels];
    parallel::chunks(&mut sums, 1, values.len(), |c, out| {
        let mean = means[c];
        let mut dot = 0f64;
        let mut sum = 0f64;
        for (x, dy) in g.planes(values, c).zip(g.planes(grads, c)) {
            sum += sum_slice(dy);
            dot += centred_dot(x, mean, dy);
        }
        out[0] = [sum, dot * f64::from(inverses[c])];
    });
    let gammas = gamma.map(Tensor::to_vec);
    let n = g.count() as f64;
    // dx = dy·a + x·b + c for each channel.
    let lines: Vec<[f32; 3]> = (0..g.channels)
        .map(|c| {
            let scale = f64::from(inverses[c]) * gammas.as_ref().map_or(1.0, |g| f64::from(g[c]));
            let [sum, dot] = sums[c];
            let slope = -scale * f64::from(inverses[c]) * dot / n;
            let shift = -scale * sum / n - slope * f64::from(means[c]);
            [scale as f32, slope as f32, shift as f32]
        })
        .collect();
    let dx = Tensor::build(x.shape(), MemoryFormat::Contiguous, |out| {
        g.each_plane(out, |c, at, out| {
            let [scale, slope, shift] = lines[c];
            let (x, dy) = (&values[at..at + out.len()], &grads[at..at + out.len()]);
            for ((o, &x), &dy) in out.iter_mut().zip(x).zip(dy) {
                *o = dy * scale + (x * slope + shift);
            }
        });
        Ok::<(), crate::Error>(())
    })?;
    let column = |i: usize| {
        let values = sums.iter().map(|s| s[i] as f32).collect();
        Tensor::from_vec(values, &[g.channels])
    };
    Ok([dx, column(1)?, column(0)?])
}

/// How the channels of an `[N, C, …]` tensor lie in memory: `batch` times `channels` planes.
struct Planes {
    batch: usize,
    channels: usize,
    plane: usize,
}

impl Planes {
    fn of(x: &Tensor) -> Planes {
        Planes {
            batch: x.shape()[0],
            channels: x.shape()[1],
            plane: x.shape()[2..].iter().product(),
        }
    }

    /// Values of each channel.
    fn count(&self) -> usize {
        self.batch * self.plane
    }

    /// The planes of channel `c`, image by image.
    fn planes<'a>(&self, values: &'a [f32], c: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let (plane, image) = (self.plane, self.channels * self.plane);
        (0..self.batch).map(move |n| &values[n * image + c * plane..][..plane])
    }

    /// Calls `f(channel, where the plane starts, plane)` for each plane of an output, images in parallel.
    fn each_plane(&self, out: &mut [f32], f: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let (work, plane) = (out.len(), self.plane.max(1));
        parallel::chunks(out, self.channels * plane, work, |n, image| {
            for (c, out) in image.chunks_exact_mut(plane).enumerate() {
                f(c, (n * self.channels + c) * plane, out);
            }
        });
    }
}

/// `Σ (x − mean)²` in `f64`.
fn square_sum(values: &[f32], mean: f64) -> f64 {
    let mut lanes = [0f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            let d = f64::from(v) - mean;
            *lane += d * d;
        }
    }
    let rest: f64 = rest.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    lanes.iter().sum::<f64>() + rest
}

/// `Σ (x − mean) · dy` in `f64`, the difference in `f32`, as the normalized value has it.
fn centred_dot(values: &[f32], mean: f32, grads: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let (xs, x_rest) = values.as_chunks::<8>();
    let (gs, g_rest) = grads.as_chunks::<8>();
    for (x, g) in xs.iter().zip(gs) {
        for ((lane, &x), &g) in lanes.iter_mut().zip(x).zip(g) {
            *lane += f64::from(x - mean) * f64::from(g);
        }
    }
    let rest: f64 = x_rest
        .iter()
        .zip(g_rest)
        .map(|(&x, &g)| f64::from(x - mean) * f64::from(g))
        .sum();
    lanes.iter().sum::<f64>() + rest
}
