//! Memory of tensors: aligned, with slack behind it, and used again.

use qtensor_core::buffer::{Buffer, SLACK};

#[test]
fn data_is_aligned_and_followed_by_slack() {
    for len in [0, 1, 63, 64, 65, 4095, 4096, 100_000] {
        let buffer = Buffer::zeroed(len);
        assert_eq!(buffer.with_slack().as_ptr() as usize % 64, 0);
        assert!(buffer.with_slack().len() >= len + SLACK);
        assert_eq!(buffer.as_slice::<u8>().len(), len);
    }
}

#[test]
fn a_large_buffer_is_recycled_on_its_thread() {
    let first = Buffer::zeroed(1 << 20);
    let address = first.with_slack().as_ptr();
    drop(first);
    let second = Buffer::recycled((1 << 20) - 10);
    assert_eq!(second.with_slack().as_ptr(), address);
    assert!(
        Buffer::zeroed(1 << 20)
            .as_slice::<u8>()
            .iter()
            .all(|&b| b == 0)
    );
}
