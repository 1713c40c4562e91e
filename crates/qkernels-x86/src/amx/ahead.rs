//! What the next block of rows reads and writes, fetched while this one is computed.
//!
//! Tensors of large batches lie in the third-level cache or farther away. A block touches a few lines of each row at a
//! time, which the hardware does not foresee, and each result would wait for its line to arrive before it is stored.

use crate::isa::amx::Lines;

/// What has not been fetched yet: rows `I` of the input, if they lie apart, and runs of lines: of the input, of what is
/// added to the results, and of the output.
pub(super) struct Ahead<I> {
    rows: I,
    /// Rows at a time.
    count: usize,
    runs: [Lines; 3],
    /// Lines at a time.
    lines: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]> + Clone> Ahead<I> {
    /// To be fetched in `times` steps, at least 1.
    pub(super) fn new(rows: I, runs: [Lines; 3], times: usize) -> Ahead<I> {
        let lines: usize = runs.iter().map(Lines::count).sum();
        Ahead {
            count: rows.clone().count().div_ceil(times),
            lines: lines.div_ceil(times),
            rows,
            runs,
        }
    }

    /// The next step: fetches some lines and answers with others, which may wait.
    #[inline(always)]
    pub(super) fn step(&mut self) -> Lines {
        (self.rows.by_ref().take(self.count)).for_each(|row| Lines::of(row).fetch());
        let mut room = self.lines;
        let mut waiting = Lines::NONE;
        for run in &mut self.runs {
            if room > 0 && run.count() > 0 {
                waiting.fetch();
                waiting = run.take(room);
                room -= waiting.count();
            }
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_fetched_in_as_many_steps_as_there_are() {
        let bytes = [0; 1000];
        for times in 1..30 {
            for (rows, runs) in [
                (37, [0, 3, 400]),
                (1, [64, 64, 0]),
                (0, [1000, 1, 2]),
                (2, [130, 0, 495]),
            ] {
                let rows = bytes.chunks(10).take(rows);
                let runs = runs.map(|len| Lines::of(&bytes[..len]));
                let lines: usize = runs.iter().map(Lines::count).sum();
                let mut ahead = Ahead::new(rows, runs, times);
                let waiting: usize = (0..times).map(|_| ahead.step().count()).sum();
                assert!((1..=lines).contains(&waiting), "{times} steps");
                let left = ahead.runs.map(|run| run.count());
                assert_eq!((ahead.rows.count(), left), (0, [0; 3]), "{times} steps");
            }
        }
    }
}
