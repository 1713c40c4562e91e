//! Products by matrix tiles: the loops around AMX, straight from the input.
//!
//! A tile takes rows that are equally far apart. Those of a matrix are, and so are the windows along a line of a
//! padded image, for every tap alike; nothing is gathered or copied but the padding.
//!
//! ```text
//! pieces for threads (lines, or panels if the weights are more than the activations)
//!   groups
//!     blocks of tiles (activations stay in the second-level cache)
//!       pairs of panels (weights stay in the first-level cache, if they fit)
//!         pairs of tiles (sums stay in registers, results are made of them one block later)
//! ```

use core::cell::RefCell;
use core::ops::Range;

use crate::context::Context;
use crate::driver::{Job, Part, by_columns};
use crate::finish::Finish;
use crate::isa::Isa;
use crate::isa::amx::{Amx, SIDE, Source, Sums, TILE, Tiles};
use crate::pack::{Dense, PANEL, QUAD};
use crate::padded::with_padding;
use crate::plan::{self, balanced};
use crate::shape::ConvShape;

/// Steps of fewer quads would waste most of a tile.
const LEAST_QUADS: usize = 4;

/// Rows below which a vector product is as fast.
const LEAST_ROWS: usize = 4;

/// Bytes of activations that a block may take from the second-level cache.
const BLOCK_BYTES: usize = 256 << 10;

/// What a tile costs beside its rows, in rows: loading weights, and starting products.
const TILE_COST: usize = 8;

/// Where the rows of a product lie in its input: planes of lines of equally distant rows.
pub(crate) struct Geometry {
    /// Output depths of an image, and bytes from one image and one depth to the next.
    planes: [usize; 3],
    /// Lines of a plane, and bytes from one to the next.
    lines: [usize; 2],
    /// Rows of a line, and bytes from one to the next.
    rows: [usize; 2],
    /// Where each segment begins within a row.
    segments: Vec<usize>,
    /// All rows.
    total: usize,
}

impl Geometry {
    /// A matrix of `m` rows of `k` bytes.
    pub(crate) fn matrix(m: usize, k: usize) -> Geometry {
        Geometry {
            planes: [1, 0, 0],
            lines: [1, 0],
            rows: [m, k],
            segments: vec![0],
            total: m,
        }
    }

    /// The windows of a convolution without padding; segments are kernel rows if `row_run`, else taps.
    pub(crate) fn windows(shape: &ConvShape, row_run: bool) -> Geometry {
        let [_, height, width] = shape.input;
        let [depth, lines, rows] = shape.output();
        let pixel = shape.in_channels;
        let (line, plane) = (width * pixel, height * width * pixel);
        let [kernel_depth, kernel_height, kernel_width] = shape.kernel;
        let per_line = if row_run { 1 } else { kernel_width };
        let mut segments = Vec::with_capacity(kernel_depth * kernel_height * per_line);
        for kd in 0..kernel_depth {
            for kh in 0..kernel_height {
                for kw in 0..per_line {
                    segments.push(
                        kd * shape.dilation[0] * plane
                            + kh * shape.dilation[1] * line
                            + kw * shape.dilation[2] * pixel,
                    );
                }
            }
        }
        Geometry {
            planes: [depth, shape.input[0] * plane, shape.stride[0] * plane],
            lines: [lines, shape.stride[1] * line],
            rows: [rows, shape.stride[2] * pixel],
            segments,
            total: shape.output_rows(),
        }
    }

    /// Where a line begins, counted over all planes.
    fn line(&self, index: usize) -> usize {
        let [depths, image, depth] = self.planes;
        let (plane, line) = (index / self.lines[0], index % self.lines[0]);
        plane / depths * image + plane % depths * depth + line * self.lines[1]
    }
}

/// The tier, if this is it and worth its while for so many rows of a layer, whose input is the first `used` bytes of
/// `x`. Tiles read up to three bytes beyond that.
pub(crate) fn worthwhile(
    isa: Isa,
    dense: &Dense,
    rows: usize,
    used: usize,
    x: &[u8],
) -> Option<Amx> {
    let beyond = dense.quads() * QUAD - dense.channels;
    let worth =
        rows >= LEAST_ROWS && step_quads(dense.quads()) >= LEAST_QUADS && x.len() >= used + beyond;
    Amx::of(isa).filter(|_| worth)
}

/// A convolution that is worth its while, with the padding copied around the input if there is any.
pub(crate) fn conv<F: Finish>(
    amx: Amx,
    ctx: &Context,
    job: Job<F>,
    x: &[u8],
    shape: &ConvShape,
    zero_point: u8,
    out: &mut [F::Out],
) {
    if shape.padding == [0; 3] {
        let geometry = Geometry::windows(shape, job.dense.row_run);
        return run(amx, ctx, job, x, &geometry, out);
    }
    with_padding(x, shape, zero_point, QUAD, |x, shape| {
        let geometry = Geometry::windows(shape, job.dense.row_run);
        run(amx, ctx, job, x, &geometry, out);
    });
}

/// Quads of a step: the most that divide a segment evenly, so that no step reads beyond it.
fn step_quads(quads: usize) -> usize {
    let divides = |&step: &usize| quads.is_multiple_of(step);
    (1..=TILE).rev().find(divides).unwrap_or(1)
}

/// Rows of a tile that belong to one line of the output.
struct Run {
    /// The first of them within the tile.
    first: usize,
    count: usize,
    /// The first of them in the output.
    row: usize,
}

/// Where a tile begins in the input, and its runs.
struct Placed {
    start: usize,
    runs: Range<usize>,
}

#[derive(Default)]
struct Scratch {
    tiles: Vec<Placed>,
    runs: Vec<Run>,
    offsets: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Computes all rows of a layer.
pub(crate) fn run<F: Finish>(
    amx: Amx,
    ctx: &Context,
    job: Job<F>,
    x: &[u8],
    geometry: &Geometry,
    out: &mut [F::Out],
) {
    let dense = job.dense;
    let width = dense.groups * dense.columns;
    let rows = geometry.total;
    let depth = dense.segments * dense.channels;
    let pieces = ctx.pieces(rows as u64 * (width * depth) as u64, plan::SERIAL_BELOW);
    let serial = |rows: Range<usize>, part: Part<F::Out>| {
        SCRATCH.with_borrow_mut(|scratch| {
            let height = scratch.place(geometry, rows);
            let quads = step_quads(dense.quads());
            amx.with_tiles(height, quads, |tiles| {
                multiply(tiles, job, x, geometry, [height, quads], scratch, part);
            });
        });
    };
    let weights_rule = width * depth > rows * (width + geometry.rows[1]);
    if pieces > 1 && dense.groups == 1 && dense.panels() >= SIDE * pieces && weights_rule {
        return by_columns::<F>(pieces, dense, rows, out, |part| serial(0..rows, part));
    }
    // Whole lines, unless there is but one.
    let unit = if rows == geometry.rows[0] {
        1
    } else {
        geometry.rows[0]
    };
    let piece = (rows / unit).div_ceil(pieces).max(1) * unit;
    Context::chunks(out, piece * width, |index, out| {
        let (first, count) = (index / width, out.len() / width);
        let panels = 0..dense.panels();
        let part = Part {
            panels,
            out,
            stride: width,
        };
        serial(first..first + count, part);
    });
}

/// Computes the rows that were placed, on the calling thread.
fn multiply<F: Finish>(
    tiles: &Tiles,
    job: Job<F>,
    x: &[u8],
    geometry: &Geometry,
    [height, quads]: [usize; 2],
    scratch: &mut Scratch,
    part: Part<F::Out>,
) {
    let dense = job.dense;
    let Scratch {
        tiles: placed,
        runs,
        offsets,
    } = scratch;
    let tile_bytes = height * dense.segments * dense.channels;
    let block = (BLOCK_BYTES / tile_bytes).max(SIDE) / SIDE * SIDE;
    let first_row = runs.first().map_or(0, |run| run.row);
    let mut sums = Sums::zero();
    for group in 0..dense.groups {
        offsets.clear();
        for segment in &geometry.segments {
            let begin = segment + group * dense.channels;
            offsets.extend(
                (0..dense.quads())
                    .step_by(quads)
                    .map(|quad| begin + quad * QUAD),
            );
        }
        let source = Source::new(tiles, x, geometry.rows[1], offsets);
        for block in placed.chunks(block) {
            for pair in balanced(part.panels.len(), SIDE) {
                let (panel, panels) = (part.panels.start + pair.start, pair.len());
                let lines = dense.lines(group, panel, panels);
                let column = group * dense.columns + pair.start * PANEL;
                for two in block.chunks(SIDE) {
                    let starts = [two[0].start, two[two.len() - 1].start];
                    tiles.multiply(&source, &starts[..two.len()], lines, &mut sums);
                    for (index, tile) in two.iter().enumerate() {
                        for run in &runs[tile.runs.clone()] {
                            let row = run.row - first_row;
                            let out = &mut part.out[row * part.stride + column..];
                            let place = job.place(group, panel, panels, run.row, run.count);
                            job.finish.tile(place, None, out, part.stride, |epilogue| {
                                tiles.finish(&sums, index, run.first, run.count, epilogue);
                            });
                        }
                    }
                }
            }
        }
    }
}

impl Scratch {
    /// Cuts some rows into tiles of one height, which is answered. Where a line does not divide, its last tile
    /// overlaps the one before.
    fn place(&mut self, geometry: &Geometry, rows: Range<usize>) -> usize {
        self.tiles.clear();
        self.runs.clear();
        let width = geometry.rows[0];
        if rows.len() < width {
            // Part of the only line.
            return self.line(geometry, rows.start, 0, rows.len());
        }
        let lines = rows.start / width..rows.end / width;
        if let Some(pitch) = flat_pitch(geometry, &lines) {
            for plane in planes(geometry, &lines) {
                self.flat(geometry, plane, pitch);
            }
            return TILE;
        }
        let mut height = 0;
        for line in lines {
            height = self.line(geometry, line * width, geometry.line(line), width);
        }
        height
    }

    /// Cuts `count` rows of one line, from output row `row` on; rows before it are those of the line at `start`.
    fn line(&mut self, geometry: &Geometry, row: usize, start: usize, count: usize) -> usize {
        let height = even_height(count);
        let skipped = row % geometry.rows[0];
        for first in (0..count).step_by(height) {
            let first = first.min(count - height);
            let begin = self.runs.len();
            self.runs.push(Run {
                first: 0,
                count: height,
                row: row + first,
            });
            self.tiles.push(Placed {
                start: start + (skipped + first) * geometry.rows[1],
                runs: begin..begin + 1,
            });
        }
        height
    }

    /// Cuts lines of one plane that are `pitch` rows apart as if they were one.
    fn flat(&mut self, geometry: &Geometry, lines: Range<usize>, pitch: usize) {
        let width = geometry.rows[0];
        let count = (lines.len() - 1) * pitch + width;
        for first in (0..count).step_by(TILE) {
            let first = first.min(count - TILE);
            let begin = self.runs.len();
            for line in first / pitch..lines.len() {
                let (from, to) = (line * pitch, line * pitch + width);
                let (from, end) = (from.max(first), to.min(first + TILE));
                if from < end {
                    self.runs.push(Run {
                        first: from - first,
                        count: end - from,
                        row: (lines.start + line) * width + from - line * pitch,
                    });
                }
            }
            self.tiles.push(Placed {
                start: geometry.line(lines.start) + first * geometry.rows[1],
                runs: begin..self.runs.len(),
            });
        }
    }
}

/// The height of as few equal tiles as hold `count` rows.
fn even_height(count: usize) -> usize {
    count.div_ceil(count.div_ceil(TILE))
}

/// The parts of some lines that lie in one plane each.
fn planes(geometry: &Geometry, lines: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let [height, _] = geometry.lines;
    let (first, last) = (lines.start / height, lines.end.div_ceil(height));
    let lines = lines.clone();
    (first..last)
        .map(move |plane| lines.start.max(plane * height)..lines.end.min((plane + 1) * height))
}

/// Rows from line to line, if tiles across the ends of lines are fewer by enough to pay for the rows between.
fn flat_pitch(geometry: &Geometry, lines: &Range<usize>) -> Option<usize> {
    let ([_, line], [width, step]) = (geometry.lines, geometry.rows);
    let pitch = line / step;
    if pitch < width || !line.is_multiple_of(step) {
        return None;
    }
    let (mut flat, mut cut) = (0, 0);
    for plane in planes(geometry, lines) {
        let count = (plane.len() - 1) * pitch + width;
        if count < TILE {
            return None;
        }
        flat += count.div_ceil(TILE) * (TILE + TILE_COST);
        cut += plane.len() * width.div_ceil(TILE) * (even_height(width) + TILE_COST);
    }
    (flat < cut).then_some(pitch)
}
