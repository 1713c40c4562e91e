//! Activations and norms with integers of their own: the flow, their integers, files, and training before it.

use crate::common::{batch, distance};
use qflow::{Outcome, QConfig, calibrate, convert, from_bytes, prepare, to_bytes};
use qnn::quantized::QParams;
use qnn::{
    ELU, Entry, FloatFunctional, GroupNorm, Hardswish, InstanceNorm2d, Layer, LayerNorm, LeakyReLU,
    Module, Node, PReLU, QFunctional, QuantStub, Sequential, State, Value, quantized,
};
use qops::quantized as ops;
use qops::quantized::OutQParams;
use qtensor_core::{DType, QTensor, Tensor};

const SHAPE: [usize; 4] = [2, 6, 3, 4];

/// The int8 net of a stub and a module, with the maps of both and its greatest distance from the float one.
fn converted<M>(make: impl Fn() -> M) -> (Sequential, [QParams; 2], f32)
where
    M: Module<Input = Value, Output = Value>,
{
    let build = || Sequential::new().push(QuantStub).push(make());
    let (float, mut net) = (build(), build());
    prepare(&mut net, QConfig::minmax()).unwrap();
    calibrate(&net, (0..4).map(|seed| batch(seed, &SHAPE))).unwrap();
    let report = convert(&mut net).unwrap();
    let map = |path: &str| match report.row(path).unwrap().outcome {
        Outcome::Converted(Some(output)) => output,
        _ => panic!("{path} has no output map"),
    };
    let maps = [map("0"), map("1")];
    let kind = format!("Quantized{}", make().kind());
    assert_eq!(report.row("1").unwrap().after, kind);

    let bytes = to_bytes(&net).unwrap();
    let mut again = build();
    for _ in 0..2 {
        from_bytes(&mut again, &bytes).unwrap();
        assert_eq!(to_bytes(&again).unwrap(), bytes);
    }
    let x = batch(2, &SHAPE);
    let (want, got) = (float.forward(&x).unwrap(), net.forward(&x).unwrap());
    assert_eq!(again.forward(&x).unwrap().to_tensor(), got.to_tensor());
    let error = distance(&want.to_tensor(), &got.to_tensor());
    (net, maps, error)
}

/// The net's integers, and those that an operation gives for the same input.
fn same(
    net: &Sequential,
    [input, output]: [QParams; 2],
    operation: impl Fn(&QTensor, OutQParams) -> qops::Result<QTensor>,
) {
    let out = |map: QParams| OutQParams::new(map.scale, map.zero_point);
    let x = batch(2, &SHAPE);
    let q = ops::quantize(&x.to_tensor(), out(input), DType::QUInt8).unwrap();
    let want = operation(&q, out(output)).unwrap();
    match net.forward(&x).unwrap() {
        Value::Quantized(got) => assert_eq!(got, want),
        Value::Float(_) => panic!("a quantized value was expected"),
    }
}

#[test]
fn activations_give_the_operations_integers() {
    let (net, maps, error) = converted(|| ELU::new(0.5));
    assert!(error < 0.03, "{error}");
    same(&net, maps, |q, out| ops::elu(q, 0.5, out));
    let (net, maps, error) = converted(|| LeakyReLU::new(0.125));
    assert!(error < 0.03, "{error}");
    same(&net, maps, |q, out| ops::leaky_relu(q, 0.125, Some(out)));
    let (net, maps, error) = converted(|| Hardswish);
    assert!(error < 0.03, "{error}");
    same(&net, maps, ops::hardswish);
    for weights in [1, 6] {
        let (_, _, error) = converted(|| PReLU::new(weights).unwrap());
        assert!(error < 0.03, "{error}");
    }
}

#[test]
fn norms_give_the_operations_integers() {
    let vector = |count: usize, start: f32| {
        let values = (0..count).map(|i| start + i as f32 * 0.25);
        Tensor::from_vec(values.collect(), &[count]).unwrap()
    };
    let affine = |count| {
        State::default()
            .with("weight", Entry::Tensor(vector(count, 0.5)))
            .with("bias", Entry::Tensor(vector(count, -1.0)))
    };
    let make = || {
        let mut norm = GroupNorm::new(2, 6).unwrap();
        norm.load_state(&mut affine(6)).unwrap();
        norm
    };
    let (net, maps, error) = converted(make);
    assert!(error < 0.1, "{error}");
    let (gamma, beta) = (vector(6, 0.5), vector(6, -1.0));
    same(&net, maps, |q, out| {
        ops::group_norm(q, 2, Some(&gamma), Some(&beta), 1e-5, out)
    });
    let (net, maps, error) = converted(|| InstanceNorm2d::new(6).unwrap());
    assert!(error < 0.05, "{error}");
    same(&net, maps, |q, out| {
        ops::instance_norm(q, None, None, 1e-5, out)
    });
    let make = || {
        let mut norm = LayerNorm::new(&[4]).unwrap();
        norm.load_state(&mut affine(4)).unwrap();
        norm
    };
    let (net, maps, error) = converted(make);
    assert!(error < 0.1, "{error}");
    let (gamma, beta) = (vector(4, 0.5), vector(4, -1.0));
    same(&net, maps, |q, out| {
        ops::layer_norm(q, &[4], Some(&gamma), Some(&beta), 1e-5, out)
    });
    assert!(GroupNorm::new(4, 6).is_err());
    assert!(InstanceNorm2d::affine(0).is_err());
}

#[test]
fn weights_of_a_prelu_share_a_grid_with_one() {
    let output = QParams {
        scale: 0.5,
        zero_point: 100,
        dtype: DType::QUInt8,
    };
    let mut float = PReLU::new(2).unwrap();
    let weights = Tensor::from_vec(vec![-0.5, 0.25], &[2]).unwrap();
    let mut state = State::default().with("weight", Entry::Tensor(weights));
    float.load_state(&mut state).unwrap();
    let int8 = quantized::PReLU::from_float(&float, output).unwrap();
    // 255 steps for 1.5 are 170 for one.
    assert_eq!(int8.weight().per_tensor("").unwrap(), (1.0 / 170.0, 85));
    assert_eq!(int8.weight().int_repr().to_i32_vec(), [0, 127]);
    let x = Tensor::from_vec(vec![-4.0, -4.0, 3.0, 3.0], &[2, 2]).unwrap();
    let x = ops::quantize(&x, OutQParams::new(0.5, 100), DType::QUInt8).unwrap();
    let y = int8.forward(&x.into()).unwrap();
    // 3 is kept exactly; −4 becomes 2 and −1, in steps of one half.
    assert_eq!(y.to_tensor().to_vec(), [2.0, -1.0, 3.0, 3.0]);
    let mut state =
        State::default().with("weight", Entry::Tensor(Tensor::full(&[1], 900.0).unwrap()));
    let mut steep = PReLU::new(1).unwrap();
    steep.load_state(&mut state).unwrap();
    let error = quantized::PReLU::from_float(&steep, output).unwrap_err();
    assert!(error.to_string().contains("900"), "{error}");
}

#[test]
fn gradients_pass_the_float_forms() {
    let x = Tensor::from_vec(vec![-2.0, -0.5, 0.25, 3.0], &[2, 2]).unwrap();
    let slope = |module: &dyn Module<Input = Value, Output = Value>| {
        let x = qgrad::Var::parameter(x.clone());
        let y = module.forward(&x.clone().into()).unwrap();
        let y = y.float("").unwrap().clone();
        y.backward_with(&Tensor::ones(&[2, 2]).unwrap()).unwrap();
        x.grad().unwrap().to_vec()
    };
    let elu = slope(&ELU::new(0.5));
    assert!(
        (elu[0] - 0.5 * (-2.0f32).exp()).abs() < 1e-6 && elu[3] == 1.0,
        "{elu:?}"
    );
    assert_eq!(slope(&LeakyReLU::new(0.125)), [0.125, 0.125, 1.0, 1.0]);
    assert_eq!(slope(&PReLU::new(2).unwrap()), [0.25, 0.25, 1.0, 1.0]);
}

#[test]
fn rectified_functionals_clamp_at_real_zero() {
    let float: Layer<FloatFunctional> = FloatFunctional.into();
    let mut int8: Layer<FloatFunctional> = FloatFunctional.into();
    let output = QParams {
        scale: 0.25,
        zero_point: 50,
        dtype: DType::QUInt8,
    };
    qnn::Place::put(&mut int8, qnn::erase(QFunctional::new(output))).unwrap();
    let x = Tensor::from_vec(vec![-1.5, -0.5, 0.5, 1.5], &[2, 2]).unwrap();
    let q: Value = ops::quantize(&x, OutQParams::new(0.25, 20), DType::QUInt8)
        .unwrap()
        .into();
    let x = Value::from(x);
    let pairs = [
        (float.mul_relu(&x, &x), int8.mul_relu(&q, &q)),
        (float.cat_relu(&[&x, &x], 1), int8.cat_relu(&[&q, &q], 1)),
        (
            float.add_scalar_relu(&x, -0.5),
            int8.add_scalar_relu(&q, -0.5),
        ),
        (
            float.mul_scalar_relu(&x, -2.0),
            int8.mul_scalar_relu(&q, -2.0),
        ),
    ];
    for (want, got) in pairs {
        let (want, got) = (want.unwrap().to_tensor(), got.unwrap().to_tensor());
        assert_eq!(want.to_vec(), got.to_vec());
        assert!(got.to_vec().iter().all(|&v| v >= 0.0));
    }
}

#[test]
fn weights_are_replaced_by_those_of_the_same_shape() {
    let mut layer = quantized::Linear::from_float(
        &qnn::Linear::new(3, 2).unwrap(),
        &QConfig::minmax().weight,
        QParams {
            scale: 0.5,
            zero_point: 10,
            dtype: DType::QUInt8,
        },
    )
    .unwrap();
    let other = qnn::Linear::new(3, 2).unwrap();
    let weight =
        quantized::quantize_weight("test", other.weight(), &QConfig::minmax().weight).unwrap();
    let small = weight.slice(0, 0, 1, 1).unwrap();
    assert!(layer.set_weight_bias(small, None).is_err());
    layer.set_weight_bias(weight.clone(), None).unwrap();
    assert_eq!((layer.weight(), layer.bias()), (&weight, None));
}
