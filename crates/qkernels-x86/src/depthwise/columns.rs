//! Depthwise 3×3 and 5×5 convolutions straight from the input, column by column.
//!
//! ```text
//! pieces for threads (runs of output positions)
//!   groups of channels (a few input rows of them and their weights stay in the first-level cache)
//!     rows of outputs
//!       blocks of channels (one sweep along the row each)
//! ```
//!
//! Rows of the kernel that lie in the padding read a row of zero points, columns a pixel of them.

use core::ops::Range;

use crate::finish::FromSums;
use crate::isa::depthwise::{self, Columns, Form, MAX_KERNEL, Sweep};
use crate::isa::tile::Output;
use crate::isa::{Isa, Work};
use crate::pack::Line;
use crate::pool::unravel;
use crate::shape::ConvShape;

use super::DepthwiseTaps;

/// Bytes of input rows, output and weights to keep in use at a time: half of a first-level cache.
const GROUP_BYTES: usize = 16 << 10;

/// Channels of a cache line; groups begin with a line where rows do.
const LINE_CHANNELS: usize = 64;

/// The kernel that computes a layer on a tier, if there is one.
pub(super) fn kernel(isa: Isa, shape: &ConvShape) -> Option<Columns> {
    let [depth, height, width] = shape.kernel;
    let square = depth == 1 && height == width && matches!(height, 3 | 5);
    let dense = shape.dilation[2] == 1 && matches!(shape.stride[2], 1 | 2);
    if !square || !dense || shape.in_channels != shape.out_channels {
        return None;
    }
    Columns::of(isa, shape.out_channels)
}

/// A run of output positions, computed by one thread.
pub(super) struct Run<'a, C: FromSums> {
    pub(super) isa: Isa,
    pub(super) kernel: Columns,
    pub(super) x: &'a [u8],
    pub(super) shape: &'a ConvShape,
    pub(super) taps: &'a DepthwiseTaps,
    pub(super) start: &'a [i32],
    pub(super) input_zero_point: u8,
    pub(super) from: C,
    /// The first position, counted over all images.
    pub(super) first: usize,
}

impl<C: FromSums> Run<'_, C> {
    /// Computes as many positions as `out` holds.
    pub(super) fn compute(&self, out: &mut [C::Out]) {
        let (shape, form) = (self.shape, self.kernel.form());
        let channels = shape.out_channels;
        let weights = self.taps.columns(form);
        // A row of padding; its first pixel serves as a column of it.
        let zeros = vec![self.input_zero_point; shape.input[2] * channels];
        let width = shape.output()[2];
        let end = self.first + out.len() / channels;
        let mut sums = Vec::new();
        for blocks in self.groups() {
            let mut position = self.first;
            while position < end {
                let (row, column) = (position / width, position % width);
                let count = (width - column).min(end - position);
                let at = (position - self.first) * channels;
                let line = RowOf {
                    row,
                    column,
                    count,
                    blocks: blocks.clone(),
                };
                self.row(line, weights, &zeros, &mut sums, &mut out[at..]);
                position += count;
            }
        }
    }

    /// The blocks of channels, in groups.
    fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let form = self.kernel.form();
        let (kernel, width) = (self.shape.kernel[2], self.shape.input[2]);
        let blocks = self.shape.out_channels.div_ceil(form.channels());
        let bytes = (kernel + 1)
            .saturating_mul(width)
            .saturating_add(kernel * 8);
        let lines = (GROUP_BYTES / bytes / LINE_CHANNELS).max(1);
        let most = lines * LINE_CHANNELS / form.channels();
        (0..blocks)
            .step_by(most)
            .map(move |first| first..blocks.min(first + most))
    }

    /// Computes some positions of an output row; `out` begins with the first one.
    fn row(
        &self,
        line: RowOf,
        weights: &[Line],
        zeros: &[u8],
        sums: &mut Vec<i32>,
        out: &mut [C::Out],
    ) {
        let (shape, form) = (self.shape, self.kernel.form());
        let channels = shape.out_channels;
        let mut rows = [zeros; MAX_KERNEL];
        for (tap, under) in rows.iter_mut().enumerate().take(shape.kernel[1]) {
            if let Some(row) = self.input_row(line.row, tap) {
                *under = &self.x[row * zeros.len()..][..zeros.len()];
            }
        }
        let first = depthwise::first_channel(form, line.blocks.start, channels);
        let last = depthwise::first_channel(form, line.blocks.end - 1, channels);
        let group = last + form.channels() - first;
        let sweep = |output, pitch| {
            self.kernel.sweep(Sweep {
                rows: &rows[..shape.kernel[1]],
                zero: &zeros[..channels],
                width: shape.input[2],
                channels,
                position: line.column * shape.stride[2],
                padding: shape.padding[2],
                stride: shape.stride[2],
                count: line.count,
                blocks: line.blocks.clone(),
                weights,
                start: self.start,
                output,
                pitch,
            });
        };
        let out = &mut out[first..];
        if let Some((multipliers, range)) = self.from.requantization() {
            // Requantized values are bytes.
            let out = bytemuck::cast_slice_mut(out);
            let output = Output::Bytes {
                multipliers,
                range,
                out,
            };
            return sweep(output, channels);
        }
        sums.resize(line.count * group, 0);
        sweep(Output::Sums(sums), group);
        self.isa.vectorize(Conversion {
            from: self.from,
            first,
            group,
            channels,
            sums,
            out,
        });
    }

    /// The input row, counted over all images, under row `tap` of the kernel; `None` in the padding.
    fn input_row(&self, row: usize, tap: usize) -> Option<usize> {
        let shape = self.shape;
        let [image, depth, height] = unravel(row, shape.output());
        let under = |axis: usize, output: usize, tap: usize| {
            (output * shape.stride[axis] + tap * shape.dilation[axis])
                .checked_sub(shape.padding[axis])
                .filter(|&at| at < shape.input[axis])
        };
        let plane = image * shape.input[0] + under(0, depth, 0)?;
        Some(plane * shape.input[1] + under(1, height, tap)?)
    }
}

/// Neighbouring positions of an output row, and the blocks of channels to compute.
struct RowOf {
    /// The row, counted over all images.
    row: usize,
    /// The first position in it.
    column: usize,
    count: usize,
    blocks: Range<usize>,
}

/// The sums of `group` channels from `first` on, and where their values belong.
struct Conversion<'a, C: FromSums> {
    from: C,
    first: usize,
    group: usize,
    channels: usize,
    sums: &'a [i32],
    out: &'a mut [C::Out],
}

impl<C: FromSums> Work for Conversion<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let pixels = self.out.chunks_mut(self.channels);
        for (sums, out) in self.sums.chunks_exact(self.group).zip(pixels) {
            self.from
                .convert(0, self.first, sums, &mut out[..self.group]);
        }
    }
}

/// Packs the weights of a square kernel in the order of a form: for every block of channels, tap of a row and
/// vector of kernel rows, lanes of neighbouring rows' weights.
///
/// Blocks begin with a line. The two vectors of the forms of four rows hold the lower and the upper four
/// channels of every eight, as unpacking leaves them.
pub(super) fn pack(taps: &DepthwiseTaps, form: Form) -> Vec<Line> {
    let (kernel, channels) = (taps.kernel[2], taps.out_channels);
    let vectors = form.channels().min(16) / 8;
    let lanes = form.channels() / vectors;
    let mut lines = Vec::new();
    for block in 0..channels.div_ceil(form.channels()) {
        let first = depthwise::first_channel(form, block, channels);
        let mut bytes = Vec::with_capacity(form.block_lines(kernel) * size_of::<Line>());
        for tap in 0..kernel {
            for row in (0..kernel).step_by(form.rows()) {
                for vector in 0..vectors {
                    for lane in 0..lanes {
                        let channel = match vectors {
                            1 => lane,
                            _ => lane / 4 * 8 + vector * 4 + lane % 4,
                        };
                        let weight = |row| match row < kernel {
                            true => taps.weight(first + channel, row, tap),
                            false => 0,
                        };
                        for row in row..row + form.rows() {
                            let weight = weight(row).to_le_bytes();
                            bytes.extend_from_slice(&weight[..4 / form.rows()]);
                        }
                    }
                }
            }
        }
        bytes.resize(form.block_lines(kernel) * size_of::<Line>(), 0);
        lines.extend(bytes.chunks_exact(size_of::<Line>()).map(|bytes| {
            let mut line = [0; size_of::<Line>()];
            line.copy_from_slice(bytemuck::cast_slice(bytes));
            Line(line)
        }));
    }
    lines
}
