//! The innermost loops for tiers without a byte dot product.
//!
//! Tiles whose products fit 16 bits in pairs read bytes, as those of other tiers do. For the others both
//! operands are widened to 16 bits in scratch memory, rows once per block and panels once per block and
//! panel, so that tiles do nothing but load, multiply and add.

use core::ops::Range;

use crate::driver::{Job, Part};
use crate::finish::{Finish, Resume};
use crate::isa::rows::RowTable;
use crate::isa::tile::{Ahead, Epilogue, Extent, Output, Tile};
use crate::isa::wide::{Wide, WideLine, WideTile};
use crate::isa::{Isa, Work};
use crate::pack::{PANEL, QUAD};
use crate::plan::balanced;

/// Products of a row in one wide line.
const PER_LINE: usize = 32;

/// Lines of a panel that are multiplied at a time: widened they take half of a first-level cache of 32 KiB.
/// A multiple of eight, so that each part of a row begins with a line.
const PART_LINES: usize = 128;

/// Rows that share a decision: those that are summed at a time.
const GROUP: usize = 6;

/// Groups of a block that are looked at first. Unless half of them fit, the others are not worth a look, which with short
/// sums takes as long as a third of the products, nor tiles of six rows at a time.
const SAMPLES: usize = 8;

/// Bytes of an input after which the greatest of all ends the search.
const LOOKED_AT: usize = 4 << 10;

/// Bytes that are looked at together.
const LANES: usize = 16;

/// Memory for widened operands.
#[derive(Default)]
pub(crate) struct Operands {
    rows: Vec<WideLine>,
    panel: Vec<WideLine>,
    /// Sums of a part of a panel, and those of the part before.
    sums: [Vec<i32>; 2],
    /// The greatest byte of each group of rows, or [`NEVER`].
    greatest: Vec<u16>,
    /// Rows of a group.
    group: usize,
}

/// More than any byte: pairs never fit, because the tier has no tiles for those that do.
const NEVER: u16 = u16::MAX;

/// The tier, if this is one that `multiply` serves for a block of `rows` rows.
pub(crate) fn worthwhile(isa: Isa, rows: usize) -> Option<Wide> {
    Wide::of(isa).filter(|wide| wide.adds_pairs() || rows >= wide.worthwhile_from())
}

/// Runs of rows, of which there are so many in all and in a group, whose pairs of products with weights of the given bound all fit 16 bits, or do not.
fn runs(
    greatest: &[u16],
    rows: [usize; 2],
    bound: u16,
) -> impl Iterator<Item = (Range<usize>, bool)> {
    let [rows, rows_of_group] = rows;
    let mut group = 0;
    greatest
        .chunk_by(move |&a, &b| fits(a, bound) == fits(b, bound))
        .map(move |run| {
            let first = group * rows_of_group;
            group += run.len();
            (first..rows.min(group * rows_of_group), fits(run[0], bound))
        })
}

/// Computes one group of a block.
pub(crate) fn multiply<F: Finish>(
    wide: Wide,
    job: Job<F>,
    rows: &RowTable,
    group: usize,
    part: Part<F::Out>,
    operands: &mut Operands,
) {
    let dense = job.dense;
    let (offset, count) = (group * dense.channels, rows.rows());
    let bounds = (part.panels.clone()).map(|panel| dense.pair_bound(group, panel));
    let (worst, least) = (bounds.clone().max().unwrap_or(0), bounds.min().unwrap_or(0));
    // Where the whole input settles the question, or segments overlap or are short, so that looking at
    // each one takes long, no group of rows is looked at.
    let whole = if wide.adds_pairs() {
        u16::from(job.greatest)
    } else {
        NEVER
    };
    let look = |group: usize| {
        let first = group * GROUP;
        let (len, tile) = (dense.channels, first..count.min(first + GROUP));
        u16::from(wide.isa().vectorize(Greatest {
            rows,
            tile,
            offset,
            len,
        }))
    };
    let groups = count.div_ceil(GROUP);
    let settled = whole == NEVER
        || fits(whole, worst)
        || dense.row_run
        || dense.channels < LANES
        || (0..groups)
            .step_by(groups.div_ceil(SAMPLES))
            .map(|group| if fits(look(group), least) { 1 } else { -1 })
            .sum::<i32>()
            < 0;
    operands.greatest.clear();
    if settled {
        operands.greatest.push(whole);
        operands.group = count;
    } else {
        operands.greatest.extend((0..groups).map(look));
        operands.group = GROUP;
    }
    let sizes = [count, operands.group];
    // An odd number of lines, so that neighbouring rows never fall into the same cache sets.
    let row_lines = (dense.depth() * QUAD).div_ceil(PER_LINE) | 1;
    let widens = wide.worthwhile_from() <= count;
    if widens {
        grow(&mut operands.rows, count * row_lines);
        for (run, fit) in runs(&operands.greatest, sizes, worst) {
            if !fit {
                let out = &mut operands.rows[run.start * row_lines..];
                let bytes = [offset, dense.quads()];
                wide.rows(rows, [run.start, run.len()], bytes, row_lines, out);
            }
        }
    }
    for panel in part.panels.clone() {
        let column = (panel - part.panels.start) * PANEL;
        let bound = dense.pair_bound(group, panel);
        let mut left = false;
        for (run, pairs_fit) in runs(&operands.greatest, sizes, bound) {
            if !pairs_fit && widens {
                left = true;
                continue;
            }
            for tile in balanced(run.len(), job.finish.rows()) {
                let first = run.start + tile.start;
                let place = job.place(group, panel, 1, first, tile.len());
                let out = &mut part.out[first * part.stride + column..];
                job.finish.tile(place, None, out, part.stride, |epilogue| {
                    wide.isa().tile(Tile {
                        rows,
                        first,
                        height: tile.len(),
                        offset,
                        lines: dense.lines(group, panel, 1),
                        panels: 1,
                        extent: Extent {
                            segments: 0..dense.segments,
                            quads: 0..dense.quads(),
                        },
                        ahead: Ahead::default(),
                        pairs_fit,
                        epilogue,
                    });
                });
            }
        }
        if left {
            let widened = Widened {
                wide,
                job,
                rows: count,
                row_lines,
                place: [group, panel],
            };
            widened.multiply(&mut part.out[column..], part.stride, operands);
        }
    }
}

/// One panel of a block whose rows have been widened.
struct Widened<'a, F> {
    wide: Wide,
    job: Job<'a, F>,
    rows: usize,
    row_lines: usize,
    /// Group and panel.
    place: [usize; 2],
}

impl<F: Finish> Widened<'_, F> {
    /// Computes the rows whose pairs do not fit, some lines of the panel at a time.
    fn multiply(&self, out: &mut [F::Out], stride: usize, operands: &mut Operands) {
        let [group, panel] = self.place;
        let lines = self.job.dense.lines(group, panel, 1);
        let bound = self.job.dense.pair_bound(group, panel);
        let parts = lines.len().div_ceil(PART_LINES);
        let Operands {
            rows,
            panel: weights,
            sums,
            greatest,
            group: rows_of_group,
        } = operands;
        let sizes = [self.rows, *rows_of_group];
        grow(weights, 2 * lines.len().min(PART_LINES));
        if parts > 1 {
            for sums in sums.iter_mut() {
                grow(sums, self.rows * PANEL);
            }
        }
        for (index, lines) in lines.chunks(PART_LINES).enumerate() {
            let weights = &mut weights[..2 * lines.len()];
            self.wide.panel(lines, weights);
            let [before, after] = sums;
            for (run, fit) in runs(greatest, sizes, bound) {
                if fit {
                    continue;
                }
                for tile in balanced(run.len(), self.job.finish.rows()) {
                    let first = run.start + tile.start;
                    let place = self.job.place(group, panel, 1, first, tile.len());
                    let line = first * self.row_lines + index * PART_LINES * QUAD / PER_LINE;
                    let compute = |epilogue: Epilogue| {
                        self.wide.tile(WideTile {
                            rows: &rows[line..],
                            row_lines: self.row_lines,
                            height: tile.len(),
                            lines: weights,
                            epilogue,
                        });
                    };
                    let resume = (index > 0).then(|| Resume {
                        sums: &before[first * PANEL..],
                        stride: PANEL,
                    });
                    let finish = self.job.finish;
                    if index + 1 == parts {
                        let out = &mut out[first * stride..];
                        finish.tile(place, resume, out, stride, compute);
                    } else {
                        let (start, start_stride) = finish.begin(place, resume);
                        compute(Epilogue {
                            start,
                            start_stride,
                            output: Output::Sums(&mut after[first * PANEL..]),
                            stride: PANEL,
                            columns: PANEL,
                        });
                    }
                }
            }
            core::mem::swap(before, after);
        }
    }
}

/// Whether two products of bytes up to `greatest` fit 16 bits, `bound` being the greatest sum of two
/// neighbouring weights of one sign.
fn fits(greatest: u16, bound: u16) -> bool {
    greatest != NEVER && u32::from(greatest) * u32::from(bound) <= i16::MAX as u32
}

/// The greatest byte of an input, or the greatest of all bytes if the tier does not ask.
pub(crate) fn greatest(isa: Isa, bytes: &[u8]) -> u8 {
    match Wide::of(isa) {
        Some(wide) if wide.adds_pairs() => isa.vectorize(GreatestOf(bytes)),
        _ => u8::MAX,
    }
}

/// Bytes that an activation takes up in a block: two where it is likely to be widened.
pub(crate) fn element_bytes(isa: Isa, greatest: u8) -> usize {
    let pairs_fit = |wide: Wide| wide.adds_pairs() && greatest < 128;
    if Wide::of(isa).is_some_and(|wide| !pairs_fit(wide)) {
        2
    } else {
        1
    }
}

struct GreatestOf<'a>(&'a [u8]);

impl Work for GreatestOf<'_> {
    type Output = u8;

    #[inline(always)]
    fn run(self) -> u8 {
        let mut greatest = 0;
        for part in self.0.chunks(LOOKED_AT) {
            let lanes = widest([0; LANES], part);
            greatest = lanes.into_iter().fold(greatest, u8::max);
            if greatest == u8::MAX {
                break;
            }
        }
        greatest
    }
}

/// The greatest byte of some rows.
struct Greatest<'a> {
    rows: &'a RowTable<'a>,
    tile: Range<usize>,
    offset: usize,
    len: usize,
}

impl Work for Greatest<'_> {
    type Output = u8;

    #[inline(always)]
    fn run(self) -> u8 {
        let mut lanes = [0; LANES];
        for segment in 0..self.rows.segments() {
            for row in self.tile.clone() {
                let bytes = self.rows.segment(segment, row, self.offset, self.len);
                lanes = widest(lanes, bytes);
            }
        }
        lanes.into_iter().fold(0, u8::max)
    }
}

/// Raises `lanes` to the bytes, sixteen at a time: a loop of fixed length over values, not references,
/// becomes a single instruction.
#[inline(always)]
fn widest(lanes: [u8; LANES], bytes: &[u8]) -> [u8; LANES] {
    let mut lanes = lanes;
    let (chunks, rest) = bytes.as_chunks::<LANES>();
    for chunk in chunks {
        lanes = raise(lanes, *chunk);
    }
    match bytes.last_chunk::<LANES>() {
        // Overlaps the chunk before it.
        Some(last) => raise(lanes, *last),
        None => {
            for (lane, &byte) in lanes.iter_mut().zip(rest) {
                *lane = byte.max(*lane);
            }
            lanes
        }
    }
}

#[inline(always)]
fn raise(mut lanes: [u8; LANES], bytes: [u8; LANES]) -> [u8; LANES] {
    for i in 0..LANES {
        lanes[i] = if bytes[i] > lanes[i] {
            bytes[i]
        } else {
            lanes[i]
        };
    }
    lanes
}

/// Makes room in scratch memory.
pub(crate) fn grow<T: Copy + Default>(values: &mut Vec<T>, len: usize) {
    if values.len() < len {
        values.resize(len, T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_byte_is_found_wherever_it_is() {
        for isa in Isa::available() {
            for len in 0..70 {
                for at in 0..len {
                    let mut bytes = vec![3; len];
                    bytes[at] = 200;
                    assert_eq!(isa.vectorize(GreatestOf(&bytes)), 200, "{at} of {len}");
                }
            }
        }
    }

    #[test]
    fn pairs_fit_up_to_the_greatest_word() {
        assert!(fits(127, 256) && !fits(128, 256));
        assert!(fits(255, 128) && !fits(255, 129));
        assert!(fits(0, 256) && fits(255, 0));
        assert!(!fits(NEVER, 0));
    }
}
