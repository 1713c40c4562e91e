//! Softmax along a dimension.

use qkernels_x86::fork;
use qtensor_core::affine::{inverse_scale, quantize_8bit};
use qtensor_core::requant::OutputRange;
use qtensor_core::{MemoryFormat, QTensor};

use super::bytes::{Bytes, build, build_into, natural_format};
use super::params::{Activation, OutQParams};
use super::table::destination_format;
use crate::error::{Error, Result};

/// Elements below which a fork costs more than it saves.
const SERIAL_BELOW: usize = 1 << 15;

/// `exp(x_i) / Σ_j exp(x_j)` along `dim`.
///
/// With `e_j = exp(s · (q_j − max q))`, `q' = clamp(rne(f32(e_i / Σ e_j) · (1/s')) + z')`. The exponentials and their
/// quotient are in `f64`, the sum in the order of the dimension, so that the integers do not depend on the platform or
/// on the memory layout. Shares are below 1 or equal to it: scale `1/256` and the least integer as zero point hold them.
///
/// # Errors
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim); [`Error::UnsupportedDType`];
/// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch); bad `out` parameters.
///
/// ```
/// # use qops::quantized::{OutQParams, quantize, softmax};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![0.0, 0.0, -20.0, 1.0, 1.0, 1.0], &[2, 3])?;
/// let x = quantize(&x, OutQParams::new(0.25, 128), DType::QUInt8)?;
/// let y = softmax(&x, 1, OutQParams::new(1.0 / 256.0, 0))?;
/// assert_eq!(y.int_repr().to_i32_vec(), [128, 128, 0, 85, 85, 85]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn softmax(x: &QTensor, dim: usize, out: OutQParams) -> Result<QTensor> {
    let operation = "softmax";
    let format = natural_format(x.layout());
    let bytes = Bytes::new(operation, x, format)?;
    let slices = Slices::new(operation, x.shape(), dim, format)?;
    build(operation, x.shape(), format, bytes.dtype, out, |y| {
        slices.softmax(&bytes, format, out, y);
        Ok(())
    })
}

/// [`softmax`] into `out`, with its scale and zero point.
///
/// # Errors
/// As [`softmax`]; [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) and [`Error::DTypesDiffer`] if `out` has not
/// the shape and type of `x`.
pub fn softmax_out(x: &QTensor, dim: usize, out: &mut QTensor) -> Result<()> {
    let operation = "softmax_out";
    let (scale, zero_point) = out.per_tensor(operation)?;
    let map = OutQParams { scale, zero_point };
    let format = destination_format(x, out);
    let bytes = Bytes::new(operation, x, format)?;
    let slices = Slices::new(operation, x.shape(), dim, format)?;
    build_into(operation, x.shape(), format, bytes.dtype, out, |y| {
        slices.softmax(&bytes, format, map, y);
        Ok(())
    })
}

/// The slices along a dimension, in memory order: blocks of `len` rows of `stride` bytes, a slice to each column.
struct Slices {
    len: usize,
    stride: usize,
}

impl Slices {
    fn new(
        operation: &'static str,
        shape: &[usize],
        dim: usize,
        format: MemoryFormat,
    ) -> Result<Slices> {
        let Some(&len) = shape.get(dim) else {
            return Err(Error::Tensor(qtensor_core::Error::NoSuchDim {
                operation,
                dim,
                rank: shape.len(),
                shape: shape.to_vec(),
            }));
        };
        let behind = |start: usize| shape[start..].iter().product::<usize>();
        let stride = match (format, dim) {
            (MemoryFormat::Contiguous, _) => behind(dim + 1),
            (MemoryFormat::ChannelsLast, 0) => behind(1),
            (MemoryFormat::ChannelsLast, 1) => 1,
            (MemoryFormat::ChannelsLast, _) => behind(dim + 1) * shape[1],
        };
        Ok(Slices { len, stride })
    }

    fn softmax(&self, x: &Bytes, format: MemoryFormat, out: OutQParams, y: &mut [u8]) {
        let block = self.len * self.stride;
        if y.is_empty() {
            return;
        }
        let scale = f64::from(x.scale as f32);
        let curve = Curve {
            powers: std::array::from_fn(|below| libm::exp(-scale * below as f64)),
            inverse: inverse_scale(out.scale as f32),
            range: out.byte_range(x.dtype, Activation::None),
        };
        let x = x.exact(format);
        let pieces = match y.len() {
            ..SERIAL_BELOW => 1,
            _ => rayon::current_num_threads(),
        };
        let part = (y.len() / block).div_ceil(pieces) * block;
        fork(x.chunks(part).zip(y.chunks_mut(part)), |(x, y)| {
            let blocks = x.chunks_exact(block).zip(y.chunks_exact_mut(block));
            blocks.for_each(|(x, y)| self.block(&curve, x, y));
        });
    }

    fn block(&self, curve: &Curve, x: &[u8], y: &mut [u8]) {
        for column in 0..self.stride {
            let slice = || x[column..].iter().step_by(self.stride);
            let greatest = slice().copied().max().unwrap_or(0);
            let power = |&q: &u8| curve.powers[usize::from(greatest - q)];
            let sum: f64 = slice().map(power).sum();
            for (y, q) in y[column..].iter_mut().step_by(self.stride).zip(slice()) {
                let share = (power(q) / sum) as f32;
                *y = quantize_8bit(share, curve.inverse, curve.range) as u8;
            }
        }
    }
}

/// What all slices share.
struct Curve {
    /// `exp(−s · below)`: the exponentials of all bytes, by their distance from the greatest one.
    powers: [f64; 256],
    inverse: f32,
    range: OutputRange,
}
