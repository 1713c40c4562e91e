//! Layers that deliver their sums, as integers or as the floats they stand for, instead of bytes.
//!
//! The activations of such a call are quantized a moment before it, possibly each row by parameters of
//! its own, so the zero point is corrected after the product: `sum (x - z) * w = sum x * w - z * sum w`.

use crate::context::Context;
use crate::conv::conv_sums;
use crate::error::{Result, at_least, exactly, product};
#[cfg(target_arch = "x86_64")]
use crate::finish::Stored;
use crate::finish::{Converted, FromSums, Place};
#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::amx::FloatTile;
use crate::linear::{self, linear_weights};
use crate::pack::{PANEL, PackedWeights};
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

    #[cfg(target_arch = "x86_64")]
    const BESIDE: usize = 1;

    #[inline(always)]
    fn convert(self, row: usize, channel: usize, sums: &[i32], out: &mut [f32]) {
        let params = of_row(self.output.rows, row);
        for (index, (out, &sum)) in out.iter_mut().zip(sums).enumerate() {
            let column = self.columns::<1>(channel + index);
            [*out] = self.values([sum], params, &column);
        }
    }

    #[inline(always)]
    fn convert_array<const N: usize>(
        self,
        row: usize,
        channel: usize,
        sums: &[i32; N],
        out: &mut [f32; N],
    ) {
        let params = of_row(self.output.rows, row);
        *out = self.values(*sums, params, &self.columns(channel));
    }

    #[inline(always)]
    fn tile(self, place: Place, sums: &[i32], out: &mut [f32], stride: usize) {
        // Panel by panel, so that a column's constants stay in registers and rows have a known length.
        let whole = place.columns / PANEL;
        for panel in 0..whole {
            let columns = self.columns::<PANEL>(place.channel + panel * PANEL);
            for row in 0..place.height {
                let params = of_row(self.output.rows, place.row + row);
                let sums = *array(&sums[row * place.width + panel * PANEL..]);
                let values = self.values(sums, params, &columns);
                out[row * stride + panel * PANEL..][..PANEL].copy_from_slice(&values);
            }
        }
        for row in 0..place.height {
            let rest = whole * PANEL..place.columns;
            let sums = &sums[row * place.width..][rest.clone()];
            let out = &mut out[row * stride..][rest];
            self.convert(place.row + row, place.channel + whole * PANEL, sums, out);
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn stored(self, _: Isa, place: Place, stored: Stored, out: &mut [f32], stride: usize) {
        let (rows, columns) = ([place.row, place.height], [place.channel, place.columns]);
        let tile = FloatTile::new(&self.output, self.column_sums, rows, columns);
        stored.finish_floats(&tile, out, stride);
    }
}

/// What the values of neighbouring columns are made of.
struct Columns<'a, const N: usize> {
    scales: &'a [f32; N],
    sums: &'a [i32; N],
    bias: Option<&'a [f32; N]>,
}

impl Floats<'_> {
    #[inline(always)]
    fn columns<const N: usize>(&self, channel: usize) -> Columns<'_, N> {
        Columns {
            scales: array(&self.output.column_scales[channel..]),
            sums: array(&self.column_sums[channel..]),
            bias: self.output.bias.map(|bias| array(&bias[channel..])),
        }
    }

    #[inline(always)]
    fn values<const N: usize>(
        &self,
        sums: [i32; N],
        row: RowParams,
        columns: &Columns<N>,
    ) -> [f32; N] {
        let zero_point = i32::from(row.zero_point);
        let mut values: [f32; N] = core::array::from_fn(|n| {
            let sum = sums[n].wrapping_sub(zero_point.wrapping_mul(columns.sums[n]));
            sum as f32 * (row.scale * columns.scales[n])
        });
        if let Some(bias) = columns.bias {
            values
                .iter_mut()
                .zip(bias)
                .for_each(|(value, bias)| *value += bias);
        }
        if self.output.relu {
            values.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        values
    }
}

/// The first `N` elements, of which there must be as many.
#[inline(always)]
fn array<T, const N: usize>(slice: &[T]) -> &[T; N] {
    match slice.first_chunk() {
        Some(array) => array,
        None => unreachable!("{} elements instead of {N}", slice.len()),
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
