//! Shapes of broadcasting, and sums that undo it.

use qops::float::{broadcast_shape, sum_to};
use qtensor_core::Tensor;

#[test]
fn shapes_align_at_the_end() {
    let shape = |a: &[usize], b: &[usize]| broadcast_shape("add", a, b);
    assert_eq!(shape(&[], &[3, 2]).unwrap(), [3, 2]);
    assert_eq!(shape(&[2, 1, 4], &[3, 1]).unwrap(), [2, 3, 4]);
    assert_eq!(shape(&[0, 1], &[1, 5]).unwrap(), [0, 5]);
    let message = shape(&[2, 3], &[2, 4]).unwrap_err().to_string();
    assert!(
        message.contains("[2, 3]") && message.contains("[2, 4]"),
        "{message}"
    );
    assert!(shape(&[0], &[2]).is_err());
}

#[test]
fn sums_undo_expansion() {
    let x = Tensor::from_vec((0..12).map(|v| v as f32).collect(), &[2, 3, 2]).unwrap();
    let to = |shape: &[usize]| sum_to(&x, shape).unwrap().to_vec();
    assert_eq!(to(&[]), [66.0]);
    assert_eq!(to(&[2]), [30.0, 36.0]);
    assert_eq!(to(&[3, 1]), [14.0, 22.0, 30.0]);
    assert_eq!(to(&[2, 1, 1]), [15.0, 51.0]);
    assert_eq!(to(&[2, 3, 2]), x.to_vec());
    assert!(sum_to(&x, &[3, 3]).is_err());
    assert!(sum_to(&x, &[4, 2, 3, 2]).is_err());
}
