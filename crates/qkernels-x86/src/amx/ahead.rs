//! What the next block of rows reads and writes, fetched while this one is computed.
//!
//! Tensors of large batches lie in the third-level cache or farther away. A block touches a few lines of each row at a
//! time, which the hardware does not foresee, and each result would wait for its line to arrive before it is stored.

use core::ops::Range;

use crate::isa::amx::{CACHE_LINE, fetch};

/// What has not been fetched yet: of the input, of what is added to the results, and of the output.
#[derive(Default)]
pub(super) struct Ahead<'a> {
    read: [&'a [u8]; 2],
    /// Bytes of the output, which nobody can borrow meanwhile.
    written: Range<usize>,
    /// Cache lines at a time.
    share: usize,
}

impl<'a> Ahead<'a> {
    /// To be fetched in `times` steps, at least 1.
    pub(super) fn new(read: [&'a [u8]; 2], written: Range<usize>, times: usize) -> Ahead<'a> {
        let lengths = [read[0].len(), read[1].len(), written.len()];
        let lines: usize = lengths.map(|bytes| bytes.div_ceil(CACHE_LINE)).iter().sum();
        Ahead {
            read,
            written,
            share: lines.div_ceil(times),
        }
    }

    /// The next step; `out` is the whole output.
    #[inline(always)]
    pub(super) fn step(&mut self, out: &[u8]) {
        let mut room = self.share * CACHE_LINE;
        for bytes in &mut self.read {
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            fetch(now);
            *bytes = later;
            room -= now.len().next_multiple_of(CACHE_LINE);
        }
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
            for (a, b, written) in [
                (1000, 3, 100..500),
                (0, 64, 0..0),
                (1, 1, 7..9),
                (0, 0, 5..500),
            ] {
                let mut ahead = Ahead::new([&bytes[..a], &bytes[..b]], written, times);
                for _ in 0..times {
                    ahead.step(&out);
                }
                let left = ahead.read.map(<[u8]>::len);
                assert_eq!((left, ahead.written.len()), ([0, 0], 0), "{times} steps");
            }
        }
    }
}
