//! Where the rows of a tile lie: one pointer per segment and row, each checked when it is made.
//!
//! Kernels read activations through these pointers without further checks, so everything that could
//! be wrong with one is asserted here, against the slice it comes from.
#![allow(unsafe_code)]

use core::marker::PhantomData;

/// Memory for the pointers of a [`RowTable`], reused between blocks.
#[derive(Default)]
pub(crate) struct RowBuffer(Vec<*const u8>);

/// Pointers to the segments of a block of rows; `span` bytes behind each one are readable.
pub(crate) struct RowTable<'a> {
    pointers: &'a [*const u8],
    rows: usize,
    segments: usize,
    span: usize,
    data: PhantomData<&'a [u8]>,
}

impl RowBuffer {
    /// Makes a table from `sources`, ordered `[segment][row]`.
    ///
    /// A source below `input.len()` is an offset into the input; `input.len() + i` means byte `i` of
    /// `scratch`. Either way the whole span has to lie within that slice, which is asserted.
    #[inline(always)]
    pub(crate) fn table<'a>(
        &'a mut self,
        input: &'a [u8],
        scratch: &'a [u8],
        sources: &[usize],
        rows: usize,
        span: usize,
    ) -> RowTable<'a> {
        assert!(
            rows > 0 && sources.len().is_multiple_of(rows),
            "every segment has a source for every row"
        );
        assert!(span > 0);
        // Exclusive upper limits of valid offsets.
        let input_end = (input.len() + 1).saturating_sub(span);
        let scratch_end = (scratch.len() + 1).saturating_sub(span);
        self.0.clear();
        // Where no row is padding or the input's end, one look at all sources replaces the checks of each.
        if sources
            .iter()
            .fold(true, |all, &source| all & (source < input_end))
        {
            let start = input.as_ptr();
            self.0
                .extend(sources.iter().map(|&source| start.wrapping_add(source)));
            return RowTable {
                pointers: &self.0,
                rows,
                segments: sources.len() / rows,
                span,
                data: PhantomData,
            };
        }
        self.0.extend(sources.iter().map(|&source| {
            if source < input.len() {
                assert!(source < input_end, "the segment leaves the input");
                input[source..].as_ptr()
            } else {
                let offset = source - input.len();
                assert!(offset < scratch_end, "the segment leaves the scratch rows");
                scratch[offset..].as_ptr()
            }
        }));
        RowTable {
            pointers: &self.0,
            rows,
            segments: sources.len() / rows,
            span,
            data: PhantomData,
        }
    }
}

impl<'a> RowTable<'a> {
    /// Rows of the block.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Segments of every row.
    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// Readable bytes behind every pointer.
    pub(crate) fn span(&self) -> usize {
        self.span
    }

    /// The pointers of all segments, `[segment][row]`.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn pointers(&self) -> &'a [*const u8] {
        self.pointers
    }

    /// `len` bytes of a segment of a row, from `offset` on.
    pub(crate) fn segment(
        &self,
        segment: usize,
        row: usize,
        offset: usize,
        len: usize,
    ) -> &'a [u8] {
        assert!(
            row < self.rows && len <= self.span && offset <= self.span - len,
            "the part must lie within the segment"
        );
        let pointer = self.pointers[segment * self.rows + row];
        // SAFETY: `RowBuffer::table` asserted that `span` bytes behind the pointer belong to a slice
        // borrowed for `'a`, and the line above that this part lies within the span.
        unsafe { core::slice::from_raw_parts(pointer.add(offset), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_come_from_input_or_scratch() {
        let (input, scratch) = ([1u8, 2, 3, 4, 5, 6], [7u8, 8, 9]);
        let mut buffer = RowBuffer::default();
        let table = buffer.table(&input, &scratch, &[0, 3, 6, 2], 2, 3);
        assert_eq!((table.rows(), table.segments(), table.span()), (2, 2, 3));
        assert_eq!(table.segment(0, 0, 0, 3), [1, 2, 3]);
        assert_eq!(table.segment(0, 1, 1, 2), [5, 6]);
        assert_eq!(table.segment(1, 0, 0, 3), [7, 8, 9]);
        assert_eq!(table.segment(1, 1, 2, 1), [5]);
    }

    #[test]
    #[should_panic(expected = "within the segment")]
    fn a_part_that_wraps_around_is_refused() {
        let mut buffer = RowBuffer::default();
        let table = buffer.table(&[0; 6], &[], &[0, 3], 2, 3);
        table.segment(0, 1, usize::MAX, 2);
    }

    #[test]
    #[should_panic(expected = "leaves the input")]
    fn a_segment_beyond_the_input_is_refused() {
        RowBuffer::default().table(&[0; 6], &[], &[4], 1, 3);
    }

    #[test]
    #[should_panic(expected = "leaves the scratch rows")]
    fn a_segment_beyond_the_scratch_rows_is_refused() {
        RowBuffer::default().table(&[0; 6], &[0; 3], &[7], 1, 3);
    }
}
