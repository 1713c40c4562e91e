//! Depthwise convolution: every output channel reads a single input channel.
//!
//! `vpmaddwd` multiplies pairs of 16-bit integers and adds the two products, so taps are taken in pairs
//! along the width. An input row is *staged* before use: for eight channels at a time, position `p` of
//! the staged row holds the pairs `(x[p], x[p + dilation])`, widened to 16 bits. Staged once, a row
//! serves all rows of the kernel that reach it and all pairs of taps:
//!
//! ```text
//! input, za za | x0 x1 x2 x3 …       one channel, padded by the input's zero point
//! staged       (za,x0) (x0,x1) (x1,x2) (x2,x3) …
//! kernel of 3  (w0,w1) at p, (w2,0) at p + 2
//! ```
//!
//! Padding is staged as the zero point, rows outside the image come from one staged row of zero points,
//! and so the inner loop has no cases. Eight channels of four output pixels are summed at a time.
//!
//! The kernel is safe code that the compiler turns into `vpmaddwd`; see [`dot`].

#[cfg(target_arch = "x86_64")]
use crate::columns::Run;
use crate::context::Context;
use crate::error::{Error, Result, at_least, exactly};
use crate::finish::FromSums;
use crate::isa::Work;
use crate::pool::unravel;
use crate::shape::ConvShape;

#[cfg(target_arch = "x86_64")]
mod columns;
mod plain;
mod taps;

use plain::Plain;
pub use taps::DepthwiseTaps;
use taps::first_channel;

const OPERATION: &str = "depthwise";

/// Channels computed together.
const LANES: usize = 8;

/// Output pixels computed together.
const PIXELS: usize = 4;

/// Two taps (or the two elements under them) of each of eight channels, one after the other.
type Pairs = [i16; 2 * LANES];

/// Bytes of staged rows to keep in use at a time: most of an L1 cache.
const STAGE_BYTES: usize = 24 << 10;

/// Multiplications below which a fork costs more than it saves.
const SERIAL_BELOW: u64 = 1 << 18;

/// Convolves `x[batch][depth][height][width][channel]`, every input channel by itself.
///
/// The sums, which wrap, are `start[c] + Σ x·w`, where elements in the padding are the input's zero point;
/// `from` makes the output of them. `start` may be longer than the channels.
///
/// # Errors
/// Those of [`ConvShape::validate`]; [`Error::Mismatch`] if the shape is not the one packed;
/// [`Error::Length`] for a buffer that does not fit.
#[allow(clippy::too_many_arguments)]
pub(crate) fn depthwise<C: FromSums>(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    taps: &DepthwiseTaps,
    start: &[i32],
    input_zero_point: u8,
    from: C,
    out: &mut [C::Out],
) -> Result<()> {
    shape.validate()?;
    let channels = taps.out_channels;
    let agreements = [
        ("groups", shape.in_channels, shape.groups),
        ("out_channels", channels, shape.out_channels),
        ("in_channels", channels / taps.multiplier, shape.in_channels),
        ("kernel depth", taps.kernel[0], shape.kernel[0]),
        ("kernel height", taps.kernel[1], shape.kernel[1]),
        ("kernel width", taps.kernel[2], shape.kernel[2]),
    ];
    for (what, expected, actual) in agreements {
        if expected != actual {
            return Err(Error::Mismatch {
                operation: OPERATION,
                what,
                expected,
                actual,
            });
        }
    }
    at_least(OPERATION, "x", shape.input_len(), x.len())?;
    at_least(OPERATION, "start value", channels, start.len())?;
    let rows = shape.output_rows() / shape.output()[2];
    exactly(OPERATION, "out", shape.output_rows() * channels, out.len())?;
    let pieces = ctx.pieces(shape.macs(), SERIAL_BELOW);
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = columns::kernel(ctx.isa, shape) {
        let pixels = shape.output_rows().div_ceil(pieces).max(1);
        Context::chunks(out, pixels * channels, |index, out| {
            let run = Run {
                isa: ctx.isa,
                kernel,
                x,
                shape,
                weights: taps.columns(kernel.form()),
                start,
                input_zero_point,
                from,
                first: index / channels,
            };
            run.compute(out);
        });
        return Ok(());
    }
    let geometry = Geometry::new(shape);

    let row = shape.output()[2] * channels;
    Context::chunks(out, rows.div_ceil(pieces).max(1) * row, |index, out| {
        let first_row = index / row;
        match geometry {
            Some(geometry) => ctx.isa.vectorize(Band {
                x,
                shape,
                geometry,
                taps,
                start,
                input_zero_point,
                from,
                first_row,
                out,
            }),
            None => ctx.isa.vectorize(Plain {
                x,
                shape,
                taps,
                start,
                input_zero_point,
                from,
                first_row,
                out,
            }),
        }
    });
    Ok(())
}

/// The part of the geometry along the width that staging decides.
#[derive(Clone, Copy)]
struct Geometry {
    /// Every `grain`-th position of the padded row is read, and staged.
    grain: usize,
    /// Positions of a staged row.
    positions: usize,
    /// Columns of the padded row, up to the partner of the last position.
    columns: usize,
    /// Staged positions between two outputs.
    output_step: usize,
    /// Staged positions between two pairs of taps.
    pair_step: usize,
    /// Pairs of taps in a kernel row.
    pairs: usize,
    /// Rows of the kernel, depth times height.
    kernel_rows: usize,
    /// Blocks of eight channels staged at a time.
    group: usize,
}

impl Geometry {
    /// `None` if staging would take many times the memory of input and output.
    fn new(shape: &ConvShape) -> Option<Geometry> {
        let [stride, dilation, padding] = [shape.stride[2], shape.dilation[2], shape.padding[2]];
        let pairs = shape.kernel[2].div_ceil(2);
        let kernel_rows = shape.kernel[0] * shape.kernel[1];
        let last_output = shape.output()[2] - 1;
        // A kernel of one pair has no second position, a single output no second output.
        let pair_distance = if pairs > 1 { 2 * dilation } else { 0 };
        let output_distance = if last_output > 0 { stride } else { 0 };
        let grain = gcd(pair_distance, output_distance).max(1);
        let output_step = output_distance / grain;
        let pair_step = pair_distance / grain;
        let positions = last_output * output_step + (pairs - 1) * pair_step + 1;
        let columns = ((positions - 1) * grain + dilation + 1).max(padding + shape.input[2]);
        let blocks = shape.out_channels.div_ceil(LANES);
        let row_bytes = (kernel_rows + 1)
            .saturating_mul(positions)
            .saturating_mul(size_of::<Pairs>());
        let elements = shape.input_len() + shape.output_rows() * shape.out_channels;
        let allowed = elements.saturating_mul(64).saturating_add(1 << 20);
        if row_bytes.saturating_add(columns.saturating_mul(LANES)) > allowed {
            return None;
        }
        let group = (STAGE_BYTES / row_bytes).clamp(1, blocks);
        Some(Geometry {
            grain,
            positions,
            columns,
            output_step,
            pair_step,
            pairs,
            kernel_rows,
            group,
        })
    }
}

/// The greatest common divisor; that of a number and 0 is the number.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A run of output rows, computed by one thread.
struct Band<'a, C: FromSums> {
    x: &'a [u8],
    shape: &'a ConvShape,
    geometry: Geometry,
    taps: &'a DepthwiseTaps,
    start: &'a [i32],
    input_zero_point: u8,
    from: C,
    first_row: usize,
    out: &'a mut [C::Out],
}

impl<C: FromSums> Work for Band<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let out = core::mem::take(&mut self.out);
        let blocks = self.taps.out_channels.div_ceil(LANES);
        let Geometry {
            kernel_rows,
            positions,
            group,
            ..
        } = self.geometry;
        let row_len = group * positions;
        // One staged row per kernel row, then the row of zero points.
        let mut stage = vec![[0; 2 * LANES]; (kernel_rows + 1) * row_len];
        stage[kernel_rows * row_len..].fill([i16::from(self.input_zero_point); 2 * LANES]);
        let mut columns = vec![[self.input_zero_point; LANES]; self.geometry.columns];
        let mut staged = Staged {
            rows: vec![None; kernel_rows],
            wanted: Vec::with_capacity(kernel_rows),
        };
        let mut starts = Vec::with_capacity(kernel_rows * self.geometry.pairs);
        let width = self.shape.output()[2] * self.taps.out_channels;
        for first_block in (0..blocks).step_by(group) {
            let group = first_block..blocks.min(first_block + group);
            staged.rows.fill(None);
            for (row, out) in (self.first_row..).zip(out.chunks_exact_mut(width)) {
                self.wanted_rows(row, &mut staged.wanted);
                while let Some((slot, row)) = staged.next() {
                    let stage = &mut stage[slot * row_len..][..row_len];
                    for block in group.clone() {
                        let at = (block - first_block) * positions;
                        self.stage(row, block, &mut columns, &mut stage[at..at + positions]);
                    }
                }
                for block in group.clone() {
                    let offset = (block - first_block) * positions;
                    starts.clear();
                    for wanted in &staged.wanted {
                        let slot = wanted.map_or(kernel_rows, |row| staged.slot(row));
                        for pair in 0..self.geometry.pairs {
                            starts.push(slot * row_len + offset + pair * self.geometry.pair_step);
                        }
                    }
                    self.block(block, &stage, &starts, out);
                }
            }
        }
    }
}

/// Which input rows are staged where.
struct Staged {
    /// The input row in each slot.
    rows: Vec<Option<usize>>,
    /// The input row under each kernel row; `None` in the padding.
    wanted: Vec<Option<usize>>,
}

impl Staged {
    /// The next row to stage and a slot that no wanted row occupies.
    fn next(&mut self) -> Option<(usize, usize)> {
        let Staged { rows, wanted } = self;
        let row = wanted
            .iter()
            .flatten()
            .find(|&&row| !rows.contains(&Some(row)))?;
        // There are as many slots as kernel rows, and one wanted row is in none of them.
        let slot = rows
            .iter()
            .position(|held| held.is_none() || !wanted.contains(held))?;
        rows[slot] = Some(*row);
        Some((slot, *row))
    }

    /// The slot of a staged row.
    fn slot(&self, row: usize) -> usize {
        let slot = self.rows.iter().position(|&held| held == Some(row));
        debug_assert!(slot.is_some(), "row {row} is not staged");
        slot.unwrap_or(0)
    }
}

impl<C: FromSums> Band<'_, C> {
    /// The input row (counted over images and planes) under each row of the kernel.
    #[inline(always)]
    fn wanted_rows(&self, row: usize, wanted: &mut Vec<Option<usize>>) {
        let shape = self.shape;
        let [image, od, oh] = unravel(row, shape.output());
        let under = |axis: usize, output: usize, tap: usize| {
            (output * shape.stride[axis] + tap * shape.dilation[axis])
                .checked_sub(shape.padding[axis])
                .filter(|&at| at < shape.input[axis])
        };
        wanted.clear();
        for kd in 0..shape.kernel[0] {
            let plane = under(0, od, kd).map(|d| image * shape.input[0] + d);
            for kh in 0..shape.kernel[1] {
                let line = plane.zip(under(1, oh, kh));
                wanted.push(line.map(|(plane, h)| plane * shape.input[1] + h));
            }
        }
    }

    /// Writes one staged row of one block. `columns` holds the padded row; its padding is filled already.
    #[inline(always)]
    fn stage(&self, row: usize, block: usize, columns: &mut [[u8; LANES]], out: &mut [Pairs]) {
        let (channels, width) = (self.shape.in_channels, self.shape.input[2]);
        let x = &self.x[row * width * channels..][..width * channels];
        let first = first_channel(block, self.taps.out_channels);
        let pixels = x.chunks_exact(channels);
        let real = columns[self.shape.padding[2]..].iter_mut();
        if self.taps.multiplier == 1 && channels >= LANES {
            for (column, pixel) in real.zip(pixels) {
                column.copy_from_slice(&pixel[first..first + LANES]);
            }
        } else {
            let lanes = LANES.min(self.taps.out_channels);
            for (column, pixel) in real.zip(pixels) {
                for (i, lane) in column[..lanes].iter_mut().enumerate() {
                    *lane = pixel[(first + i) / self.taps.multiplier];
                }
            }
        }
        let grain = self.geometry.grain;
        let even = columns.chunks(grain);
        let odd = columns[self.shape.dilation[2]..].chunks(grain);
        for ((out, even), odd) in out.iter_mut().zip(even).zip(odd) {
            // Filled apart, because the compiler cannot tell that `out` is elsewhere. The bytes are
            // read in place: eight of them in a variable would become one integer, and shifts.
            let (even, odd) = (&even[0], &odd[0]);
            let mut pairs = [0; 2 * LANES];
            for i in 0..LANES {
                pairs[2 * i] = i16::from(even[i]);
                pairs[2 * i + 1] = i16::from(odd[i]);
            }
            *out = pairs;
        }
    }

    /// One row of outputs of one block of channels; `starts` are the staged positions under output 0.
    #[inline(always)]
    fn block(&self, block: usize, stage: &[Pairs], starts: &[usize], out: &mut [C::Out]) {
        let channels = self.taps.out_channels;
        let first = first_channel(block, channels);
        let lanes = LANES.min(channels);
        let mut tile = Tile {
            stage,
            starts,
            weights: &self.taps.pairs[block * starts.len()..][..starts.len()],
            sums: [0; LANES],
            first,
            from: self.from,
        };
        tile.sums[..lanes].copy_from_slice(&self.start[first..first + lanes]);
        let outputs = out.len() / channels;
        let step = self.geometry.output_step;
        if step == 1 && outputs >= PIXELS && lanes == LANES {
            for output in (0..outputs).step_by(PIXELS) {
                // The last tile overlaps the one before it.
                let output = output.min(outputs - PIXELS);
                let out = &mut out[output * channels + first..];
                tile.compute::<PIXELS, true>(output, out, channels);
            }
            return;
        }
        for output in 0..outputs {
            let out = &mut out[output * channels + first..];
            if lanes == LANES {
                tile.compute::<1, true>(output * step, out, channels);
            } else {
                tile.compute::<1, false>(output * step, out, channels);
            }
        }
    }
}

/// What the innermost loops read.
struct Tile<'a, C> {
    stage: &'a [Pairs],
    starts: &'a [usize],
    weights: &'a [Pairs],
    /// Start values.
    sums: [i32; LANES],
    /// The first channel.
    first: usize,
    from: C,
}

impl<C: FromSums> Tile<'_, C> {
    /// `P` outputs of eight channels, the first one at staged position `at`, the others next to it.
    /// They go to the start of `out` and every `channels` bytes from there.
    #[inline(always)]
    fn compute<const P: usize, const FULL: bool>(
        &self,
        at: usize,
        out: &mut [C::Out],
        channels: usize,
    ) {
        let mut acc = [self.sums; P];
        for (&start, weights) in self.starts.iter().zip(self.weights) {
            let staged = &self.stage[start + at..][..P];
            for p in 0..P {
                dot(&mut acc[p], &staged[p], weights);
            }
        }
        for (p, acc) in acc.iter().enumerate() {
            let lanes = if FULL { LANES } else { channels };
            let out = &mut out[p * channels..][..lanes];
            self.from.convert(0, self.first, &acc[..lanes], out);
        }
    }
}

/// The least sum of two products of an activation and a weight, and less.
const NO_SUM_BELOW: i32 = -(1 << 16);

/// Adds two products to each of eight sums.
///
/// The maximum never changes a value. It keeps the optimizer from regrouping `acc + (p + q)` to
/// `(acc + p) + q`; only the former is `vpmaddwd`, which takes the inner loop to half the time.
#[inline(always)]
fn dot(acc: &mut [i32; LANES], x: &Pairs, w: &Pairs) {
    for i in 0..LANES {
        let even = i32::from(x[2 * i]) * i32::from(w[2 * i]);
        let odd = i32::from(x[2 * i + 1]) * i32::from(w[2 * i + 1]);
        acc[i] = acc[i].wrapping_add((even + odd).max(NO_SUM_BELOW));
    }
}

#[cfg(test)]
mod tests;
