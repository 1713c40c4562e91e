//! Batch normalization of activations, for networks in which it was not folded into a convolution.

use qkernels_x86::{Context, Work};
use qtensor_core::requant::{OutputRange, requantize_f32};
use qtensor_core::{MemoryFormat, QTensor, Tensor};

use super::bytes::{Bytes, build};
use super::linear::rank_error;
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};

const OPERATION: &str = "batch_norm";

/// `(x − mean) / √(var + eps) · gamma + beta` with running statistics, channels along dimension 1.
///
/// Folded for each channel into `α = σ⁻¹·γ·(s_x/s_y)` and `β' = (β − mean·σ⁻¹·γ)/s_y`, then
/// `q = clamp(rne(f32(q_x − z_x)·α + β') + z_y)`; products and sums are rounded one by one, without fused
/// multiply-add. `x` has two to five dimensions; the result lies in channels-last memory from three on.
/// `gamma` defaults to 1 and `beta` to 0.
///
/// # Errors
/// [`Rank`](qtensor_core::Error::Rank); [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) if a statistic is not
/// `[channels]`; [`Error::Argument`] if a channel's `α` or `β'` is not finite (a negative variance, NaN);
/// [`Error::UnsupportedDType`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch), bad `out` parameters.
#[expect(
    clippy::too_many_arguments,
    reason = "PyTorch's argument list, plus the fused activation"
)]
pub fn batch_norm(
    x: &QTensor,
    mean: &Tensor,
    var: &Tensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f32,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    if !(2..=5).contains(&x.rank()) {
        return Err(rank_error(OPERATION, "2 to 5", x.shape()));
    }
    let format = if x.rank() >= 3 {
        MemoryFormat::ChannelsLast
    } else {
        MemoryFormat::Contiguous
    };
    out.validate(OPERATION, x.dtype())?;
    let channels = x.shape()[1];
    let bytes = Bytes::new(OPERATION, x, format)?;
    let (mean, var) = (per_channel(mean, channels)?, per_channel(var, channels)?);
    let gamma = gamma.map_or(Ok(vec![1.0; channels]), |g| per_channel(g, channels))?;
    let beta = beta.map_or(Ok(vec![0.0; channels]), |b| per_channel(b, channels))?;
    // Scales are divided in f64 and everything else is f32, as in PyTorch's compute_fused_params
    // (aten/src/ATen/native/quantized/cpu/Normalization.cpp).
    let ratio = bytes.scale / out.scale;
    let mut affine = Vec::with_capacity(channels);
    for c in 0..channels {
        let inverse_sigma = 1.0 / (var[c] + eps).sqrt();
        let slope = (f64::from(inverse_sigma * gamma[c]) * ratio) as f32;
        let shift = beta[c] - mean[c] * inverse_sigma * gamma[c];
        let shift = (f64::from(shift) / out.scale) as f32;
        if !(slope.is_finite() && shift.is_finite()) {
            return Err(Error::Argument {
                operation: OPERATION,
                argument: "every channel's slope and shift",
                expected: "finite".into(),
                actual: format!("{slope} and {shift} in channel {c} (variance {})", var[c]),
            });
        }
        affine.push((slope, shift));
    }
    build(OPERATION, x.shape(), format, bytes.dtype, out, |y| {
        let work = Rows {
            x: bytes.exact(format),
            zero_point: bytes.zero_point,
            affine: &affine,
            range: out.byte_range(bytes.dtype, activation),
            y,
        };
        Context::new()?.isa.vectorize(work);
        Ok(())
    })
}

/// The values of a statistic, which must be `[channels]`.
fn per_channel(t: &Tensor, channels: usize) -> Result<Vec<f32>> {
    if t.shape() != [channels] {
        return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation: OPERATION,
            expected: vec![channels],
            actual: t.shape().to_vec(),
        }));
    }
    Ok(t.to_vec())
}

/// Rows of channels, each channel with its slope and shift.
struct Rows<'a> {
    x: &'a [u8],
    zero_point: i32,
    affine: &'a [(f32, f32)],
    range: OutputRange,
    y: &'a mut [u8],
}

impl Work for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.affine.len().max(1);
        let rows = self.x.chunks_exact(channels);
        for (x, y) in rows.zip(self.y.chunks_exact_mut(channels)) {
            for ((y, &q), &(slope, shift)) in y.iter_mut().zip(x).zip(self.affine) {
                let scaled = (i32::from(q) - self.zero_point) as f32 * slope + shift;
                *y = requantize_f32(scaled, self.range) as u8;
            }
        }
    }
}
