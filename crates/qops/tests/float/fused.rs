//! Arithmetic with a rectifier behind it.

use qops::float::{add_relu, add_scalar_relu, cat_relu, mul_relu, mul_scalar_relu};
use qtensor_core::Tensor;

#[test]
fn negative_results_become_zero() {
    let a = Tensor::from_vec(vec![-3.0, 1.0, 2.0], &[3]).unwrap();
    let two = Tensor::scalar(2.0);
    assert_eq!(add_relu(&a, &two).unwrap().to_vec(), [0.0, 3.0, 4.0]);
    assert_eq!(mul_relu(&a, &two).unwrap().to_vec(), [0.0, 2.0, 4.0]);
    assert_eq!(add_scalar_relu(&a, -1.0).unwrap().to_vec(), [0.0, 0.0, 1.0]);
    assert_eq!(mul_scalar_relu(&a, -1.0).unwrap().to_vec()[0], 3.0);
    assert_eq!(
        cat_relu(&[&a, &a], 0).unwrap().to_vec(),
        [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    );
}
