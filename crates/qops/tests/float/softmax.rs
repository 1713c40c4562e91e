//! Softmax and its logarithm: sums of rows, large inputs, mistakes.

use qops::float::{log_softmax, softmax, softmax_backward, sum};
use qtensor_core::Tensor;

use super::testing::Values;

#[test]
fn rows_sum_to_one_along_any_dimension() {
    let x = Values::new(1).tensor(&[3, 4, 5]);
    for dim in 0..3 {
        let y = softmax(&x, dim).unwrap();
        for sum in sum(&y, &[dim], false).unwrap().to_vec() {
            assert!((sum - 1.0).abs() < 1e-6);
        }
        let logs = log_softmax(&x, dim).unwrap();
        for (a, b) in logs.to_vec().iter().zip(y.to_vec()) {
            assert!((a.exp() - b).abs() < 1e-6);
        }
    }
}

#[test]
fn large_inputs_do_not_overflow() {
    let x = Tensor::from_vec(vec![1000.0, 1000.0, -1000.0], &[1, 3]).unwrap();
    assert_eq!(softmax(&x, 1).unwrap().to_vec(), [0.5, 0.5, 0.0]);
    let logs = log_softmax(&x, 1).unwrap().to_vec();
    assert!((logs[0] + std::f32::consts::LN_2).abs() < 1e-6 && logs[2] < -1999.0);
}

#[test]
fn mistakes_are_refused() {
    let x = Tensor::zeros(&[2, 3]).unwrap();
    assert!(softmax(&x, 2).unwrap_err().to_string().contains("[2, 3]"));
    assert!(softmax_backward(&x, &Tensor::zeros(&[3, 2]).unwrap(), 0).is_err());
}
