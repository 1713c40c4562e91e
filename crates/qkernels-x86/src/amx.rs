//! Products by matrix tiles: the loops around AMX, straight from the input.
//!
//! A tile takes rows that are equally far apart. Those of a matrix are, and so are the windows along a line of a
//! padded image, for every tap alike; nothing is gathered or copied but the padding.
//!
//! ```text
//! pieces for threads (lines, or panels if the weights are many times the activations)
//!   groups
//!     blocks of tiles (activations stay in the second-level cache)
//!       two pairs of panels (weights stay in the first-level cache, if they fit)
//!         pairs of tiles
//!           either pair of panels (sums stay in registers, results are made of them beside the next product)
//! ```

mod ahead;
mod geometry;
mod place;
mod results;

use core::cell::RefCell;
use core::ops::Range;

use crate::context::Context;
use crate::driver::{Job, Part, by_columns};
use crate::finish::Finish;
use crate::isa::Isa;
use crate::isa::amx::{Amx, FETCHED, Lines, Next, Product, SIDE, Source, TILE, Tiles};
use crate::pack::{Dense, Line, PANEL, QUAD};
use crate::padded::{with_band, with_padding};
use crate::plan::{self, balanced};
use crate::shape::ConvShape;

use ahead::Ahead;
pub(crate) use geometry::Geometry;
use place::Placement;
use results::{Block, Results};

/// Pairs of panels that pass by together: their results are whole lines of the cache.
const WIDE: usize = 2;

/// Steps of fewer quads would waste most of a tile.
const LEAST_QUADS: usize = 4;

/// Rows below which a vector product is as fast.
const LEAST_ROWS: usize = 4;

/// How many times the bytes of the activations the weights must be, for threads to share these instead of rows: the
/// parts of the output are then moved twice.
const MANY_WEIGHTS: usize = 5;

/// Bytes of weights that stay in the second-level cache while blocks pass by.
const WEIGHT_BYTES: usize = 640 << 10;

/// Bytes of activations and results of a block: of the first-level cache if weights stay in the second one, else
/// of the second-level cache, so that weights are fetched once.
const BLOCK_BYTES: [usize; 2] = [24 << 10, 512 << 10];

/// Bytes of output from which on a block is fetched ahead, because its lines wait to be written.
const FAR_OUTPUT: usize = 384 << 10;

/// The same for input and output, where results are made of what the output holds: most of a second-level cache.
const FAR_BYTES: usize = 3 << 19;

/// Bytes of input that are padded at a time: part of the second-level cache.
const BAND_BYTES: usize = 256 << 10;

#[derive(Default)]
struct Scratch {
    placement: Placement,
    offsets: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
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

/// Whether the padding is not many times the input and output, as absurd sizes would make it.
pub(crate) fn affordable(shape: &ConvShape) -> bool {
    let output = shape.output_rows() * shape.out_channels;
    let allowed = 4 * (shape.input_len() + output) + (1 << 20);
    let mut sizes = (0..3).map(|axis| 2 * shape.padding[axis] + shape.input[axis]);
    let pixels = shape.batch * shape.in_channels;
    let padded = sizes.try_fold(pixels, usize::checked_mul);
    padded.is_some_and(|padded| padded <= allowed)
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
    let dense = job.dense;
    if shape.padding == [0; 3] {
        let geometry = Geometry::windows(shape, dense.row_run);
        return run(amx, ctx, job, x, &geometry, out);
    }
    let pieces = ctx.pieces(shape.macs(), plan::SERIAL_BELOW);
    let step = shape.stride[2] * shape.in_channels;
    let flat = shape.input[0] == 1 && shape.padding[0] == 0;
    if !flat || splits_columns::<F>(dense, pieces, shape.output_rows(), step) {
        return with_padding(x, shape, zero_point, QUAD, |x, shape| {
            let geometry = Geometry::windows(shape, dense.row_run);
            run(amx, ctx, job, x, &geometry, out);
        });
    }
    let row = shape.output()[2];
    let line = row * dense.groups * dense.columns;
    let lines = shape.output_rows() / row;
    Context::chunks(out, lines.div_ceil(pieces).max(1) * line, |index, out| {
        let (mut first, mut out) = (index / line, out);
        while !out.is_empty() {
            let (images, padded, count) = band(shape, first, out.len() / line);
            let (now, later) = out.split_at_mut(count * line);
            with_band(x, shape, (images, padded), zero_point, QUAD, |x, shape| {
                let geometry = Geometry::windows(shape, dense.row_run);
                let part = Part {
                    panels: 0..dense.panels(),
                    out: now,
                    stride: dense.groups * dense.columns,
                };
                let first_row = first * row;
                let job = Job { first_row, ..job };
                serial(amx, job, x, &geometry, 0..count * row, part);
            });
            (first, out) = (first + count, later);
        }
    });
}

/// Images and padded lines under the next output lines, of at most `most`, and how many lines these are: of as many
/// images as a band takes, or of part of one.
fn band(shape: &ConvShape, first: usize, most: usize) -> (Range<usize>, Range<usize>, usize) {
    let [_, height, width] = shape.input;
    let lines = shape.output()[1];
    let padded = height + 2 * shape.padding[1];
    let line_bytes = (width + 2 * shape.padding[2]) * shape.in_channels;
    let (image, line) = (first / lines, first % lines);
    let fit = BAND_BYTES / (line_bytes * padded);
    let whole = (most / lines).min(fit);
    if line == 0 && whole > 0 {
        return (image..image + whole, 0..padded, whole * lines);
    }
    let reach = (shape.kernel[1] - 1) * shape.dilation[1] + 1;
    let (stride, room) = (shape.stride[1], BAND_BYTES / line_bytes);
    let count = (room.saturating_sub(reach) / stride + 1).min(most.min(lines - line));
    let begin = line * stride;
    let end = begin + (count - 1) * stride + reach;
    (image..image + 1, begin..end, count)
}

/// Quads of a step: the most that divide a segment evenly, so that no step reads beyond it.
fn step_quads(quads: usize) -> usize {
    let divides = |&step: &usize| quads.is_multiple_of(step);
    (1..=TILE).rev().find(divides).unwrap_or(1)
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
    let serial = |rows: Range<usize>, part: Part<F::Out>| serial(amx, job, x, geometry, rows, part);
    if splits_columns::<F>(dense, pieces, rows, geometry.rows[1]) {
        return by_columns(job.finish, pieces, dense.panels(), rows, out, |part| {
            serial(0..rows, part);
        });
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

/// Whether threads share out panels of weights, because these are so many more than the activations that it pays to put
/// the parts side by side.
fn splits_columns<F: Finish>(dense: &Dense, pieces: usize, rows: usize, step: usize) -> bool {
    let weights = dense.columns * dense.segments * dense.channels;
    let activations = rows * (step + dense.columns * size_of::<F::Out>());
    let enough = dense.groups == 1 && dense.panels() >= SIDE * pieces;
    pieces > 1 && enough && weights > MANY_WEIGHTS * activations
}

/// Computes some rows on the calling thread.
fn serial<F: Finish>(
    amx: Amx,
    job: Job<F>,
    x: &[u8],
    geometry: &Geometry,
    rows: Range<usize>,
    part: Part<F::Out>,
) {
    debug_assert!(!job.finish.waits(), "matrix tiles end in the output");
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.placement.place(geometry, rows);
        let height = scratch.placement.height();
        amx.with_tiles(height, step_quads(job.dense.quads()), |tiles| {
            multiply(tiles, job, x, geometry, scratch, part);
        });
    });
}

/// Computes the rows that were placed.
fn multiply<F: Finish>(
    tiles: &Tiles,
    job: Job<F>,
    x: &[u8],
    geometry: &Geometry,
    scratch: &mut Scratch,
    part: Part<F::Out>,
) {
    let dense = job.dense;
    let Scratch { placement, offsets } = scratch;
    let pairs = placement.pairs();
    let height = placement.height();
    let block = block_pairs(dense, geometry.rows[1], height, part.panels.len());
    // Whether rows are read once, and far away; copies with padding are near anyway.
    let once = dense.groups == 1 && dense.segments == 1;
    let written = size_of_val::<[F::Out]>(part.out);
    let far = if job.finish.reads_output() {
        x.len() + written >= FAR_BYTES
    } else {
        written >= FAR_OUTPUT
    };
    let panels = part.panels.clone();
    let far = far && once && panels.len() == dense.panels();
    let mut results = Results::new(tiles, job, placement, part);
    for group in 0..dense.groups {
        offsets.clear();
        for segment in &geometry.segments {
            let begin = segment + group * dense.channels;
            let steps = (0..dense.quads()).step_by(step_quads(dense.quads()));
            offsets.extend(steps.map(|quad| begin + quad * QUAD));
        }
        let lines_beside = offsets.len() * FETCHED;
        let source = Source::new(tiles, x, geometry.rows[1], offsets, F::BESIDE);
        let mut product = Product::DONE;
        let count = panels.len().div_ceil(SIDE);
        let mut blocks = pairs.chunks(block).enumerate().peekable();
        while let Some((index, block)) = blocks.next() {
            let times = block.len() * count;
            let mut ahead = match blocks.peek() {
                Some((_, next)) if far => results.ahead(&source, &job.finish, next, times),
                _ => None,
            };
            for first in (0..count).step_by(WIDE) {
                let neighbours = || balanced(panels.len(), SIDE).skip(first).take(WIDE);
                for (number, pair) in block.iter().enumerate() {
                    for neighbours in neighbours() {
                        let made = Block {
                            pair,
                            group,
                            panel: panels.start + neighbours.start,
                            panels: neighbours.len(),
                            column: neighbours.start * PANEL,
                        };
                        let rows = ahead.as_mut().map_or(Lines::NONE, Ahead::step);
                        let next = if index == 0 {
                            rows.fetch();
                            let place = [number, lines_beside];
                            Next::Weights(weights_ahead(dense, &made, panels.end, place))
                        } else {
                            Next::Rows(rows)
                        };
                        let lines = dense.lines(group, made.panel, made.panels);
                        product.begin(tiles, &source, pair.starts(), lines, made.panels, next);
                        results.make(made, &mut product);
                    }
                }
            }
        }
    }
    results.finish();
}

/// The `count` lines that are fetched beside product `number` of the first block, until whose end weights come from far
/// away: of the panels that follow when the neighbours of `block` are done, if those are not beyond the `end`.
#[inline(always)]
fn weights_ahead(dense: &Dense, block: &Block, end: usize, [number, count]: [usize; 2]) -> Lines {
    let panel = block.panel + WIDE * block.panels;
    if panel + block.panels > end {
        return Lines::NONE;
    }
    let lines = dense.lines(block.group, panel, block.panels);
    let lines = &lines[(number * count).min(lines.len())..];
    Lines::weights(&lines[..count.min(lines.len())])
}

/// Pairs of tiles of a block, for rows `step` bytes apart.
fn block_pairs(dense: &Dense, step: usize, height: usize, panels: usize) -> usize {
    let weights = panels * dense.depth() * size_of::<Line>();
    let most = BLOCK_BYTES[usize::from(weights > WEIGHT_BYTES)];
    let row = step.max(dense.channels) + panels * PANEL;
    (most / row / height / SIDE).max(1)
}
