//! Max and average pooling on channels-last `u8` activations: the geometry and what both share.
//!
//! Every output pixel takes blocks of channels through its window in registers. The last block of
//! channels overlaps the one before it instead of leaving a remainder: it computes a few channels
//! twice, with the same result.

mod average;
mod max;

pub use average::avg_pool;
pub(crate) use average::{Window, check_window};
pub use max::max_pool;

use crate::context::Context;
use crate::error::{Error, Result, at_least, exactly, positive, product};

/// The geometry of a pooling operation on `[batch][depth][height][width][channel]`.
///
/// One- and two-dimensional pooling have leading sizes 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// Images.
    pub batch: usize,
    /// Channels, the same in input and output.
    pub channels: usize,
    /// Input depth, height, width.
    pub input: [usize; 3],
    /// Window depth, height, width.
    pub kernel: [usize; 3],
    /// Step between windows along each axis.
    pub stride: [usize; 3],
    /// Positions added at both ends of each axis; at most half of the kernel.
    pub padding: [usize; 3],
    /// Step between the elements of a window; average pooling allows 1 only.
    pub dilation: [usize; 3],
    /// Rounds the number of windows up instead of down.
    pub ceil_mode: bool,
}

const OPERATION: &str = "pool";

/// Window elements below which a fork costs more than it saves.
const SERIAL_BELOW: u64 = 1 << 17;

impl PoolShape {
    /// Checks that an output exists and that all lengths fit the address space.
    ///
    /// # Errors
    /// [`Error::Zero`] for a zero size (the batch may be empty), [`Error::Padding`] for padding beyond half
    /// of the dilated kernel, [`Error::Window`] if that exceeds the padded input (with `ceil_mode`: by a stride
    /// or more), [`Error::TooLarge`] if a length overflows, or a step over the whole input would.
    ///
    /// ```
    /// # use qkernels_x86::PoolShape;
    /// let shape = PoolShape {
    ///     batch: 1, channels: 64, input: [1, 112, 112], kernel: [1, 3, 3], stride: [1, 2, 2],
    ///     padding: [0, 1, 1], dilation: [1, 1, 1], ceil_mode: false,
    /// };
    /// shape.validate()?;
    /// assert_eq!(shape.output(), [1, 56, 56]);
    /// # Ok::<(), qkernels_x86::Error>(())
    /// ```
    pub fn validate(&self) -> Result<()> {
        positive(OPERATION, "channels", self.channels)?;
        for axis in 0..3 {
            positive(OPERATION, "input size", self.input[axis])?;
            positive(OPERATION, "kernel size", self.kernel[axis])?;
            positive(OPERATION, "stride", self.stride[axis])?;
            positive(OPERATION, "dilation", self.dilation[axis])?;
            let too_large = Error::TooLarge {
                operation: OPERATION,
            };
            let window = self.dilation[axis]
                .checked_mul(self.kernel[axis] - 1)
                .and_then(|span| span.checked_add(1))
                .filter(|&span| span <= isize::MAX as usize / 4)
                .ok_or(too_large.clone())?;
            let (padding, limit) = (self.padding[axis], window / 2);
            if padding > limit {
                return Err(Error::Padding {
                    operation: OPERATION,
                    axis,
                    padding,
                    limit,
                });
            }
            let input = (self.input[axis])
                .checked_add(2 * padding)
                .filter(|&size| size <= isize::MAX as usize / 4)
                .ok_or(too_large.clone())?;
            if self.stride[axis] > isize::MAX as usize / 4 {
                return Err(too_large);
            }
            if self.output()[axis] == 0 {
                return Err(Error::Window {
                    operation: OPERATION,
                    axis,
                    window,
                    input,
                });
            }
        }
        let [d, h, w] = self.input;
        let elements = product(OPERATION, &[self.batch, d, h, w, self.channels])?;
        // Kernels move by this many elements at most, even where a stride leads to no second window.
        for axis in 0..3 {
            let padded = self.input[axis] + 2 * self.padding[axis];
            let reach = padded.max(self.stride[axis]).max(self.dilation[axis]);
            product(OPERATION, &[reach, elements.max(1)])?;
        }
        let [d, h, w] = self.output();
        product(OPERATION, &[self.batch, d, h, w, self.channels])?;
        Ok(())
    }

    /// `floor((input + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1` along each axis.
    ///
    /// With `ceil_mode` the quotient is rounded up, so that a window may hang over the end by less than a stride,
    /// but a window that would start beyond the input and its left padding is dropped (`pooling_output_shape` in
    /// PyTorch's `aten/src/ATen/native/Pool.h`). A shape that [`PoolShape::validate`] refuses may have sizes 0.
    pub fn output(&self) -> [usize; 3] {
        core::array::from_fn(|axis| {
            let window = (self.dilation[axis])
                .saturating_mul(self.kernel[axis].saturating_sub(1))
                .saturating_add(1);
            let (padding, stride) = (self.padding[axis], self.stride[axis]);
            let padded = padding.saturating_mul(2).saturating_add(self.input[axis]);
            // Rounding up is rounding down with `stride − 1` more room.
            let extra = if self.ceil_mode {
                stride.saturating_sub(1)
            } else {
                0
            };
            let room = padded.saturating_add(extra).checked_sub(window);
            let Some(last) = room.and_then(|room| room.checked_div(stride)) else {
                return 0;
            };
            let end = self.input[axis].saturating_add(padding);
            if self.ceil_mode && last.saturating_mul(stride) >= end {
                last
            } else {
                last.saturating_add(1)
            }
        })
    }

    pub(crate) fn input_len(&self) -> usize {
        self.batch * self.input.iter().product::<usize>() * self.channels
    }

    pub(crate) fn output_len(&self) -> usize {
        self.batch * self.output().iter().product::<usize>() * self.channels
    }

    /// Checks the shape and the lengths of both buffers.
    fn check(&self, operation: &'static str, x: &[u8], out: &[u8]) -> Result<()> {
        self.validate()?;
        at_least(operation, "x", self.input_len(), x.len())?;
        exactly(operation, "out", self.output_len(), out.len())
    }

    /// The input indices of window number `index` along `axis`, those in the padding left out, and the
    /// window's size with the padding (but not beyond it).
    #[inline(always)]
    fn window(&self, axis: usize, index: usize) -> (Taps, usize) {
        let (size, dilation) = (self.input[axis], self.dilation[axis]);
        let (start, padding) = (index * self.stride[axis], self.padding[axis]);
        // Positions count from the start of the left padding.
        let skipped = padding.saturating_sub(start).div_ceil(dilation);
        let first = start + skipped * dilation;
        let limit = size + padding;
        let left = limit.saturating_sub(first).div_ceil(dilation);
        let taps = Taps {
            first: first.wrapping_sub(padding),
            step: dilation,
            count: left.min(self.kernel[axis].saturating_sub(skipped)),
        };
        let padded = (start + self.kernel[axis]).min(limit + padding) - start;
        (taps, padded)
    }
}

/// The input indices of a window along one axis.
#[derive(Clone, Copy)]
struct Taps {
    first: usize,
    step: usize,
    count: usize,
}

/// Calls `piece(number of the first row, rows)` for runs of output rows (all pixels along the width).
fn by_rows(
    ctx: &Context,
    shape: &PoolShape,
    out: &mut [u8],
    piece: impl Fn(usize, &mut [u8]) + Sync,
) {
    let row = shape.output()[2] * shape.channels;
    let elements = shape
        .kernel
        .iter()
        .fold(out.len() as u64, |n, &k| n.saturating_mul(k as u64));
    let rows = out.len() / row.max(1);
    let chunk = rows.div_ceil(ctx.pieces(elements, SERIAL_BELOW)).max(1) * row;
    Context::chunks(out, chunk, |start, out| piece(start / row, out));
}

/// Splits a row number into image, depth and height.
#[inline(always)]
pub(crate) fn unravel(row: usize, output: [usize; 3]) -> [usize; 3] {
    let [depth, height, _] = output;
    [row / (depth * height), row / height % depth, row % height]
}

/// The `V` bytes of `x` from `at`.
#[inline(always)]
fn load<const V: usize>(x: &[u8], at: usize) -> [u8; V] {
    let mut block = [0; V];
    block.copy_from_slice(&x[at..at + V]);
    block
}

/// First channels of blocks of `V` that cover `channels` (at least `V`), the last one moved back.
#[inline(always)]
fn blocks<const V: usize>(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(V).map(move |c| c.min(channels - V))
}
