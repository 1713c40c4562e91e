//! Which storage index every view finds, and layouts at their limits: views without elements, steps beyond a dimension,
//! shapes beyond memory.

use qtensor_core::{Error, Layout, MemoryFormat, checked_numel};

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

#[test]
fn views_without_elements_start_at_zero() {
    let l = Layout::dense(&[2, 3], MemoryFormat::Contiguous).unwrap();
    let corner = l.slice(0, 2, 2, 1).unwrap().slice(1, 3, 3, 1).unwrap();
    assert_eq!((corner.offset(), corner.shape()), (0, &[0, 0][..]));
    let empty = Layout::dense(&[0, 1000], MemoryFormat::Contiguous).unwrap();
    assert_eq!(empty.select(1, 500).unwrap().offset(), 0);
    assert_eq!(empty.slice(1, 500, 600, 1).unwrap().offset(), 0);
}

#[test]
fn a_step_beyond_the_dimension_keeps_one_element() {
    let l = Layout::dense(&[4, 5], MemoryFormat::Contiguous).unwrap();
    let one = l.slice(0, 1, 4, usize::MAX).unwrap();
    assert_eq!((one.shape(), one.offset()), (&[1, 5][..], 5));
}

#[test]
fn absurd_shapes_are_refused() {
    assert!(matches!(
        checked_numel(&[usize::MAX, 2]),
        Err(Error::TooLarge { .. })
    ));
    assert!(matches!(
        checked_numel(&[0, usize::MAX, 16]),
        Err(Error::TooLarge { .. })
    ));
    assert_eq!(checked_numel(&[0, 3]).unwrap(), 0);
}

#[test]
fn each_mistake_with_a_view_is_named_for_what_it_is() {
    let l = Layout::dense(&[4, 2, 5], MemoryFormat::Contiguous).unwrap();
    let said = |result: Result<Layout, Error>| result.unwrap_err().to_string();
    assert_eq!(
        l.index(&[1, 2]).unwrap_err().to_string(),
        "index: expected 3 dimensions, got 2 (shape [4, 2, 5])"
    );
    assert_eq!(
        said(l.permute(&[0, 1, 2, 3])),
        "permute: expected 3 dimensions, got 4 (shape [4, 2, 5])"
    );
    assert_eq!(
        said(l.slice(2, 0, 5, 0)),
        "slice: the step along dimension 2 must be at least 1, got 0"
    );
    assert_eq!(
        said(l.slice(2, 4, 3, 1)),
        "slice: along dimension 2, start 4 lies behind end 3"
    );
    assert_eq!(
        said(l.slice(2, 1, 6, 1)),
        "slice: index 6 is outside dimension 2 of length 5"
    );
    assert_eq!(
        said(l.squeeze(1)),
        "squeeze: dimension 1 of shape [4, 2, 5] must have length 1, got 2"
    );
}
