//! A leaky ReLU with learned slopes.

use qkernels_x86::{Context, Work};
use qtensor_core::affine::{inverse_scale, quantize_value};
use qtensor_core::requant::{OutputRange, requantize};
use qtensor_core::{MemoryFormat, QTensor};

use super::bytes::{Bytes, build, natural_format};
use super::linear::rank_error;
use super::params::{Activation, OutQParams};
use super::table::write;
use crate::error::{Error, Result};

const OPERATION: &str = "prelu";

/// `x` where it is positive, else `weight · x`, with one weight for all or one for each channel (dimension 1).
///
/// In integers, with `d = q_x − z_x`, `w = q_w − z_w` and `one = clamp(rne(1/s_w) + z_w) − z_w`, what 1 is in the map of
/// the weights: `q = clamp(rne(f32(max(d, 0) · one + min(d, 0) · w) · M) + z)`, `M = (s_x·s_w)·(1/s)` in `f32`. So positive
/// numbers keep their value only as far as that map holds 1. Weights have the type of `x` and at most one dimension.
///
/// # Errors
/// [`Rank`](qtensor_core::Error::Rank) if `x` has no dimension or `weight` more than one; [`Error::Length`] for another
/// number of weights; [`Error::DTypesDiffer`]; [`Error::Multiplier`] if `M` is not a positive `f32`;
/// [`Error::UnsupportedDType`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch), bad `out` parameters.
///
/// ```
/// # use qops::quantized::{OutQParams, prelu, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let quantized = |x: Vec<f32>, shape: &[usize], scale| {
///     quantize(&Tensor::from_vec(x, shape)?, OutQParams::new(scale, 128), DType::QUInt8)
/// };
/// let x = quantized(vec![-4.0, -4.0, 3.0, 3.0], &[2, 2], 0.5)?;
/// let weight = quantized(vec![0.25, 0.5], &[2], 0.125)?;
/// let y = prelu(&x, &weight, OutQParams::new(0.5, 100))?;
/// assert_eq!(y.int_repr().to_i32_vec(), [98, 96, 106, 106]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn prelu(x: &QTensor, weight: &QTensor, out: OutQParams) -> Result<QTensor> {
    if x.rank() == 0 {
        return Err(rank_error(OPERATION, "at least 1", x.shape()));
    }
    if weight.rank() > 1 {
        return Err(rank_error(
            OPERATION,
            "0 or 1 (the weights)",
            weight.shape(),
        ));
    }
    if x.dtype() != weight.dtype() {
        return Err(Error::DTypesDiffer {
            operation: OPERATION,
            left: x.dtype(),
            right: weight.dtype(),
        });
    }
    let channels = x.shape().get(1).copied().unwrap_or(1);
    let shared = weight.numel() == 1;
    if !shared && weight.numel() != channels {
        return Err(Error::Length {
            operation: OPERATION,
            what: "the number of weights (or 1)",
            expected: channels,
            actual: weight.numel(),
        });
    }
    out.validate(OPERATION, x.dtype())?;
    let format = match x.rank() {
        // Channels have to be the last axis in memory if each has its own weight.
        3.. if !shared => MemoryFormat::ChannelsLast,
        _ => natural_format(x.layout()),
    };
    let bytes = Bytes::new(OPERATION, x, format)?;
    let (weights, slope) = slopes(&bytes, weight, out)?;
    build(OPERATION, x.shape(), format, bytes.dtype, out, |y| {
        let x = bytes.exact(format);
        if let [weight] = weights[..] {
            return write(&|q| slope.of(q, weight), x, y);
        }
        Context::new()?.isa.vectorize(Rows {
            slope,
            weights: &weights,
            x,
            y,
        });
        Ok(())
    })
}

/// The differences `q_w − z_w`, and what else the formula needs.
fn slopes(x: &Bytes, weight: &QTensor, out: OutQParams) -> Result<(Vec<i32>, Slope)> {
    let w = Bytes::new(OPERATION, weight, MemoryFormat::Contiguous)?;
    let (input_scale, weight_scale) = (x.scale as f32, w.scale as f32);
    let multiplier = input_scale * weight_scale * inverse_scale(out.scale as f32);
    if !(multiplier.is_finite() && multiplier > 0.0) {
        return Err(Error::Multiplier {
            operation: OPERATION,
            channel: 0,
            input_scale,
            weight_scale,
            output_scale: out.scale as f32,
            multiplier,
        });
    }
    let (_, zero_point) = weight.per_tensor(OPERATION)?;
    let one = quantize_value(1.0, inverse_scale(weight_scale), zero_point, w.dtype);
    let slope = Slope {
        zero_point: x.zero_point,
        one: one - zero_point,
        multiplier,
        range: out.byte_range(x.dtype, Activation::None),
    };
    let differences = w.exact(MemoryFormat::Contiguous).iter();
    let differences = differences.map(|&q| i32::from(q) - w.zero_point);
    Ok((differences.collect(), slope))
}

/// The formula for one element.
#[derive(Clone, Copy)]
struct Slope {
    zero_point: i32,
    one: i32,
    multiplier: f32,
    range: OutputRange,
}

impl Slope {
    #[inline(always)]
    fn of(self, q: u8, weight: i32) -> u8 {
        let d = i32::from(q) - self.zero_point;
        let scaled = d.max(0) * self.one + d.min(0) * weight;
        requantize(scaled, self.multiplier, self.range) as u8
    }
}

/// Rows of channels, each channel with its weight.
struct Rows<'a> {
    slope: Slope,
    weights: &'a [i32],
    x: &'a [u8],
    y: &'a mut [u8],
}

impl Work for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.weights.len().max(1);
        let rows = self.x.chunks_exact(channels);
        for (x, y) in rows.zip(self.y.chunks_exact_mut(channels)) {
            for ((y, &q), &weight) in y.iter_mut().zip(x).zip(self.weights) {
                *y = self.slope.of(q, weight);
            }
        }
    }
}
