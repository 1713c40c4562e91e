//! Linear layers with LeakyReLU or tanh behind them: fusion, every type of quantization, integers, files, gradients.

use crate::common::{batch, distance};
use qflow::{
    QConfig, calibrate, convert, from_bytes, fuse_all, fuse_all_qat, fuse_modules,
    get_fuser_method, prepare, prepare_qat, quantize_dynamic, step_differences, to_bytes,
};
use qgrad::optim::ParameterSet;
use qnn::intrinsic::{LinearLeakyReLU, LinearTanh, quantized};
use qnn::{
    DeQuantStub, Erased, LeakyReLU, Linear, Module, QuantStub, Sequential, State, Tanh, Value,
    describe, erase, manual_seed, tap, walk,
};
use qops::quantized::{OutQParams, PackedLinear};
use qtensor_core::{DType, Tensor};

const FEATURES: [usize; 2] = [12, 7];

/// A stub, a linear layer, an activation and a stub.
fn net<A: Module<Input = Value, Output = Value>>(activation: A) -> Sequential {
    manual_seed(3);
    Sequential::new()
        .push(QuantStub)
        .push(Linear::new(FEATURES[0], FEATURES[1]).unwrap())
        .push(activation)
        .push(DeQuantStub)
}

fn kinds(net: &Sequential) -> Vec<String> {
    let mut kinds = Vec::new();
    walk(net, &mut |path, node| {
        if !path.is_empty() {
            kinds.push(node.kind().to_string());
        }
    });
    kinds
}

/// What the module in the second place holds.
fn state_of_layer(net: &Sequential) -> State {
    let mut state = State::default();
    walk(net, &mut |path, node| {
        if path == "1" {
            state = node.state();
        }
    });
    state
}

fn samples() -> Vec<Value> {
    (0..4).map(|seed| batch(seed, &[5, FEATURES[0]])).collect()
}

/// The whole way for one activation; `integers` gives the operation's result for the layer's integers.
fn all_the_way<A>(
    activation: A,
    name: &str,
    integers: impl Fn(&PackedLinear, &qtensor_core::QTensor, OutQParams) -> qtensor_core::QTensor,
) where
    A: Module<Input = Value, Output = Value> + Clone,
{
    let make = || net(activation.clone());
    let x = &samples()[1];
    let want = make().forward(x).unwrap().to_tensor();

    let mut static_int8 = make();
    let chains = fuse_all(&mut static_int8, x).unwrap();
    assert_eq!(chains, [["1", "2"]]);
    assert_eq!(static_int8.forward(x).unwrap().to_tensor(), want);
    assert_eq!(kinds(&static_int8)[1..3], [name, "Identity"]);
    prepare(&mut static_int8, QConfig::x86()).unwrap();
    calibrate(&static_int8, samples()).unwrap();
    convert(&mut static_int8).unwrap();
    assert_eq!(kinds(&static_int8)[1], format!("Quantized{name}"));
    let got = static_int8.forward(x).unwrap().to_tensor();
    assert!(distance(&want, &got) < 0.05, "{}", distance(&want, &got));
    let int8 = qnn::quantized::Linear::from_state(&mut state_of_layer(&static_int8)).unwrap();
    let packed = PackedLinear::new(int8.weight(), int8.bias()).unwrap();
    let (_, outputs) = tap::record(|| static_int8.forward(x));
    let (_, input) = &outputs[0];
    let out = OutQParams::new(int8.output().scale, int8.output().zero_point);
    let y = integers(&packed, input.quantized("").unwrap(), out);
    assert_eq!(got, y.dequantize());

    let mut dynamic = make();
    fuse_modules(&mut dynamic, &[&["1", "2"]]).unwrap();
    quantize_dynamic(&mut dynamic, QConfig::dynamic()).unwrap();
    assert_eq!(kinds(&dynamic)[1], format!("DynamicQuantized{name}"));
    // The stubs of a model that is not static pass floats on.
    let got = dynamic.forward(x).unwrap().to_tensor();
    assert!(distance(&want, &got) < 0.05, "{}", distance(&want, &got));

    for int8 in [&static_int8, &dynamic] {
        let bytes = to_bytes(int8).unwrap();
        let mut again = make();
        for _ in 0..2 {
            from_bytes(&mut again, &bytes).unwrap();
            assert_eq!(to_bytes(&again).unwrap(), bytes);
        }
        let (a, b) = (again.forward(x).unwrap(), int8.forward(x).unwrap());
        assert_eq!(a.to_tensor(), b.to_tensor());
        assert_eq!(describe(&again), describe(int8));
    }

    let mut trained = make();
    fuse_all_qat(&mut trained, x).unwrap();
    prepare_qat(&mut trained, QConfig::x86_qat()).unwrap();
    assert_eq!(kinds(&trained)[1], format!("Qat{name}"));
    for x in samples() {
        let y = trained.forward(&x).unwrap();
        let target = Tensor::ones(&[5, FEATURES[1]]).unwrap();
        let loss = qgrad::ops::mse_loss(y.float("").unwrap(), &target).unwrap();
        loss.backward().unwrap();
    }
    let mut learned = 0;
    qnn::parameters(&mut trained).each(&mut |_, var| {
        let gradient = var.grad().map(|g| g.to_vec()).unwrap_or_default();
        learned += usize::from(gradient.iter().any(|&g| g != 0.0));
    });
    assert_eq!(learned, 2, "weight and bias");
    qnn::eval(&mut trained);
    qnn::set_observing(&mut trained, false);
    let mut twin = make();
    fuse_modules(&mut twin, &[&["1", "2"]]).unwrap();
    qflow::convert_into(&trained, &mut twin).unwrap();
    assert_eq!(kinds(&twin)[1], format!("Quantized{name}"));
    for row in step_differences(&trained, &twin, x).unwrap() {
        assert!(row.steps <= 1, "{row:?}");
    }
}

#[test]
fn a_leaky_relu_is_fused_trained_and_converted() {
    all_the_way(LeakyReLU::new(0.2), "LinearLeakyReLU", |packed, x, out| {
        packed.run_leaky_relu(x, 0.2, out).unwrap()
    });
}

#[test]
fn a_tanh_is_fused_trained_and_converted() {
    all_the_way(Tanh, "LinearTanh", |packed, x, out| {
        packed.run_tanh(x, out).unwrap()
    });
}

#[test]
fn a_file_of_another_form_or_with_a_missing_slope_is_refused() {
    let linear = Linear::new(3, 2).unwrap();
    let method = get_fuser_method(&[&linear, &Tanh], false).unwrap();
    assert_eq!(method.name(), "Linear + Tanh");
    let output = qnn::quantized::QParams {
        scale: 0.01,
        zero_point: 100,
        dtype: DType::QUInt8,
    };
    let fused = LinearLeakyReLU::new(linear.clone(), LeakyReLU::default());
    let weight = QConfig::x86().weight;
    let int8 = quantized::LinearLeakyReLU::from_float(&fused, &weight, output).unwrap();
    let state = qnn::Node::state(&int8);
    let error = quantized::LinearLeakyReLU::from_state(
        &mut state.clone(),
        qnn::quantized::Linear::from_state,
    );
    let error = error.err().unwrap().to_string();
    assert!(error.contains("QuantizedLinearLeakyReLU") && error.contains("negative_slope"));
    let tanh: Erased = erase(LinearTanh::new(linear, Tanh));
    assert_eq!(tanh.kind(), "LinearTanh");
    let float = Value::from(Tensor::ones(&[1, 3]).unwrap());
    let error = int8.forward(&float).unwrap_err().to_string();
    assert!(error.contains("QuantizedLinearLeakyReLU"), "{error}");
}
