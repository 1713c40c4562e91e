//! Convolutions: rows of a product whose segments are found through pointers, one per tap.
//!
//! Nothing is rearranged beforehand: a tap of an output position is a run of channels in the
//! channels-last input, or a run of padding, and tiles read either through a pointer.

use core::ops::Range;

use crate::context::Context;
use crate::depthwise::depthwise;
use crate::driver::{self, Job};
use crate::error::{Error, Result, at_least, exactly};
use crate::gather::{Gather, Input, Places};
use crate::linear;
use crate::pack::{Dense, Form, Kind, PackedWeights, QUAD};
use crate::requant::Requant;
use crate::shape::ConvShape;

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
    shape.validate()?;
    check_packing(shape, weights)?;
    linear::check_requant(OPERATION, weights, requant)?;
    let rows = shape.output_rows();
    at_least(OPERATION, "input", shape.input_len(), x.len())?;
    exactly(OPERATION, "output", rows * shape.out_channels, out.len())?;
    let zero_point = requant.input_zero_point();
    let dense = match weights.form() {
        Form::Dense(dense) => dense,
        Form::Depthwise(taps) => {
            let (start, multipliers) = (requant.start(), requant.multipliers());
            return depthwise(
                ctx,
                x,
                shape,
                taps,
                start,
                multipliers,
                zero_point,
                requant.range(),
                out,
            );
        }
    };
    if shape.groups == 1 && shape.taps() == 1 && shape.stride == [1; 3] && shape.padding == [0; 3] {
        linear::rows(ctx, x, rows, dense, requant, out);
        return Ok(());
    }
    let span = (dense.groups - 1) * dense.channels + dense.quads() * QUAD;
    let input = Input::new(x, shape.input_len(), span, zero_point);
    let sweep = Sweep {
        shape,
        output: shape.output(),
        dense,
        x,
        zero_point: requant.input_zero_point(),
    };
    let fill = |rows: Range<usize>, gather: &mut Gather| sweep.fill(rows, gather);
    driver::run(
        ctx,
        Job {
            isa: ctx.isa,
            dense,
            requant,
        },
        input,
        rows,
        fill,
        out,
    );
    Ok(())
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
    x: &'a [u8],
    zero_point: u8,
}

impl Sweep<'_> {
    /// Fills in the sources of a block, one run of neighbours along the width at a time.
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
            let Some(id) = self.coordinate(0, od, kd) else {
                continue;
            };
            for kh in 0..kernel_height {
                let Some(ih) = self.coordinate(1, oh, kh) else {
                    continue;
                };
                let line = ((image * self.shape.input[0] + id) * height + ih)
                    * width
                    * self.shape.in_channels;
                for kw in 0..per_line {
                    let segment = (kd * kernel_height + kh) * per_line + kw;
                    let mut places = gather.segment(segment, block, rows.clone());
                    for place in 0..rows.len() {
                        if self.dense.row_run {
                            let first = (ow + place) * self.shape.stride[2];
                            self.kernel_row(line, first, place, &mut places);
                        } else if let Some(iw) = self.coordinate(2, ow + place, kw) {
                            places.input(place, line + iw * self.shape.in_channels);
                        }
                    }
                }
            }
        }
    }

    /// A whole kernel row, which begins `first` positions into the padded line.
    fn kernel_row(&self, line: usize, first: usize, place: usize, places: &mut Places) {
        let (padding, width, channels) = (
            self.shape.padding[2],
            self.shape.input[2],
            self.shape.in_channels,
        );
        let end = first + self.shape.kernel[2];
        if first >= padding && end <= padding + width {
            places.input(place, line + (first - padding) * channels);
        } else if end > padding && first < padding + width {
            let inside = |position: &usize| (padding..padding + width).contains(position);
            let byte = |position: usize, c: usize| {
                if inside(&position) {
                    self.x[line + (position - padding) * channels + c]
                } else {
                    self.zero_point
                }
            };
            places.copy(
                place,
                (first..end)
                    .flat_map(|position| (0..channels).map(move |c| (position, c)))
                    .map(|(p, c)| byte(p, c)),
            );
        }
    }

    /// The input coordinate along an axis, unless it lies in the padding.
    #[inline(always)]
    fn coordinate(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        let padded = out * self.shape.stride[axis] + tap * self.shape.dilation[axis];
        padded
            .checked_sub(self.shape.padding[axis])
            .filter(|&position| position < self.shape.input[axis])
    }
}
