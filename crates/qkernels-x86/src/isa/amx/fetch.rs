//! Fetching into the second-level cache.
#![allow(unsafe_code)]

use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

use super::Source;
use crate::pack::Line;
use crate::plan::CACHE_LINE;

/// Asks for the cache lines of these bytes.
#[inline(always)]
pub(crate) fn fetch(bytes: &[u8]) {
    for line in bytes.chunks(CACHE_LINE) {
        // SAFETY: every x86-64 has the instruction, and it reads nothing that could fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

/// Asks for these lines of weights.
#[inline(always)]
pub(super) fn fetch_lines(lines: &[Line]) {
    for line in lines {
        // SAFETY: every x86-64 has the instruction, and it reads nothing that could fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>((&raw const *line).cast()) };
    }
}

impl<'a> Source<'a> {
    /// The first `len` bytes of each row of the tile that begins at `start`, as far as there are any.
    pub(crate) fn rows(&self, start: usize, len: usize) -> impl Iterator<Item = &'a [u8]> + Clone {
        let rows = self.bytes.get(start..).unwrap_or_default();
        (rows.chunks(self.step.max(1)).take(self.height)).map(move |row| &row[..len.min(row.len())])
    }
}
