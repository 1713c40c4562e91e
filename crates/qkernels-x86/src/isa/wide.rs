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
        // A row holds 4 bytes for each wide line of weights.
        assert!(self.row_lines * 64 >= self.lines.len() * QUAD);
        assert!(self.rows.len() >= self.height * self.row_lines);
        self.epilogue.check(self.height, 1);
    }
}
