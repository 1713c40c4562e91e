//! Where each segment of each row of a block begins, and the few bytes that are not in the input as
//! they should be read: padding, and the end of an input without slack.

use core::ops::Range;

use crate::isa::rows::{RowBuffer, RowTable};

/// The input of a call.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    used: usize,
    span: usize,
    zero_point: u8,
}

impl<'a> Input<'a> {
    /// An input whose first `used` bytes matter, read `span` bytes at a time; padding is `zero_point`.
    pub(crate) fn new(bytes: &'a [u8], used: usize, span: usize, zero_point: u8) -> Input<'a> {
        assert!(used <= bytes.len());
        Input {
            bytes,
            used,
            span,
            zero_point,
        }
    }

    /// The bytes that matter.
    pub(crate) fn used(&self) -> &'a [u8] {
        &self.bytes[..self.used]
    }
}

/// Sources of one block, ordered `[segment][row]`; memory is reused between blocks.
///
/// The scratch bytes are a row of padding, then a copy of the end of the input followed by zeros, for
/// segments whose span leaves the input.
#[derive(Default)]
pub(crate) struct Gather {
    sources: Vec<usize>,
    scratch: Vec<u8>,
    pointers: RowBuffer,
    input_len: usize,
    span: usize,
    /// Offsets below this one leave room for a span in the input.
    direct_end: usize,
    /// The offset of the input's copied end.
    tail: usize,
}

impl Gather {
    /// Starts a block of `rows` rows of `segments` segments, all of them padding.
    #[inline(always)]
    pub(crate) fn begin(&mut self, input: Input, segments: usize, rows: usize) {
        let Input {
            bytes,
            used,
            span,
            zero_point,
        } = input;
        self.input_len = bytes.len();
        self.span = span;
        self.direct_end = (bytes.len() + 1).saturating_sub(span);
        self.tail = used.saturating_sub(span);
        self.scratch.clear();
        self.scratch.resize(span, zero_point);
        if self.direct_end < used {
            self.scratch.extend_from_slice(&bytes[self.tail..used]);
            self.scratch.resize(self.scratch.len() + span, 0);
        }
        self.sources.clear();
        self.sources.resize(segments * rows, self.input_len);
    }

    /// The sources of one segment, for the rows `rows` of the block.
    #[inline(always)]
    pub(crate) fn segment(
        &mut self,
        segment: usize,
        block: usize,
        rows: Range<usize>,
    ) -> Places<'_> {
        Places {
            sources: &mut self.sources[segment * block..(segment + 1) * block][rows],
            input_len: self.input_len,
            span: self.span,
            direct_end: self.direct_end,
            tail: self.tail,
        }
    }

    /// Turns the sources into checked pointers.
    #[inline(always)]
    pub(crate) fn table<'a>(&'a mut self, input: Input<'a>, rows: usize) -> RowTable<'a> {
        self.pointers
            .table(input.bytes, &self.scratch, &self.sources, rows, input.span)
    }
}

/// The sources of one segment in some rows.
pub(crate) struct Places<'a> {
    sources: &'a mut [usize],
    input_len: usize,
    span: usize,
    direct_end: usize,
    tail: usize,
}

impl Places<'_> {
    /// Lets all rows read the input, the first one from `first` on and each other one `step` bytes behind the one before; as for
    /// [`input`](Self::input).
    #[inline(always)]
    pub(crate) fn inputs(&mut self, first: usize, step: usize) {
        let rows = self.sources.len();
        if rows > 0 && first + (rows - 1) * step < self.direct_end {
            for (row, source) in self.sources.iter_mut().enumerate() {
                *source = first + row * step;
            }
        } else {
            (0..rows).for_each(|row| self.input(row, first + row * step));
        }
    }

    /// Lets row `row` read the input from `offset` on; at most the span's last three bytes may lie beyond
    /// its used part.
    #[inline(always)]
    pub(crate) fn input(&mut self, row: usize, offset: usize) {
        self.sources[row] = if offset < self.direct_end {
            offset
        } else {
            self.input_len + self.span + (offset - self.tail)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_input_without_slack_is_copied() {
        let bytes = [1u8, 2, 3, 4, 5, 6];
        let input = Input::new(&bytes, 6, 4, 9);
        let mut gather = Gather::default();
        gather.begin(input, 2, 3);
        let mut places = gather.segment(0, 3, 0..3);
        places.input(0, 0);
        places.input(1, 3);
        places.input(2, 5);
        let table = gather.table(input, 3);
        assert_eq!(table.segment(0, 0, 0, 4), [1, 2, 3, 4]);
        assert_eq!(table.segment(0, 1, 0, 3), [4, 5, 6]);
        assert_eq!(table.segment(0, 2, 0, 1), [6]);
        assert_eq!(table.segment(1, 0, 0, 4), [9, 9, 9, 9]);
        assert_eq!(table.segment(1, 2, 0, 4), [9, 9, 9, 9]);
    }
}
