//! What a micro-kernel is asked to do, checked before it starts.
//!
//! A tile is some rows times a few panels of the output; kernels sum as many rows at a time as fit registers. Kernels
//! trust the lengths asserted by [`Tile::check`] and [`WideTile::check`](super::wide::WideTile::check), and nothing else. Release builds wrap
//! around on overflow, so bounds are compared by division, subtraction or checked products: no sum or product of
//! unchecked numbers stands in an assertion.

use core::cell::Cell;
use core::ops::Range;

use qtensor_core::requant::OutputRange;

#[cfg(target_arch = "x86_64")]
use super::avx512vnni::add::Sum;
use super::rows::RowTable;
use crate::pack::{Line, PANEL, QUAD};

/// Where a tile's results go and how they are made from accumulators.
pub(crate) struct Epilogue<'a> {
    /// Start values, one per padded column.
    pub(crate) start: &'a [i32],
    /// Values from the start of one row to that of the next; 0 if all rows start alike.
    pub(crate) start_stride: usize,
    /// What becomes of the sums.
    pub(crate) output: Output<'a>,
    /// Elements between output rows.
    pub(crate) stride: usize,
    /// Columns to write, at most those of the panels.
    pub(crate) columns: usize,
}

/// The output from a tile's first element on.
pub(crate) enum Output<'a> {
    /// Requantized bytes.
    Bytes {
        /// Multipliers, one per padded column.
        multipliers: &'a [f32],
        /// Clamp and zero point.
        range: OutputRange,
        /// Their place.
        out: &'a mut [u8],
    },
    /// Requantized bytes to which others are added before they are stored, which only the tiles of AVX-512 do.
    #[cfg(target_arch = "x86_64")]
    Added(Addition<'a>),
    /// The sums themselves; all columns of the panels are written.
    Sums(&'a mut [i32]),
}

/// Results to which other activations are added.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Addition<'a> {
    /// Multipliers, one per padded column.
    pub(crate) multipliers: &'a [f32],
    /// Clamp and zero point of the results alone.
    pub(crate) range: OutputRange,
    /// The addition.
    pub(crate) sum: &'a Sum,
    /// What is added, from the tile's first element on, unless it is what the output holds.
    pub(crate) other: Option<&'a [u8]>,
    /// Elements between its rows.
    pub(crate) width: usize,
    /// The place of the sums.
    pub(crate) out: &'a mut [u8],
}

impl Epilogue<'_> {
    /// Asserts that values exist for every column, that the output holds every row, and that
    /// requantized values are bytes. `height` and `panels` are at least 1.
    pub(super) fn check(&self, height: usize, panels: usize) {
        let starts = |columns: usize| {
            let last = (height - 1).checked_mul(self.start_stride);
            let room = self.start.len().checked_sub(columns);
            last.is_some() && room.is_some() && last <= room
        };
        let columns = panels.checked_mul(PANEL);
        assert!(
            columns.is_some_and(starts),
            "every column needs a start value"
        );
        // No overflow: a slice is that long.
        let columns = (panels - 1) * PANEL..=panels * PANEL;
        assert!(
            columns.contains(&self.columns) && self.columns > *columns.start(),
            "the panels must be the columns'"
        );
        assert!(
            height == 1 || self.stride >= self.columns,
            "output rows must not overlap"
        );
        let bytes = |multipliers: &[f32], OutputRange { lo, hi, .. }: &OutputRange| {
            assert!(
                panels <= multipliers.len() / PANEL,
                "every column needs a multiplier"
            );
            assert!(0 <= *lo && lo <= hi && *hi <= 255, "results must be bytes");
        };
        let rows_fit = |len: usize, stride: usize| {
            let last = (height - 1).checked_mul(stride);
            let room = len.checked_sub(self.columns);
            last.is_some() && room.is_some() && last <= room
        };
        let len = match &self.output {
            Output::Bytes {
                multipliers,
                range,
                out,
            } => {
                bytes(multipliers, range);
                out.len()
            }
            #[cfg(target_arch = "x86_64")]
            Output::Added(added) => {
                bytes(added.multipliers, &added.range);
                added.sum.check();
                assert!(
                    (added.other).is_none_or(|other| rows_fit(other.len(), added.width)),
                    "every result needs something to be added"
                );
                added.out.len()
            }
            Output::Sums(out) => {
                assert!(
                    self.columns == *columns.end(),
                    "sums are written by whole panels"
                );
                out.len()
            }
        };
        assert!(rows_fit(len, self.stride), "the output must hold every row");
    }
}

/// Lines that are fetched while others are multiplied, by whoever has the time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ahead<'a> {
    /// All of them.
    pub(crate) lines: &'a [Line],
    /// How many have been fetched, if anyone counts.
    pub(crate) fetched: Option<&'a Cell<usize>>,
}

impl<'a> Ahead<'a> {
    /// The next lines, of at most `most`, which count as fetched then.
    pub(super) fn take(self, most: usize) -> &'a [Line] {
        let Some(fetched) = self.fetched else {
            return &[];
        };
        let first = fetched.get().min(self.lines.len());
        let end = self.lines.len().min(first + most);
        fetched.set(end);
        &self.lines[first..end]
    }
}

/// The part of a reduction that is summed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extent {
    /// Segments.
    pub(crate) segments: Range<usize>,
    /// Lines of the weights of each segment; activations are those of these lines alone.
    pub(crate) quads: Range<usize>,
}

/// A tile that reads activations through row pointers.
pub(crate) struct Tile<'a> {
    /// Rows of the block.
    pub(crate) rows: &'a RowTable<'a>,
    /// The tile's first row.
    pub(crate) first: usize,
    /// The tile's number of rows, however many.
    pub(crate) height: usize,
    /// Byte at which the group starts within each segment.
    pub(crate) offset: usize,
    /// Lines of all panels of the tile, one panel after the other.
    pub(crate) lines: &'a [Line],
    /// Number of panels.
    pub(crate) panels: usize,
    /// What of the segments is summed; all of it but for AVX-512.
    pub(crate) extent: Extent,
    /// Weights that are needed after these, to be fetched meanwhile.
    pub(crate) ahead: Ahead<'a>,
    /// Whether the sum of two neighbouring products always fits 16 bits, for these rows and panels.
    pub(crate) pairs_fit: bool,
    /// Results.
    pub(crate) epilogue: Epilogue<'a>,
}

impl Tile<'_> {
    /// Lines of one segment of one panel.
    pub(super) fn quads(&self) -> usize {
        self.lines.len() / (self.panels * self.rows.segments())
    }

    /// Asserts that the tile sums everything.
    pub(super) fn check_whole(&self) {
        assert!(
            self.extent.segments == (0..self.rows.segments())
                && self.extent.quads == (0..self.quads()),
            "only tiles of AVX-512 leave out products"
        );
    }

    /// Asserts everything a kernel relies on.
    pub(super) fn check(&self) {
        assert!(self.height >= 1 && self.panels >= 1);
        assert!(
            self.height <= self.rows.rows() && self.first <= self.rows.rows() - self.height,
            "the tile must lie within the block"
        );
        let segments = self.panels.checked_mul(self.rows.segments());
        assert!(
            segments.is_some_and(|all| all >= 1 && self.lines.len() / all >= 1),
            "every segment of every panel needs a line"
        );
        // No overflow: `quads` is the quotient of these.
        assert!(self.quads() * self.panels * self.rows.segments() == self.lines.len());
        let Extent { segments, quads } = &self.extent;
        assert!(
            segments.start <= segments.end
                && segments.end <= self.rows.segments()
                && quads.start <= quads.end
                && quads.end <= self.quads(),
            "the extent must lie within the lines"
        );
        let span = self.rows.span();
        assert!(
            self.offset <= span && quads.len() <= (span - self.offset) / QUAD,
            "the group must lie within the segment"
        );
        self.epilogue.check(self.height, self.panels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::rows::RowBuffer;

    /// What one test changes of a valid tile of three rows of two segments and one panel.
    struct Change {
        first: usize,
        height: usize,
        offset: usize,
        panels: usize,
        columns: usize,
        stride: usize,
        start_stride: usize,
        range: OutputRange,
        extent: Extent,
    }

    const VALID: Change = Change {
        first: 1,
        height: 2,
        offset: 4,
        panels: 1,
        columns: 16,
        stride: 20,
        start_stride: 8,
        range: OutputRange {
            zero_point: 7,
            lo: 0,
            hi: 255,
        },
        extent: Extent {
            segments: 0..2,
            quads: 0..2,
        },
    };

    fn check(change: Change) {
        let mut buffer = RowBuffer::default();
        let rows = buffer.table(&[0; 40], &[], &[0, 8, 16, 4, 12, 20], 3, 12);
        let tile = Tile {
            rows: &rows,
            first: change.first,
            height: change.height,
            offset: change.offset,
            lines: &[Line([0; PANEL * QUAD]); 4],
            panels: change.panels,
            extent: change.extent,
            ahead: Ahead::default(),
            pairs_fit: false,
            epilogue: Epilogue {
                start: &[0; 24],
                start_stride: change.start_stride,
                output: Output::Bytes {
                    multipliers: &[0.0; 16],
                    range: change.range,
                    out: &mut [0; 36],
                },
                stride: change.stride,
                columns: change.columns,
            },
        };
        tile.check();
    }

    fn check_sums(len: usize, columns: usize) {
        let epilogue = Epilogue {
            start: &[0; 16],
            start_stride: 0,
            output: Output::Sums(&mut vec![0; len]),
            stride: 16,
            columns,
        };
        epilogue.check(2, 1);
    }

    #[test]
    fn sums_that_fit_pass() {
        check_sums(32, 16);
    }

    #[test]
    #[should_panic(expected = "whole panels")]
    fn sums_of_part_of_a_panel_are_refused() {
        check_sums(32, 15);
    }

    #[test]
    #[should_panic(expected = "hold every row")]
    fn too_few_sums_are_refused() {
        check_sums(31, 16);
    }

    #[test]
    fn a_tile_that_fits_passes() {
        check(VALID);
    }

    /// Numbers whose sum or product wraps around to something small.
    macro_rules! refused {
        ($($name:ident: $message:literal, $($field:ident: $value:expr),*;)*) => {$(
            #[test]
            #[should_panic(expected = $message)]
            fn $name() {
                check(Change { $($field: $value,)* ..VALID });
            }
        )*};
    }
    const HALF: usize = 1 << (usize::BITS - 1);
    refused! {
        rows_beyond_the_block: "within the block", first: 2;
        a_first_row_that_wraps: "within the block", first: usize::MAX;
        an_offset_beyond_the_segment: "within the segment", offset: 8;
        an_offset_that_wraps: "within the segment", offset: usize::MAX - 3;
        segments_beyond_the_lines: "within the lines", extent: Extent { segments: 1..3, quads: 0..2 };
        quads_beyond_the_lines: "within the lines", extent: Extent { segments: 0..2, quads: 1..3 };
        panels_that_wrap: "needs a line", panels: HALF;
        a_stride_that_wraps: "hold every row", first: 0, height: 3, start_stride: 0, stride: HALF;
        a_short_output: "hold every row", stride: 21;
        rows_that_overlap: "overlap", stride: 15;
        more_columns_than_the_panel: "the columns'", columns: 17;
        no_columns: "the columns'", columns: 0;
        missing_start_values: "a start value", start_stride: 9;
        a_start_stride_that_wraps: "a start value", first: 0, height: 3, start_stride: HALF;
        values_above_a_byte: "must be bytes", range: OutputRange { zero_point: 0, lo: 0, hi: 256 };
        values_below_a_byte: "must be bytes", range: OutputRange { zero_point: 0, lo: -1, hi: 9 };
        values_out_of_order: "must be bytes", range: OutputRange { zero_point: 0, lo: 9, hi: 8 };
    }
}
