//! Convolutions whose channels are computed in blocks, each by itself, straight from the input: the loops around a sweep.
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
use crate::isa::sweep::{Block, MAX_KERNEL, Sweep, Sweeper};
use crate::isa::tile::Output;
use crate::isa::{Isa, Work};
use crate::pack::Line;
use crate::pool::unravel;
use crate::shape::ConvShape;

/// Bytes of input rows, output and weights to keep in use at a time: half of a first-level cache.
const GROUP_BYTES: usize = 16 << 10;

/// Channels of a cache line; groups begin with a line where rows do.
const LINE_CHANNELS: usize = 64;

/// A run of output positions, computed by one thread.
pub(crate) struct Run<'a, K: Sweeper, C: FromSums> {
    pub(crate) isa: Isa,
    pub(crate) kernel: K,
    pub(crate) x: &'a [u8],
    pub(crate) shape: &'a ConvShape,
    /// Weights of all blocks.
    pub(crate) weights: &'a [Line],
    pub(crate) start: &'a [i32],
    pub(crate) input_zero_point: u8,
    pub(crate) from: C,
    /// The first position, counted over all images.
    pub(crate) first: usize,
}

impl<K: Sweeper, C: FromSums> Run<'_, K, C> {
    /// Computes as many positions as `out` holds.
    pub(crate) fn compute(&self, out: &mut [C::Out]) {
        let shape = self.shape;
        let channels = shape.out_channels;
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
                self.row(line, &zeros, &mut sums, &mut out[at..]);
                position += count;
            }
        }
    }

    /// What the kernel computes at a time.
    fn block(&self) -> Block {
        self.kernel.block(self.shape.kernel[1])
    }

    /// The blocks of channels, in groups.
    fn groups(&self) -> impl Iterator<Item = Range<usize>> + use<K, C> {
        let block = self.block();
        let (kernel, width) = (self.shape.kernel[1], self.shape.input[2]);
        let blocks = self.shape.out_channels.div_ceil(block.channels);
        let weights = (block.lines * size_of::<Line>()).div_ceil(block.channels);
        let bytes = (kernel + 1).saturating_mul(width).saturating_add(weights);
        let lines = (GROUP_BYTES / bytes / LINE_CHANNELS).max(1);
        let most = lines * LINE_CHANNELS / block.channels;
        (0..blocks)
            .step_by(most)
            .map(move |first| first..blocks.min(first + most))
    }

    /// Computes some positions of an output row; `out` begins with the first one.
    fn row(&self, line: RowOf, zeros: &[u8], sums: &mut Vec<i32>, out: &mut [C::Out]) {
        let (shape, block) = (self.shape, self.block());
        let channels = shape.out_channels;
        let mut rows = [zeros; MAX_KERNEL];
        for (tap, under) in rows.iter_mut().enumerate().take(shape.kernel[1]) {
            if let Some(row) = self.input_row(line.row, tap) {
                *under = &self.x[row * zeros.len()..][..zeros.len()];
            }
        }
        let first = block.first_channel(line.blocks.start, channels);
        let last = block.first_channel(line.blocks.end - 1, channels);
        let group = last + block.channels - first;
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
                weights: self.weights,
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
        let plane = image * shape.input[0] + shape.under(0, depth, 0)?;
        Some(plane * shape.input[1] + shape.under(1, height, tap)?)
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
