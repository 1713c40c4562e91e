//! Where the drivers get rows from: tables of pointers, and which rows of them are alike.

use core::ops::Range;

use crate::gather::{Gather, Input};
use crate::isa::Work;
use crate::isa::rows::RowTable;
use crate::isa::tile::Extent;
use crate::pack::Dense;

/// Where the rows of a product are read from: in one table, or in several that together hold each row once.
pub(crate) trait Source: Sync {
    /// The input, as far as it matters.
    fn used(&self) -> &[u8];

    /// Bytes of the input for each row, those that rows share counted once.
    fn row_bytes(&self) -> usize;

    /// How many tables there may be, at most [`MOST_TABLES`].
    fn tables(&self) -> usize {
        1
    }

    /// The table number `index` of the rows `rows`, made in `memory`, unless it is empty; implementations are
    /// `#[inline(always)]`, for [`Making`].
    fn table<'a>(
        &'a self,
        index: usize,
        rows: Range<usize>,
        memory: &'a mut Memory,
    ) -> Option<Table<'a>>;
}

/// [`Source::table`] with the vectors of a tier: a pointer for each row and segment takes as long as a product with few channels.
pub(crate) struct Making<'a, S> {
    pub(crate) source: &'a S,
    pub(crate) index: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) memory: &'a mut Memory,
}

impl<'a, S: Source> Work for Making<'a, S> {
    type Output = Option<Table<'a>>;

    #[inline(always)]
    fn run(self) -> Option<Table<'a>> {
        self.source.table(self.index, self.rows, self.memory)
    }
}

/// The most tables of a block of rows.
pub(crate) const MOST_TABLES: usize = 8;

/// What a table is made in.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) gather: Gather,
    pub(crate) strips: Vec<Strip>,
}

/// Rows of a block.
pub(crate) struct Table<'a> {
    pub(crate) rows: RowTable<'a>,
    pub(crate) strips: &'a [Strip],
}

/// Rows of a table that are alike.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strip {
    /// The rows.
    pub(crate) rows: Range<usize>,
    /// The row of the output, counted from the first one of the block, that the first of them becomes.
    pub(crate) out: usize,
    /// From there to what the next one becomes.
    pub(crate) step: usize,
    /// What is summed.
    pub(crate) extent: Extent,
}

/// Rows of segments whose beginnings `fill` tells for a range of rows.
pub(crate) struct Segments<'a, F> {
    pub(crate) input: Input<'a>,
    pub(crate) dense: &'a Dense,
    pub(crate) fill: F,
}

impl<F: Fn(Range<usize>, &mut Gather) + Sync> Source for Segments<'_, F> {
    fn used(&self) -> &[u8] {
        self.input.used()
    }

    fn row_bytes(&self) -> usize {
        self.dense.segments * self.dense.channels * self.dense.groups
    }

    #[inline(always)]
    fn table<'a>(
        &'a self,
        _: usize,
        rows: Range<usize>,
        memory: &'a mut Memory,
    ) -> Option<Table<'a>> {
        let (count, segments) = (rows.len(), self.dense.segments);
        let Memory { gather, strips } = memory;
        gather.begin(self.input, segments, count);
        (self.fill)(rows, gather);
        strips.clear();
        strips.push(Strip {
            rows: 0..count,
            out: 0,
            step: 1,
            extent: Extent {
                segments: 0..segments,
                quads: 0..self.dense.quads(),
            },
        });
        Some(Table {
            rows: gather.table(self.input, count),
            strips,
        })
    }
}
