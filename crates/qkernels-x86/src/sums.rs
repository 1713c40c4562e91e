//! Layers that deliver their sums, as integers or as the floats they stand for, instead of bytes.
//!
//! The activations of such a call are quantized a moment before it, possibly each row by parameters of
//! its own, so the zero point is corrected after the product: `sum (x - z) * w = sum x * w - z * sum w`.

use crate::context::Context;
use crate::conv::conv_sums;
use crate::error::{Result, at_least, exactly, product};
use crate::finish::{Converted, FromSums};
use crate::linear::{self, linear_weights};
use crate::pack::PackedWeights;
use crate::shape::ConvShape;

/// The parameters by which some activations were quantized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowParams {
    /// The real distance between two integers.
    pub scale: f32,
    /// The integer of real zero.
    pub zero_point: u8,
}

/// How sums become floats:
/// `y = f32(sum over c of (x[c] - zero_point) * w[n][c]) * (scale * column_scales[n]) + bias[n]`,
/// a product and an addition in `f32`, which is the order of FBGEMM (`OutputProcessing`).
#[derive(Clone, Copy, Debug)]
pub struct FloatOutput<'a> {
    /// Parameters of the activations: one for all rows, or one for each.
    pub rows: &'a [RowParams],
    /// The scale of every output channel's weights.
    pub column_scales: &'a [f32],
    /// One value for every output channel, or none at all.
    pub bias: Option<&'a [f32]>,
    /// Whether negative results become zero.
    pub relu: bool,
}

/// A linear layer with float results: `y[m][n]` by the formula of [`FloatOutput`].
///
/// # Errors
/// Those of [`linear`](crate::linear()) for the buffers; [`Error::Length`](crate::Error::Length) if `output` does not hold one or
/// `m` row parameters and a value for every output channel.
///
/// ```
/// # use qkernels_x86::{Context, FloatOutput, PackedWeights, RowParams, linear_f32};
/// let weights = PackedWeights::linear(&[1, 2, 3, 4, 5, -6], 2, 3)?;
/// let rows = [RowParams { scale: 0.5, zero_point: 10 }, RowParams { scale: 2.0, zero_point: 0 }];
/// let output = FloatOutput { rows: &rows, column_scales: &[1.0, 0.5], bias: None, relu: false };
/// let mut y = [0.0; 4];
/// linear_f32(&Context::new()?, &[11, 10, 10, 0, 0, 1], 2, &weights, &output, &mut y)?;
/// assert_eq!(y, [0.5, 1.0, 6.0, -6.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn linear_f32(
    ctx: &Context,
    x: &[u8],
    m: usize,
    weights: &PackedWeights,
    output: &FloatOutput,
    out: &mut [f32],
) -> Result<()> {
    const OPERATION: &str = "linear to f32";
    let dense = linear_weights(OPERATION, weights)?;
    let (n, k) = (weights.outputs(), dense.channels);
    at_least(OPERATION, "input", product(OPERATION, &[m, k])?, x.len())?;
    exactly(OPERATION, "output", product(OPERATION, &[m, n])?, out.len())?;
    if output.rows.len() != 1 {
        exactly(OPERATION, "row parameter", m, output.rows.len())?;
    }
    output.check(OPERATION, n)?;
    let finish = Converted {
        isa: ctx.isa,
        from: Floats {
            output: *output,
            column_sums: weights.column_sums(),
        },
    };
    linear::rows(ctx, x, m, dense, 0, finish, out);
    Ok(())
}

/// A linear layer with integer results: `y[m][n] = sum over c of (x[m][c] - zero_points[m]) * w[n][c]`.
///
/// # Errors
/// As [`linear_f32`].
pub fn linear_i32(
    ctx: &Context,
    x: &[u8],
    m: usize,
    weights: &PackedWeights,
    zero_points: &[u8],
    out: &mut [i32],
) -> Result<()> {
    const OPERATION: &str = "linear to i32";
    let dense = linear_weights(OPERATION, weights)?;
    let (n, k) = (weights.outputs(), dense.channels);
    at_least(OPERATION, "input", product(OPERATION, &[m, k])?, x.len())?;
    exactly(OPERATION, "output", product(OPERATION, &[m, n])?, out.len())?;
    if zero_points.len() != 1 {
        exactly(OPERATION, "zero point", m, zero_points.len())?;
    }
    let finish = Converted {
        isa: ctx.isa,
        from: Integers {
            zero_points,
            column_sums: weights.column_sums(),
        },
    };
    linear::rows(ctx, x, m, dense, 0, finish, out);
    Ok(())
}

/// A convolution with float results, by the formula of [`FloatOutput`] with one set of row parameters;
/// padding is real zero.
///
/// # Errors
/// Those of [`conv`](crate::conv()) for shape, weights and buffers; [`Error::Length`](crate::Error::Length) if `output` does not
/// hold exactly one row parameter and a value for every output channel.
pub fn conv_f32(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    weights: &PackedWeights,
    output: &FloatOutput,
    out: &mut [f32],
) -> Result<()> {
    const OPERATION: &str = "conv to f32";
    exactly(OPERATION, "row parameter", 1, output.rows.len())?;
    output.check(OPERATION, weights.outputs())?;
    let from = Floats {
        output: *output,
        column_sums: weights.column_sums(),
    };
    let zero_point = output.rows[0].zero_point;
    conv_sums(ctx, x, shape, weights, zero_point, from, out)
}

/// A convolution with integer results: the sums of `(x - zero_point) * w`; padding adds nothing.
///
/// # Errors
/// As [`conv_f32`].
pub fn conv_i32(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    weights: &PackedWeights,
    zero_point: u8,
    out: &mut [i32],
) -> Result<()> {
    let from = Integers {
        zero_points: &[zero_point],
        column_sums: weights.column_sums(),
    };
    conv_sums(ctx, x, shape, weights, zero_point, from, out)
}

impl FloatOutput<'_> {
    fn check(&self, operation: &'static str, outputs: usize) -> Result<()> {
        exactly(operation, "column scale", outputs, self.column_scales.len())?;
        if let Some(bias) = self.bias {
            exactly(operation, "bias", outputs, bias.len())?;
        }
        Ok(())
    }
}

/// The value for row `row`, which is the only one if there is one for all rows.
#[inline(always)]
fn of_row<T: Copy>(values: &[T], row: usize) -> T {
    if values.len() == 1 {
        values[0]
    } else {
        values[row]
    }
}

#[derive(Clone, Copy)]
struct Floats<'a> {
    output: FloatOutput<'a>,
    column_sums: &'a [i32],
}

impl FromSums for Floats<'_> {
    type Out = f32;

    #[inline(always)]
    fn convert(self, row: usize, channel: usize, sums: &[i32], out: &mut [f32]) {
        let RowParams { scale, zero_point } = of_row(self.output.rows, row);
        let channels = channel..channel + sums.len();
        let scales = &self.output.column_scales[channels.clone()];
        let corrections = &self.column_sums[channels.clone()];
        let values = sums.iter().zip(corrections).zip(scales);
        for (out, ((&sum, &correction), &column)) in out.iter_mut().zip(values) {
            let sum = sum.wrapping_sub(i32::from(zero_point).wrapping_mul(correction));
            *out = sum as f32 * (scale * column);
        }
        if let Some(bias) = self.output.bias {
            for (out, &bias) in out.iter_mut().zip(&bias[channels]) {
                *out += bias;
            }
        }
        if self.output.relu {
            for out in out {
                *out = out.max(0.0);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Integers<'a> {
    zero_points: &'a [u8],
    column_sums: &'a [i32],
}

impl FromSums for Integers<'_> {
    type Out = i32;

    #[inline(always)]
    fn convert(self, row: usize, channel: usize, sums: &[i32], out: &mut [i32]) {
        let zero_point = i32::from(of_row(self.zero_points, row));
        let corrections = &self.column_sums[channel..channel + sums.len()];
        for (out, (&sum, &correction)) in out.iter_mut().zip(sums.iter().zip(corrections)) {
            *out = sum.wrapping_sub(zero_point.wrapping_mul(correction));
        }
    }
}
