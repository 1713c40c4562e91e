//! Rows of floats brought to a common measure: softmax and layer normalization.
//!
//! Sums over a row have sixteen partial sums, of every sixteenth element each, and add these in a fixed tree, so
//! that every instruction set gives the same bits, and does so with whole vectors.

use crate::context::Context;
use crate::curves::{SERIAL_BELOW, exp};
use crate::error::{Error, Result, exactly};
use crate::fork::fork;
use crate::isa::Work;

/// Elements of which all steps are done before the next ones.
const BLOCK: usize = 4096;

/// Partial sums of a row.
const LANES: usize = 16;

/// `out[i] = exp(x[i] − max x) / Σ exp(x[j] − max x)` over each row of `length` elements.
///
/// A row of which every element is −∞ becomes NaN, as in PyTorch; NaN makes its row NaN.
///
/// # Errors
/// [`Error::Length`] if `x` and `out` differ in length, [`Error::Indivisible`] if that is no multiple of `length`.
///
/// ```
/// # use qkernels_x86::{Context, softmax_f32};
/// let mut y = [0.0; 4];
/// softmax_f32(&Context::new()?, &[3.0, 3.0, 0.0, f32::NEG_INFINITY], 2, &mut y)?;
/// assert_eq!(y, [0.5, 0.5, 1.0, 0.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn softmax_f32(ctx: &Context, x: &[f32], length: usize, out: &mut [f32]) -> Result<()> {
    by_rows(ctx, "softmax_f32", x, length, out, |x, out| {
        ctx.isa.vectorize(Softmax { x, length, out })
    })
}

/// `out[i] = (x[i] − mean) / √(variance + eps) · weight[i] + bias[i]` over each row of `weight.len()` elements, with
/// the mean of the squared differences from the mean as variance.
///
/// # Errors
/// As [`softmax_f32`], and if `bias` and `weight` differ in length.
///
/// ```
/// # use qkernels_x86::{Context, layer_norm_f32};
/// let mut y = [0.0; 2];
/// layer_norm_f32(&Context::new()?, &[1.0, 3.0], &[1.0, 2.0], &[0.0, 5.0], 0.0, &mut y)?;
/// assert_eq!(y, [-1.0, 7.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn layer_norm_f32(
    ctx: &Context,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    out: &mut [f32],
) -> Result<()> {
    exactly("layer_norm_f32", "bias", weight.len(), bias.len())?;
    by_rows(ctx, "layer_norm_f32", x, weight.len(), out, |x, out| {
        ctx.isa.vectorize(LayerNorm {
            x,
            weight,
            bias,
            eps,
            out,
        });
    })
}

/// Shares rows out between threads.
fn by_rows(
    ctx: &Context,
    operation: &'static str,
    x: &[f32],
    length: usize,
    out: &mut [f32],
    work: impl Fn(&[f32], &mut [f32]) + Sync,
) -> Result<()> {
    exactly(operation, "output", x.len(), out.len())?;
    if out.is_empty() {
        return Ok(());
    }
    if length == 0 || !out.len().is_multiple_of(length) {
        return Err(Error::Indivisible {
            operation,
            what: "number of elements",
            actual: out.len(),
            divisor: length,
        });
    }
    let rows = out.len() / length;
    let pieces = ctx.pieces(out.len() as u64, SERIAL_BELOW).min(rows);
    if pieces == 1 {
        work(x, out);
        return Ok(());
    }
    let piece = rows.div_ceil(pieces) * length;
    fork(out.chunks_mut(piece).zip(x.chunks(piece)), |(out, x)| {
        work(x, out)
    });
    Ok(())
}

/// The sum of `f` over a row in the fixed order of this file.
#[inline(always)]
fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for at in 0..width {
            lanes[at] += lanes[at + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The greatest element; NaN are passed over, which the exponentials of the row bring back.
#[inline(always)]
fn greatest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = if x > *lane { x } else { *lane };
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

struct Softmax<'a> {
    x: &'a [f32],
    length: usize,
    out: &'a mut [f32],
}

impl Work for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Softmax { x, length, out } = self;
        // As many rows at a time as the first-level cache holds.
        let block = (BLOCK / length).max(1) * length;
        for (x, out) in x.chunks(block).zip(out.chunks_mut(block)) {
            out.copy_from_slice(x);
            softmax_in_place(out, length);
        }
    }
}

/// Softmax of each row. Exponentials are taken of all rows in one loop, because rows may be short.
#[inline(always)]
pub(crate) fn softmax_in_place(rows: &mut [f32], length: usize) {
    for row in rows.chunks_exact_mut(length) {
        let most = greatest(row);
        for x in row.iter_mut() {
            // −∞ stands for what is masked, and has no share at all; NaN where there is nothing else.
            *x -= most;
        }
    }
    for x in rows.iter_mut() {
        *x = exp(*x);
    }
    for row in rows.chunks_exact_mut(length) {
        let sum = sum_of(row, |y| y);
        for y in row.iter_mut() {
            *y /= sum;
        }
    }
}

struct LayerNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Work for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let length = self.weight.len();
        let count = length as f32;
        let rows = self.x.chunks_exact(length);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(length)) {
            let mean = sum_of(x, |x| x) / count;
            let variance = sum_of(x, |x| (x - mean) * (x - mean)) / count;
            let scale = 1.0 / (variance + self.eps).sqrt();
            let parameters = self.weight.iter().zip(self.bias);
            for ((out, &x), (&weight, &bias)) in out.iter_mut().zip(x).zip(parameters) {
                *out = (x - mean) * scale * weight + bias;
            }
        }
    }
}
