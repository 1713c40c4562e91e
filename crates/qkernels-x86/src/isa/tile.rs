//! What a micro-kernel is asked to do, checked before it starts.
//!
//! A tile is a few rows times a few panels of the output. Kernels trust the lengths asserted by
//! [`Tile::check`] and [`WideTile::check`](super::wide::WideTile::check), and nothing else.

use qtensor_core::requant::OutputRange;

use super::rows::RowTable;
use crate::pack::{Line, PANEL, QUAD};

/// Where a tile's results go and how they are made from accumulators.
pub(crate) struct Epilogue<'a> {
    /// Start values, one per padded column.
    pub(crate) start: &'a [i32],
    /// Multipliers, one per padded column.
    pub(crate) multipliers: &'a [f32],
    /// Clamp and zero point.
    pub(crate) range: OutputRange,
    /// The output from the tile's first element on.
    pub(crate) out: &'a mut [u8],
    /// Bytes between output rows.
    pub(crate) stride: usize,
    /// Columns to write, at most those of the panels.
    pub(crate) columns: usize,
}

impl Epilogue<'_> {
    /// Asserts that values exist for every column and that the output holds every row.
    pub(super) fn check(&self, height: usize, panels: usize) {
        assert!(self.start.len() >= panels * PANEL && self.multipliers.len() >= panels * PANEL);
        assert!(self.columns > (panels - 1) * PANEL && self.columns <= panels * PANEL);
        assert!(
            height == 1 || self.stride >= self.columns,
            "output rows must not overlap"
        );
        assert!((height - 1) * self.stride + self.columns <= self.out.len());
    }
}

/// A tile that reads activations through row pointers.
pub(crate) struct Tile<'a> {
    /// Rows of the block.
    pub(crate) rows: &'a RowTable<'a>,
    /// The tile's first row.
    pub(crate) first: usize,
    /// The tile's number of rows.
    pub(crate) height: usize,
    /// Byte at which the group starts within each segment.
    pub(crate) offset: usize,
    /// Lines of all panels of the tile, one panel after the other.
    pub(crate) lines: &'a [Line],
    /// Number of panels.
    pub(crate) panels: usize,
    /// Results.
    pub(crate) epilogue: Epilogue<'a>,
}

impl Tile<'_> {
    /// Lines of one segment of one panel.
    pub(super) fn quads(&self) -> usize {
        self.lines.len() / (self.panels * self.rows.segments())
    }

    /// Asserts everything a kernel relies on.
    pub(super) fn check(&self) {
        assert!(self.height >= 1 && self.panels >= 1);
        assert!(self.first + self.height <= self.rows.rows());
        assert!(self.quads() >= 1);
        assert!(self.quads() * self.panels * self.rows.segments() == self.lines.len());
        assert!(self.offset + self.quads() * QUAD <= self.rows.span());
        self.epilogue.check(self.height, self.panels);
    }
}
