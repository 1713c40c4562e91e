//! Fetching into the second-level cache.
#![allow(unsafe_code)]

use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

use super::Source;

/// Bytes of a cache line.
pub(crate) const CACHE_LINE: usize = 64;

/// Asks for the cache lines of these bytes.
#[inline(always)]
pub(crate) fn fetch(bytes: &[u8]) {
    for line in bytes.chunks(CACHE_LINE) {
        // SAFETY: every x86-64 has the instruction, and it reads nothing that could fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

impl<'a> Source<'a> {
    /// The bytes from the first to the end of the last of the tiles that begin at `starts`.
    pub(crate) fn between(&self, starts: impl Iterator<Item = usize> + Clone) -> &'a [u8] {
        let (first, last) = (starts.clone().min(), starts.max());
        let tile = self.bytes.len() + 1 - self.end;
        first
            .zip(last)
            .map_or(&[], |(first, last)| &self.bytes[first..last + tile])
    }
}
