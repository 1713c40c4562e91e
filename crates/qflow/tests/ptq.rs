//! Static post-training quantization from end to end: rules, conversion, reports, concurrency.

use crate::common::{self, Net, calibration, converted, distance, images};
use qflow::{
    ConvertOptions, Outcome, QConfig, QConfigSpec, calibrate, convert, convert_with, fuse_all,
    metrics, prepare, propagate_qconfig, quantize,
};
use qnn::{Layer, Linear, Module, QConfigSetting, describe};

fn output(net: &Net, seed: u64) -> qtensor_core::Tensor {
    net.forward(&images(seed)).unwrap().to_tensor()
}

#[test]
fn the_int8_net_stays_near_the_float_net() {
    let (float, int8) = (Net::new(), converted());
    for seed in 100..104 {
        let sqnr = metrics::sqnr_db(&output(&float, seed), &output(&int8, seed)).unwrap();
        assert!(sqnr > 25.0, "seed {seed}: {sqnr} dB");
    }
}

#[test]
fn every_preset_and_activation_type_converts() {
    for name in ["x86", "fbgemm", "qnnpack", "onednn"] {
        let mut net = Net::new();
        let qconfig = QConfig::by_name(name).unwrap();
        quantize(&mut net, &qconfig, calibration()).unwrap();
        let sqnr = metrics::sqnr_db(&output(&Net::new(), 100), &output(&net, 100)).unwrap();
        assert!(sqnr > 18.0, "{name}: {sqnr} dB");
    }
}

#[test]
fn the_report_says_what_became_of_each_place() {
    let mut net = Net::new();
    let report = quantize(&mut net, QConfig::x86(), calibration()).unwrap();
    let after = |path: &str| report.row(path).unwrap().after.clone();
    assert_eq!(after("conv1"), "QuantizedConvReLU6_2d");
    assert_eq!(after("conv2"), "QuantizedConv2d");
    assert_eq!(after("add"), "QFunctional");
    assert_eq!(after("fc1"), "QuantizedLinearReLU");
    assert_eq!(
        (after("bn1"), after("act2")),
        ("Identity".into(), "Identity".into())
    );
    assert_eq!(after("pool"), "MaxPool2d");
    let Outcome::Converted(Some(q)) = &report.row("fc2").unwrap().outcome else {
        panic!("fc2 is converted")
    };
    assert!(q.scale > 0.0);
    let fc1 = report.row("fc1").unwrap();
    assert_eq!(fc1.bytes_before, (32 * 16 + 16) * 4);
    assert!(fc1.bytes_after < fc1.bytes_before * 2 / 5);
    let text = report.to_string();
    for row in report.rows() {
        assert!(
            text.contains(&row.path),
            "{} is not in the printed table",
            row.path
        );
    }
    assert!(describe(&net).contains("(fc1): QuantizedLinearReLU("));
}

#[test]
fn rules_by_type_by_name_and_by_place_win_in_that_order() {
    let mut net = Net::new();
    net.fc2 = Layer::new(Linear::new(16, 5).unwrap())
        .with_qconfig(QConfigSetting::Use(QConfig::minmax()));
    let spec = QConfigSpec::from(QConfig::x86())
        .with_type::<Linear>(None)
        .with_name("fc1", Some(QConfig::qnnpack()))
        .with_name("conv2", None);
    let chosen = propagate_qconfig(&net, &spec).unwrap();
    let has = |path: &str| chosen.iter().find(|(p, _)| p == path).unwrap().1.is_some();
    assert!(has("conv1") && has("fc1") && has("fc2") && !has("conv2"));

    let only_type = QConfigSpec::from(QConfig::x86()).with_type::<Linear>(None);
    let chosen = propagate_qconfig(&Net::new(), &only_type).unwrap();
    let linear = chosen.iter().filter(|(p, _)| p.starts_with("fc"));
    assert!(linear.clone().count() == 2 && linear.into_iter().all(|(_, q)| q.is_none()));
}

#[test]
fn a_place_left_in_float_keeps_its_module_and_says_why() {
    let mut net = Net::new();
    fuse_all(&mut net, &images(0)).unwrap();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, calibration()).unwrap();
    let options = ConvertOptions {
        leave_float: vec!["fc2".into()],
        ..ConvertOptions::default()
    };
    let report = convert_with(&mut net, &options).unwrap();
    let row = report.row("fc2").unwrap();
    assert_eq!(row.after, "Linear");
    assert!(matches!(&row.outcome, Outcome::Unchanged(why) if why.contains("as asked")));
    // The value that reaches it is quantized: the error names the place and the stub.
    let error = net.forward(&images(1)).unwrap_err().to_string();
    assert!(
        error.starts_with("fc2 (Linear)") && error.contains("DeQuantStub"),
        "{error}"
    );
}

#[test]
fn calibration_does_not_change_what_the_float_net_computes() {
    let plain = output(&Net::new(), 9);
    let mut net = Net::new();
    prepare(&mut net, QConfig::x86()).unwrap();
    assert_eq!(distance(&output(&net, 9), &plain), 0.0);
    // A second preparation starts anew.
    prepare(&mut net, QConfig::minmax()).unwrap();
    assert!(convert(&mut net).is_err());
}

#[test]
fn converted_nets_give_the_same_bytes_from_many_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let net = converted();
    shared(&net);
    let want = output(&net, 3).to_vec();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(output(&net, 3).to_vec(), want);
                }
            });
        }
    });
}

#[test]
fn batches_give_what_single_images_give() {
    let net = converted();
    let x = images(5).to_tensor();
    let both = net.forward(&x.clone().into()).unwrap().to_tensor();
    for i in 0..2 {
        let one = net
            .forward(&x.slice(0, i, i + 1, 1).unwrap().into())
            .unwrap()
            .to_tensor();
        assert_eq!(one.to_vec(), both.select(0, i).unwrap().to_vec());
    }
}

#[test]
fn a_dead_channel_with_a_bias_keeps_its_value() {
    use qnn::{Conv2d, DeQuantStub, QuantStub, Sequential};
    use qtensor_core::Tensor;
    let geometry = *Conv2d::config(1, 2, 1).build().unwrap().geometry();
    let weight = Tensor::from_vec(vec![0.0, 1.0], &[2, 1, 1, 1]).unwrap();
    let bias = Tensor::from_vec(vec![3.0, 0.5], &[2]).unwrap();
    let conv = Conv2d::from_parts(weight, Some(bias), geometry).unwrap();
    let mut net = Sequential::new()
        .push(QuantStub)
        .push(conv)
        .push(DeQuantStub);
    // A small input range makes the bias grid as fine as it gets.
    let x = Tensor::from_vec(vec![0.0, 0.05, 0.1, 0.3], &[1, 1, 2, 2]).unwrap();
    quantize(&mut net, QConfig::minmax(), vec![x.clone().into()]).unwrap();
    let y = net.forward(&x.into()).unwrap().to_tensor();
    assert!(
        y.to_vec()[..4].iter().all(|v| (v - 3.0).abs() < 0.02),
        "{y}"
    );
}

#[test]
fn the_report_gives_the_reason_why_a_place_is_unchanged() {
    let mut net = Net::new();
    let spec = QConfigSpec::from(QConfig::x86())
        .with_name("add", None)
        .with_name("fc2", None);
    prepare(&mut net, spec).unwrap();
    calibrate(&net, calibration()).unwrap();
    let report = convert(&mut net).unwrap();
    let why = |path: &str| match &report.row(path).unwrap().outcome {
        Outcome::Unchanged(why) => why.clone(),
        Outcome::Converted(_) => panic!("{path} is converted"),
    };
    assert!(why("add").contains("no qconfig") && why("fc2").contains("no qconfig"));
    assert!(why("pool").contains("as it is"));
}

/// A composite that is converted as one.
#[derive(Module)]
struct Pair {
    a: Layer<Linear>,
    b: Layer<Linear>,
}

impl Pair {
    fn forward(&self, x: &qnn::Value) -> qnn::Result<qnn::Value> {
        self.b.forward(&self.a.forward(x)?)
    }
}

#[test]
fn a_row_for_a_composite_converts_it_as_one() {
    use qflow::{Mapping, prepare_with};
    use qnn::{DeQuantStub, Identity, QuantStub, Sequential, erase};
    let pair = Pair {
        a: Linear::new(3, 3).unwrap().into(),
        b: Linear::new(3, 3).unwrap().into(),
    };
    let mut net = Sequential::new()
        .push(QuantStub)
        .push(pair)
        .push(DeQuantStub);
    let mapping = || Mapping::default().with(|_: &Pair, _| Ok(erase(Identity)));
    prepare_with(&mut net, QConfig::minmax(), &mapping()).unwrap();
    calibrate(&net, [common::batch(0, &[2, 3])]).unwrap();
    let options = ConvertOptions {
        mapping: mapping(),
        ..ConvertOptions::default()
    };
    let report = convert_with(&mut net, &options).unwrap();
    assert_eq!(report.row("1").unwrap().after, "Identity");
    assert!(report.row("1.a").is_none());
    assert!(!describe(&net).contains("Linear"));
}
