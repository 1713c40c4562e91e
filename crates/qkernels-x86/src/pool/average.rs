//! Average pooling, and the mean of a window that adaptive pooling shares.

use core::ops::Range;

use qtensor_core::requant::{OutputRange, requantize_f32};

use super::{PoolShape, blocks, by_rows, load, unravel};
use crate::context::Context;
use crate::elementwise::check_zero_point;
use crate::error::{Error, Result};
use crate::isa::Work;

/// The most elements a window may have: their sum times 255 fits `i32`.
const WINDOW_LIMIT: usize = 8_000_000;

/// The mean of every window, per channel: `clamp(rne(f32(Σ(q − z)) · (1 / f32(divisor))) + z, 0, 255)`.
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
        // PyTorch multiplies by the reciprocal; a division rounds some exact halves apart.
        let inverse = 1.0 / divisor as f32;
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
                mean[i] = requantize_f32((sum[i] - offset) as f32 * inverse, range) as u8;
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
