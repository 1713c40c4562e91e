//! What the next block of rows reads and writes, fetched while this one is computed.
//!
//! Tensors of large batches lie in the third-level cache or farther away. A block touches a few lines of each row at a
//! time, which the hardware does not foresee, and each result would wait for its line to arrive before it is stored.

use core::ops::Range;

use crate::isa::amx::fetch;
use crate::plan::CACHE_LINE;

/// What has not been fetched yet: rows `I` of the input, what is added to the results, and the output.
pub(super) struct Ahead<'a, I> {
    rows: I,
    /// Rows at a time.
    count: usize,
    beside: &'a [u8],
    /// Bytes of the output, which nobody can borrow meanwhile.
    written: Range<usize>,
    /// Cache lines of these two at a time.
    lines: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]> + Clone> Ahead<'a, I> {
    /// To be fetched in `times` steps, at least 1.
    pub(super) fn new(
        rows: I,
        beside: &'a [u8],
        written: Range<usize>,
        times: usize,
    ) -> Ahead<'a, I> {
        let lines = [beside.len(), written.len()].map(|bytes| bytes.div_ceil(CACHE_LINE));
        Ahead {
            count: rows.clone().count().div_ceil(times),
            lines: lines.iter().sum::<usize>().div_ceil(times),
            rows,
            beside,
            written,
        }
    }

    /// The next step; `out` is the whole output.
    #[inline(always)]
    pub(super) fn step(&mut self, out: &[u8]) {
        self.rows.by_ref().take(self.count).for_each(fetch);
        let room = self.lines * CACHE_LINE;
        let (now, later) = self.beside.split_at(room.min(self.beside.len()));
        fetch(now);
        self.beside = later;
        let room = room - now.len().next_multiple_of(CACHE_LINE);
        let now = room.min(self.written.len());
        fetch(&out[self.written.start..][..now]);
        self.written.start += now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_fetched_in_as_many_steps_as_there_are() {
        let (bytes, out) = ([0; 1000], [0; 500]);
        for times in 1..30 {
            for (rows, beside, written) in [
                (37, 3, 100..500),
                (1, 64, 0..0),
                (0, 1, 7..9),
                (2, 0, 5..500),
            ] {
                let rows = bytes.chunks(10).take(rows);
                let mut ahead = Ahead::new(rows, &bytes[..beside], written, times);
                for _ in 0..times {
                    ahead.step(&out);
                }
                let left = [ahead.rows.count(), ahead.beside.len(), ahead.written.len()];
                assert_eq!(left, [0; 3], "{times} steps");
            }
        }
    }
}
