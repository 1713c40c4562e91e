//! Layouts at their limits: views without elements, steps beyond a dimension, shapes beyond memory.

use qtensor_core::{Error, Layout, MemoryFormat, checked_numel};

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
