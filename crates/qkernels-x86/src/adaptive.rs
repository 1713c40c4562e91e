//! Adaptive average pooling: the caller names the output size, windows follow from it.

use core::ops::Range;

use crate::context::Context;
use crate::elementwise::check_zero_point;
use crate::error::{Result, at_least, exactly, positive, product};
use crate::isa::Work;
use crate::pool::{Window, check_window, unravel};

const OPERATION: &str = "adaptive_avg_pool";

/// Input elements below which a fork costs more than it saves.
const SERIAL_BELOW: u64 = 1 << 17;

/// The mean over windows chosen so that the output has the given size, per channel.
///
/// Along each axis, output `i` covers input `floor(i·in/out)` up to, not including,
/// `ceil((i + 1)·in/out)`. The result is `clamp(rne(f32(Σ(q − z)) / f32(count)) + z, 0, 255)`, and scale
/// and zero point are kept. An output of `[1, 1, 1]` is global average pooling.
///
/// # Errors
/// [`Error::Zero`](crate::Error::Zero) for a zero size (the batch may be empty),
/// [`Error::Range`](crate::Error::Range) if the zero point is not a `u8`,
/// [`Error::Depth`](crate::Error::Depth) for a window of more than 8 million elements,
/// [`Error::Length`](crate::Error::Length) if `x` is shorter or `out` is not as long as the sizes say.
///
/// ```
/// # use qkernels_x86::{Context, adaptive_avg_pool};
/// let mut out = [0u8; 2];
/// adaptive_avg_pool(&Context::new()?, &[1, 2, 9], 1, 1, [1, 1, 3], [1, 1, 2], 0, &mut out)?;
/// assert_eq!(out, [2, 6]); // windows [1, 2] and [2, 9]; both ties go to even
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "AdaptiveAvgPool2d")]
#[allow(clippy::too_many_arguments)]
pub fn adaptive_avg_pool(
    ctx: &Context,
    x: &[u8],
    batch: usize,
    channels: usize,
    input: [usize; 3],
    output: [usize; 3],
    zero_point: i32,
    out: &mut [u8],
) -> Result<()> {
    positive(OPERATION, "channels", channels)?;
    for axis in 0..3 {
        positive(OPERATION, "input size", input[axis])?;
        positive(OPERATION, "output size", output[axis])?;
        // The formula multiplies the two.
        product(OPERATION, &[input[axis], output[axis], 2])?;
    }
    let [d, h, w] = input;
    let needed = product(OPERATION, &[batch, d, h, w, channels])?;
    at_least(OPERATION, "x", needed, x.len())?;
    let [d, h, w] = output;
    let needed = product(OPERATION, &[batch, d, h, w, channels])?;
    exactly(OPERATION, "out", needed, out.len())?;
    check_zero_point(OPERATION, zero_point)?;
    // No window is longer than the step rounded up plus one.
    let longest = core::array::from_fn(|axis| input[axis].min(input[axis] / output[axis] + 2));
    check_window(OPERATION, longest)?;

    let row = w * channels;
    let rows = batch * d * h;
    let chunk = rows
        .div_ceil(ctx.pieces(x.len() as u64, SERIAL_BELOW))
        .max(1)
        * row;
    Context::chunks(out, chunk, |start, out| {
        ctx.isa.vectorize(Rows {
            x,
            channels,
            input,
            output,
            zero_point,
            first_row: start / row,
            out,
        });
    });
    Ok(())
}

struct Rows<'a> {
    x: &'a [u8],
    channels: usize,
    input: [usize; 3],
    output: [usize; 3],
    zero_point: i32,
    first_row: usize,
    out: &'a mut [u8],
}

impl Rows<'_> {
    #[inline(always)]
    fn window(&self, axis: usize, index: usize) -> Range<usize> {
        let (input, output) = (self.input[axis], self.output[axis]);
        index * input / output..((index + 1) * input).div_ceil(output)
    }
}

impl Work for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let [depth, height, width] = self.input;
        let out = core::mem::take(&mut self.out);
        let row_len = self.output[2] * self.channels;
        for (row, out) in (self.first_row..).zip(out.chunks_exact_mut(row_len)) {
            let [image, od, oh] = unravel(row, self.output);
            for (ow, out) in out.chunks_exact_mut(self.channels).enumerate() {
                let window = Window {
                    x: self.x,
                    first_plane: image * depth,
                    d: self.window(0, od),
                    h: self.window(1, oh),
                    w: self.window(2, ow),
                    height,
                    width,
                };
                let count = window.d.len() * window.h.len() * window.w.len();
                window.mean(count as i32, self.zero_point, out);
            }
        }
    }
}
