//! Test memory between inaccessible pages: touching a byte beside such a slice ends the process.
//!
//! A read behind a slice gives the right result on most days, and no comparison of bytes finds it. Here
//! the hardware does. What lies between a slice and the farther page is filled with a known byte, and
//! checked when the memory is dropped, so that a write on that side is found as well.
//!
//! This file is a module of the integration tests, and lies here for the rule that `unsafe` has one address. Unit tests
//! would pay for it: a library whose unit tests reach every kernel is optimized twice.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use bytemuck::Pod;
use region::{Allocation, Protection};

/// Which end of the slice lies at an inaccessible page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Edge {
    /// The slice begins right behind one.
    Start,
    /// The slice ends right before one.
    End,
}

/// Both of them.
pub(crate) const EDGES: [Edge; 2] = [Edge::Start, Edge::End];

/// What fills the rest of the accessible pages.
const MARGIN: u8 = 0xc3;

/// A slice of `T` at the edge of its memory.
pub(crate) struct Guarded<T> {
    pages: Allocation,
    /// Bytes from the start of the allocation.
    first: usize,
    len: usize,
    element: PhantomData<T>,
}

impl<T: Pod> Guarded<T> {
    /// A copy of `values`.
    pub(crate) fn new(values: &[T], edge: Edge) -> Guarded<T> {
        let page = region::page::size();
        let bytes = size_of_val(values);
        let room = bytes.next_multiple_of(page).max(page);
        let mut pages = region::alloc(room + 2 * page, Protection::READ_WRITE)
            .expect("a test has memory for some pages");
        let first = match edge {
            Edge::Start => page,
            Edge::End => page + room - bytes,
        };
        assert!(first.is_multiple_of(align_of::<T>()));
        let base = pages.as_mut_ptr::<u8>();
        // SAFETY: the allocation, which nothing else refers to yet, has `room` bytes behind its first
        // page, all of them written here; `bytes` of them begin at `first`.
        unsafe {
            base.add(page).write_bytes(MARGIN, room);
            base.add(first)
                .cast::<T>()
                .copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
        for guard in [0, page + room] {
            // SAFETY: these are the first and the last page of the allocation. Nothing refers into
            // them, and dropping the allocation unmaps pages of any protection.
            unsafe { region::protect(base.add(guard), page, Protection::NONE) }
                .expect("pages of the allocation can be protected");
        }
        Guarded {
            pages,
            first,
            len: values.len(),
            element: PhantomData,
        }
    }

    fn pointer(&self) -> *const T {
        // SAFETY: `first` lies within the allocation.
        unsafe { self.pages.as_ptr::<u8>().add(self.first).cast() }
    }
}

impl<T: Pod> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `new` wrote `len` values there, in pages that stay accessible as long as `self` lives.
        unsafe { core::slice::from_raw_parts(self.pointer(), self.len) }
    }
}

impl<T: Pod> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let first = self.pages.as_mut_ptr::<u8>();
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(first.add(self.first).cast(), self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let page = region::page::size();
        let room = self.pages.len() - 2 * page;
        // SAFETY: the pages between the first and the last one are accessible and were written by `new`;
        // no slice of them outlives `self`.
        let bytes =
            unsafe { core::slice::from_raw_parts(self.pages.as_ptr::<u8>().add(page), room) };
        let start = self.first - page;
        let (before, after) = (&bytes[..start], &bytes[start + self.len * size_of::<T>()..]);
        let touched = before.iter().chain(after).any(|&byte| byte != MARGIN);
        assert!(!touched, "something wrote beside a slice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection<T>(address: *const T) -> Protection {
        region::query(address)
            .expect("the address is mapped")
            .protection()
    }

    #[test]
    fn slices_hold_their_values_and_end_at_inaccessible_pages() {
        for len in [0usize, 1, 3, 1024, 1025, 5000] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            for edge in EDGES {
                let mut guarded = Guarded::new(&values, edge);
                assert_eq!(*guarded, *values);
                let range = guarded.as_ptr_range();
                let beside = match edge {
                    Edge::Start => range.start.wrapping_byte_sub(1),
                    Edge::End => range.end,
                };
                assert_eq!(protection(beside), Protection::NONE, "{len} {edge:?}");
                guarded.fill(7.0);
                assert!(guarded.iter().all(|&value| value == 7.0));
            }
        }
    }

    #[test]
    #[should_panic(expected = "wrote beside a slice")]
    fn a_write_on_the_other_side_is_found() {
        let mut guarded = Guarded::new(&[1u8, 2, 3], Edge::End);
        let first = guarded.as_mut_ptr();
        // SAFETY: the byte before the slice lies in the same accessible page.
        unsafe { first.sub(1).write(0) };
    }
}
