//! Batch normalization against its formula, in evaluation and in training.

use qops::float::{batch_norm, batch_norm_train, batch_norm_train_backward};
use qtensor_core::Tensor;

use super::testing::{Values, assert_close};

#[test]
fn values_agree_with_the_formula() {
    let mut values = Values::new(1);
    for shape in [
        &[4, 3][..],
        &[2, 3, 5],
        &[2, 3, 4, 5],
        &[3, 3, 40, 50],
        &[0, 3, 2],
    ] {
        let x = values.tensor(shape);
        let (mean, gamma, beta) = (
            values.tensor(&[3]),
            values.tensor(&[3]),
            values.tensor(&[3]),
        );
        let var = values.tensor(&[3]).map(|v| v.abs() + 0.1);
        let plane: usize = shape[2..].iter().product();
        let at = |t: &Tensor, i: usize| f64::from(t.get(&[i / plane % 3]).unwrap());
        let standard: Vec<f64> = x
            .to_vec()
            .iter()
            .enumerate()
            .map(|(i, &v)| (f64::from(v) - at(&mean, i)) / (at(&var, i) + 1e-5).sqrt())
            .collect();
        let got = batch_norm(&x, &mean, &var, None, None, 1e-5).unwrap();
        assert_close(&got, shape, &standard, 2e-6);
        let affine: Vec<f64> = standard
            .iter()
            .enumerate()
            .map(|(i, v)| v * at(&gamma, i) + at(&beta, i))
            .collect();
        let got = batch_norm(&x, &mean, &var, Some(&gamma), Some(&beta), 1e-5).unwrap();
        assert_close(&got, shape, &affine, 2e-6);
    }
}

#[test]
fn mistakes_are_refused() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let (x, c) = (z(&[2, 3, 4]), z(&[3]));
    let message = batch_norm(&x, &c, &z(&[4]), None, None, 1e-5)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[2, 3, 4]") && message.contains("[4]"),
        "{message}"
    );
    assert!(batch_norm(&x, &c, &c, Some(&z(&[1])), None, 1e-5).is_err());
    assert!(batch_norm(&x, &c, &c, None, None, -1.0).is_err());
    assert!(batch_norm(&x, &c, &c, None, None, f64::NAN).is_err());
    assert!(batch_norm(&z(&[3]), &c, &c, None, None, 1e-5).is_err());
}

#[test]
fn outputs_have_mean_beta_and_deviation_gamma() {
    let mut values = Values::new(1);
    for shape in [&[40, 3][..], &[5, 3, 13], &[2, 3, 4, 5], &[9, 3, 20, 33]] {
        let x = values.tensor(shape);
        let (gamma, beta) = (values.tensor(&[3]), values.tensor(&[3]));
        let out = batch_norm_train(&x, Some(&gamma), Some(&beta), 0.0).unwrap();
        let again = batch_norm_train(&out.y, None, None, 0.0).unwrap();
        let (gamma, beta) = (gamma.to_vec(), beta.to_vec());
        for c in 0..3 {
            assert!((again.mean.to_vec()[c] - beta[c]).abs() < 1e-5);
            assert!((again.var.to_vec()[c] - gamma[c] * gamma[c]).abs() < 1e-5);
        }
    }
}

#[test]
fn the_same_statistics_in_evaluation_give_the_same_values() {
    let x = Values::new(2).tensor(&[4, 5, 3, 3]);
    let out = batch_norm_train(&x, None, None, 1e-5).unwrap();
    let eval = batch_norm(&x, &out.mean, &out.var, None, None, 1e-5).unwrap();
    for (a, b) in out.y.to_vec().iter().zip(eval.to_vec()) {
        assert!((a - b).abs() < 1e-5);
    }
}

#[test]
fn one_value_a_channel_and_misshaped_parameters_are_refused() {
    let z = |shape: &[usize]| Tensor::zeros(shape).unwrap();
    let message = batch_norm_train(&z(&[1, 3]), None, None, 1e-5)
        .unwrap_err()
        .to_string();
    assert!(message.contains("[1, 3]"), "{message}");
    assert!(batch_norm_train(&z(&[4, 3]), Some(&z(&[4])), None, 1e-5).is_err());
    assert!(batch_norm_train(&z(&[4]), None, None, 1e-5).is_err());
    let out = batch_norm_train(&z(&[4, 3]), None, None, 1e-5).unwrap();
    assert!(batch_norm_train_backward(&z(&[3, 4]), &z(&[4, 3]), None, &out).is_err());
}
