//! Sums and means over dimensions.

use qops::float::{mean, sum};
use qtensor_core::Tensor;

use super::testing::Values;

#[test]
fn sums_over_any_dimensions() {
    let x = Values::new(1).tensor(&[3, 4, 5]);
    let at = |i, j, k| f64::from(x.get(&[i, j, k]).unwrap());
    let y = sum(&x, &[0, 2], false).unwrap();
    assert_eq!(y.shape(), [4]);
    for j in 0..4 {
        let want: f64 = (0..15).map(|n| at(n / 5, j, n % 5)).sum();
        assert!((f64::from(y.get(&[j]).unwrap()) - want).abs() < 1e-6);
    }
    let m = mean(&x, &[1], true).unwrap();
    assert_eq!(m.shape(), [3, 1, 5]);
    for n in 0..15 {
        let want: f64 = (0..4).map(|j| at(n / 5, j, n % 5)).sum::<f64>() / 4.0;
        assert!((f64::from(m.get(&[n / 5, 0, n % 5]).unwrap()) - want).abs() < 1e-7);
    }
    let turned = x.permute(&[2, 0, 1]).unwrap();
    assert_eq!(sum(&turned, &[1, 0], false).unwrap(), y);
    assert_eq!(sum(&x, &[], true).unwrap().shape(), [1, 1, 1]);
}

#[test]
fn long_sums_keep_their_precision() {
    // Adding 0.1 a million times in f32 ends near 100958.
    let x = Tensor::full(&[1_000_000], 0.1).unwrap();
    let total = sum(&x, &[], false).unwrap().item().unwrap();
    assert_eq!(total, (f64::from(0.1f32) * 1e6) as f32);
    assert_eq!(mean(&x, &[0], false).unwrap().item().unwrap(), 0.1);
}

#[test]
fn nothing_sums_to_zero_and_mistakes_are_refused() {
    let empty = Tensor::zeros(&[0, 3]).unwrap();
    assert_eq!(sum(&empty, &[0], false).unwrap().to_vec(), [0.0; 3]);
    assert!(mean(&empty, &[], false).unwrap().item().unwrap().is_nan());
    let x = Tensor::zeros(&[2, 3]).unwrap();
    assert!(
        sum(&x, &[2], false)
            .unwrap_err()
            .to_string()
            .contains("[2, 3]")
    );
    assert!(sum(&x, &[1, 1], false).is_err());
}
