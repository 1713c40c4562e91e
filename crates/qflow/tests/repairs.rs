//! Equalization, bias correction and learned rounding: each improves a model made to need it.

use crate::common::{self, Net, calibration, distance, images};
use qflow::accuracy::{AdaRoundOptions, Rounding, adaround, correct_bias, equalize};
use qflow::{Error, QConfig, calibrate, convert, fuse_all, metrics, prepare};
use qnn::{
    Conv2d, DeQuantStub, Entry, Linear, Module, Node, QuantStub, ReLU, Sequential, Value, walk,
};
use qobserve::PerChannelMinMaxObserver;
use qtensor_core::{QTensor, Tensor};

fn output(net: &impl Module<Input = Value, Output = Value>, x: &Value) -> Tensor {
    net.forward(x).unwrap().to_tensor()
}

fn entry(net: &dyn Node, place: &str, key: &str) -> Entry {
    let mut found = None;
    walk(net, &mut |path, node| {
        if path == place {
            found = node.state().get(key).cloned();
        }
    });
    found.unwrap()
}

fn float(net: &dyn Node, place: &str, key: &str) -> Tensor {
    match entry(net, place, key) {
        Entry::Tensor(t) => t,
        other => panic!("{place}.{key} is {other:?}"),
    }
}

fn integers(net: &dyn Node, place: &str) -> QTensor {
    match entry(net, place, "weight") {
        Entry::QTensor(q) => q,
        other => panic!("{place} is {other:?}"),
    }
}

/// conv, depthwise conv, conv with ReLUs between; the channels of the first differ by factors of up to 1000.
fn uneven() -> Sequential {
    qnn::manual_seed(3);
    let spread = |conv: Conv2d| {
        let (mut weight, mut bias) = (conv.weight().clone(), conv.bias().unwrap().clone());
        let per_channel = weight.numel() / bias.numel();
        for (i, w) in weight.make_mut().iter_mut().enumerate() {
            *w *= 10f32.powi((i / per_channel % 4) as i32);
        }
        for (i, b) in bias.make_mut().iter_mut().enumerate() {
            *b *= 10f32.powi((i % 4) as i32);
        }
        Conv2d::from_parts(weight, Some(bias), *conv.geometry()).unwrap()
    };
    let undo = |conv: Conv2d| {
        let mut weight = conv.weight().clone();
        for (i, w) in weight.make_mut().iter_mut().enumerate() {
            *w /= 10f32.powi((i % 8 % 4) as i32);
        }
        Conv2d::from_parts(weight, conv.bias().cloned(), *conv.geometry()).unwrap()
    };
    Sequential::new()
        .push(QuantStub)
        .push(spread(Conv2d::config(3, 8, 3).build().unwrap()))
        .push(ReLU)
        .push(Conv2d::config(8, 8, 3).groups(8).build().unwrap())
        .push(ReLU)
        .push(undo(Conv2d::config(8, 4, 1).build().unwrap()))
        .push(DeQuantStub)
}

/// The SQNR of the int8 form of a net.
fn int8_db(mut net: Sequential, qconfig: QConfig) -> f64 {
    let reference = output(&net, &images(100));
    qflow::quantize(&mut net, qconfig, calibration()).unwrap();
    metrics::sqnr_db(&reference, &output(&net, &images(100))).unwrap()
}

#[test]
fn equalization_keeps_float_and_saves_int8_through_a_depthwise_layer() {
    let before = output(&uneven(), &images(100));
    let mut net = uneven();
    let rounds = equalize(&mut net, &[("1", "3"), ("3", "5")], 1e-4).unwrap();
    assert!((2..200).contains(&rounds), "{rounds} rounds");
    let after = output(&net, &images(100));
    let size = before.to_vec().iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(distance(&before, &after) < 1e-5 * size.max(1.0));
    let (plain, equal) = (
        int8_db(uneven(), QConfig::qnnpack()),
        int8_db(net, QConfig::qnnpack()),
    );
    assert!(equal > plain + 10.0, "{plain} dB became {equal} dB");
}

#[test]
fn one_step_is_the_square_root_of_the_ranges() {
    let first = Tensor::from_vec(vec![3.0, -1.0, 0.5, 0.25], &[2, 2]).unwrap();
    let bias = Tensor::from_vec(vec![2.0, 1.0], &[2]).unwrap();
    let second = Tensor::from_vec(vec![0.5, 1.0, -0.5, 5.0], &[2, 2]).unwrap();
    let mut net = Sequential::new()
        .push(Linear::from_parts(first, Some(bias)).unwrap())
        .push(ReLU)
        .push(Linear::from_parts(second, None).unwrap());
    equalize(&mut net, &[("0", "2")], 1e-4).unwrap();
    // r1 = (4, 0.25), r2 = (1, 4): s = (2, 0.25).
    let near = |place: &str, key: &str, expected: &[f32]| {
        for (a, b) in float(&net, place, key).to_vec().iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{place}.{key}: {a} is not {b}");
        }
    };
    near("0", "weight", &[1.5, -0.5, 2.0, 1.0]);
    near("0", "bias", &[1.0, 4.0]);
    near("2", "weight", &[1.0, 0.25, -1.0, 1.25]);
}

#[test]
fn equalization_refuses_what_it_would_break() {
    let mut net = Net::new();
    fuse_all(&mut net, &images(0)).unwrap();
    let tree = float(&net, "conv1", "weight");
    let mut refused = |first: &str, second: &str, says: &str| {
        let error = equalize(&mut net, &[(first, second)], 1e-4).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    };
    refused("conv1", "conv2", "ReLU6");
    refused("conv2", "fc1", "conv2 gives 8 channels, but fc1 takes 32");
    refused("pool", "fc1", "pool holds a MaxPool2d");
    refused("nowhere", "fc1", "nowhere");
    refused("fc2", "fc2", "takes 16");
    prepare(&mut net, QConfig::x86()).unwrap();
    let error = equalize(&mut net, &[("fc1", "fc2")], 1e-4).unwrap_err();
    assert!(error.to_string().contains("before prepare"), "{error}");
    assert_eq!(float(&net, "conv1", "weight"), tree);
}

/// A layer whose weights all lie 0.4 steps above an integer of their grid, and positive inputs.
fn biased() -> (Sequential, Vec<Value>) {
    let step = 1.0 / 127.5f32;
    let weight = (0..8 * 64).map(|i| {
        if i % 64 == 0 {
            1.0
        } else {
            ((i * 7 % 100) as f32 - 50.0 + 0.4) * step
        }
    });
    let weight = Tensor::from_vec(weight.collect(), &[8, 64]).unwrap();
    let bias = Tensor::zeros(&[8]).unwrap();
    let net = Sequential::new()
        .push(QuantStub)
        .push(Linear::from_parts(weight, Some(bias)).unwrap())
        .push(DeQuantStub);
    let samples = (0..4).map(|seed| {
        let x = common::batch(seed, &[16, 64]).to_tensor();
        Value::from(x.map(|v| v.abs()))
    });
    (net, samples.collect())
}

#[test]
fn bias_correction_takes_the_mean_error_out() {
    let (reference, samples) = biased();
    let run = |correct: bool| {
        let (mut net, samples) = biased();
        prepare(&mut net, QConfig::x86()).unwrap();
        calibrate(&net, samples.clone()).unwrap();
        let weight = float(&net, "1", "weight");
        if correct {
            let rows = correct_bias(&mut net, &samples).unwrap();
            assert_eq!((rows.len(), rows[0].path.as_str()), (1, "1"));
            assert!(
                rows[0].kept && rows[0].after < 0.1 * rows[0].before,
                "{rows:?}"
            );
        }
        // Weights are none of its business.
        assert_eq!(float(&net, "1", "weight"), weight);
        convert(&mut net).unwrap();
        let x = &samples[0];
        metrics::sqnr_db(&output(&reference, x), &output(&net, x)).unwrap()
    };
    let (plain, corrected) = (run(false), run(true));
    assert!(corrected > plain + 3.0, "{plain} dB became {corrected} dB");
    let mut net = biased().0;
    assert!(matches!(
        correct_bias(&mut net, &samples).unwrap_err(),
        Error::NotPrepared
    ));
}

#[test]
fn bias_correction_of_a_whole_net_keeps_only_what_helps() {
    let mut net = Net::new();
    fuse_all(&mut net, &images(0)).unwrap();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, calibration()).unwrap();
    let rows = correct_bias(&mut net, &calibration()).unwrap();
    let paths: Vec<&str> = rows.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths, ["conv1", "conv2", "fc1", "fc2"]);
    assert!(rows.iter().all(|r| r.after <= r.before), "{rows:?}");
    assert!(rows.iter().any(|r| r.kept));
    convert(&mut net).unwrap();
}

/// Four bits: weights for which rounding matters.
fn four_bits() -> QConfig {
    let weight = PerChannelMinMaxObserver::builder()
        .dtype(qtensor_core::DType::QInt8)
        .qscheme(qtensor_core::QScheme::PerChannelSymmetric)
        .quant_range(-8, 7)
        .factory()
        .unwrap();
    QConfig {
        weight,
        ..QConfig::x86()
    }
}

fn two_layers() -> Sequential {
    qnn::manual_seed(5);
    Sequential::new()
        .push(QuantStub)
        .push(Conv2d::config(3, 6, 3).padding(1).build().unwrap())
        .push(ReLU)
        .push(Conv2d::config(6, 6, 3).groups(2).build().unwrap())
        .push(DeQuantStub)
}

#[test]
fn learned_rounding_beats_the_nearest_and_is_what_conversion_finds() {
    let options = AdaRoundOptions {
        iterations: 400,
        ..AdaRoundOptions::default()
    };
    let mut net = two_layers();
    prepare(&mut net, four_bits()).unwrap();
    let mut plain = two_layers();
    prepare(&mut plain, four_bits()).unwrap();
    let rows = adaround(&mut net, &calibration(), &options).unwrap();
    assert_eq!(rows.len(), 2);
    // The pixels of these images are independent of each other and around 0, for which the nearest is all but the best; the
    // outputs of a ReLU are not.
    let gain = |row: &Rounding| 1.0 - row.learned / row.nearest;
    assert!(rows.iter().all(|row| row.flipped > 0), "{rows:?}");
    assert!(gain(&rows[0]) > 0.0 && gain(&rows[1]) > 0.2, "{rows:?}");
    let learned = float(&net, "3", "weight");
    calibrate(&net, calibration()).unwrap();
    calibrate(&plain, calibration()).unwrap();
    convert(&mut net).unwrap();
    convert(&mut plain).unwrap();
    // The grid is that of the float weight, and each integer is one of its two neighbours.
    let (ours, theirs) = (integers(&net, "3"), integers(&plain, "3"));
    assert_eq!(ours.quantizer().channel(0), {
        let mut observer = four_bits().weight.build();
        observer
            .observe(&float(&two_layers(), "3", "weight"))
            .unwrap();
        observer.calculate_qparams().unwrap().channel(0)
    });
    let (a, b) = (ours.int_repr().to_i32_vec(), theirs.int_repr().to_i32_vec());
    assert!(
        a.iter()
            .zip(&b)
            .all(|(a, b)| (a - b).abs() <= 1 && (-8..=7).contains(a))
    );
    let back = ours.dequantize();
    assert!(distance(&back, &learned) < 1e-6);

    let reference = two_layers();
    let db = |net: &Sequential| {
        let x = images(100);
        metrics::sqnr_db(&output(&reference, &x), &output(net, &x)).unwrap()
    };
    assert!(
        db(&net) > db(&plain) + 0.5,
        "{} dB became {} dB",
        db(&plain),
        db(&net)
    );
}

#[test]
fn adaround_refuses_what_makes_no_sense() {
    let mut net = two_layers();
    let options = AdaRoundOptions::default();
    let error = adaround(&mut net, &calibration(), &options).unwrap_err();
    assert!(error.to_string().contains("prepare"), "{error}");
    prepare(&mut net, four_bits()).unwrap();
    assert!(matches!(
        adaround(&mut net, &[], &options).unwrap_err(),
        Error::NoData(_)
    ));
    for (wrong, says) in [
        (
            AdaRoundOptions {
                lambda: f64::NAN,
                ..options
            },
            "lambda",
        ),
        (
            AdaRoundOptions {
                warm_up: 1.5,
                ..options
            },
            "got 1.5",
        ),
        (
            AdaRoundOptions {
                beta: (20.0, 0.0),
                ..options
            },
            "got 0",
        ),
    ] {
        let error = adaround(&mut net, &calibration(), &wrong).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    // Without iterations learning ends at the float weight's nearest integers.
    let none = AdaRoundOptions {
        iterations: 0,
        ..options
    };
    let rows = adaround(&mut net, &calibration(), &none).unwrap();
    assert!(rows.iter().all(|row| row.flipped == 0), "{rows:?}");
}
