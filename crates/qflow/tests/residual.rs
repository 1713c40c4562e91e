//! Convolutions with an addition in one module: the flow, their integers, files, training.

use crate::common::batch;
use qflow::accuracy::{Bound, Measure, correct_bias, quantize_within, rank_sensitivity};
use qflow::{
    ConvertOptions, Error, QConfig, calibrate, convert, convert_into, convert_with, from_bytes,
    prepare, prepare_qat, quantize, quantize_dynamic, register_forward_hook, to_bytes,
};
use qnn::intrinsic::{self, ConvAdd2d, ConvAddReLU2d, quantized};
use qnn::{
    Conv2d, DeQuantStub, FloatFunctional, Layer, Module, Node, QuantStub, Result, Sequential,
    Value, describe, manual_seed, profile, tap,
};
use qops::quantized::{self as ops, OutQParams};
use qtensor_core::{IntTensor, MemoryFormat, QTensor, Tensor};

const SHAPE: [usize; 4] = [2, 4, 6, 5];

/// Two residual additions, the second one rectified.
#[derive(Module)]
struct Residual {
    quant: Layer<QuantStub>,
    first: Layer<ConvAdd2d>,
    second: Layer<ConvAddReLU2d>,
    dequant: Layer<DeQuantStub>,
}

impl Residual {
    fn new() -> Residual {
        manual_seed(9);
        let conv = |groups| {
            Conv2d::config(4, 4, 3)
                .padding(1)
                .groups(groups)
                .build()
                .unwrap()
        };
        Residual {
            quant: QuantStub.into(),
            first: ConvAdd2d::new(conv(1)).into(),
            second: ConvAddReLU2d::new(conv(2)).into(),
            dequant: DeQuantStub.into(),
        }
    }

    fn forward(&self, x: &Value) -> Result<Value> {
        let x = self.quant.forward(x)?;
        let y = self.first.forward(&(x.clone(), x.clone()))?;
        self.dequant.forward(&self.second.forward(&(y, x))?)
    }
}

fn int8(value: &Value) -> &QTensor {
    value.quantized("").unwrap()
}

/// The qparams `prefix` of a module's state.
fn qparams(state: &qnn::State, prefix: &str) -> OutQParams {
    let mut state = state.clone();
    let scale = state.take_real("", &format!("{prefix}scale")).unwrap();
    OutQParams::new(
        scale,
        state.take_i32("", &format!("{prefix}zero_point")).unwrap(),
    )
}

/// What convolution and addition give one after the other.
fn in_two_steps(module: &dyn Node, x: &QTensor, other: &QTensor, relu: bool) -> QTensor {
    let mut state = module.state().merged(module.config());
    let (inner, out) = (qparams(&state, "conv."), qparams(&state, ""));
    let conv = state
        .take_below("conv", qnn::quantized::Conv2d::from_state)
        .unwrap();
    let y = conv.forward(&x.clone().into()).unwrap();
    assert_eq!(OutQParams::of(int8(&y)).unwrap(), inner);
    match relu {
        false => ops::add(int8(&y), other, out).unwrap(),
        true => ops::add_relu(int8(&y), other, out).unwrap(),
    }
}

fn quantized_net() -> Residual {
    let mut net = Residual::new();
    let report = quantize(&mut net, QConfig::x86(), (0..4).map(|s| batch(s, &SHAPE))).unwrap();
    assert_eq!(report.row("first").unwrap().after, "QuantizedConvAdd2d");
    assert_eq!(
        report.row("second").unwrap().after,
        "QuantizedConvAddReLU2d"
    );
    net
}

#[test]
fn int8_sums_are_those_of_two_steps_and_files_keep_them() {
    let x = batch(1, &SHAPE);
    let want = Residual::new().forward(&x).unwrap().to_tensor();
    let net = quantized_net();
    let (got, outputs) = tap::record(|| net.forward(&x));
    let got = got.unwrap().to_tensor();
    assert!(qflow::metrics::sqnr_db(&want, &got).unwrap() > 30.0);
    assert!(got.to_vec().iter().all(|&v| v >= 0.0));
    let value = |i: usize| int8(&outputs[i].1);
    let first = in_two_steps(qnn::Place::held(&net.first), value(0), value(0), false);
    assert_eq!(value(1), &first);
    let second = in_two_steps(qnn::Place::held(&net.second), value(1), value(0), true);
    assert_eq!(value(2), &second);

    let bytes = to_bytes(&net).unwrap();
    let mut again = Residual::new();
    for _ in 0..2 {
        from_bytes(&mut again, &bytes).unwrap();
        assert_eq!(to_bytes(&again).unwrap(), bytes);
    }
    assert_eq!(describe(&again), describe(&net));
    assert_eq!(again.forward(&x).unwrap().to_tensor(), got);
    let prepared = to_bytes(&Residual::new()).unwrap();
    assert!(matches!(
        from_bytes(&mut again, &prepared),
        Err(Error::OtherModel { .. })
    ));
}

#[test]
fn rounded_weights_are_trained_and_convert() {
    let x = batch(2, &SHAPE);
    let mut net = Residual::new();
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    assert!(
        describe(&net).contains("(0): QatConv2d"),
        "{}",
        describe(&net)
    );
    for _ in 0..3 {
        let y = net.forward(&x).unwrap();
        let loss = qgrad::ops::mse_loss(y.float("").unwrap(), &Tensor::zeros(&SHAPE).unwrap());
        loss.unwrap().backward().unwrap();
    }
    let mut learned = 0;
    qgrad::optim::ParameterSet::each(&mut qnn::parameters(&mut net), &mut |name, var| {
        assert!(var.grad().is_some(), "{name}");
        learned += 1;
    });
    assert_eq!(learned, 4, "two weights and two biases");
    qnn::eval(&mut net);
    qnn::set_observing(&mut net, false);
    let want = net.forward(&x).unwrap().to_tensor();
    let mut twin = Residual::new();
    convert_into(&net, &mut twin).unwrap();
    convert(&mut net).unwrap();
    let got = net.forward(&x).unwrap().to_tensor();
    assert_eq!(twin.forward(&x).unwrap().to_tensor(), got);
    assert!(qflow::metrics::sqnr_db(&want, &got).unwrap() > 30.0);
}

#[test]
fn a_dynamic_configuration_reaches_the_convolution() {
    let x = batch(3, &SHAPE);
    let mut net = Residual::new();
    let want = net.forward(&x).unwrap().to_tensor();
    quantize_dynamic(&mut net, QConfig::dynamic()).unwrap();
    let text = describe(&net);
    assert!(text.contains("(0): DynamicQuantizedConv2d") && text.contains("(first): ConvAdd2d"));
    let got = net.forward(&x).unwrap().to_tensor();
    assert!(qflow::metrics::sqnr_db(&want, &got).unwrap() > 30.0);
}

#[test]
fn accuracy_tools_take_it_for_one_place() {
    let samples: Vec<Value> = (0..3).map(|seed| batch(seed, &SHAPE)).collect();
    let prepared = || {
        let mut net = Residual::new();
        prepare(&mut net, QConfig::x86()).unwrap();
        calibrate(&net, samples.clone()).unwrap();
        net
    };
    let mut net = prepared();
    let ranking = rank_sensitivity(&mut net, &mut Measure::new(&samples)).unwrap();
    let paths: Vec<&str> = ranking.places.iter().map(|p| p.path.as_str()).collect();
    assert!(
        paths.contains(&"first") && paths.contains(&"second"),
        "{paths:?}"
    );
    assert!(!paths.iter().any(|path| path.contains(".0")), "{paths:?}");
    let mut net = prepared();
    correct_bias(&mut net, &samples).unwrap();
    let bound = Bound::AtLeast(ranking.int8.sqnr_db + 1.0);
    let found = quantize_within(&mut net, &mut Measure::new(&samples), bound).unwrap();
    assert!(found.reached && !found.left_in_float.is_empty(), "{found}");
    let mut again = Residual::new();
    from_bytes(&mut again, &to_bytes(&net).unwrap()).unwrap();
    let values = |net: &Residual| net.forward(&samples[1]).unwrap().to_tensor();
    assert_eq!(values(&again), values(&net));
    let mut net = prepared();
    let options = ConvertOptions {
        leave_float: vec!["first".into()],
        ..ConvertOptions::default()
    };
    // The float place gives floats, which the int8 place behind it does not take.
    convert_with(&mut net, &options).unwrap();
    let error = net.forward(&samples[0]).unwrap_err().to_string();
    assert!(error.contains("first.0"), "{error}");
}

#[test]
fn mistakes_name_the_module() {
    let module = ConvAdd2d::new(Conv2d::config(4, 4, 1).build().unwrap());
    let error = quantized::ConvAdd2d::from_observed(&module)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("not prepared"), "{error}");
    let net = quantized_net();
    let float = batch(1, &SHAPE);
    let error = net
        .first
        .forward(&(float.clone(), float.clone()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("first") && error.contains("QuantizedConvAdd2d"),
        "{error}"
    );
    let x = net.quant.forward(&float).unwrap();
    let other = x.slice(2, 0, 2).unwrap();
    let error = net
        .first
        .forward(&(x.clone(), other))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("[2, 4, 6, 5]") && error.contains("[2, 4, 2, 5]"),
        "{error}"
    );
    let float_sum: intrinsic::ConvAddReLU1d =
        intrinsic::ConvAdd::new(qnn::Conv1d::config(1, 1, 1).build().unwrap());
    assert_eq!(float_sum.kind(), "ConvAddReLU1d");
    assert!(qflow::get_default_qconfig_propagation_list().contains("ConvAddReLU2d"));
    assert!(qflow::get_default_qconfig_propagation_list().contains("ConvAdd2d"));
}

#[test]
fn hooks_within_are_refused_and_those_of_the_place_stay() {
    let mut net = Residual::new();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, [batch(1, &SHAPE)]).unwrap();
    let inner = register_forward_hook(&mut net, "second.0", |_, _, _| Ok(None)).unwrap();
    let error = convert(&mut net).unwrap_err();
    assert!(
        matches!(&error, Error::ConvertHooked { path, .. } if path == "second"),
        "{error}"
    );
    assert!(error.to_string().contains("second.0"), "{error}");
    inner.remove();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = calls.clone();
    register_forward_hook(&mut net, "second", move |_, _, _| {
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(None)
    })
    .unwrap();
    convert(&mut net).unwrap();
    net.forward(&batch(1, &SHAPE)).unwrap();
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// A block that gives its input away.
#[derive(Module)]
#[module(owned)]
struct Block {
    first: Layer<Conv2d>,
    second: Layer<Conv2d>,
    add_relu: Layer<FloatFunctional>,
}

impl Block {
    fn new() -> Block {
        let conv = || Conv2d::config(4, 4, 3).padding(1).build().unwrap().into();
        Block {
            first: conv(),
            second: conv(),
            add_relu: FloatFunctional.into(),
        }
    }

    fn forward(&self, x: Value) -> Result<Value> {
        let y = self.first.forward(&x)?;
        self.add_relu.add_relu_after(&[&self.second], &y, x)
    }
}

#[test]
fn sums_take_the_place_of_what_is_given_away_and_of_nothing_else() {
    manual_seed(3);
    let mut net = Sequential::new()
        .push(QuantStub)
        .push(Block::new())
        .push(Block::new())
        .push(DeQuantStub);
    quantize(&mut net, QConfig::x86(), (0..4).map(|s| batch(s, &SHAPE))).unwrap();
    let x = batch(7, &SHAPE);
    // Whoever watches gets every value in memory of its own.
    let (watched, outputs) = tap::record(|| net.forward(&x));
    let watched = watched.unwrap().to_tensor();
    for _ in 0..2 {
        assert_eq!(net.forward(&x).unwrap().to_tensor(), watched);
    }

    let mut blocks = Vec::new();
    net.children(&mut |name, child| {
        if name == "1" || name == "2" {
            blocks.push(child.as_place().unwrap().held() as &dyn std::any::Any);
        }
    });
    let blocks: Vec<&Block> = blocks.iter().map(|b| b.downcast_ref().unwrap()).collect();
    let value = |path: &str| {
        let (_, value) = outputs.iter().find(|(at, _)| at == path).unwrap();
        int8(value).clone()
    };
    let (input, sum) = (value("0"), value("1"));
    let held: Value = input.clone().into();
    let got = Module::forward(blocks[0], &held).unwrap();
    assert_eq!((int8(&held), int8(&got)), (&input, &sum));
    assert!(!int8(&got).shares_storage_with(&input));
    // Nobody else holds the first block's sums.
    let memory = |value: &Value| match int8(value).int_repr() {
        IntTensor::U8(ints) => ints
            .dense_slice(MemoryFormat::ChannelsLast)
            .unwrap()
            .as_ptr(),
        _ => panic!("activations are quint8"),
    };
    let own = memory(&got);
    let last = blocks[1].forward_owned(got).unwrap();
    assert_eq!((int8(&last), memory(&last)), (&value("2"), own));
}

#[test]
fn a_profile_shows_sums_in_one_pass_as_one_call() {
    manual_seed(3);
    let mut net = Sequential::new()
        .push(QuantStub)
        .push(Block::new())
        .push(DeQuantStub);
    let calls = |net: &Sequential| -> Vec<(String, &'static str, Vec<String>)> {
        let (result, visits) = profile::record(|| net.forward(&batch(7, &SHAPE)));
        result.unwrap();
        (visits.into_iter().filter(|v| v.path.starts_with("1.")))
            .map(|v| (v.path, v.kind, v.with))
            .collect()
    };
    let call = |path: &str, kind, with: &[&str]| {
        let with = with.iter().map(|path| path.to_string()).collect();
        (path.to_string(), kind, with)
    };
    let batches = (0..4).map(|s| batch(s, &SHAPE));
    qnn::name_places(&mut net);
    assert_eq!(
        calls(&net),
        [
            call("1.first", "Conv2d", &[]),
            call("1.second", "Conv2d", &[]),
            call("1.add_relu", "FloatFunctional", &[]),
        ]
    );
    quantize(&mut net, QConfig::x86(), batches).unwrap();
    assert_eq!(
        calls(&net),
        [
            call("1.first", "QuantizedConv2d", &[]),
            call("1.second", "QuantizedConv2d", &["1.add_relu"]),
        ]
    );
    // Whoever is shown the convolution's output gets it from a call of its own, and calls that fail are left out.
    let hook = register_forward_hook(&mut net, "1.second", |_, _, _| Ok(None)).unwrap();
    assert_eq!(
        calls(&net),
        [
            call("1.first", "QuantizedConv2d", &[]),
            call("1.second", "QuantizedConv2d", &[]),
            call("1.add_relu", "QFunctional", &[]),
        ]
    );
    drop(hook);
    let (result, visits) = profile::record(|| net.forward(&batch(7, &[2, 3, 6, 5])));
    result.unwrap_err();
    assert!(visits.iter().all(|visit| visit.path == "0"), "{visits:?}");
}
