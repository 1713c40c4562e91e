//! Layer normalization against its formula.

use qops::float::{layer_norm, layer_norm_backward};
use qtensor_core::Tensor;

use super::testing::{Values, assert_close};

#[test]
fn values_agree_with_the_formula() {
    let mut values = Values::new(1);
    let x = values.tensor(&[3, 4, 5]);
    let (gamma, beta) = (values.tensor(&[4, 5]), values.tensor(&[4, 5]));
    let (xs, gs, bs) = (x.to_vec(), gamma.to_vec(), beta.to_vec());
    let mut want = Vec::new();
    for row in xs.chunks(20) {
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / 20.0;
        let squares: f64 = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
        let inverse = 1.0 / (squares / 20.0 + 1e-5).sqrt();
        want.extend(
            row.iter().enumerate().map(|(i, &v)| {
                (f64::from(v) - mean) * inverse * f64::from(gs[i]) + f64::from(bs[i])
            }),
        );
    }
    let y = layer_norm(&x, &[4, 5], Some(&gamma), Some(&beta), 1e-5).unwrap();
    assert_close(&y, &[3, 4, 5], &want, 1e-6);
}

#[test]
fn mistakes_are_refused() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let message = layer_norm(&z(&[2, 3]), &[4], None, None, 1e-5)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[4]") && message.contains("[2, 3]"),
        "{message}"
    );
    assert!(layer_norm(&z(&[2, 3]), &[], None, None, 1e-5).is_err());
    assert!(layer_norm(&z(&[2, 3]), &[3], Some(&z(&[2])), None, 1e-5).is_err());
    assert!(layer_norm(&z(&[2, 3]), &[3], None, None, f64::NAN).is_err());
    assert!(layer_norm_backward(&z(&[3, 2]), &z(&[2, 3]), &[3], None, 1e-5).is_err());
}
