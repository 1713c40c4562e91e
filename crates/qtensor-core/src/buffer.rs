//! Storage of all tensors: 64-byte aligned bytes with slack behind them, recycled per thread.
//!
//! Kernels read whole vectors and may run up to [`SLACK`] bytes past the data. Fresh large
//! allocations fault in page by page on every call, which costs more than many layers compute, so a
//! dropped buffer goes to a bounded free list of the dropping thread and the next one of its size
//! class comes from there.
//!
//! The bound holds for each thread by itself: a list keeps at most 256 MiB and at most eight buffers of
//! a size class, what exceeds that is freed, and a process may so keep 256 MiB for every thread that drops tensors.
//! A buffer that one thread makes and another drops joins the list of the other, where the first never
//! finds it again; results handed to another thread are therefore allocated afresh. A list is freed when its thread ends.

use std::cell::RefCell;

use aligned_vec::{AVec, ConstAlign};
use bytemuck::Pod;

type Bytes = AVec<u8, ConstAlign<64>>;

/// Readable bytes behind the data of every buffer.
pub const SLACK: usize = 64;

/// Smaller buffers are left to the allocator, which serves them well.
const LEAST_RECYCLED: usize = 4 << 10;
/// The free list of one thread holds at most this many bytes, whatever other threads hold.
const MOST_KEPT: usize = 256 << 20;
/// How many buffers of one size class a thread keeps.
const MOST_PER_CLASS: usize = 8;

thread_local! {
    static FREE: RefCell<FreeList> = RefCell::new(FreeList::default());
}

/// A byte buffer of fixed length. See the module's documentation.
pub struct Buffer {
    /// Data, then padding up to a multiple of 64, then [`SLACK`] bytes; all initialized.
    bytes: Bytes,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` bytes with unspecified (but initialized) contents, for callers that write it whole.
    pub fn recycled(len: usize) -> Buffer {
        let total = padded(len);
        let bytes = FREE
            .try_with(|free| free.borrow_mut().take(total))
            .ok()
            .flatten()
            .unwrap_or_else(|| {
                let mut fresh = Bytes::with_capacity(64, total);
                fresh.resize(total, 0);
                fresh
            });
        Buffer { bytes, len }
    }

    /// A buffer of `len` zero bytes.
    pub fn zeroed(len: usize) -> Buffer {
        let mut buffer = Buffer::recycled(len);
        buffer.bytes.fill(0);
        buffer
    }

    /// The length of the data in bytes, without the slack.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no data.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The data as elements of `T`; a trailing part of an element is left out.
    pub fn as_slice<T: Pod>(&self) -> &[T] {
        let size = size_of::<T>();
        bytemuck::cast_slice(&self.bytes[..self.len / size * size])
    }

    /// The data as mutable elements of `T`.
    pub fn as_mut_slice<T: Pod>(&mut self) -> &mut [T] {
        let size = size_of::<T>();
        let whole = self.len / size * size;
        bytemuck::cast_slice_mut(&mut self.bytes[..whole])
    }

    /// The data and at least [`SLACK`] readable bytes behind it, for kernels that over-read.
    pub fn with_slack(&self) -> &[u8] {
        &self.bytes
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Buffer {
        let mut copy = Buffer::recycled(self.len);
        copy.bytes[..self.len].copy_from_slice(&self.bytes[..self.len]);
        copy
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let empty = Bytes::new(64);
        let bytes = std::mem::replace(&mut self.bytes, empty);
        // A thread that is ending has no list any more; the buffer is then freed as usual.
        let _ = FREE.try_with(|free| free.borrow_mut().give(bytes));
    }
}

/// Rounds up to the size class: a multiple of 64, and of an eighth of the leading power of two.
fn padded(len: usize) -> usize {
    let needed = len.saturating_add(63) / 64 * 64 + SLACK;
    if needed < LEAST_RECYCLED {
        return needed;
    }
    let step = (needed.next_power_of_two() / 16).max(64);
    needed.div_ceil(step) * step
}

#[derive(Default)]
struct FreeList {
    classes: Vec<(usize, Vec<Bytes>)>,
    kept: usize,
}

impl FreeList {
    fn take(&mut self, size: usize) -> Option<Bytes> {
        let (_, class) = self.classes.iter_mut().find(|(s, _)| *s == size)?;
        let bytes = class.pop()?;
        self.kept -= size;
        Some(bytes)
    }

    fn give(&mut self, bytes: Bytes) {
        let size = bytes.len();
        if size < LEAST_RECYCLED || self.kept + size > MOST_KEPT {
            return;
        }
        let class = match self.classes.iter_mut().position(|(s, _)| *s == size) {
            Some(at) => &mut self.classes[at].1,
            None => {
                self.classes.push((size, Vec::new()));
                let last = self.classes.len() - 1;
                &mut self.classes[last].1
            }
        };
        if class.len() < MOST_PER_CLASS {
            class.push(bytes);
            self.kept += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_waste_at_most_an_eighth() {
        for len in (4096..3_000_000).step_by(977) {
            let total = padded(len);
            assert!(
                total >= len + SLACK && total - SLACK - 64 <= len + len / 8 + 64,
                "{len} -> {total}"
            );
        }
    }

    #[test]
    fn a_buffer_goes_to_the_list_of_the_thread_that_drops_it() {
        let kept = || FREE.with(|free| free.borrow().kept);
        let buffer = Buffer::zeroed(1 << 20);
        let (total, here) = (buffer.with_slack().len(), kept());
        let there = std::thread::spawn(move || {
            drop(buffer);
            kept()
        });
        assert_eq!(there.join().unwrap(), total);
        assert_eq!(kept(), here);
    }

    #[test]
    fn a_list_keeps_no_more_than_its_bounds() {
        let megabyte = || std::mem::replace(&mut Buffer::zeroed(1 << 20).bytes, Bytes::new(64));
        let mut list = FreeList::default();
        (0..MOST_PER_CLASS + 2).for_each(|_| list.give(megabyte()));
        assert_eq!(list.kept, MOST_PER_CLASS * megabyte().len());
        let mut full = FreeList {
            kept: MOST_KEPT - megabyte().len(),
            ..FreeList::default()
        };
        full.give(megabyte());
        assert_eq!(full.kept, MOST_KEPT);
        full.give(megabyte());
        assert_eq!(full.kept, MOST_KEPT);
        assert!(full.take(megabyte().len()).is_some() && full.take(megabyte().len()).is_none());
    }
}
