//! Convolutions: rows of a product whose segments are found through pointers, one per tap.
//!
//! Nothing is rearranged beforehand: a tap of an output position is a run of channels in the
//! channels-last input, or a run of padding, and tiles read either through a pointer.

use core::ops::Range;

#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::context::Context;
use crate::depthwise::depthwise;
use crate::driver::{self, Job};
use crate::error::{Error, Result, at_least, exactly};
use crate::finish::{Bytes, Converted, Finish, FromSums, Requantized};
use crate::gather::{Gather, Input};
#[cfg(target_arch = "x86_64")]
use crate::grouped;
#[cfg(target_arch = "x86_64")]
use crate::isa::wide::Wide;
use crate::linear;
use crate::pack::{Dense, Form, Kind, PackedWeights, QUAD};
use crate::padded::with_padding;
use crate::plan::FEW_ROWS;
use crate::requant::Requant;
use crate::shape::ConvShape;
use crate::source::Segments;
use crate::strips::Strips;
#[cfg(target_arch = "x86_64")]
use crate::winograd;

const OPERATION: &str = "conv";

/// Convolves channels-last `x` with packed weights; see [`ConvShape`] for the geometry.
///
/// `out[b][o][n] = requantize(bias[n] + sum over taps t and channels c of (x[b][o * stride + t *
/// dilation - padding][c] - input zero point) * w[n][c][t])`, with real zero, which is the input zero
/// point, outside of the input. `x` may be longer than the input; four bytes of slack save copying
/// its end. Batch and input size may differ from those the weights were packed with.
///
/// # Errors
/// Those of [`ConvShape::validate`]; [`Error::Packing`] and [`Error::Mismatch`] if weights or `requant`
/// were made for another layer; [`Error::Length`] for buffers that do not fit.
///
/// ```
/// # use qkernels_x86::{Context, ConvShape, OutputRange, PackedWeights, Requant, conv};
/// // A sum over 3 neighbours in one dimension, zero padded.
/// let shape = ConvShape {
///     batch: 1, in_channels: 1, out_channels: 1, groups: 1,
///     input: [1, 1, 4], kernel: [1, 1, 3], stride: [1; 3], padding: [0, 0, 1], dilation: [1; 3],
/// };
/// let weights = PackedWeights::conv(&[1, 1, 1], &shape)?;
/// let range = OutputRange { zero_point: 0, lo: 0, hi: 255 };
/// let requant = Requant::new(&weights, &[0], &[1.0], 0, range)?;
/// let mut out = [0; 4];
/// conv(&Context::new()?, &[1, 2, 3, 4], &shape, &weights, &requant, &mut out)?;
/// assert_eq!(out, [3, 6, 9, 7]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "conv1d")]
#[doc(alias = "conv2d")]
#[doc(alias = "conv3d")]
pub fn conv(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    weights: &PackedWeights,
    requant: &Requant,
    out: &mut [u8],
) -> Result<()> {
    linear::check_requant(OPERATION, weights, requant)?;
    let zero_point = requant.input_zero_point();
    check_buffers(x, shape, weights, out.len())?;
    #[cfg(target_arch = "x86_64")]
    if let Some(job) = grouped::Job::of(ctx, weights, x, shape) {
        let from = Requantized {
            multipliers: &job.unpad(requant.multipliers()),
            range: requant.range(),
        };
        job.conv(&job.unpad(requant.start()), zero_point, from, out);
        return Ok(());
    }
    match weights.form() {
        Form::Dense(dense) => {
            let finish = Bytes(requant);
            dense_conv(ctx, x, shape, (weights, dense), zero_point, finish, out)
        }
        Form::Depthwise(taps) => {
            let from = Requantized {
                multipliers: requant.multipliers(),
                range: requant.range(),
            };
            depthwise(ctx, x, shape, taps, requant.start(), zero_point, from, out)
        }
    }
}

/// A convolution with another output, if its kernel computes tiles in the order of the output; answers whether it is.
pub(crate) fn swept<F: Finish>(
    ctx: &Context,
    weights: &PackedWeights,
    shape: &ConvShape,
    x: &[u8],
    requant: &Requant,
    finish: F,
    out: &mut [F::Out],
) -> Result<bool> {
    linear::check_requant(OPERATION, weights, requant)?;
    check_buffers(x, shape, weights, out.len())?;
    let Form::Dense(dense) = weights.form() else {
        return Ok(false);
    };
    #[cfg(target_arch = "x86_64")]
    if Wide::of(ctx.isa).is_some() && weights.winograd().is_some()
        || grouped::Job::of(ctx, weights, x, shape).is_some()
    {
        return Ok(false);
    }
    let zero_point = requant.input_zero_point();
    dense_conv(ctx, x, shape, (weights, dense), zero_point, finish, out)?;
    Ok(true)
}

/// A convolution whose sums become something else than bytes.
pub(crate) fn conv_sums<C: FromSums>(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    weights: &PackedWeights,
    zero_point: u8,
    from: C,
    out: &mut [C::Out],
) -> Result<()> {
    check_buffers(x, shape, weights, out.len())?;
    #[cfg(target_arch = "x86_64")]
    if let Some(job) = grouped::Job::of(ctx, weights, x, shape) {
        job.conv(&vec![0; weights.outputs()], zero_point, from, out);
        return Ok(());
    }
    match weights.form() {
        Form::Dense(dense) => {
            let finish = Converted { isa: ctx.isa, from };
            dense_conv(ctx, x, shape, (weights, dense), zero_point, finish, out)
        }
        Form::Depthwise(taps) => {
            let start = vec![0; weights.outputs()];
            depthwise(ctx, x, shape, taps, &start, zero_point, from, out)
        }
    }
}

/// A convolution by panels.
///
/// # Errors
/// [`Error::TooLarge`] for absurd padding of few channels.
fn dense_conv<F: Finish>(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    (weights, dense): (&PackedWeights, &Dense),
    zero_point: u8,
    finish: F,
    out: &mut [F::Out],
) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    if let Some((wide, transformed)) = Wide::of(ctx.isa).zip(weights.winograd()) {
        let job = winograd::Job {
            wide,
            x,
            shape,
            weights: transformed,
            zero_point,
            finish,
        };
        winograd::conv(ctx, job, out);
        return Ok(());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = weights;
    if dense.row_run && shape.padding != [0; 3] {
        moderate_padding(shape)?;
        with_padding(x, shape, zero_point, QUAD, |x, shape| {
            sweep(ctx, x, shape, dense, zero_point, finish, out);
        });
    } else {
        sweep(ctx, x, shape, dense, zero_point, finish, out);
    }
    Ok(())
}

/// Refuses a padded copy that is out of all proportion to input and output, as only absurd padding and strides can make it.
fn moderate_padding(shape: &ConvShape) -> Result<()> {
    let output = shape.output_rows() * shape.out_channels;
    let real = shape.input_len().saturating_add(output);
    let padded = (0..3).fold(shape.batch * shape.in_channels, |size, axis| {
        size.saturating_mul(shape.input[axis] + 2 * shape.padding[axis])
    });
    if padded > real.saturating_mul(16).max(1 << 24) {
        return Err(Error::TooLarge {
            operation: OPERATION,
        });
    }
    Ok(())
}

/// A convolution by panels, straight from its input.
fn sweep<F: Finish>(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    dense: &Dense,
    zero_point: u8,
    finish: F,
    out: &mut [F::Out],
) {
    let rows = shape.output_rows();
    if shape.groups == 1 && shape.taps() == 1 && shape.stride == [1; 3] && shape.padding == [0; 3] {
        return linear::rows(ctx, x, rows, dense, zero_point, finish, out);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(amx) = amx::worthwhile(ctx.isa, dense, rows, shape.input_len(), x)
        && amx::affordable(shape)
    {
        let job = Job::new(ctx, dense, finish);
        return amx::conv(amx, ctx, job, x, shape, zero_point, out);
    }
    let job = Job::new(ctx, dense, finish);
    if ctx.isa.leaves_out()
        && rows > FEW_ROWS
        && let Some(strips) = Strips::of(x, shape, dense, zero_point)
    {
        return driver::run(ctx, job, &strips, zero_point, rows, out);
    }
    let span = (dense.groups - 1) * dense.channels + dense.quads() * QUAD;
    let input = Input::new(x, shape.input_len(), span, zero_point);
    let sweep = Sweep {
        shape,
        output: shape.output(),
        dense,
    };
    let fill = |rows: Range<usize>, gather: &mut Gather| sweep.fill(rows, gather);
    let source = Segments { input, dense, fill };
    driver::run(ctx, job, &source, zero_point, rows, out);
}

/// Refuses shapes, weights and buffers that do not go together.
fn check_buffers(x: &[u8], shape: &ConvShape, weights: &PackedWeights, out: usize) -> Result<()> {
    shape.validate()?;
    check_packing(shape, weights)?;
    at_least(OPERATION, "input", shape.input_len(), x.len())?;
    exactly(
        OPERATION,
        "output",
        shape.output_rows() * shape.out_channels,
        out,
    )
}

/// Refuses weights that were packed for another kernel.
fn check_packing(shape: &ConvShape, weights: &PackedWeights) -> Result<()> {
    let Kind::Conv(packed) = weights.kind() else {
        return Err(Error::Packing {
            operation: OPERATION,
            expected: "a convolution",
            actual: "a linear layer",
        });
    };
    let axes = [
        (
            ["kernel depth", "kernel height", "kernel width"],
            packed.kernel,
            shape.kernel,
        ),
        (
            ["depth stride", "height stride", "width stride"],
            packed.stride,
            shape.stride,
        ),
        (
            ["depth padding", "height padding", "width padding"],
            packed.padding,
            shape.padding,
        ),
        (
            ["depth dilation", "height dilation", "width dilation"],
            packed.dilation,
            shape.dilation,
        ),
    ];
    let sizes = [
        ("in_channels", packed.in_channels, shape.in_channels),
        ("out_channels", packed.out_channels, shape.out_channels),
        ("groups", packed.groups, shape.groups),
    ];
    let axes = axes
        .into_iter()
        .flat_map(|(names, packed, given)| (0..3).map(move |i| (names[i], packed[i], given[i])));
    match sizes
        .into_iter()
        .chain(axes)
        .find(|(_, packed, given)| packed != given)
    {
        Some((what, expected, actual)) => Err(Error::Mismatch {
            operation: OPERATION,
            what,
            expected,
            actual,
        }),
        None => Ok(()),
    }
}

/// Finds the segments of output positions.
struct Sweep<'a> {
    shape: &'a ConvShape,
    output: [usize; 3],
    dense: &'a Dense,
}

impl Sweep<'_> {
    /// Fills in the sources of a block, one run of neighbours along the width at a time.
    #[inline(always)]
    fn fill(&self, rows: Range<usize>, gather: &mut Gather) {
        let [depth, height, width] = self.output;
        let mut row = rows.start;
        while row < rows.end {
            let (line, ow) = (row / width, row % width);
            let run = (width - ow).min(rows.end - row);
            let at = row - rows.start;
            let (oh, od, image) = (line % height, line / height % depth, line / height / depth);
            self.run([image, od, oh, ow], at..at + run, rows.len(), gather);
            row += run;
        }
    }

    /// The sources of a run that starts at the output position `[image, depth, height, width]` and takes
    /// up the rows `rows` of a block of `block` rows.
    #[inline(always)]
    fn run(
        &self,
        [image, od, oh, ow]: [usize; 4],
        rows: Range<usize>,
        block: usize,
        gather: &mut Gather,
    ) {
        let [kernel_depth, kernel_height, kernel_width] = self.shape.kernel;
        let [_, height, width] = self.shape.input;
        let per_line = if self.dense.row_run { 1 } else { kernel_width };
        for kd in 0..kernel_depth {
            let Some(id) = self.shape.under(0, od, kd) else {
                continue;
            };
            for kh in 0..kernel_height {
                let Some(ih) = self.shape.under(1, oh, kh) else {
                    continue;
                };
                let line = ((image * self.shape.input[0] + id) * height + ih)
                    * width
                    * self.shape.in_channels;
                for kw in 0..per_line {
                    let segment = (kd * kernel_height + kh) * per_line + kw;
                    let mut places = gather.segment(segment, block, rows.clone());
                    if self.dense.row_run {
                        // Padded beforehand, so that each kernel row lies in the image.
                        let step = self.shape.stride[2] * self.shape.in_channels;
                        places.inputs(line + ow * step, step);
                        continue;
                    }
                    for place in 0..rows.len() {
                        if let Some(iw) = self.shape.under(2, ow + place, kw) {
                            places.input(place, line + iw * self.shape.in_channels);
                        }
                    }
                }
            }
        }
    }
}
