//! Cuts the rows of a product into tiles of one height, and pairs of tiles.

use core::ops::Range;

use super::Geometry;
use crate::isa::amx::{SIDE, TILE};

/// What a tile costs beside its rows, in rows: loading weights, and starting products.
const TILE_COST: usize = 8;

/// Neighbouring rows of the output that a pair of tiles computes.
pub(super) struct Run {
    /// The first of them within the pair.
    pub(super) first: usize,
    pub(super) count: usize,
    /// The first of them in the output.
    pub(super) row: usize,
}

/// Two tiles, or the last one, that are multiplied together.
pub(super) struct Pair {
    /// Where they begin in the input.
    starts: [usize; SIDE],
    tiles: usize,
    runs: Range<usize>,
}

/// The tiles of some rows; memory is reused between calls.
#[derive(Default)]
pub(super) struct Placement {
    height: usize,
    pairs: Vec<Pair>,
    runs: Vec<Run>,
}

impl Pair {
    /// Where the tiles begin in the input.
    pub(super) fn starts(&self) -> &[usize] {
        &self.starts[..self.tiles]
    }
}

impl Placement {
    /// Places some rows: whole lines, or part of the only one. Where a line does not divide, its last tile overlaps the one
    /// before, but no row is part of two runs.
    pub(super) fn place(&mut self, geometry: &Geometry, rows: Range<usize>) {
        self.pairs.clear();
        self.runs.clear();
        let width = geometry.rows[0];
        if rows.len() < width {
            self.height = even_height(rows.len());
            return self.line(geometry, rows.start, 0, rows.len());
        }
        let lines = rows.start / width..rows.end / width;
        if let Some(pitch) = flat_pitch(geometry, &lines) {
            self.height = TILE;
            for plane in planes(geometry, &lines) {
                self.flat(geometry, plane, pitch);
            }
            return;
        }
        self.height = even_height(width);
        for line in lines {
            self.line(geometry, line * width, geometry.line(line), width);
        }
    }

    /// Rows of every tile.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// The pairs of tiles, in the order of the rows.
    pub(super) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// What a pair computes.
    pub(super) fn runs(&self, pair: &Pair) -> &[Run] {
        &self.runs[pair.runs.clone()]
    }

    /// Adds a tile that begins at byte `start`; its runs follow.
    fn tile(&mut self, start: usize) {
        match self.pairs.last_mut() {
            Some(pair) if pair.tiles < SIDE => {
                pair.starts[pair.tiles] = start;
                pair.tiles += 1;
            }
            _ => self.pairs.push(Pair {
                starts: [start; SIDE],
                tiles: 1,
                runs: self.runs.len()..self.runs.len(),
            }),
        }
    }

    /// Adds a run to the last tile, and joins it with the one before if both are neighbours.
    fn run(&mut self, first: usize, count: usize, row: usize) {
        let Some(pair) = self.pairs.last_mut() else {
            return;
        };
        let first = (pair.tiles - 1) * self.height + first;
        if let Some(run) = self.runs[pair.runs.clone()].last_mut()
            && (run.first + run.count, run.row + run.count) == (first, row)
        {
            run.count += count;
            return;
        }
        self.runs.push(Run { first, count, row });
        pair.runs.end += 1;
    }

    /// Cuts `count` rows of one line, from output row `row` on; rows before it are those of the line at `start`.
    fn line(&mut self, geometry: &Geometry, row: usize, start: usize, count: usize) {
        let skipped = row % geometry.rows[0];
        for first in (0..count).step_by(self.height) {
            let begin = first.min(count - self.height);
            self.tile(start + (skipped + begin) * geometry.rows[1]);
            let done = first - begin;
            self.run(done, self.height - done, row + first);
        }
    }

    /// Cuts lines of one plane that are `pitch` rows apart as if they were one.
    fn flat(&mut self, geometry: &Geometry, lines: Range<usize>, pitch: usize) {
        let width = geometry.rows[0];
        let count = (lines.len() - 1) * pitch + width;
        for first in (0..count).step_by(TILE) {
            let tile = first.min(count - TILE);
            self.tile(geometry.line(lines.start) + tile * geometry.rows[1]);
            for line in first / pitch..lines.len() {
                let (begin, end) = (line * pitch, line * pitch + width);
                let (from, end) = (begin.max(first), end.min(tile + TILE));
                if from < end {
                    let row = (lines.start + line) * width + from - begin;
                    self.run(from - tile, end - from, row);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ConvShape;

    /// Where each row of the output lies in the input, by the runs of all pairs; rows between lines are left out.
    fn rows(geometry: &Geometry, range: Range<usize>) -> Vec<Option<usize>> {
        let mut placement = Placement::default();
        placement.place(geometry, range.clone());
        let mut found = vec![None; geometry.total];
        for pair in placement.pairs() {
            assert!((1..=SIDE).contains(&pair.starts().len()));
            for run in placement.runs(pair) {
                for i in 0..run.count {
                    let (tile, within) = (
                        (run.first + i) / placement.height(),
                        (run.first + i) % placement.height(),
                    );
                    let at = pair.starts()[tile] + within * geometry.rows[1];
                    let before = found[run.row + i].replace(at);
                    assert_eq!(before, None, "row {} is computed once", run.row + i);
                }
            }
        }
        let outside = |row: &usize| !range.contains(row);
        assert!(
            (0..geometry.total)
                .filter(outside)
                .all(|row| found[row].is_none())
        );
        found
    }

    fn shape(batch: usize, size: [usize; 2], kernel: usize, stride: usize) -> ConvShape {
        ConvShape {
            batch,
            in_channels: 5,
            out_channels: 1,
            groups: 1,
            input: [1, size[0], size[1]],
            kernel: [1, kernel, kernel],
            stride: [1, stride, stride],
            padding: [0; 3],
            dilation: [1; 3],
        }
    }

    #[test]
    fn every_row_of_a_matrix_is_placed_where_it_lies() {
        for m in 4..150 {
            let geometry = Geometry::matrix(m, 7);
            for range in [0..m, 0..m / 2, m / 2..m] {
                let found = rows(&geometry, range.clone());
                for row in range {
                    assert_eq!(found[row], Some(row * 7), "row {row} of {m}");
                }
            }
        }
    }

    #[test]
    fn every_window_is_placed_where_it_begins() {
        for batch in 1..3 {
            for size in [[3, 3], [9, 9], [9, 16], [12, 40], [5, 18]] {
                for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (2, 3)] {
                    let shape = shape(batch, size, kernel, stride);
                    let geometry = Geometry::windows(&shape, false);
                    let [_, height, width] = shape.output();
                    let lines = batch * height;
                    for range in [0..lines, 0..lines.div_ceil(2), lines / 2..lines] {
                        let range = range.start * width..range.end * width;
                        let found = rows(&geometry, range.clone());
                        for (row, &found) in found.iter().enumerate() {
                            if !range.contains(&row) {
                                continue;
                            }
                            let (line, w) = (row / width, row % width);
                            let (image, h) = (line / height, line % height);
                            let pixel = (image * size[0] + h * stride) * size[1] + w * stride;
                            assert_eq!(found, Some(pixel * 5), "row {row} of {shape:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn narrow_lines_share_tiles_and_wide_ones_do_not() {
        // Seven windows on lines of nine pixels: 61 rows make four tiles instead of seven.
        let narrow = Geometry::windows(&shape(1, [9, 9], 3, 1), false);
        let mut placement = Placement::default();
        placement.place(&narrow, 0..49);
        let tiles = |placement: &Placement| -> usize {
            placement
                .pairs()
                .iter()
                .map(|pair| pair.starts().len())
                .sum()
        };
        assert_eq!((placement.height(), tiles(&placement)), (16, 4));
        let wide = Geometry::windows(&shape(1, [16, 16], 3, 1), false);
        placement.place(&wide, 0..196);
        assert_eq!((placement.height(), tiles(&placement)), (14, 14));
        // Tiles of neighbouring lines are one run.
        let runs = placement
            .pairs()
            .iter()
            .map(|pair| placement.runs(pair).len());
        assert!(runs.eq([1; 7]));
    }
}
