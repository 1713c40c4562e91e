//! Max pooling.

use super::{PoolShape, blocks, by_rows, load, unravel};
use crate::context::Context;
use crate::error::Result;
use crate::isa::Work;

/// The greatest element of every window, per channel. Padding takes no part; a window without any real
/// element (only dilation makes one) gives 0.
///
/// Zero point and scale are kept, so signed activations pass through
/// [`flip_sign`](crate::flip_sign) unchanged in order.
///
/// # Errors
/// Those of [`PoolShape::validate`]; [`Error::Length`](crate::Error::Length) if `x` is shorter or `out` is not as long as the
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
