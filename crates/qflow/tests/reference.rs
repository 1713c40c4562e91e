//! Reference modules: what they compute, the int8 modules made of them, the flow and files.

use crate::common::{batch, distance, norm};
use qflow::{
    ConvertOptions, Mapping, QConfig, QConfigSpec, calibrate, convert_into, convert_with,
    from_bytes, fuse_all, fuse_all_qat, prepare, prepare_qat, prepare_with, to_bytes,
};
use qnn::intrinsic::{self, Activated, Rectifier};
use qnn::quantized::QParams;
use qnn::reference::{self, Reference, Referenced};
use qnn::{
    Bags, Conv1d, Conv2d, Conv3d, ConvTranspose2d, DeQuantStub, Embedding, EmbeddingBag, Entry,
    Flatten, GRU, GRUCell, LSTM, LeakyReLU, Linear, Module, Node, QuantStub, RNNCell, ReLU, ReLU6,
    RunSequence, Sequential, State, Tanh, Value, describe, dynamic, manual_seed, quantized, walk,
};
use qops::quantized::{DynamicQuant, OutQParams, quantize};
use qtensor_core::{DType, IntTensor, QTensor, Quantizer, Tensor};

const SHAPE: [usize; 4] = [2, 3, 6, 6];

fn net() -> Sequential {
    manual_seed(11);
    Sequential::new()
        .push(QuantStub)
        .push(Conv2d::config(3, 4, 3).bias(false).build().unwrap())
        .push(norm(4).unwrap())
        .push(ReLU)
        .push(
            ConvTranspose2d::config(4, 4, 2)
                .stride(2)
                .groups(2)
                .build()
                .unwrap(),
        )
        .push(ReLU6)
        .push(Conv2d::config(4, 2, 3).build().unwrap())
        .push(Flatten::new())
        .push(Linear::new(72, 6).unwrap())
        .push(Tanh)
        .push(Linear::new(6, 3).unwrap())
        .push(DeQuantStub)
}

/// The state of each place by its name.
fn states(net: &Sequential) -> Vec<(String, &'static str, State)> {
    let mut states = Vec::new();
    walk(net, &mut |path, node| {
        states.push((path.to_string(), node.kind(), node.state()));
    });
    states
}

const KINDS: [&str; 5] = [
    "ReferenceConvReLU2d",
    "ReferenceConvTransposeReLU6_2d",
    "ReferenceConv2d",
    "ReferenceLinearTanh",
    "ReferenceLinear",
];

fn kinds(net: &Sequential) -> Vec<&'static str> {
    let kinds = states(net).into_iter().map(|(_, kind, _)| kind);
    kinds.filter(|kind| kind.starts_with("Reference")).collect()
}

#[test]
fn a_model_becomes_float_with_rounded_weights() {
    let x = batch(1, &SHAPE);
    let mut float = net();
    fuse_all(&mut float, &x).unwrap();
    let want = float.forward(&x).unwrap().to_tensor();
    // Without calibration, and behind the preparation for int8.
    let mut models = [net(), net()];
    for (i, model) in models.iter_mut().enumerate() {
        fuse_all(model, &x).unwrap();
        if i == 0 {
            prepare_with(model, QConfig::x86(), &Mapping::reference()).unwrap();
        } else {
            prepare(model, QConfig::x86()).unwrap();
            calibrate(model, [x.clone()]).unwrap();
        }
        convert_with(model, &ConvertOptions::reference()).unwrap();
        assert_eq!(kinds(model), KINDS);
    }
    let got = models[0].forward(&x).unwrap().to_tensor();
    assert_eq!(models[1].forward(&x).unwrap().to_tensor(), got);
    assert!(
        got != want && distance(&got, &want) < 0.02,
        "{}",
        distance(&got, &want)
    );

    // The float net with those weights computes the same.
    let mut rounded = net();
    fuse_all(&mut rounded, &x).unwrap();
    let of_reference = states(&models[0]);
    qnn::walk_mut(&mut rounded, &mut |path, node| {
        let Some((_, kind, state)) = of_reference.iter().find(|(own, ..)| own == path) else {
            return;
        };
        let Some((key, weight)) = state.iter().find_map(|(key, entry)| match entry {
            Entry::QTensor(weight) => Some((key, weight)),
            _ => None,
        }) else {
            return;
        };
        let mut weight = weight.dequantize();
        if key == "weight_by_channel" {
            assert_eq!(*kind, "ReferenceConvTransposeReLU6_2d");
            weight = qops::quantized::by_output_channel(&weight, 2).unwrap();
        }
        let bias = match state.get("bias") {
            Some(Entry::Tensor(bias)) => Some(bias),
            _ => None,
        };
        let mut state = State::default().with_tensor("weight", Some(&weight));
        state = state.with_tensor("bias", bias);
        node.load_state(&mut state).unwrap();
    });
    assert_eq!(rounded.forward(&x).unwrap().to_tensor(), got);

    let bytes = to_bytes(&models[0]).unwrap();
    let mut again = net();
    for _ in 0..2 {
        from_bytes(&mut again, &bytes).unwrap();
        assert_eq!(to_bytes(&again).unwrap(), bytes);
    }
    assert_eq!(describe(&again), describe(&models[0]));
    assert_eq!(again.forward(&x).unwrap().to_tensor(), got);
}

#[test]
fn trained_integers_are_kept_and_batch_norms_folded() {
    let x = batch(2, &SHAPE);
    let mut trained = net();
    fuse_all_qat(&mut trained, &x).unwrap();
    prepare_qat(&mut trained, QConfig::x86_qat()).unwrap();
    let y = trained.forward(&x).unwrap();
    let loss = qgrad::ops::mean(y.float("").unwrap(), &[], false).unwrap();
    loss.backward().unwrap();
    qnn::eval(&mut trained);
    qnn::set_observing(&mut trained, false);
    let mut int8 = net();
    fuse_all(&mut int8, &x).unwrap();
    convert_into(&trained, &mut int8).unwrap();
    convert_with(&mut trained, &ConvertOptions::reference()).unwrap();
    assert_eq!(kinds(&trained), KINDS);
    let mut compared = 0;
    for ((path, _, own), (_, _, other)) in states(&trained).iter().zip(states(&int8)) {
        for key in ["weight", "weight_by_channel", "bias"] {
            assert_eq!(own.get(key), other.get(key), "{path}.{key}");
            compared += usize::from(own.contains(key));
        }
    }
    assert_eq!(compared, 10);
}

/// Integers with a scale that is a power of two, so that float arithmetic on them is exact.
fn exact(seed: u64, shape: &[usize], dtype: DType, scale: f64, zero_point: i32) -> QTensor {
    let values = batch(seed, shape).to_tensor().to_vec();
    let (lo, hi) = dtype.range();
    let ints: Vec<i32> = values
        .iter()
        .map(|v| lo + ((v + 2.0) * 0.25 * (hi - lo) as f32) as i32)
        .collect();
    let ints = IntTensor::from_i32(&ints, shape, dtype).unwrap();
    QTensor::from_parts(ints, Quantizer::per_tensor(scale, zero_point)).unwrap()
}

const OUTPUT: QParams = QParams {
    scale: 4.0,
    zero_point: 100,
    dtype: DType::QUInt8,
};

/// The int8 module of a reference module gives the integers of that module's results.
fn same_integers<M, Q>(
    float: &M,
    shape: &[usize],
    from_reference: impl Fn(&Reference<M>, QParams) -> qnn::Result<Q>,
) where
    M: Referenced,
    Q: Module<Input = Value, Output = Value>,
{
    let weights = float.weight_by_channel().unwrap();
    let weight = exact(3, weights.shape(), DType::QInt8, 0.125, 0);
    let module = Reference::new(float, weight.clone()).unwrap();
    assert_eq!(module.quantized_weight(), &weight);
    let mut state = module.state().merged(module.config());
    let again = Reference::<M>::from_state(&mut state).unwrap();
    assert!(state.is_empty(), "{state:?}");
    let x = exact(4, shape, DType::QUInt8, 0.5, 90);
    let int8 = from_reference(&module, OUTPUT).unwrap();
    let got = int8.forward(&x.clone().into()).unwrap();
    let out = OutQParams::new(OUTPUT.scale, OUTPUT.zero_point);
    for module in [module, again] {
        let y = module.forward(&x.dequantize().into()).unwrap();
        let want = quantize(&y.to_tensor(), out, DType::QUInt8).unwrap();
        assert_eq!(got.quantized("").unwrap(), &want, "{}", module.kind());
    }
    let flat = weight.reshape(&[weight.numel()]).unwrap();
    let error = Reference::new(float, flat).err().unwrap().to_string();
    assert!(
        error.contains(M::REFERENCE) && error.contains(M::WEIGHT),
        "{error}"
    );
}

#[test]
fn int8_modules_of_reference_modules_give_their_integers() {
    let linear = Linear::without_bias(9, 4).unwrap();
    same_integers(&linear, &[3, 9], quantized::Linear::from_reference);
    let conv = Conv1d::config(4, 6, 3)
        .bias(false)
        .groups(2)
        .build()
        .unwrap();
    same_integers(&conv, &[2, 4, 7], quantized::Conv1d::from_reference);
    let conv = Conv2d::config(3, 5, 3)
        .bias(false)
        .padding(1)
        .build()
        .unwrap();
    same_integers(&conv, &[1, 3, 5, 6], quantized::Conv2d::from_reference);
    let conv = Conv3d::config(2, 3, 2).bias(false).build().unwrap();
    same_integers(&conv, &[1, 2, 3, 4, 3], quantized::Conv3d::from_reference);
    let conv = ConvTranspose2d::config(4, 6, 3)
        .bias(false)
        .groups(2)
        .stride(2);
    same_integers(
        &conv.build().unwrap(),
        &[1, 4, 3, 4],
        quantized::ConvTranspose2d::from_reference,
    );
}

#[test]
fn fused_modules_keep_their_integers_too() {
    let x: Value = exact(4, &[2, 9], DType::QUInt8, 0.5, 90).into();
    let weight = exact(3, &[4, 9], DType::QInt8, 0.125, 0);
    let float = Linear::without_bias(9, 4).unwrap();
    let module = reference::Linear::new(&float, weight.clone()).unwrap();
    let linear = || quantized::Linear::from_parts(weight.clone(), None, OUTPUT).unwrap();
    let fused = intrinsic::Fused::new(module.clone(), Rectifier::ReLU6);
    let int8 = intrinsic::quantized::LinearReLU::from_reference(&fused, OUTPUT).unwrap();
    let same = intrinsic::quantized::Fused::new(linear(), Rectifier::ReLU6);
    assert_eq!(int8.kind(), "QuantizedLinearReLU6");
    let values = |module: &dyn Module<Input = Value, Output = Value>| {
        module.forward(&x).unwrap().to_tensor()
    };
    assert_eq!(values(&int8), values(&same));
    let leaky = LeakyReLU::new(0.25);
    let fused = Activated::new(module, leaky);
    let int8 = intrinsic::quantized::LinearLeakyReLU::from_reference(&fused, OUTPUT).unwrap();
    assert_eq!(values(&int8), values(&Activated::new(linear(), leaky)));
    let conv = Conv2d::config(2, 3, 3).build().unwrap();
    let factory = QConfig::x86().weight;
    let module = reference::Conv2d::from_float(&conv, &factory).unwrap();
    let fused = intrinsic::Fused::new(module, Rectifier::ReLU);
    let int8 = intrinsic::quantized::ConvReLU2d::from_reference(&fused, OUTPUT).unwrap();
    let float = intrinsic::Fused::new(conv, Rectifier::ReLU);
    let same = intrinsic::quantized::ConvReLU2d::from_float(&float, &factory, OUTPUT).unwrap();
    assert_eq!(int8.state(), same.state());
}

#[test]
fn recurrent_modules_keep_their_integers_in_dynamic_ones() {
    manual_seed(1);
    let qconfig = QConfig::dynamic();
    let float = LSTM::config(5, 4)
        .num_layers(2)
        .bidirectional(true)
        .build()
        .unwrap();
    let module = reference::LSTM::from_float(&float, &qconfig.weight).unwrap();
    let quant = DynamicQuant::default();
    let same = dynamic::LSTM::from_float(&float, &qconfig).unwrap();
    let int8 = dynamic::LSTM::from_reference(&module, quant).unwrap();
    assert_eq!(int8.state(), same.state());
    let again = &mut module.state().merged(module.config());
    let again = reference::LSTM::from_state(again).unwrap();
    let x = batch(1, &[6, 2, 5]);
    let (y, _) = module.run(&x).unwrap();
    assert_eq!(again.run(&x).unwrap().0.to_tensor(), y.to_tensor());
    let (y8, _) = int8.run(&x).unwrap();
    assert!(distance(&y.to_tensor(), &y8.to_tensor()) < 0.02);
    let float = GRU::config(5, 4).bias(false).build().unwrap();
    let module = reference::GRU::from_float(&float, &qconfig.weight).unwrap();
    let same = dynamic::GRU::from_float(&float, &qconfig).unwrap();
    let int8 = dynamic::GRU::from_reference(&module, quant).unwrap();
    assert_eq!(int8.state(), same.state());

    let cell = GRUCell::new(5, 4).unwrap();
    let module = reference::GRUCell::from_float(&cell, &qconfig.weight).unwrap();
    let same = dynamic::GRUCell::from_float(&cell, &qconfig).unwrap();
    let int8 = dynamic::GRUCell::from_reference(&module, quant).unwrap();
    assert_eq!(int8.state(), same.state());
    let x = (batch(2, &[3, 5]), None);
    let y = module.forward(&x).unwrap().to_tensor();
    let again = &mut module.state().merged(module.config());
    let again = reference::GRUCell::from_state(again).unwrap();
    assert_eq!(again.forward(&x).unwrap().to_tensor(), y);
    assert!(distance(&y, &cell.forward(&x).unwrap().to_tensor()) < 0.02);
    let cell = RNNCell::new(5, 4).unwrap();
    let module = reference::RNNCell::from_float(&cell, &qconfig.weight).unwrap();
    let mut state = module.state();
    let error = reference::RNNCell::from_state(&mut state).unwrap_err();
    assert!(error.to_string().contains("ReferenceRNNCell"), "{error}");
}

#[test]
fn tables_give_the_rows_of_their_integers() {
    manual_seed(2);
    for qconfig in [
        QConfig::float_qparams_weight_only_qconfig(),
        QConfig::float_qparams_weight_only_qconfig_4bit(),
    ] {
        let float = Embedding::new(12, 8).unwrap();
        let module = reference::Embedding::from_float(&float, &qconfig).unwrap();
        let int8 = quantized::Embedding::from_reference(&module);
        let indices = Tensor::from_vec(vec![3i64, 11, 0, 3], &[4]).unwrap();
        let (a, b) = (
            module.forward(&indices).unwrap(),
            int8.forward(&indices).unwrap(),
        );
        assert_eq!(a.to_tensor(), b.to_tensor());
        for mode in [qnn::BagMode::Sum, qnn::BagMode::Mean, qnn::BagMode::Max] {
            let float = EmbeddingBag::new(12, 8, mode).unwrap();
            let module = reference::EmbeddingBag::from_float(&float, &qconfig).unwrap();
            let int8 = quantized::EmbeddingBag::from_reference(&module);
            let bags = Bags::new(&[&[1, 2, 3], &[11], &[0, 0]]).unwrap();
            let (a, b) = (module.forward(&bags).unwrap(), int8.forward(&bags).unwrap());
            assert!(distance(&a.to_tensor(), &b.to_tensor()) < 1e-5);
        }
    }
}

#[derive(Module)]
#[module(input = Tensor<i64>)]
struct Words {
    table: qnn::Layer<Embedding>,
    lstm: qnn::Layer<LSTM>,
    fc: qnn::Layer<Linear>,
}

impl Words {
    fn new() -> Words {
        manual_seed(4);
        Words {
            table: Embedding::new(9, 6).unwrap().into(),
            lstm: LSTM::new(6, 5).unwrap().into(),
            fc: Linear::new(5, 2).unwrap().into(),
        }
    }

    fn forward(&self, words: &Tensor<i64>) -> qnn::Result<Value> {
        let x = self.table.forward(words)?;
        self.fc.forward(&self.lstm.run(&x)?.0)
    }
}

#[test]
fn tables_and_sequences_are_converted_and_saved() {
    let words = Tensor::from_vec(vec![1i64, 8, 3], &[3, 1]).unwrap();
    let mut net = Words::new();
    let want = net.forward(&words).unwrap().to_tensor();
    let table = QConfig::float_qparams_weight_only_qconfig();
    let spec = QConfigSpec::from(QConfig::dynamic()).with_type::<Embedding>(Some(table));
    prepare_with(&mut net, spec, &Mapping::reference()).unwrap();
    convert_with(&mut net, &ConvertOptions::reference()).unwrap();
    let text = describe(&net);
    for kind in ["ReferenceEmbedding", "ReferenceLSTM", "ReferenceLinear"] {
        assert!(text.contains(kind), "{text}");
    }
    let got = net.forward(&words).unwrap().to_tensor();
    assert!(distance(&want, &got) < 0.02);
    let mut again = Words::new();
    from_bytes(&mut again, &to_bytes(&net).unwrap()).unwrap();
    assert_eq!(again.forward(&words).unwrap().to_tensor(), got);
}
