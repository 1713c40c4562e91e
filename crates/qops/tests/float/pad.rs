//! Padding with a constant and with elements, and the adjoint of slicing.

use qops::float::{pad, pad_with, slice_backward};
use qops::{PadMode, Result};
use qtensor_core::Tensor;

use super::testing::Values;

#[test]
fn the_inside_of_a_padded_tensor_is_the_tensor() {
    let x = Values::new(1).tensor(&[2, 3, 4]);
    let y = pad(&x, &[(1, 0), (0, 2), (3, 1)], -5.0).unwrap();
    assert_eq!(y.shape(), [3, 5, 8]);
    let inside = y.slice(0, 1, 3, 1).unwrap().slice(1, 0, 3, 1).unwrap();
    assert_eq!(inside.slice(2, 3, 7, 1).unwrap(), x);
    let sum: f32 = y.to_vec().iter().filter(|&&v| v == -5.0).sum();
    assert_eq!(sum, -5.0 * (120 - 24) as f32);
    assert_eq!(pad(&Tensor::scalar(2.0), &[], 0.0).unwrap().to_vec(), [2.0]);
}

#[test]
fn a_slice_of_the_adjoint_is_the_gradient_and_the_rest_zero() {
    let mut values = Values::new(2);
    for (dim, start, end, step) in [(0, 1, 4, 2), (1, 0, 5, 3), (2, 2, 6, 1)] {
        let x = values.tensor(&[4, 5, 6]);
        let g = values.tensor(x.slice(dim, start, end, step).unwrap().shape());
        let d = slice_backward(&g, x.shape(), dim, start, step).unwrap();
        assert_eq!(d.slice(dim, start, end, step).unwrap(), g);
        let total = |t: &Tensor| t.to_vec().iter().map(|&v| f64::from(v)).sum::<f64>();
        assert!((total(&d) - total(&g)).abs() < 1e-6);
    }
}

#[test]
fn mistakes_are_refused() {
    let x = Tensor::zeros(&[2, 3]).unwrap();
    assert!(pad(&x, &[(1, 1)], 0.0).is_err());
    assert!(pad(&x, &[(usize::MAX, 1), (0, 0)], 0.0).is_err());
    for (shape, dim, start, step) in [
        (&[2, 3][..], 1, 1, 1),
        (&[2, 5], 1, 1, 2),
        (&[2, 4], 2, 0, 1),
        (&[2], 0, 0, 1),
        (&[2, 5], 1, 0, 0),
    ] {
        assert!(slice_backward(&x, shape, dim, start, step).is_err());
    }
}

fn padded(x: &[f32], before: usize, after: usize, mode: PadMode) -> Result<Vec<f32>> {
    let x = Tensor::from_slice(x, &[x.len()])?;
    Ok(pad_with(&x, &[(before, after)], mode)?.to_vec())
}

#[test]
fn each_mode_continues_the_row() {
    let abc = [1.0, 2.0, 3.0];
    for (mode, before, after, want) in [
        (PadMode::Reflect, 2, 1, &[3.0, 2.0, 1.0, 2.0, 3.0, 2.0][..]),
        (
            PadMode::Replicate,
            1,
            4,
            &[1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0],
        ),
        (
            PadMode::Circular,
            2,
            3,
            &[2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0],
        ),
    ] {
        assert_eq!(padded(&abc, before, after, mode).unwrap(), want, "{mode:?}");
    }
    assert_eq!(padded(&[], 0, 0, PadMode::Reflect).unwrap(), [0.0; 0]);
}

#[test]
fn more_than_there_is_to_repeat_is_refused() {
    let said = |x: &[f32], before, mode| padded(x, before, 0, mode).unwrap_err().to_string();
    let message = said(&[1.0, 2.0, 3.0], 3, PadMode::Reflect);
    assert_eq!(
        message,
        "pad: padding must be at most 2 along dimension 0 of length 3 (Reflect), got 3"
    );
    assert!(said(&[1.0], 2, PadMode::Circular).contains("at most 1"));
    assert!(said(&[], 1, PadMode::Replicate).contains("at most 0"));
    assert!(said(&[1.0], usize::MAX, PadMode::Replicate).contains("more elements"));
    let x = Tensor::zeros(&[2, 2]).unwrap();
    assert!(
        pad_with(&x, &[(1, 1)], PadMode::Reflect)
            .unwrap_err()
            .to_string()
            .contains("2 dimensions")
    );
}
