//! Printed tensors: the format of values, special tensors, summaries.

use qtensor_core::{DType, Tensor, quantize_per_channel, quantize_per_tensor};

#[test]
fn floats_print_as_in_pytorch() {
    let t = Tensor::from_vec(vec![1.0, 2.5, -3.25, 0.0], &[2, 2]).unwrap();
    assert_eq!(
        t.to_string(),
        "tensor([[ 1.0000,  2.5000],\n        [-3.2500,  0.0000]])"
    );
    let whole = Tensor::from_vec(vec![1.0, 20.0], &[2]).unwrap();
    assert_eq!(whole.to_string(), "tensor([ 1., 20.])");
    let wide = Tensor::from_vec(vec![1e-6, 1.5], &[2]).unwrap();
    assert_eq!(wide.to_string(), "tensor([1.0000e-06, 1.5000e+00])");
    assert_eq!(Tensor::scalar(2.5).to_string(), "tensor(2.5000)");
    assert_eq!(
        Tensor::from_vec(vec![3i64, -1], &[2]).unwrap().to_string(),
        "tensor([ 3, -1], dtype=int64)"
    );
}

#[test]
fn quantized_tensors_show_values_and_debug_shows_integers() {
    let x = Tensor::from_vec(vec![-1.0, 0.5], &[2]).unwrap();
    let q = quantize_per_tensor(&x, 0.5, 10, DType::QUInt8).unwrap();
    assert_eq!(
        q.to_string(),
        "tensor([-1.0000,  0.5000], size=[2], dtype=quint8, \
         quantization_scheme=per_tensor_affine, scale=0.5, zero_point=10)"
    );
    assert_eq!(
        format!("{q:?}"),
        "QTensor([ 8, 11], quint8, scale=0.5, zero_point=10)"
    );
    let c = quantize_per_channel(&x, &[0.5, 0.25], &[0, 1], 0, DType::QInt8).unwrap();
    assert!(
        c.to_string()
            .ends_with("scale=[0.5, 0.25], zero_point=[0, 1], axis=0)")
    );
}

#[test]
fn empty_quantized_tensor_prints_its_size() {
    let q = quantize_per_tensor(&Tensor::zeros(&[0, 1]).unwrap(), 1.0, 0, DType::QUInt8).unwrap();
    assert_eq!(
        q.to_string(),
        "tensor([], size=[0, 1], dtype=quint8, quantization_scheme=per_tensor_affine, scale=1, zero_point=0)"
    );

    let rows = Tensor::<f32>::zeros(&[1 << 40, 0]).unwrap();
    assert_eq!(format!("{rows}"), "tensor([], size=[1099511627776, 0])");
}

#[test]
fn large_tensors_are_summarized() {
    let t = Tensor::full(&[50, 50], 1.0).unwrap();
    let text = t.to_string();
    assert_eq!(text.matches("1.").count(), 36);
    assert_eq!(text.matches("...").count(), 7);
}
