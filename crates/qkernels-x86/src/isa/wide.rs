//! Multiplying operands that were widened to 16 bits beforehand: the door to it, for tiers that have no
//! byte dot product and gain from this.

use super::rows::RowTable;
use super::tile::Epilogue;
use super::{Isa, Tier, avx2};
use crate::pack::{Line, QUAD};

/// A tier that multiplies widened operands.
#[derive(Clone, Copy)]
pub(crate) struct Wide(Isa);

impl Wide {
    /// The greatest height of a tile.
    pub(crate) const ROWS: usize = avx2::WIDE_ROWS;

    /// The tier itself, if it is one of these.
    pub(crate) fn of(isa: Isa) -> Option<Wide> {
        matches!(isa.tier(), Tier::Avx2 | Tier::AvxVnni).then_some(Wide(isa))
    }

    /// Writes `quads * 4` bytes of every segment of every row, from byte `offset` on, as 16-bit integers;
    /// a row begins every `row_lines` lines.
    pub(crate) fn rows(
        self,
        rows: &RowTable,
        offset: usize,
        quads: usize,
        row_lines: usize,
        out: &mut [WideLine],
    ) {
        avx2::widen_rows(self.0, rows, offset, quads, row_lines, out);
    }

    /// Makes two wide lines of every line.
    pub(crate) fn panel(self, lines: &[Line], out: &mut [WideLine]) {
        avx2::widen_panel(self.0, lines, out);
    }

    /// Computes a tile.
    pub(crate) fn tile(self, mut tile: WideTile) {
        avx2::wide_tile(self.0, &mut tile);
    }
}

/// Two products of sixteen columns as 16-bit integers, one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct WideLine(pub(crate) [i16; 32]);

/// A tile of one panel whose operands were widened to 16 bits beforehand.
pub(crate) struct WideTile<'a> {
    /// The tile's rows, `row_lines` lines each.
    pub(crate) rows: &'a [WideLine],
    /// Lines from row to row.
    pub(crate) row_lines: usize,
    /// Number of rows.
    pub(crate) height: usize,
    /// The panel: two wide lines for every line.
    pub(crate) lines: &'a [WideLine],
    /// Results.
    pub(crate) epilogue: Epilogue<'a>,
}

impl WideTile<'_> {
    /// Asserts everything a kernel relies on.
    pub(super) fn check(&self) {
        assert!(self.height >= 1);
        // A row holds 4 bytes for each wide line of weights. By division, because release builds wrap around.
        assert!(
            self.lines.len().div_ceil(64 / QUAD) <= self.row_lines,
            "a row must hold an operand for every line"
        );
        assert!(
            self.row_lines <= self.rows.len() / self.height,
            "there must be lines for every row"
        );
        self.epilogue.check(self.height, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::PANEL;
    use qtensor_core::requant::OutputRange;

    fn check(row_lines: usize, height: usize, lines: usize) {
        let (rows, lines) = ([WideLine::default(); 4], vec![WideLine::default(); lines]);
        let range = OutputRange {
            zero_point: 0,
            lo: 0,
            hi: 255,
        };
        let tile = WideTile {
            rows: &rows,
            row_lines,
            height,
            lines: &lines,
            epilogue: Epilogue {
                start: &[0; PANEL],
                multipliers: &[0.0; PANEL],
                range,
                out: &mut [0; 4 * PANEL],
                stride: PANEL,
                columns: PANEL,
            },
        };
        tile.check();
    }

    #[test]
    fn a_tile_that_fits_passes() {
        check(2, 2, 32);
        check(1, 4, 16);
    }

    #[test]
    #[should_panic(expected = "an operand for every line")]
    fn short_rows_are_refused() {
        check(2, 2, 33);
    }

    #[test]
    #[should_panic(expected = "lines for every row")]
    fn missing_rows_are_refused() {
        check(2, 3, 32);
    }

    #[test]
    #[should_panic(expected = "lines for every row")]
    fn lines_that_wrap_are_refused() {
        check(1 << (usize::BITS - 1), 2, 32);
    }
}
