//! Transposed convolutions in their four forms: shapes, scales by output channel, ways through a state, mistakes.

use qnn::intrinsic::{ConvTransposeReLU, Rectifier, fold_conv_transpose};
use qnn::quantized::QParams;
use qnn::{
    BatchNorm1d, BatchNorm2d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Entry, Error,
    Module, Node, State, Value, dynamic, intrinsic, qat, quantized,
};
use qobserve::QConfig;
use qtensor_core::{DType, QTensor, Quantizer, Tensor, quantize_per_tensor};

const OUTPUT: QParams = QParams {
    scale: 0.05,
    zero_point: 100,
    dtype: DType::QUInt8,
};

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).unwrap()
}

/// Reproducible numbers in [-1, 1).
fn numbers(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + 31) % 1009) as f32 / 504.5 - 1.0;
    Tensor::from_vec((0..n).map(value).collect(), shape).unwrap()
}

fn quantized_value(shape: &[usize]) -> Value {
    quantize_per_tensor(&numbers(shape), 1.0 / 127.0, 128, DType::QUInt8)
        .unwrap()
        .into()
}

fn integers(value: &Value) -> Vec<i32> {
    match value {
        Value::Quantized(q) => q.int_repr().to_i32_vec(),
        Value::Float(_) => panic!("a quantized value was expected"),
    }
}

/// Six channels to four in two groups, whose output channels differ in magnitude by powers of ten.
fn grouped() -> ConvTranspose2d {
    let plain = ConvTranspose2d::config(6, 4, 3)
        .stride(2)
        .padding(1)
        .output_padding(1)
        .groups(2);
    let weight = numbers(&[6, 2, 3, 3]).to_vec();
    let magnitude = |i: usize| {
        let (group, column) = (i / 54, i / 9 % 2);
        10f32.powi(-((group * 2 + column) as i32))
    };
    let weight = weight
        .iter()
        .enumerate()
        .map(|(i, w)| w * magnitude(i))
        .collect();
    let weight = Tensor::from_vec(weight, &[6, 2, 3, 3]).unwrap();
    let bias = tensor(&[0.1, 0.02, 0.003, 0.0], &[4]);
    ConvTranspose2d::from_parts(weight, Some(bias), plain.geometry).unwrap()
}

#[test]
fn every_output_channel_has_its_own_scale_in_groups_too() {
    let float = grouped();
    let int8 = quantized::ConvTranspose2d::from_float(&float, &QConfig::x86().weight, OUTPUT);
    let int8 = int8.unwrap();
    assert_eq!(int8.weight().shape(), [4, 3, 3, 3]);
    let scales = int8.weight().q_per_channel_scales().unwrap();
    assert_eq!(
        (scales.len(), int8.weight().q_per_channel_axis().unwrap()),
        (4, 0)
    );
    let by_channel = float.weight_by_channel().unwrap().to_vec();
    for (channel, &scale) in scales.iter().enumerate() {
        let row = &by_channel[channel * 27..][..27];
        let greatest = row.iter().fold(0f32, |a, w| a.max(w.abs()));
        assert!(
            (scale as f32 / (greatest / 127.5) - 1.0).abs() < 0.01,
            "channel {channel}"
        );
    }
    // So each of them is near the float one on its own scale.
    let x = quantized_value(&[2, 6, 4, 5]);
    let want = float.forward(&x.to_tensor().into()).unwrap().to_tensor();
    let fine = QParams {
        scale: 0.02,
        ..OUTPUT
    };
    let fine = quantized::ConvTranspose2d::from_float(&float, &QConfig::x86().weight, fine);
    let got = fine.unwrap().forward(&x).unwrap().to_tensor();
    assert_eq!(
        (got.shape(), want.shape()),
        (&[2, 4, 8, 10][..], &[2, 4, 8, 10][..])
    );
    for (got, want) in got.to_vec().iter().zip(want.to_vec()) {
        assert!(
            (got - want).abs() < 0.04 || want.abs() > 2.0,
            "{got} and {want}"
        );
    }
}

#[test]
fn per_tensor_weights_work_as_in_pytorch() {
    let float = grouped();
    let int8 = quantized::ConvTranspose2d::from_float(&float, &QConfig::qnnpack().weight, OUTPUT);
    let int8 = int8.unwrap();
    assert!(matches!(
        int8.weight().quantizer(),
        Quantizer::PerTensor { .. }
    ));
    assert_eq!(
        int8.forward(&quantized_value(&[1, 6, 3, 3]))
            .unwrap()
            .shape(),
        [1, 4, 6, 6]
    );
}

#[test]
fn states_restore_the_same_integers() {
    let float = grouped();
    let x = quantized_value(&[1, 6, 3, 4]);
    let int8 = quantized::ConvTranspose2d::from_float(&float, &QConfig::x86().weight, OUTPUT);
    let int8 = int8.unwrap();
    let mut state = int8.state().merged(int8.config());
    let again = quantized::ConvTranspose2d::from_state(&mut state).unwrap();
    assert!(state.is_empty());
    assert_eq!(
        integers(&again.forward(&x).unwrap()),
        integers(&int8.forward(&x).unwrap())
    );
    assert_eq!(
        int8.extra_repr(),
        "6, 4, kernel_size=[3, 3], stride=[2, 2], padding=[1, 1], groups=2, output_padding=[1, 1], \
         scale=0.050000, zero_point=100"
    );
    let floats: Value = x.to_tensor().into();
    let dynamic = dynamic::ConvTranspose2d::from_float(&float, &QConfig::dynamic()).unwrap();
    let mut state = dynamic.state().merged(dynamic.config());
    let again = dynamic::ConvTranspose2d::from_state(&mut state).unwrap();
    assert!(state.is_empty());
    let (a, b) = (
        again.forward(&floats).unwrap(),
        dynamic.forward(&floats).unwrap(),
    );
    assert_eq!(a.to_tensor(), b.to_tensor());
    // Numbers beside another weight than they were saved with are refused.
    let mut config = int8.config();
    config.insert("channels", Entry::Ints(vec![6, 8]));
    let error = quantized::ConvTranspose2d::from_state(&mut int8.state().merged(config));
    let message = error.err().unwrap().to_string();
    assert!(
        message.contains("[4, 3, 3, 3]") && message.contains("[6, 8]"),
        "{message}"
    );
}

#[test]
fn rectifiers_are_clamps_of_the_same_sums() {
    let x = quantized_value(&[1, 6, 3, 3]);
    let weight = QConfig::x86().weight;
    let plain = quantized::ConvTranspose2d::from_float(&grouped(), &weight, OUTPUT).unwrap();
    let plain = integers(&plain.forward(&x).unwrap());
    for (rectifier, kind, greatest) in [
        (Rectifier::ReLU, "QuantizedConvTransposeReLU2d", 255),
        (Rectifier::ReLU6, "QuantizedConvTransposeReLU6_2d", 220),
    ] {
        let fused = ConvTransposeReLU::new(grouped(), rectifier);
        let int8 = intrinsic::quantized::ConvTransposeReLU::from_float(&fused, &weight, OUTPUT);
        let int8 = int8.unwrap();
        assert_eq!(int8.kind(), kind);
        let want: Vec<i32> = plain.iter().map(|&q| q.clamp(100, greatest)).collect();
        assert_eq!(integers(&int8.forward(&x).unwrap()), want);
        let dynamic = intrinsic::quantized::dynamic::ConvTransposeReLU::from_float(
            &fused,
            &QConfig::dynamic(),
        );
        let y = dynamic
            .unwrap()
            .forward(&x.to_tensor().into())
            .unwrap()
            .to_tensor();
        assert!(y.to_vec().iter().all(|&v| (0.0..=6.0).contains(&v)));
    }
}

#[test]
fn dynamic_images_do_not_depend_on_each_other() {
    let float = grouped();
    let int8 = dynamic::ConvTranspose2d::from_float(&float, &QConfig::dynamic()).unwrap();
    let small = numbers(&[1, 6, 3, 3]);
    let large = small.map(|v| v * 100.0);
    let both = qops::float::cat(&[&small, &large], 0).unwrap();
    let y = int8.forward(&both.into()).unwrap().to_tensor();
    let alone = int8.forward(&small.clone().into()).unwrap().to_tensor();
    assert_eq!(y.slice(0, 0, 1, 1).unwrap().to_vec(), alone.to_vec());
    let want = float.forward(&small.into()).unwrap().to_tensor();
    for (got, want) in alone.to_vec().iter().zip(want.to_vec()) {
        assert!((got - want).abs() < 0.05, "{got} and {want}");
    }
}

#[test]
fn training_rounds_what_conversion_rounds() {
    let float = grouped();
    let mut qat = qat::ConvTranspose2d::from_float(&float, &QConfig::x86_qat().weight);
    qat.set_training(true);
    let x = numbers(&[1, 6, 3, 3]);
    let y = qat.forward(&x.clone().into()).unwrap();
    let int8 = qat.to_quantized(OUTPUT).unwrap();
    // The float layer with the rounded weight, brought back to PyTorch's order.
    let rounded = qops::quantized::by_output_channel(&int8.weight().dequantize(), 2).unwrap();
    let same = ConvTranspose2d::from_parts(rounded, float.bias().cloned(), *float.geometry());
    let want = same.unwrap().forward(&x.into()).unwrap().to_tensor();
    for (got, want) in y.to_tensor().to_vec().iter().zip(want.to_vec()) {
        assert!((got - want).abs() < 1e-5, "{got} and {want}");
    }
    // Gradients reach the weight in its own order.
    let loss = qgrad::ops::sum(y.float("loss").unwrap(), &[], false).unwrap();
    loss.backward().unwrap();
    let mut shapes = Vec::new();
    qat.parameters_mut(&mut |name, var| {
        shapes.push((name.to_string(), var.grad().unwrap().shape().to_vec()));
    });
    assert_eq!(
        shapes,
        [
            ("weight".into(), vec![6, 2, 3, 3]),
            ("bias".into(), vec![4])
        ]
    );
}

#[test]
fn batch_norms_fold_into_output_channels() {
    let float = grouped();
    let mut norm = BatchNorm2d::new(4).unwrap();
    let mut state = State::default()
        .with("weight", Entry::Tensor(tensor(&[0.5, 1.0, 1.5, 2.0], &[4])))
        .with("bias", Entry::Tensor(tensor(&[0.1, -0.1, 0.2, 0.3], &[4])))
        .with(
            "running_mean",
            Entry::Tensor(tensor(&[0.3, 0.0, -0.2, 0.1], &[4])),
        )
        .with(
            "running_var",
            Entry::Tensor(tensor(&[1.0, 0.5, 2.0, 0.25], &[4])),
        );
    norm.load_state(&mut state).unwrap();
    let x: Value = numbers(&[2, 6, 3, 3]).into();
    let want = norm
        .forward(&float.forward(&x).unwrap())
        .unwrap()
        .to_tensor();
    let folded = fold_conv_transpose(&float, &norm).unwrap();
    let got = folded.forward(&x).unwrap().to_tensor();
    for (got, want) in got.to_vec().iter().zip(want.to_vec()) {
        assert!((got - want).abs() < 1e-5, "{got} and {want}");
    }
    // Six channels go in, four come out: the norm is for those that come out.
    let message = fold_conv_transpose(&float, &BatchNorm2d::new(6).unwrap());
    let message = message.unwrap_err().to_string();
    assert!(
        message.contains("gives 4 channels") && message.contains("for 6"),
        "{message}"
    );
    let line = ConvTranspose1d::config(2, 3, 4).stride(2).build().unwrap();
    assert!(fold_conv_transpose(&line, &BatchNorm1d::new(3).unwrap()).is_ok());
}

#[test]
fn sizes_in_all_dimensions_and_asked_for() {
    let line = ConvTranspose1d::config(2, 3, 16)
        .stride(8)
        .padding(4)
        .build()
        .unwrap();
    assert_eq!(line.weight().shape(), [2, 3, 16]);
    assert_eq!(
        line.forward(&numbers(&[1, 2, 5]).into()).unwrap().shape(),
        [1, 3, 40]
    );
    let cube = ConvTranspose3d::config(1, 2, [1, 2, 3])
        .stride([1, 2, 1])
        .bias(false);
    let cube = cube.build().unwrap();
    assert!(cube.bias().is_none());
    let x: Value = numbers(&[1, 1, 2, 3, 4]).into();
    assert_eq!(cube.forward(&x).unwrap().shape(), [1, 2, 2, 6, 6]);
    let int8 = dynamic::ConvTranspose3d::from_float(&cube, &QConfig::dynamic()).unwrap();
    assert_eq!(int8.forward(&x).unwrap().shape(), [1, 2, 2, 6, 6]);
    let up = ConvTranspose2d::config(1, 1, 3)
        .stride(2)
        .padding(1)
        .build()
        .unwrap();
    let x: Value = numbers(&[1, 1, 4, 4]).into();
    for size in [[7, 7], [7, 8], [8, 8]] {
        assert_eq!(up.forward_sized(&x, size).unwrap().shape()[2..], size);
    }
    let message = up.forward_sized(&x, [7, 9]).unwrap_err().to_string();
    assert!(
        message.contains("7 to 8") && message.contains("got 9"),
        "{message}"
    );
}

#[test]
fn mistakes_name_the_module_and_both_numbers() {
    let message = |error: Error| error.to_string();
    let config = ConvTranspose2d::config(4, 6, 3).stride(2);
    let error = message(config.output_padding(2).build().unwrap_err());
    assert!(
        error.contains("ConvTranspose2d") && error.contains("output_padding 2"),
        "{error}"
    );
    assert!(config.output_padding(2).dilation(3).build().is_ok());
    let error = message(config.groups(4).build().unwrap_err());
    assert!(
        error.contains("4 groups") && error.contains("6 output"),
        "{error}"
    );
    assert!(ConvTranspose2d::config(4, 6, 0).build().is_err());
    let up = config.build().unwrap();
    let error = message(up.forward(&numbers(&[1, 3, 5, 5]).into()).unwrap_err());
    assert!(error.contains("is 4") && error.contains("but 3"), "{error}");
    assert!(up.forward(&numbers(&[1, 4, 5]).into()).is_err());
    let bias = Some(tensor(&[0.0; 4], &[4]));
    let error = ConvTranspose2d::from_parts(up.weight().clone(), bias, *up.geometry());
    let error = message(error.unwrap_err());
    assert!(error.contains("[6]") && error.contains("[4]"), "{error}");
    let weight = numbers(&[4, 6, 2, 3]);
    assert!(ConvTranspose2d::from_parts(weight, None, *up.geometry()).is_err());
    let int8 = quantized::ConvTranspose2d::from_float(&up, &QConfig::x86().weight, OUTPUT);
    let int8 = int8.unwrap();
    let error = message(int8.forward(&quantized_value(&[1, 3, 5, 5])).unwrap_err());
    assert!(error.contains('4') && error.contains('3'), "{error}");
    assert!(int8.forward(&numbers(&[1, 4, 5, 5]).into()).is_err());
    // A weight in PyTorch's order is another layer, and is refused where the channels show it.
    let theirs: QTensor =
        quantize_per_tensor(&numbers(&[4, 6, 3, 3]), 0.01, 0, DType::QInt8).unwrap();
    let bias = Some(tensor(&[0.0; 6], &[6]));
    let error = quantized::ConvTranspose2d::from_parts(theirs, bias, *up.geometry(), OUTPUT);
    let error = message(error.err().unwrap());
    assert!(error.contains("[4]") && error.contains("[6]"), "{error}");
    let float16 = QConfig::float16_dynamic_qconfig();
    assert!(dynamic::ConvTranspose2d::from_float(&up, &float16).is_err());
}

#[test]
fn integers_are_replaced_by_those_of_the_same_shape() {
    let float = grouped();
    let factory = QConfig::x86().weight;
    let mut layer = quantized::ConvTranspose2d::from_float(&float, &factory, OUTPUT).unwrap();
    let before = layer.state();
    let flipped = layer.weight().flip(&[0]).unwrap();
    let small = flipped.slice(0, 0, 2, 1).unwrap();
    let error = layer.set_weight_bias(small, None).unwrap_err().to_string();
    assert!(
        error.contains("[4, 3, 3, 3]") && error.contains("[2, 3, 3, 3]"),
        "{error}"
    );
    let bias = tensor(&[1.0, 2.0], &[2]);
    assert!(layer.set_weight_bias(flipped.clone(), Some(bias)).is_err());
    assert_eq!(layer.state(), before);
    let bias = tensor(&[1.0, 2.0, -1.0, 0.5], &[4]);
    layer
        .set_weight_bias(flipped.clone(), Some(bias.clone()))
        .unwrap();
    assert_eq!((layer.weight(), layer.bias()), (&flipped, Some(&bias)));
    let geometry = *float.geometry();
    let fresh = quantized::ConvTranspose2d::from_parts(flipped, Some(bias), geometry, OUTPUT);
    let x = quantized_value(&[1, 6, 4, 5]);
    let (a, b) = (
        layer.forward(&x).unwrap(),
        fresh.unwrap().forward(&x).unwrap(),
    );
    assert_eq!(integers(&a), integers(&b));
}
