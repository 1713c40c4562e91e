//! Multiplying operands that were widened to 16 bits beforehand: the door to it, for tiers that have no
//! byte dot product.

use super::rows::RowTable;
use super::tile::Epilogue;
use super::{Isa, Tier, avx2, sse2};
use crate::pack::{Line, QUAD};

/// A tier that multiplies widened operands.
#[derive(Clone, Copy)]
pub(crate) struct Wide(Isa);

impl Wide {
    /// The tier itself, if it is one of these.
    pub(crate) fn of(isa: Isa) -> Option<Wide> {
        matches!(isa.tier(), Tier::Sse2 | Tier::Avx2).then_some(Wide(isa))
    }

    /// The tier.
    pub(crate) fn isa(self) -> Isa {
        self.0
    }

    /// From this many rows on, widening a panel costs less than what the tier does otherwise.
    pub(crate) fn worthwhile_from(self) -> usize {
        if self.0.tier() == Tier::Sse2 { 1 } else { 5 }
    }

    /// Whether the tier has tiles for [pairs that fit](super::tile::Tile::pairs_fit).
    pub(crate) fn adds_pairs(self) -> bool {
        self.0.tier() == Tier::Avx2
    }

    /// Writes `quads * 4` bytes of every segment of the `count` rows from `first` on, from byte `offset`
    /// on, as 16-bit integers; a row begins every `row_lines` lines.
    pub(crate) fn rows(
        self,
        rows: &RowTable,
        [first, count]: [usize; 2],
        [offset, quads]: [usize; 2],
        row_lines: usize,
        out: &mut [WideLine],
    ) {
        if self.0.tier() == Tier::Sse2 {
            sse2::widen_rows(rows, [first, count], [offset, quads], row_lines, out);
        } else {
            avx2::wide::widen_rows(
                self.0,
                rows,
                [first, count],
                [offset, quads],
                row_lines,
                out,
            );
        }
    }

    /// Makes two wide lines of every line: its first and its last two products of all columns.
    pub(crate) fn panel(self, lines: &[Line], out: &mut [WideLine]) {
        if self.0.tier() == Tier::Sse2 {
            sse2::widen_panel(lines, out);
        } else {
            avx2::wide::widen_panel(self.0, lines, out);
        }
    }

    /// Computes a tile.
    pub(crate) fn tile(self, mut tile: WideTile) {
        if self.0.tier() == Tier::Sse2 {
            sse2::wide_tile(&mut tile);
        } else {
            avx2::wide::tile(self.0, &mut tile);
        }
    }
}

impl Wide {
    /// Transforms sixteen pixels for [`winograd`](crate::winograd): position `p` of the channels goes to
    /// `out[p * position_stride..]`.
    pub(crate) fn winograd_input(
        self,
        pixels: &[&[u8]; 16],
        out: &mut [i16],
        position_stride: usize,
    ) {
        if self.0.tier() == Tier::Sse2 {
            sse2::winograd::input(pixels, out, position_stride);
        } else {
            avx2::winograd::input(self.0, pixels, out, position_stride);
        }
    }

    /// Makes outputs of the sums of [`winograd`](crate::winograd): four rows of one panel for each tile.
    pub(crate) fn winograd_output(self, sums: &[i32], mut epilogue: Epilogue) {
        if self.0.tier() == Tier::Sse2 {
            sse2::winograd::output(sums, &mut epilogue);
        } else {
            avx2::winograd::output(self.0, sums, &mut epilogue);
        }
    }
}

/// Two products of sixteen columns as 16-bit integers, one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct WideLine(pub(crate) [i16; 32]);

// SAFETY: 32 integers fill the 64 bytes, so there is no padding, and every bit pattern is a value.
#[allow(unsafe_code)]
unsafe impl bytemuck::Zeroable for WideLine {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl bytemuck::Pod for WideLine {}

/// A tile of one panel whose operands were widened to 16 bits beforehand.
pub(crate) struct WideTile<'a> {
    /// The tile's rows, one every `row_lines` lines.
    pub(crate) rows: &'a [WideLine],
    /// Lines from row to row.
    pub(crate) row_lines: usize,
    /// Number of rows, however many.
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
        let used = self.lines.len().div_ceil(64 / QUAD);
        assert!(
            used <= self.row_lines,
            "a row must hold an operand for every line"
        );
        let last = (self.height - 1).checked_mul(self.row_lines);
        let room = self.rows.len().checked_sub(used);
        assert!(
            last.is_some() && room.is_some() && last <= room,
            "there must be lines for every row"
        );
        self.epilogue.check(self.height, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tile::Output;
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
                start_stride: 0,
                output: Output::Bytes {
                    multipliers: &[0.0; PANEL],
                    range,
                    out: &mut [0; 4 * PANEL],
                },
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
        check(2, 3, 17);
    }

    #[test]
    #[should_panic(expected = "lines for every row")]
    fn lines_that_wrap_are_refused() {
        check(1 << (usize::BITS - 1), 3, 32);
    }
}
