//! Int8 modules against integers computed by hand, and their way through a state.

use qnn::quantized::{Conv2d, DeQuantize, Linear, QParams, Quantize, quantize_weight};
use qnn::{ConvGeometry, Error, MaxPool2d, Module, Node, ReLU, ReLU6, State, Value, intrinsic};
use qobserve::QConfig;
use qtensor_core::{DType, QTensor, Tensor, quantize_per_channel, quantize_per_tensor};

const HALF: QParams = QParams {
    scale: 0.5,
    zero_point: 10,
    dtype: DType::QUInt8,
};

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).unwrap()
}

fn integers(value: &Value) -> Vec<i32> {
    match value {
        Value::Quantized(q) => q.int_repr().to_i32_vec(),
        Value::Float(_) => panic!("a quantized value was expected"),
    }
}

fn input() -> Value {
    // Integers 12, 8 and 14 around the zero point 10, scale 1/4.
    quantize_per_tensor(&tensor(&[0.5, -0.5, 1.0], &[1, 3]), 0.25, 10, DType::QUInt8)
        .unwrap()
        .into()
}

fn weight() -> QTensor {
    // Integers 2, 4, -6 at scale 1/2, and 10, 0, 5 at scale 1/10.
    let w = tensor(&[1.0, 2.0, -3.0, 1.0, 0.0, 0.5], &[2, 3]);
    quantize_per_channel(&w, &[0.5, 0.1], &[0, 0], 0, DType::QInt8).unwrap()
}

#[test]
fn a_linear_layer_is_exact_in_integers() {
    let bias = tensor(&[0.25, -1.0], &[2]);
    let linear = Linear::from_parts(weight(), Some(bias.clone()), HALF).unwrap();
    // Sums: 2·2 − 2·4 + 4·(−6) + 2 = −26 on the grid 1/8; 2·10 + 4·5 − 40 = 0 on 1/40.
    assert_eq!(integers(&linear.forward(&input()).unwrap()), [10 - 6, 10]);
    let mut state = linear.state();
    let again = Linear::from_state(&mut state).unwrap();
    assert!(state.is_empty());
    assert_eq!(integers(&again.forward(&input()).unwrap()), [4, 10]);
    assert_eq!((again.weight(), again.bias()), (&weight(), Some(&bias)));
}

#[test]
fn rectifiers_are_clamps_of_the_same_sums() {
    let float = qnn::Linear::from_parts(tensor(&[1.0, -20.0], &[2, 1]), None).unwrap();
    let x: Value = quantize_per_tensor(&tensor(&[-2.0, 2.0], &[2, 1]), 0.5, 10, DType::QUInt8)
        .unwrap()
        .into();
    let weight = QConfig::x86().weight;
    for (rectifier, want) in [
        (intrinsic::Rectifier::ReLU, [10, 90, 14, 10]),
        (intrinsic::Rectifier::ReLU6, [10, 22, 14, 10]),
    ] {
        let fused = intrinsic::LinearReLU::new(float.clone(), rectifier);
        let int8 = intrinsic::quantized::LinearReLU::from_float(&fused, &weight, HALF).unwrap();
        assert_eq!(
            integers(&int8.forward(&x).unwrap()),
            want,
            "{}",
            int8.kind()
        );
        let mut state = int8.state();
        let again =
            intrinsic::quantized::LinearReLU::from_state(&mut state, Linear::from_state).unwrap();
        assert_eq!(again.kind(), int8.kind());
    }
}

#[test]
fn signed_activations_give_the_same_values() {
    let float = qnn::Linear::from_parts(tensor(&[0.5, -0.25, 1.0], &[1, 3]), None).unwrap();
    let x = tensor(&[0.5, -0.5, 1.0], &[1, 3]);
    let weight = QConfig::x86().weight;
    let value = |dtype, zero_point: i32| {
        let out = QParams {
            scale: 0.05,
            zero_point,
            dtype,
        };
        let linear = Linear::from_float(&float, &weight, out).unwrap();
        let q = quantize_per_tensor(&x, 0.25, zero_point, dtype).unwrap();
        linear.forward(&q.into()).unwrap().to_tensor().to_vec()
    };
    assert_eq!(value(DType::QUInt8, 138), value(DType::QInt8, 10));
}

#[test]
fn values_of_another_kind_type_or_rank_are_refused() {
    let linear = Linear::from_parts(weight(), None, HALF).unwrap();
    let float = linear
        .forward(&tensor(&[0.0; 3], &[1, 3]).into())
        .unwrap_err();
    assert!(
        matches!(float, Error::WrongKind { .. }) && float.to_string().contains("QuantStub"),
        "{float}"
    );
    let signed = quantize_per_tensor(&tensor(&[0.0; 3], &[1, 3]), 0.25, 0, DType::QInt8).unwrap();
    let dtype = linear.forward(&signed.into()).unwrap_err().to_string();
    assert!(
        dtype.contains("quint8") && dtype.contains("qint8"),
        "{dtype}"
    );
    let quantized = qnn::Linear::new(3, 2)
        .unwrap()
        .forward(&input())
        .unwrap_err()
        .to_string();
    assert!(quantized.contains("DeQuantStub"), "{quantized}");
    let geometry = ConvGeometry {
        kernel_size: [1, 1],
        stride: [1, 1],
        padding: [0, 0],
        dilation: [1, 1],
        groups: 1,
    };
    let w = quantize_per_tensor(&tensor(&[1.0], &[1, 1, 1, 1]), 0.1, 0, DType::QInt8).unwrap();
    let conv = Conv2d::from_parts(w, None, geometry, HALF).unwrap();
    assert!(
        conv.forward(&input())
            .unwrap_err()
            .to_string()
            .contains("[1, 3]")
    );
}

#[test]
fn weights_must_be_symmetric_qint8() {
    let shifted = quantize_per_tensor(&tensor(&[1.0; 6], &[2, 3]), 0.1, 3, DType::QInt8).unwrap();
    assert!(Linear::from_parts(shifted, None, HALF).is_err());
    let unsigned = quantize_per_tensor(&tensor(&[1.0; 6], &[2, 3]), 0.1, 0, DType::QUInt8).unwrap();
    assert!(Linear::from_parts(unsigned, None, HALF).is_err());
    let activation = QConfig::x86().activation;
    let error = quantize_weight("Linear", &tensor(&[1.0], &[1, 1]), &activation)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("qint8") && error.contains("quint8"),
        "{error}"
    );
    let nan = quantize_weight(
        "Linear",
        &tensor(&[f32::NAN], &[1, 1]),
        &QConfig::x86().weight,
    );
    assert!(matches!(nan, Err(Error::Observe(_))));
}

#[test]
fn stubs_cross_the_border_both_ways() {
    let x = tensor(&[0.0, 0.5, -3.0, 200.0], &[1, 1, 2, 2]);
    let q = Quantize::new(HALF).forward(&x.into()).unwrap();
    assert_eq!(integers(&q), [10, 11, 4, 255]);
    let back = DeQuantize.forward(&q).unwrap();
    assert_eq!(back.to_tensor().to_vec(), [0.0, 0.5, -3.0, 122.5]);
    assert!(
        DeQuantize
            .forward(&back)
            .unwrap_err()
            .to_string()
            .contains("quantized")
    );
    // Activations and pools keep integers integers.
    assert_eq!(integers(&ReLU.forward(&q).unwrap()), [10, 11, 10, 255]);
    assert_eq!(integers(&ReLU6.forward(&q).unwrap()), [10, 11, 10, 22]);
    assert_eq!(integers(&MaxPool2d::new(2).forward(&q).unwrap()), [255]);
}

#[test]
fn hostile_states_are_errors() {
    let linear = Linear::from_parts(weight(), None, HALF).unwrap();
    let with = |key: &str, entry| Linear::from_state(&mut linear.state().with(key, entry));
    use qnn::Entry::{Ints, Real, Text};
    assert!(with("scale", Real(f64::NAN)).is_err());
    assert!(with("scale", Real(0.0)).is_err());
    assert!(with("zero_point", Ints(vec![256])).is_err());
    assert!(with("zero_point", Ints(vec![1, 2])).is_err());
    assert!(with("zero_point", Ints(vec![i64::MAX])).is_err());
    assert!(with("dtype", Text("quint9".into())).is_err());
    assert!(with("bias", qnn::Entry::Tensor(tensor(&[1.0; 3], &[3]))).is_err());
    assert!(Linear::from_state(&mut State::default()).is_err());
}
