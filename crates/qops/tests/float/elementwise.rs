//! Arithmetic with broadcasting against indexing, and piecewise linear functions with their adjoints.

use qops::Result;
use qops::float::{
    add, add_scalar, broadcast_shape, clamp, clamp_backward, div, mul, mul_scalar, relu,
    relu_backward, sub,
};
use qtensor_core::{MemoryFormat, Tensor};

use super::testing::{Values, at_broadcast, each_index};

#[test]
fn broadcasting_agrees_with_indexing() {
    let mut values = Values::new(1);
    for (left, right) in [
        (&[2, 3, 4][..], &[2, 3, 4][..]),
        (&[2, 3, 4], &[4]),
        (&[3, 1], &[2, 1, 5]),
        (&[2, 3, 2, 2], &[3, 1, 1]),
        (&[], &[2, 2]),
        (&[2, 1, 3], &[1, 4, 1]),
        (&[0, 3], &[1]),
    ] {
        let (a, b) = (values.tensor(left), values.tensor(right));
        for (op, f) in [
            (
                add as fn(&Tensor, &Tensor) -> Result<Tensor>,
                (|a, b| a + b) as fn(f32, f32) -> f32,
            ),
            (sub, |a, b| a - b),
            (mul, |a, b| a * b),
            (div, |a, b| a / b),
        ] {
            let y = op(&a, &b).unwrap();
            assert_eq!(y.shape(), broadcast_shape("add", left, right).unwrap());
            each_index(y.shape(), |at| {
                let want = f(at_broadcast(&a, at), at_broadcast(&b, at));
                assert_eq!(y.get(at).unwrap(), want, "{left:?} {right:?} {at:?}");
            });
        }
    }
    assert!(add(&values.tensor(&[2]), &values.tensor(&[3])).is_err());
}

#[test]
fn long_operands_are_cut_into_runs_without_a_seam() {
    let mut values = Values::new(2);
    let (a, b) = (values.tensor(&[100_003]), values.tensor(&[100_003]));
    let y = mul(&a, &b).unwrap().to_vec();
    for (i, (x, z)) in a.to_vec().iter().zip(b.to_vec()).enumerate() {
        assert_eq!(y[i], x * z);
    }
}

#[test]
fn activations_and_their_adjoints() {
    let x = Tensor::from_vec(vec![-2.0, -0.5, 0.0, 0.5, 3.0, f32::NAN], &[6]).unwrap();
    let g = Tensor::full(&[6], 7.0).unwrap();
    let y = relu(&x).unwrap().to_vec();
    assert_eq!(y[..5], [0.0, 0.0, 0.0, 0.5, 3.0]);
    assert!(y[5].is_nan());
    let d = relu_backward(&g, &x).unwrap().to_vec();
    assert_eq!(d, [0.0, 0.0, 0.0, 7.0, 7.0, 0.0]);
    let y = clamp(&x, -0.5, 0.5).unwrap().to_vec();
    assert_eq!(y[..5], [-0.5, -0.5, 0.0, 0.5, 0.5]);
    assert!(y[5].is_nan());
    let d = clamp_backward(&g, &x, -0.5, 0.5).unwrap().to_vec();
    assert_eq!(d, [0.0, 7.0, 7.0, 7.0, 0.0, 0.0]);
    assert!(clamp(&x, 1.0, 0.0).is_err());
    assert!(clamp(&x, f32::NAN, 0.0).is_err());
    assert!(relu_backward(&g.slice(0, 0, 1, 1).unwrap(), &x).is_err());
    assert_eq!(add_scalar(&g, 1.0).unwrap().to_vec(), [8.0; 6]);
    assert_eq!(mul_scalar(&g, 2.0).unwrap().to_vec(), [14.0; 6]);
}

#[test]
fn strided_and_channels_last_inputs_give_the_same_values() {
    let x = Values::new(3).tensor(&[2, 3, 4, 5]);
    let want = relu(&x).unwrap();
    let last = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
    let y = relu(&last).unwrap();
    assert_eq!(y, want);
    assert!(y.dense_slice(MemoryFormat::ChannelsLast).is_some());
    assert_eq!(add(&last, &x).unwrap(), add(&x, &x).unwrap());
    let swapped = x.transpose(1, 3).unwrap();
    assert_eq!(relu(&swapped).unwrap(), want.transpose(1, 3).unwrap());
}
