//! Winograd's minimal filtering F(2×2, 3×3) in integers, for tiers that multiply 16-bit integers anyway.
//!
//! Two by two outputs of a 3×3 convolution of stride 1 take 16 products per channel instead of 36
//! (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015):
//!
//! ```text
//! Y = Aᵀ [ Σ over channels (G g Gᵀ) ⊙ (Bᵀ d B) ] A        d: 4×4 inputs, g: 3×3 weights, Y: 2×2 sums
//! ```
//!
//! G holds halves. With `2 G` instead everything is an integer and the result is exactly `4 Y`: inputs
//! become at most 4 · 255 and weights at most 9 · 128 in magnitude, so both fit 16 bits, and `vpmaddwd` sums
//! them exactly. Sums may wrap on the way as long as `4 Y` fits, which [`fits`] checks. A tier with a dot
//! product of bytes gains nothing, since that does twice the products of `vpmaddwd` at a time.

use core::cell::RefCell;
use core::ops::Range;

use crate::context::Context;
use crate::driver::by_columns;
use crate::finish::{Finish, Place};
use crate::fork::fork;
use crate::isa::tile::{Epilogue, Output};
use crate::isa::wide::{Wide, WideLine, WideTile};
use crate::pack::{Dense, PANEL};
use crate::plan::{self, balanced};
use crate::shape::ConvShape;
use crate::wide::grow;

/// Positions of a transformed tile: 4×4.
pub(crate) const POSITIONS: usize = 16;

/// Channels that are transformed together; other numbers of channels are convolved directly.
const CHANNELS: usize = 16;

/// Bytes of transformed inputs to keep in use at a time: half of a second-level cache of 512 KiB.
const BLOCK_BYTES: usize = 256 << 10;

/// Tiles of a block: transformed weights are read once per block, sums of a panel stay in a
/// first- or second-level cache.
const BLOCK_TILES: Range<usize> = 12..49;

/// Up to this many tiles, threads share out panels.
const FEW_TILES: usize = 48;

/// Start values of sums.
static ZEROS: [i32; PANEL] = [0; PANEL];

/// Transformed weights, ordered `[panel][position][pair of channels]`.
#[derive(Clone, Debug)]
pub(crate) struct Winograd {
    lines: Vec<WideLine>,
    channels: usize,
}

/// Whether a convolution can be computed this way: its geometry is that of F(2×2, 3×3), and four times each
/// sum of products, which lies between `255 * negative` and `255 * positive`, fits an `i32`.
pub(crate) fn fits(shape: &ConvShape, column_sums: &[i32], negative_sums: &[i32]) -> bool {
    let geometry = shape.kernel == [1, 3, 3]
        && shape.stride == [1; 3]
        && shape.dilation == [1; 3]
        && shape.groups == 1
        && shape.in_channels.is_multiple_of(CHANNELS)
        && shape.padding[0] == 0;
    let most = |(&sum, &negative): (&i32, &i32)| {
        let (sum, negative) = (i64::from(sum), i64::from(negative));
        (sum - negative).max(-negative) * 255 * 4
    };
    let sums = column_sums.iter().zip(negative_sums).map(most).max();
    geometry && sums.is_some_and(|most| i32::try_from(most).is_ok())
}

impl Winograd {
    /// Transforms the weights of a convolution that [`fits`].
    pub(crate) fn new(dense: &Dense) -> Winograd {
        let channels = dense.channels;
        let mut lines = vec![WideLine::default(); dense.panels() * POSITIONS * channels / 2];
        for (panel, lines) in lines.chunks_exact_mut(POSITIONS * channels / 2).enumerate() {
            let packed = dense.lines(0, panel, 1);
            for c in 0..channels {
                for column in 0..PANEL {
                    let g = core::array::from_fn(|tap| {
                        i16::from(packed[tap * dense.quads() + c / 4].0[column * 4 + c % 4])
                    });
                    for (position, u) in transformed(g).into_iter().enumerate() {
                        lines[position * channels / 2 + c / 2].0[column * 2 + c % 2] = u;
                    }
                }
            }
        }
        Winograd { lines, channels }
    }

    /// The weights of one position of one panel.
    fn lines(&self, panel: usize, position: usize) -> &[WideLine] {
        let len = self.channels / 2;
        &self.lines[(panel * POSITIONS + position) * len..][..len]
    }

    fn panels(&self) -> usize {
        self.lines.len() / (POSITIONS * self.channels / 2)
    }
}

/// `(2 G) g (2 G)ᵀ` of 3×3 weights, with `2 G` = `[2 0 0; 1 1 1; 1 -1 1; 0 0 2]`.
fn transformed(g: [i16; 9]) -> [i16; POSITIONS] {
    let line = |[a, b, c]: [i16; 3]| [2 * a, a + b + c, a - b + c, 2 * c];
    let rows: [[i16; 4]; 3] =
        core::array::from_fn(|i| line([g[3 * i], g[3 * i + 1], g[3 * i + 2]]));
    let columns: [[i16; 4]; 4] =
        core::array::from_fn(|j| line([rows[0][j], rows[1][j], rows[2][j]]));
    core::array::from_fn(|position| columns[position % 4][position / 4])
}

/// A convolution and what becomes of its sums.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a, F> {
    pub(crate) wide: Wide,
    pub(crate) x: &'a [u8],
    pub(crate) shape: &'a ConvShape,
    pub(crate) weights: &'a Winograd,
    pub(crate) zero_point: u8,
    pub(crate) finish: F,
}

/// Output rows are computed in pairs, each of which is a unit of work.
#[derive(Clone, Copy)]
struct Units {
    /// Height and width of an output image.
    output: [usize; 2],
    /// Units of an image.
    per_image: usize,
    /// Tiles of a unit.
    tiles: usize,
}

impl Units {
    fn new(shape: &ConvShape) -> Units {
        let [_, height, width] = shape.output();
        Units {
            output: [height, width],
            per_image: height.div_ceil(2),
            tiles: width.div_ceil(2),
        }
    }

    /// The image and the first output row of a unit.
    fn place(&self, unit: usize) -> (usize, usize) {
        (unit / self.per_image, unit % self.per_image * 2)
    }

    /// Output positions before a unit.
    fn begin(&self, unit: usize) -> usize {
        let (image, row) = self.place(unit);
        let [height, width] = self.output;
        (image * height + row) * width
    }
}

#[derive(Default)]
struct Scratch {
    /// Transformed inputs, `[position][tile]`.
    inputs: Vec<WideLine>,
    /// Sums of one panel, `[tile][position][column]`.
    sums: Vec<i32>,
    /// Outputs of one panel, `[tile][2 × 2 positions][column]`, in words for elements of up to four bytes.
    outputs: Vec<u32>,
    /// A pixel of padding.
    padding: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Computes the convolution.
pub(crate) fn conv<F: Finish>(ctx: &Context, job: Job<F>, out: &mut [F::Out]) {
    let units = Units::new(job.shape);
    // The kernel is one deep, so that every depth is an image of its own.
    let count = job.shape.batch * job.shape.input[0] * units.per_image;
    let columns = job.shape.out_channels;
    let panels = job.weights.panels();
    let pieces = ctx.pieces(job.shape.macs(), plan::SERIAL_BELOW);
    if pieces > 1 && count * units.tiles <= FEW_TILES && panels > 1 {
        let positions = out.len() / columns;
        return by_columns(job.finish, pieces, panels, positions, out, |part| {
            serial(job, units, 0..count, part.panels, part.out, part.stride);
        });
    }
    let work = |range: Range<usize>, out: &mut [F::Out]| {
        serial(job, units, range, 0..panels, out, columns);
    };
    let mut rest = out;
    let parts = balanced(count, count.div_ceil(pieces)).map(|range| {
        let len = (units.begin(range.end) - units.begin(range.start)) * columns;
        let (part, later) = core::mem::take(&mut rest).split_at_mut(len);
        rest = later;
        (range, part)
    });
    fork(parts, |(range, part)| work(range, part));
}

/// Computes some panels of some units on the calling thread. `out` holds just these, `stride` elements
/// for each position.
fn serial<F: Finish>(
    job: Job<F>,
    units: Units,
    range: Range<usize>,
    panels: Range<usize>,
    out: &mut [F::Out],
    stride: usize,
) {
    let channels = job.shape.in_channels;
    // An odd number of lines, so that neighbouring rows never fall into the same cache sets.
    let row_lines = (channels / 2).div_ceil(16) | 1;
    let tile_bytes = POSITIONS * row_lines * size_of::<WideLine>();
    let most = (BLOCK_BYTES / tile_bytes).clamp(BLOCK_TILES.start, BLOCK_TILES.end - 1);
    let first = units.begin(range.start);
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.padding.clear();
        scratch.padding.resize(channels, job.zero_point);
        for block in balanced(range.len(), (most / units.tiles).max(1)) {
            let block = range.start + block.start..range.start + block.end;
            // A unit of many tiles is cut again.
            for part in balanced(units.tiles, most) {
                let tiles = Tiles {
                    units,
                    block: block.clone(),
                    part,
                };
                let from = (units.begin(block.start) - first) * stride;
                let out = &mut out[from..];
                compute(
                    &job,
                    &tiles,
                    row_lines,
                    panels.clone(),
                    scratch,
                    out,
                    stride,
                );
            }
        }
    });
}

/// The tiles of a block: a part of each of its units.
struct Tiles {
    units: Units,
    block: Range<usize>,
    part: Range<usize>,
}

impl Tiles {
    fn count(&self) -> usize {
        self.block.len() * self.part.len()
    }

    /// The image, the first output row and the first output column of each tile.
    fn places(&self) -> impl Iterator<Item = [usize; 3]> {
        self.block.clone().flat_map(move |unit| {
            let (image, row) = self.units.place(unit);
            self.part.clone().map(move |tile| [image, row, tile * 2])
        })
    }
}

/// Computes a block; `out` begins with the first position of its first unit.
fn compute<F: Finish>(
    job: &Job<F>,
    tiles: &Tiles,
    row_lines: usize,
    panels: Range<usize>,
    scratch: &mut Scratch,
    out: &mut [F::Out],
    stride: usize,
) {
    let (wide, count) = (job.wide, tiles.count());
    grow(&mut scratch.inputs, POSITIONS * count * row_lines);
    grow(&mut scratch.sums, POSITIONS * count * PANEL);
    grow(&mut scratch.outputs, 4 * count * PANEL);
    transform_inputs(job, tiles, row_lines, scratch);
    let outputs = bytemuck::cast_slice_mut::<u32, F::Out>(&mut scratch.outputs);
    for panel in panels.clone() {
        for position in 0..POSITIONS {
            wide.tile(WideTile {
                rows: &scratch.inputs[position * count * row_lines..],
                row_lines,
                height: count,
                lines: job.weights.lines(panel, position),
                epilogue: Epilogue {
                    start: &ZEROS,
                    start_stride: 0,
                    output: Output::Sums(&mut scratch.sums[position * PANEL..]),
                    stride: POSITIONS * PANEL,
                    columns: PANEL,
                },
            });
        }
        let column = panel * PANEL;
        let columns = PANEL.min(job.shape.out_channels - column);
        for part in balanced(count, job.finish.rows() / 4) {
            let sums = &scratch.sums[part.start * POSITIONS * PANEL..part.end * POSITIONS * PANEL];
            let place = Place {
                row: 0,
                column,
                channel: column,
                height: part.len() * 4,
                step: 1,
                columns,
                width: PANEL,
            };
            let outputs = &mut outputs[part.start * 4 * PANEL..];
            (job.finish).tile(place, None, outputs, PANEL, |epilogue| {
                wide.winograd_output(sums, epilogue);
            });
        }
        let out = &mut out[(panel - panels.start) * PANEL..];
        deliver(tiles, outputs, columns, out, stride);
    }
}

/// Transforms the inputs of all tiles of a block.
fn transform_inputs<F>(job: &Job<F>, tiles: &Tiles, row_lines: usize, scratch: &mut Scratch) {
    let (channels, shape, count) = (job.shape.in_channels, job.shape, tiles.count());
    let [_, height, width] = shape.input;
    let row_len = row_lines * size_of::<WideLine>() / size_of::<i16>();
    let out: &mut [i16] = bytemuck::cast_slice_mut(&mut scratch.inputs);
    for (tile, [image, row, column]) in tiles.places().enumerate() {
        // The sixteen pixels under the tile.
        let mut pixels = [scratch.padding.as_slice(); POSITIONS];
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let y = (row + i / 4).wrapping_sub(shape.padding[1]);
            let x = (column + i % 4).wrapping_sub(shape.padding[2]);
            if y < height && x < width {
                *pixel = &job.x[((image * height + y) * width + x) * channels..][..channels];
            }
        }
        let out = &mut out[tile * row_len..];
        job.wide.winograd_input(&pixels, out, count * row_len);
    }
}

/// Puts the outputs of one panel in their places.
fn deliver<T: Copy>(tiles: &Tiles, outputs: &[T], columns: usize, out: &mut [T], stride: usize) {
    let [height, width] = tiles.units.output;
    let origin = tiles.units.begin(tiles.block.start);
    let outputs = outputs.chunks_exact(4 * PANEL);
    for ([image, row, column], outputs) in tiles.places().zip(outputs) {
        for (i, values) in outputs.chunks_exact(PANEL).enumerate() {
            let (row, column) = (row + i / 2, column + i % 2);
            if row < height && column < width {
                let at = ((image * height + row) * width + column - origin) * stride;
                if columns == PANEL {
                    // A copy of known length is a single move.
                    out[at..at + PANEL].copy_from_slice(&values[..PANEL]);
                } else {
                    out[at..at + columns].copy_from_slice(&values[..columns]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
