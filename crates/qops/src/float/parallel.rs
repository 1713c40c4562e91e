//! Cutting outputs into pieces for threads. Small outputs stay on the calling thread.

use qkernels_x86::{fork, try_fork};

use crate::error::Result;

/// Fewer operations than this are done before another thread has woken up.
pub(super) const SERIAL_BELOW: usize = 1 << 16;
/// Elements of one run of an element-wise operation.
const RUN: usize = 1 << 15;
/// Parts for each thread, so that one that starts late does not hold up the others.
const PARTS: usize = 4;

/// How many threads the current pool has.
pub(super) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `f(first element, elements)` for runs of an element-wise output.
pub(super) fn runs(out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
    let work = out.len();
    chunks(out, RUN, work, |index, part| f(index * RUN, part));
}

/// Calls `f(index, chunk)` for each chunk of `len` elements; `work` operations in all decide whether in parallel.
pub(super) fn chunks<T: Send>(
    out: &mut [T],
    len: usize,
    work: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    // Without elements there is nothing to cut, and a chunk must not have length 0.
    let len = len.max(1);
    if work < SERIAL_BELOW || out.len() <= len {
        out.chunks_mut(len)
            .enumerate()
            .for_each(|(index, chunk)| f(index, chunk));
    } else {
        let together = together(out.len(), len);
        fork(
            out.chunks_mut(together * len).enumerate(),
            |(part, chunks)| {
                let chunks = chunks.chunks_mut(len).enumerate();
                chunks.for_each(|(index, chunk)| f(part * together + index, chunk));
            },
        );
    }
}

/// How many chunks of `len` of `total` elements make a part.
fn together(total: usize, len: usize) -> usize {
    total.div_ceil(len).div_ceil(threads() * PARTS)
}

/// As [`chunks`], for jobs that can fail; `parallel` off runs them one after another.
pub(super) fn jobs<T: Send>(
    out: &mut [T],
    len: usize,
    work: usize,
    parallel: bool,
    f: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    let len = len.max(1);
    if parallel && work >= SERIAL_BELOW && out.len() > len {
        let together = together(out.len(), len);
        try_fork(
            out.chunks_mut(together * len).enumerate(),
            |(part, chunks)| {
                let mut chunks = chunks.chunks_mut(len).enumerate();
                chunks.try_for_each(|(index, chunk)| f(part * together + index, chunk))
            },
        )
    } else {
        out.chunks_mut(len)
            .enumerate()
            .try_for_each(|(index, chunk)| f(index, chunk))
    }
}
