//! Which storage index every view finds.

use super::*;

fn all_offsets(layout: &Layout) -> Vec<usize> {
    let mut out = Vec::new();
    layout.for_each_row(|start, n, stride| out.extend((0..n).map(|i| start + i * stride)));
    out
}

#[test]
fn rows_come_in_logical_order() {
    let l = Layout::dense(&[2, 3, 4], MemoryFormat::Contiguous).unwrap();
    assert_eq!(all_offsets(&l), (0..24).collect::<Vec<_>>());
    let p = l.permute(&[2, 0, 1]).unwrap();
    assert_eq!(all_offsets(&p)[..6], [0, 4, 8, 12, 16, 20]);
    let scalar = Layout::dense(&[], MemoryFormat::Contiguous).unwrap();
    assert_eq!(all_offsets(&scalar), [0]);
}

#[test]
fn channels_last_puts_channels_innermost() {
    let l = Layout::dense(&[2, 3, 4, 5], MemoryFormat::ChannelsLast).unwrap();
    assert_eq!(l.strides(), [60, 1, 15, 3]);
    assert!(l.is_dense_in(MemoryFormat::ChannelsLast) && !l.is_dense_in(MemoryFormat::Contiguous));
    // With one channel, or one pixel, both descriptions hold.
    let thin = Layout::dense(&[2, 1, 4, 5], MemoryFormat::ChannelsLast).unwrap();
    assert!(thin.is_dense_in(MemoryFormat::Contiguous));
}

#[test]
fn views_keep_the_element_order_or_refuse() {
    let l = Layout::dense(&[2, 3, 4], MemoryFormat::Contiguous).unwrap();
    for shape in [&[24][..], &[6, 4], &[2, 12], &[1, 2, 1, 3, 2, 2], &[4, 6]] {
        assert_eq!(
            all_offsets(&l.view(shape).unwrap()),
            (0..24).collect::<Vec<_>>(),
            "{shape:?}"
        );
    }
    let t = l.permute(&[1, 0, 2]).unwrap();
    assert_eq!(
        all_offsets(&t.view(&[3, 2, 2, 2]).unwrap()),
        all_offsets(&t)
    );
    assert!(matches!(t.view(&[6, 4]), Err(Error::NotViewable { .. })));
    assert!(matches!(l.view(&[5, 5]), Err(Error::ShapeMismatch { .. })));
    // Global pooling's output in channels-last memory flattens without a copy.
    let pooled = Layout::dense(&[2, 8, 1, 1], MemoryFormat::ChannelsLast).unwrap();
    assert_eq!(pooled.view(&[2, 8]).unwrap().strides(), [8, 1]);
}

#[test]
fn slices_and_selects_move_the_offset() {
    let l = Layout::dense(&[4, 5], MemoryFormat::Contiguous).unwrap();
    assert_eq!(
        all_offsets(&l.slice(1, 1, 5, 2).unwrap())[..4],
        [1, 3, 6, 8]
    );
    assert_eq!(all_offsets(&l.select(0, 2).unwrap()), [10, 11, 12, 13, 14]);
    assert!(matches!(
        l.slice(1, 2, 6, 1),
        Err(Error::OutOfRange {
            index: 6,
            len: 5,
            ..
        })
    ));
    assert!(matches!(
        l.select(2, 0),
        Err(Error::NoSuchDim {
            dim: 2,
            rank: 2,
            ..
        })
    ));
}

#[test]
fn expansion_repeats_with_stride_zero() {
    let l = Layout::dense(&[3, 1], MemoryFormat::Contiguous).unwrap();
    assert_eq!(l.expand(&[2, 3, 4]).unwrap().strides(), [0, 1, 0]);
    assert!(l.expand(&[4, 4]).is_err());
}
