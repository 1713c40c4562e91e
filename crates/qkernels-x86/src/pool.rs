//! Max and average pooling on channels-last `u8` activations.
//!
//! Every output pixel takes blocks of channels through its window in registers. The last block of
//! channels overlaps the one before it instead of leaving a remainder: it computes a few channels
//! twice, with the same result.

use core::ops::Range;

use qtensor_core::requant::{OutputRange, requantize_f32};

use crate::context::Context;
use crate::elementwise::check_zero_point;
use crate::error::{Error, Result, at_least, exactly, positive, product};
use crate::isa::Work;

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

/// The most elements a window may have: their sum times 255 fits `i32`.
pub(crate) const WINDOW_LIMIT: usize = 8_000_000;

/// Window elements below which a fork costs more than it saves.
const SERIAL_BELOW: u64 = 1 << 19;

impl PoolShape {
    /// Checks that an output exists and that all lengths fit the address space.
    ///
    /// # Errors
    /// [`Error::Zero`] for a zero size (the batch may be empty), [`Error::Padding`] for padding beyond half
    /// of the kernel, [`Error::Window`] if the dilated kernel exceeds the padded input,
    /// [`Error::TooLarge`] if a length overflows.
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
            let (padding, limit) = (self.padding[axis], self.kernel[axis] / 2);
            if padding > limit {
                return Err(Error::Padding {
                    operation: OPERATION,
                    axis,
                    padding,
                    limit,
                });
            }
            let too_large = Error::TooLarge {
                operation: OPERATION,
            };
            let window = self.dilation[axis]
                .checked_mul(self.kernel[axis] - 1)
                .and_then(|span| span.checked_add(1))
                .filter(|&span| span <= isize::MAX as usize / 4)
                .ok_or(too_large.clone())?;
            let input = (self.input[axis])
                .checked_add(2 * padding)
                .filter(|&size| size <= isize::MAX as usize / 4)
                .ok_or(too_large.clone())?;
            if self.stride[axis] > isize::MAX as usize / 4 {
                return Err(too_large);
            }
            if window > input {
                return Err(Error::Window {
                    operation: OPERATION,
                    axis,
                    window,
                    input,
                });
            }
        }
        let [d, h, w] = self.input;
        product(OPERATION, &[self.batch, d, h, w, self.channels])?;
        let [d, h, w] = self.output();
        product(OPERATION, &[self.batch, d, h, w, self.channels])?;
        Ok(())
    }

    /// `floor((input + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1` along each axis.
    ///
    /// With `ceil_mode` the quotient is rounded up, but a window that would start beyond the input and
    /// its left padding is dropped (`pooling_output_shape` in PyTorch's
    /// `aten/src/ATen/native/Pool.h`). A shape that [`PoolShape::validate`] refuses may have sizes 0.
    pub fn output(&self) -> [usize; 3] {
        core::array::from_fn(|axis| {
            let window = (self.dilation[axis])
                .saturating_mul(self.kernel[axis].saturating_sub(1))
                .saturating_add(1);
            let padding = self.padding[axis];
            let padded = padding.saturating_mul(2).saturating_add(self.input[axis]);
            let stride = self.stride[axis];
            let Some(room) = padded.checked_sub(window).filter(|_| stride > 0) else {
                return 0;
            };
            if !self.ceil_mode {
                return room / stride + 1;
            }
            let steps = room.div_ceil(stride);
            // `steps` is the index of the last window.
            if steps.saturating_mul(stride) >= self.input[axis].saturating_add(padding) {
                steps
            } else {
                steps + 1
            }
        })
    }

    fn input_len(&self) -> usize {
        self.batch * self.input.iter().product::<usize>() * self.channels
    }

    fn output_len(&self) -> usize {
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

/// The greatest element of every window, per channel. Padding takes no part; a window without any real
/// element (only dilation makes one) gives 0.
///
/// Zero point and scale are kept, so signed activations pass through
/// [`flip_sign`](crate::flip_sign) unchanged in order.
///
/// # Errors
/// Those of [`PoolShape::validate`]; [`Error::Length`] if `x` is shorter or `out` is not as long as the
/// shape says.
///
/// ```
/// # use qkernels_x86::{Context, PoolShape, max_pool};
/// let shape = PoolShape {
///     batch: 1, channels: 1, input: [1, 2, 4], kernel: [1, 2, 2], stride: [1, 2, 2],
///     padding: [0; 3], dilation: [1; 3], ceil_mode: false,
/// };
/// let mut out = [0u8; 2];
/// max_pool(&Context::new()?, &[1, 2, 3, 4, 8, 7, 6, 5], &shape, &mut out)?;
/// assert_eq!(out, [8, 6]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "MaxPool2d")]
pub fn max_pool(ctx: &Context, x: &[u8], shape: &PoolShape, out: &mut [u8]) -> Result<()> {
    shape.check("max_pool", x, out)?;
    by_rows(ctx, shape, out, |first_row, out| {
        ctx.isa.vectorize(MaxRows {
            shape,
            x,
            first_row,
            out,
        });
    });
    Ok(())
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
pub(crate) fn load<const V: usize>(x: &[u8], at: usize) -> [u8; V] {
    let mut block = [0; V];
    block.copy_from_slice(&x[at..at + V]);
    block
}

/// First channels of blocks of `V` that cover `channels` (at least `V`), the last one moved back.
#[inline(always)]
fn blocks<const V: usize>(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels).step_by(V).map(move |c| c.min(channels - V))
}

struct MaxRows<'a> {
    shape: &'a PoolShape,
    x: &'a [u8],
    first_row: usize,
    out: &'a mut [u8],
}

impl Work for MaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.shape.channels {
            64.. => self.rows::<64>(),
            32.. => self.rows::<32>(),
            8.. => self.rows::<8>(),
            _ => self.rows::<1>(),
        }
    }
}

impl MaxRows<'_> {
    #[inline(always)]
    fn rows<const V: usize>(self) {
        let (shape, channels) = (self.shape, self.shape.channels);
        let output = shape.output();
        let [depth, height, width] = shape.input;
        for (row, out) in (self.first_row..).zip(self.out.chunks_exact_mut(output[2] * channels)) {
            let [image, od, oh] = unravel(row, output);
            let ((d, _), (h, _)) = (shape.window(0, od), shape.window(1, oh));
            for (ow, out) in out.chunks_exact_mut(channels).enumerate() {
                let (w, _) = shape.window(2, ow);
                for c in blocks::<V>(channels) {
                    let mut best = [0u8; V];
                    for kd in 0..d.count {
                        let plane = image * depth + d.first + kd * d.step;
                        for kh in 0..h.count {
                            let line = plane * height + h.first + kh * h.step;
                            let mut at = (line * width).wrapping_add(w.first) * channels + c;
                            for _ in 0..w.count {
                                let block: [u8; V] = load(self.x, at);
                                for i in 0..V {
                                    best[i] = best[i].max(block[i]);
                                }
                                at += w.step * channels;
                            }
                        }
                    }
                    out[c..c + V].copy_from_slice(&best);
                }
            }
        }
    }
}

/// The mean of every window, per channel: `clamp(rne(f32(Σ(q − z)) / f32(divisor)) + z, 0, 255)`.
///
/// The sum is over the real elements. The divisor is `divisor_override` if given, else the size of the
/// window including padding (`count_include_pad`) or the number of real elements. This is PyTorch's
/// channels-last kernel, which adds the zero point after rounding.
///
/// # Errors
/// Those of [`PoolShape::validate`]; [`Error::Mismatch`] for a dilation other than 1; [`Error::Zero`] for
/// a divisor of 0; [`Error::Range`] if the zero point is not a `u8`; [`Error::Depth`] for a window of more
/// than 8 million elements; [`Error::Length`] if `x` is shorter or `out` is not as long as the shape
/// says.
///
/// ```
/// # use qkernels_x86::{Context, PoolShape, avg_pool};
/// let shape = PoolShape {
///     batch: 1, channels: 1, input: [1, 1, 4], kernel: [1, 1, 2], stride: [1, 1, 2],
///     padding: [0; 3], dilation: [1; 3], ceil_mode: false,
/// };
/// let mut out = [0u8; 2];
/// avg_pool(&Context::new()?, &[1, 2, 3, 6], &shape, 1, true, None, &mut out)?;
/// assert_eq!(out, [1, 5]); // 1/2 rounds to 0, 7/2 to 4, plus 1
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "AvgPool2d")]
pub fn avg_pool(
    ctx: &Context,
    x: &[u8],
    shape: &PoolShape,
    zero_point: i32,
    count_include_pad: bool,
    divisor_override: Option<i32>,
    out: &mut [u8],
) -> Result<()> {
    const OPERATION: &str = "avg_pool";
    shape.check(OPERATION, x, out)?;
    check_zero_point(OPERATION, zero_point)?;
    if let Some(&actual) = shape.dilation.iter().find(|&&dilation| dilation != 1) {
        return Err(Error::Mismatch {
            operation: OPERATION,
            what: "dilation",
            expected: 1,
            actual,
        });
    }
    if divisor_override == Some(0) {
        return Err(Error::Zero {
            operation: OPERATION,
            what: "divisor_override",
        });
    }
    check_window(OPERATION, shape.kernel)?;
    by_rows(ctx, shape, out, |first_row, out| {
        ctx.isa.vectorize(AvgRows {
            shape,
            x,
            zero_point,
            count_include_pad,
            divisor_override,
            first_row,
            out,
        });
    });
    Ok(())
}

/// Refuses windows whose sum may leave `i32`.
pub(crate) fn check_window(operation: &'static str, window: [usize; 3]) -> Result<()> {
    let actual = window.iter().fold(1usize, |n, &k| n.saturating_mul(k));
    if actual > WINDOW_LIMIT {
        return Err(Error::Depth {
            operation,
            limit: WINDOW_LIMIT,
            actual,
        });
    }
    Ok(())
}

struct AvgRows<'a> {
    shape: &'a PoolShape,
    x: &'a [u8],
    zero_point: i32,
    count_include_pad: bool,
    divisor_override: Option<i32>,
    first_row: usize,
    out: &'a mut [u8],
}

impl Work for AvgRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (shape, channels) = (self.shape, self.shape.channels);
        let output = shape.output();
        let [depth, height, width] = shape.input;
        for (row, out) in (self.first_row..).zip(self.out.chunks_exact_mut(output[2] * channels)) {
            let [image, od, oh] = unravel(row, output);
            let ((d, padded_d), (h, padded_h)) = (shape.window(0, od), shape.window(1, oh));
            for (ow, out) in out.chunks_exact_mut(channels).enumerate() {
                let (w, padded_w) = shape.window(2, ow);
                let divisor = match self.divisor_override {
                    Some(divisor) => divisor,
                    None if self.count_include_pad => (padded_d * padded_h * padded_w) as i32,
                    None => (d.count * h.count * w.count) as i32,
                };
                let window = Window {
                    x: self.x,
                    first_plane: image * depth,
                    d: d.first..d.first + d.count,
                    h: h.first..h.first + h.count,
                    w: w.first..w.first + w.count,
                    height,
                    width,
                };
                window.mean(divisor, self.zero_point, out);
            }
        }
    }
}

/// The real elements under one output pixel.
pub(crate) struct Window<'a> {
    pub(crate) x: &'a [u8],
    /// Planes (depth times images) before this image.
    pub(crate) first_plane: usize,
    pub(crate) d: Range<usize>,
    pub(crate) h: Range<usize>,
    pub(crate) w: Range<usize>,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Window<'_> {
    /// Writes the mean of each channel; `out` is one pixel.
    #[inline(always)]
    pub(crate) fn mean(&self, divisor: i32, zero_point: i32, out: &mut [u8]) {
        match out.len() {
            32.. => self.mean_by::<32>(divisor, zero_point, out),
            8.. => self.mean_by::<8>(divisor, zero_point, out),
            _ => self.mean_by::<1>(divisor, zero_point, out),
        }
    }

    #[inline(always)]
    fn mean_by<const V: usize>(&self, divisor: i32, zero_point: i32, out: &mut [u8]) {
        let count = self.d.len() * self.h.len() * self.w.len();
        let offset = count as i32 * zero_point;
        let divisor = divisor as f32;
        let range = OutputRange {
            zero_point,
            lo: 0,
            hi: 255,
        };
        let channels = out.len();
        for c in blocks::<V>(channels) {
            let sum: [i32; V] = self.sum(channels, c);
            let mut mean = [0u8; V];
            for i in 0..V {
                mean[i] = requantize_f32((sum[i] - offset) as f32 / divisor, range) as u8;
            }
            out[c..c + V].copy_from_slice(&mean);
        }
    }

    /// Sums `V` channels from `c` in 16 bits, which hold 257 terms, and moves them to 32 bits in time.
    #[inline(always)]
    fn sum<const V: usize>(&self, channels: usize, c: usize) -> [i32; V] {
        const TERMS: usize = 257;
        let mut total = [0i32; V];
        let mut partial = [0u16; V];
        let mut terms = 0;
        for d in self.d.clone() {
            for h in self.h.clone() {
                let line = ((self.first_plane + d) * self.height + h) * self.width;
                for w in self.w.clone() {
                    if terms == TERMS {
                        for i in 0..V {
                            total[i] += i32::from(partial[i]);
                        }
                        partial = [0; V];
                        terms = 0;
                    }
                    let block: [u8; V] = load(self.x, (line + w) * channels + c);
                    for i in 0..V {
                        partial[i] += u16::from(block[i]);
                    }
                    terms += 1;
                }
            }
        }
        for i in 0..V {
            total[i] += i32::from(partial[i]);
        }
        total
    }
}
