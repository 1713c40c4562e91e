//! Fetching into the second-level cache.
#![allow(unsafe_code)]

use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

use super::Source;
use crate::pack::Line;
use crate::plan::CACHE_LINE;

/// Neighbouring lines of the cache that shall be near; they are asked for, never read.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    first: *const u8,
    count: usize,
}

impl Lines {
    /// No lines.
    pub(crate) const NONE: Lines = Lines {
        first: core::ptr::null(),
        count: 0,
    };

    /// Those of some bytes.
    #[inline(always)]
    pub(crate) fn of(bytes: &[u8]) -> Lines {
        Lines {
            first: bytes.as_ptr(),
            count: bytes.len().div_ceil(CACHE_LINE),
        }
    }

    /// Those of some weights.
    #[inline(always)]
    pub(crate) fn weights(lines: &[Line]) -> Lines {
        Lines {
            first: lines.as_ptr().cast(),
            count: lines.len(),
        }
    }

    /// Where they begin.
    #[inline(always)]
    pub(super) fn first(&self) -> *const u8 {
        self.first
    }

    /// How many there are.
    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Takes away the first `count` of them, or all there are.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: usize) -> Lines {
        let taken = Lines {
            count: count.min(self.count),
            ..*self
        };
        self.first = self.first.wrapping_add(taken.count * CACHE_LINE);
        self.count -= taken.count;
        taken
    }

    /// Asks for all of them.
    #[inline(always)]
    pub(crate) fn fetch(self) {
        for line in 0..self.count {
            let line = self.first.wrapping_add(line * CACHE_LINE);
            // SAFETY: every x86-64 has the instruction, and it reads nothing that could fault.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) };
        }
    }
}

/// What is fetched beside a product.
#[derive(Clone, Copy)]
pub(crate) enum Next {
    /// Weights of later products.
    Weights(Lines),
    /// What the next rows read and write.
    Rows(Lines),
}

impl Next {
    #[inline(always)]
    pub(super) fn weights(self) -> Lines {
        match self {
            Next::Weights(lines) => lines,
            Next::Rows(_) => Lines::NONE,
        }
    }

    #[inline(always)]
    pub(super) fn rows(self) -> Lines {
        match self {
            Next::Weights(_) => Lines::NONE,
            Next::Rows(lines) => lines,
        }
    }

    #[inline(always)]
    pub(super) fn all(self) -> Lines {
        match self {
            Next::Weights(lines) | Next::Rows(lines) => lines,
        }
    }
}

impl<'a> Source<'a> {
    /// The rows of the tiles from the one that begins at `first` to that at `last`, if they are `len` bytes each and nothing
    /// lies between them.
    pub(crate) fn run(&self, first: usize, last: usize, len: usize) -> Option<&'a [u8]> {
        let rows = self.bytes.get(first..last + self.height * self.step);
        rows.filter(|_| self.step == len)
    }

    /// The first `len` bytes of each row of the tile that begins at `start`, as far as there are any.
    pub(crate) fn rows(&self, start: usize, len: usize) -> impl Iterator<Item = &'a [u8]> + Clone {
        let rows = self.bytes.get(start..).unwrap_or_default();
        (rows.chunks(self.step.max(1)).take(self.height)).map(move |row| &row[..len.min(row.len())])
    }
}
