//! Joined and stacked tensors against their parts.

use qops::float::{cat, stack};
use qtensor_core::Tensor;

use super::testing::Values;

#[test]
fn slices_of_the_result_are_the_parts() {
    let mut values = Values::new(4);
    for dim in 0..3 {
        let parts: Vec<Tensor> = [2, 0, 3]
            .into_iter()
            .map(|n| {
                let mut shape = [2, 3, 4];
                shape[dim] = n;
                values.tensor(&shape)
            })
            .collect();
        let refs: Vec<&Tensor> = parts.iter().collect();
        let joined = cat(&refs, dim).unwrap();
        assert_eq!(joined.slice(dim, 0, 2, 1).unwrap(), parts[0]);
        assert_eq!(joined.slice(dim, 2, 5, 1).unwrap(), parts[2]);
    }
}

#[test]
fn stacked_tensors_come_out_again() {
    let mut values = Values::new(5);
    let parts: Vec<Tensor> = (0..3).map(|_| values.tensor(&[2, 4])).collect();
    let refs: Vec<&Tensor> = parts.iter().collect();
    for dim in 0..3 {
        let stacked = stack(&refs, dim).unwrap();
        assert_eq!(stacked.shape()[dim], 3);
        assert_eq!(stacked.unbind(dim).unwrap(), parts);
    }
    let one = Tensor::scalar(2.0);
    assert_eq!(stack(&[&one, &one], 0).unwrap().to_vec(), [2.0, 2.0]);
}

#[test]
fn mistakes_show_both_shapes() {
    let (a, b) = (
        Tensor::zeros(&[2, 3]).unwrap(),
        Tensor::zeros(&[2, 4]).unwrap(),
    );
    for message in [
        cat(&[&a, &b], 0).unwrap_err(),
        stack(&[&a, &b], 0).unwrap_err(),
    ] {
        let message = message.to_string();
        assert!(
            message.contains("[2, 3]") && message.contains("[2, 4]"),
            "{message}"
        );
    }
    assert!(cat(&[], 0).is_err());
    assert!(cat(&[&a], 2).is_err());
    assert!(cat(&[&a, &Tensor::zeros(&[2]).unwrap()], 0).is_err());
    assert!(stack(&[], 0).is_err());
    assert!(stack(&[&a], 3).is_err());
}
