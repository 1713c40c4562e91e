//! Looking up rows of a table and adding up their gradients.

use qops::float::{embedding, embedding_backward};
use qtensor_core::Tensor;

#[test]
fn gradients_of_repeated_rows_add_up() {
    let indices = Tensor::from_vec(vec![2i64, 0, 2, 2], &[2, 2]).unwrap();
    let grad = Tensor::from_vec((1..=8).map(|v| v as f32).collect(), &[2, 2, 2]).unwrap();
    let d = embedding_backward(&grad, &indices, &[3, 2]).unwrap();
    assert_eq!(
        d.to_vec(),
        [3.0, 4.0, 0.0, 0.0, 1.0 + 5.0 + 7.0, 2.0 + 6.0 + 8.0]
    );
}

#[test]
fn indices_outside_the_table_are_named() {
    let table = Tensor::zeros(&[3, 2]).unwrap();
    for bad in [-1i64, 3, i64::MIN] {
        let indices = Tensor::from_vec(vec![0, bad], &[2]).unwrap();
        let message = embedding(&table, &indices).unwrap_err().to_string();
        assert!(
            message.contains("0..3") && message.contains(&bad.to_string()),
            "{message}"
        );
    }
    let indices = Tensor::from_vec(vec![0i64], &[1]).unwrap();
    assert!(embedding(&Tensor::zeros(&[3]).unwrap(), &indices).is_err());
    assert!(embedding_backward(&table, &indices, &[3, 2]).is_err());
    let grad = Tensor::zeros(&[1, 2]).unwrap();
    assert!(embedding_backward(&grad, &indices, &[1 << 62, 2]).is_err());
}
