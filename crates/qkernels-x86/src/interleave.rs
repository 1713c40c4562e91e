//! Bringing the results of the convolutions of a transposed one to their positions in its output.
//!
//! A position of such a convolution holds the results of several phases beside each other. Where they are neighbours in the
//! output too, which they are if all phases along the width have equally many taps, they are copied together.

use crate::context::Context;
use crate::error::{Result, at_least, exactly};
use crate::map::SERIAL_BELOW;
use crate::transposed::{AxisPart, TransposedPart, TransposedShape};

const OPERATION: &str = "conv_transpose";

impl TransposedPart {
    /// Copies `from`, the output of [`conv`](TransposedPart::conv), to the positions of these phases in the channels-last
    /// output of `shape`; the others stay as they are.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) if `from` is shorter than that convolution's output, or `out` is not as long as that of `shape`.
    pub fn place<T: Copy + Send + Sync>(
        &self,
        ctx: &Context,
        shape: &TransposedShape,
        from: &[T],
        out: &mut [T],
    ) -> Result<()> {
        let Some(conv) = self.conv(shape) else {
            return Ok(());
        };
        let positions = conv.output();
        let pixel = conv.out_channels;
        at_least(OPERATION, "result", conv.output_rows() * pixel, from.len())?;
        let runs = Run::all(&self.axes[2], shape, pixel, positions[2]);
        let channels = self.out_channels;
        let along_width = self.axes[2].phases.len() * channels;
        each_line(ctx, shape, out, |[image, od, oh], out| {
            let source = |axis: usize, at: usize| self.axes[axis].source(at, shape.stride[axis]);
            let (Some((pd, d)), Some((ph, h))) = (source(0, od), source(1, oh)) else {
                return;
            };
            let line = positions[2] * pixel;
            let start = ((image * positions[0] + d) * positions[1] + h) * line;
            let member = pd * self.axes[1].phases.len() + ph;
            let from = &from[start + member * along_width..start + line];
            for run in &runs {
                run.copy(from, out, channels);
            }
        })
    }
}

impl TransposedShape {
    /// Whether some outputs have no products, because the stride exceeds what the kernel reaches.
    pub fn has_bare_outputs(&self) -> bool {
        let (output, stride) = (self.output(), self.stride);
        (0..3).any(|axis| {
            let firsts = output[axis].min(stride[axis]);
            self.met(axis)
                .into_iter()
                .filter(|&first| first < firsts)
                .count()
                < firsts
        })
    }

    /// Copies `row`, one value per output channel, to all outputs without products.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) if `row` or `out` have another length.
    pub fn fill_bare_outputs<T: Copy + Send + Sync>(
        &self,
        ctx: &Context,
        row: &[T],
        out: &mut [T],
    ) -> Result<()> {
        exactly(OPERATION, "row", self.out_channels, row.len())?;
        let met = [0, 1, 2].map(|axis| self.met(axis));
        let has_products = |axis: usize, at: usize| met[axis].contains(&(at % self.stride[axis]));
        each_line(ctx, self, out, |[_, od, oh], out| {
            let bare = !(has_products(0, od) && has_products(1, oh));
            for (ow, out) in out.chunks_exact_mut(row.len()).enumerate() {
                if bare || !has_products(2, ow) {
                    out.copy_from_slice(row);
                }
            }
        })
    }
}

/// Calls `work` with the image, depth and height of every line of the output, and the line.
fn each_line<T: Send>(
    ctx: &Context,
    shape: &TransposedShape,
    out: &mut [T],
    work: impl Fn([usize; 3], &mut [T]) + Sync,
) -> Result<()> {
    let [depth, height, width] = shape.output();
    let line = width * shape.out_channels;
    let lines = shape.batch * depth * height;
    exactly(OPERATION, "output", lines * line, out.len())?;
    let pieces = ctx.pieces(out.len() as u64, SERIAL_BELOW);
    Context::chunks(out, lines.div_ceil(pieces) * line, |start, out| {
        for (index, out) in out.chunks_exact_mut(line).enumerate() {
            let at = start / line + index;
            work([at / height / depth, at / height % depth, at % height], out);
        }
    });
    Ok(())
}

impl AxisPart {
    /// Which phase an output is of, if it is one of these, and the position of the convolution that computes it.
    fn source(&self, at: usize, stride: usize) -> Option<(usize, usize)> {
        let index = (self.phases.iter()).position(|phase| phase.first == at % stride)?;
        Some((index, self.phases[index].offset + at / stride))
    }
}

/// Phases along the width that are neighbours, in a line of results and in a line of the output.
struct Run {
    /// Where the first of them is among the phases along the width.
    index: usize,
    /// How many there are.
    len: usize,
    /// The output that the first of them has at the first position, counted from the line's start.
    place: i64,
    /// Outputs from one position to the next.
    stride: i64,
    /// Positions of a line of results.
    positions: usize,
    /// Values of a position.
    pixel: usize,
}

impl Run {
    fn all(axis: &AxisPart, shape: &TransposedShape, pixel: usize, positions: usize) -> Vec<Run> {
        let stride = shape.stride[2] as i64;
        let mut runs: Vec<Run> = Vec::new();
        for (index, phase) in axis.phases.iter().enumerate() {
            let place = phase.place(stride);
            match runs.last_mut() {
                Some(run) if run.place + run.len as i64 == place => run.len += 1,
                _ => runs.push(Run {
                    index,
                    len: 1,
                    place,
                    stride,
                    positions,
                    pixel,
                }),
            }
        }
        for run in &mut runs {
            // All positions are neighbours of each other: one copy moves the line.
            if run.len as i64 == stride && run.len * shape.out_channels == pixel {
                run.len *= positions;
                run.positions = 1;
            }
        }
        runs
    }

    /// Copies what lies within the line `out`; `from` begins with the phases along the width.
    fn copy<T: Copy>(&self, from: &[T], out: &mut [T], channels: usize) {
        let width = (out.len() / channels) as i64;
        for position in 0..self.positions {
            let place = self.place + position as i64 * self.stride;
            let (start, end) = (place.max(0), (place + self.len as i64).min(width));
            if start >= end {
                continue;
            }
            let skipped = (start - place) as usize;
            let source = position * self.pixel + (self.index + skipped) * channels;
            let to = start as usize * channels..end as usize * channels;
            let len = to.len();
            out[to].copy_from_slice(&from[source..source + len]);
        }
    }
}
