//! Activations at known points and extremes, and the shapes that their adjoints refuse.

use qops::float::{
    gelu, gelu_backward, hardswish, hardswish_backward, relu6, relu6_backward, sigmoid,
    sigmoid_backward, tanh, tanh_backward,
};
use qtensor_core::Tensor;

#[test]
fn values_at_known_points() {
    let x = Tensor::from_vec(vec![-4.0, -1.0, 0.0, 1.0, 7.0], &[5]).unwrap();
    let close = |y: Tensor, want: [f32; 5]| {
        for (a, b) in y.to_vec().iter().zip(want) {
            assert!((a - b).abs() < 1e-6, "{y:?} and not {want:?}");
        }
    };
    close(relu6(&x).unwrap(), [0.0, 0.0, 0.0, 1.0, 6.0]);
    close(
        hardswish(&x).unwrap(),
        [0.0, -1.0 / 3.0, 0.0, 2.0 / 3.0, 7.0],
    );
    let s = [0.017_986_21, 0.268_941_4, 0.5, 0.731_058_6, 0.999_089];
    close(sigmoid(&x).unwrap(), s);
    let t = [-0.999_329_3, -0.761_594_2, 0.0, 0.761_594_2, 0.999_998_3];
    close(tanh(&x).unwrap(), t);
    let g = [-0.000_126_69, -0.158_655_25, 0.0, 0.841_344_7, 7.0];
    close(gelu(&x).unwrap(), g);
}

#[test]
fn extremes_saturate_and_nan_stays() {
    let x = Tensor::from_vec(vec![-1e30, 1e30, f32::NAN], &[3]).unwrap();
    assert_eq!(sigmoid(&x).unwrap().to_vec()[..2], [0.0, 1.0]);
    assert_eq!(tanh(&x).unwrap().to_vec()[..2], [-1.0, 1.0]);
    assert_eq!(gelu(&x).unwrap().to_vec()[1], 1e30);
    for y in [sigmoid(&x), tanh(&x), gelu(&x), relu6(&x), hardswish(&x)] {
        assert!(y.unwrap().to_vec()[2].is_nan());
    }
}

#[test]
fn adjoints_refuse_other_shapes() {
    let (a, b) = (Tensor::ones(&[2]).unwrap(), Tensor::ones(&[3]).unwrap());
    for adjoint in [
        relu6_backward,
        hardswish_backward,
        sigmoid_backward,
        tanh_backward,
        gelu_backward,
    ] {
        let message = adjoint(&a, &b).unwrap_err().to_string();
        assert!(
            message.contains("[2]") && message.contains("[3]"),
            "{message}"
        );
    }
}
