//! Variance and standard deviation against plain loops.

use qops::float::{add_scalar, std, var};
use qtensor_core::Tensor;

use super::testing::{Values, assert_close};

#[test]
fn deviations_from_the_mean() {
    let x = add_scalar(&Values::new(1).tensor(&[3, 4, 5]), 100.0).unwrap();
    for unbiased in [false, true] {
        let mut want = Vec::new();
        for j in 0..4 {
            let row: Vec<f64> = (0..15)
                .map(|n| x.get(&[n / 5, j, n % 5]).unwrap().into())
                .collect();
            let mean = row.iter().sum::<f64>() / 15.0;
            let squares: f64 = row.iter().map(|v| (v - mean) * (v - mean)).sum();
            want.push((squares / if unbiased { 14.0 } else { 15.0 }).sqrt());
        }
        assert_close(
            &std(&x, &[0, 2], unbiased, false).unwrap(),
            &[4],
            &want,
            1e-6,
        );
        assert_close(
            &std(&x, &[2, 0], unbiased, true).unwrap(),
            &[1, 4, 1],
            &want,
            1e-6,
        );
        let squares: Vec<f64> = want.iter().map(|s| s * s).collect();
        assert_close(
            &var(&x, &[0, 2], unbiased, false).unwrap(),
            &[4],
            &squares,
            1e-6,
        );
    }
    let one = Tensor::full(&[2, 1], 3.0).unwrap();
    assert!(std(&one, &[1], true, false).unwrap().to_vec()[0].is_nan());
    assert_eq!(std(&one, &[1], false, false).unwrap().to_vec(), [0.0; 2]);
    assert!(
        std(&Tensor::zeros(&[0]).unwrap(), &[], false, false)
            .unwrap()
            .item()
            .unwrap()
            .is_nan()
    );
    assert!(std(&one, &[2], true, false).is_err());
}
