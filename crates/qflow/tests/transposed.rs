//! Decoders with transposed convolutions through the flows: static, dynamic and trained, and their files.

use crate::common::{batch, distance, norm};
use qflow::{
    Error, QConfig, QConfigSpec, TrainOptions, calibrate, convert, convert_into, fit, from_bytes,
    fuse_all, fuse_all_qat, load, prepare, prepare_qat, quantize_dynamic, save, step_differences,
    to_bytes,
};
use qgrad::optim::Adam;
use qnn::{
    BatchNorm2d, Conv2d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, DeQuantStub, Module,
    QuantStub, ReLU, ReLU6, Sequential, Tanh, Value, describe, manual_seed,
};
use qtensor_core::Tensor;

/// A decoder: 8 channels of 4 × 4 to 3 of 16 × 16. The second layer has groups.
fn decoder() -> Sequential {
    manual_seed(11);
    let first = ConvTranspose2d::config(8, 6, 4)
        .stride(2)
        .padding(1)
        .bias(false);
    let second = ConvTranspose2d::config(6, 4, 3)
        .stride(2)
        .padding(1)
        .output_padding(1)
        .groups(2);
    Sequential::new()
        .push(QuantStub)
        .push(first.build().unwrap())
        .push(norm(6).unwrap())
        .push(ReLU)
        .push(second.build().unwrap())
        .push(ReLU6)
        .push(ConvTranspose2d::config(4, 3, 3).padding(1).build().unwrap())
        .push(DeQuantStub)
}

fn codes(seed: u64) -> Value {
    batch(seed, &[2, 8, 4, 4])
}

fn calibrated() -> Sequential {
    let mut net = decoder();
    fuse_all(&mut net, &codes(0)).unwrap();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, (0..6).map(codes)).unwrap();
    net
}

fn loss(net: &Sequential, x: &Value) -> qnn::Result<qgrad::Var> {
    let y = net.forward(x)?;
    let target = Tensor::full(y.shape(), 0.3)?;
    Ok(qgrad::ops::mse_loss(y.float("loss")?, &target)?)
}

#[test]
fn a_decoder_converts_and_reloads_to_the_same_bytes() {
    let float = decoder();
    let want = float.forward(&codes(7)).unwrap().to_tensor();
    let mut net = calibrated();
    let fused = net.forward(&codes(7)).unwrap().to_tensor();
    assert!(distance(&want, &fused) < 1e-5, "the batch norm is folded");
    let report = convert(&mut net).unwrap();
    let kinds: Vec<&str> = report.converted().map(|row| row.after.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "Quantize",
            "QuantizedConvTransposeReLU2d",
            "QuantizedConvTransposeReLU6_2d",
            "QuantizedConvTranspose2d",
            "DeQuantize",
        ],
        "{report}"
    );
    let row = report.row("1").unwrap();
    assert_eq!(row.before, "ConvTransposeReLU2d");
    assert!(row.bytes_after * 3 < row.bytes_before);
    let got = net.forward(&codes(7)).unwrap().to_tensor();
    assert_eq!(got.shape(), [2, 3, 16, 16]);
    let greatest = want.to_vec().iter().fold(0f32, |a, v| a.max(v.abs()));
    assert!(
        distance(&want, &got) < 0.05 * greatest,
        "{}",
        distance(&want, &got)
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decoder.qt");
    save(&net, &path).unwrap();
    let mut again = decoder();
    load(&mut again, &path).unwrap();
    assert_eq!(describe(&again), describe(&net));
    assert_eq!(again.forward(&codes(7)).unwrap().to_tensor(), got);
    assert_eq!(to_bytes(&again).unwrap(), std::fs::read(&path).unwrap());
    // Over the converted model too; and a float one has a file of its own.
    load(&mut again, &path).unwrap();
    assert_eq!(again.forward(&codes(7)).unwrap().to_tensor(), got);
    let mut fresh = decoder();
    from_bytes(&mut fresh, &to_bytes(&float).unwrap()).unwrap();
    assert_eq!(fresh.forward(&codes(7)).unwrap().to_tensor(), want);
}

#[test]
fn files_of_other_layers_are_refused_with_their_place() {
    let mut net = calibrated();
    convert(&mut net).unwrap();
    let bytes = to_bytes(&net).unwrap();
    let with_second = |second: ConvTranspose2d| {
        Sequential::new()
            .push(QuantStub)
            .push(
                ConvTranspose2d::config(8, 6, 4)
                    .stride(2)
                    .padding(1)
                    .bias(false)
                    .build()
                    .unwrap(),
            )
            .push(norm(6).unwrap())
            .push(ReLU)
            .push(second)
            .push(ReLU6)
            .push(ConvTranspose2d::config(4, 3, 3).padding(1).build().unwrap())
            .push(DeQuantStub)
    };
    let plain = ConvTranspose2d::config(6, 4, 3)
        .stride(2)
        .padding(1)
        .groups(2);
    let message = |config: qnn::ConvTransposeConfig<2>| {
        let mut other = with_second(config.build().unwrap());
        let before = describe(&other);
        let error = from_bytes(&mut other, &bytes).unwrap_err();
        assert!(
            matches!(error, Error::OtherConfig { .. } | Error::WeightShape { .. }),
            "{error}"
        );
        assert_eq!(describe(&other), before);
        error.to_string()
    };
    let error = message(plain.output_padding(0));
    assert!(error.contains("4.output_padding"), "{error}");
    let wider = ConvTranspose2d::config(6, 8, 3)
        .stride(2)
        .padding(1)
        .output_padding(1)
        .groups(2);
    let error = message(wider);
    assert!(error.starts_with("4") || error.contains("4."), "{error}");
    // A convolution stands in for no transposed one.
    let mut other = Sequential::new().push(Conv2d::config(8, 6, 4).build().unwrap());
    assert!(from_bytes(&mut other, &bytes).is_err());
}

#[test]
fn fusion_finds_every_chain_and_checks_widths() {
    let mut net = decoder();
    let chains = fuse_all(&mut net, &codes(0)).unwrap();
    let names: Vec<Vec<&str>> = chains
        .iter()
        .map(|chain| chain.iter().map(String::as_str).collect())
        .collect();
    assert_eq!(names, [vec!["1", "2", "3"], vec!["4", "5"]]);
    let mut wrong = Sequential::new()
        .push(ConvTranspose2d::config(8, 6, 4).build().unwrap())
        .push(BatchNorm2d::new(8).unwrap());
    let error = qflow::fuse_modules(&mut wrong, &[&["0", "1"]]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::FuseChannels {
                expected: 6,
                actual: 8,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn dynamic_quantization_by_type_and_by_name() {
    let make = || {
        manual_seed(5);
        Sequential::new()
            .push(
                ConvTranspose1d::config(4, 6, 8)
                    .stride(4)
                    .padding(2)
                    .build()
                    .unwrap(),
            )
            .push(Tanh)
            .push(
                ConvTranspose1d::config(6, 2, 4)
                    .stride(2)
                    .padding(1)
                    .build()
                    .unwrap(),
            )
    };
    let x = batch(3, &[2, 4, 5]);
    let want = make().forward(&x).unwrap().to_tensor();
    let spec = QConfigSpec::float().with_type::<ConvTranspose1d>(Some(QConfig::dynamic()));
    let mut net = make();
    let report = quantize_dynamic(&mut net, spec).unwrap();
    assert_eq!(report.converted().count(), 2, "{report}");
    assert_eq!(
        report.row("0").unwrap().after,
        "DynamicQuantizedConvTranspose1d"
    );
    let got = net.forward(&x).unwrap().to_tensor();
    assert_eq!(got.shape(), [2, 2, 40]);
    assert!(distance(&got, &want) < 0.02, "{}", distance(&got, &want));
    let mut again = make();
    from_bytes(&mut again, &to_bytes(&net).unwrap()).unwrap();
    assert_eq!(again.forward(&x).unwrap().to_tensor(), got);
    let mut one = make();
    let spec = QConfigSpec::float().with_name("2", Some(QConfig::dynamic()));
    let report = quantize_dynamic(&mut one, spec).unwrap();
    assert_eq!(report.row("0").unwrap().after, "ConvTranspose1d");
    assert_eq!(report.converted().count(), 1);
}

#[test]
fn a_decoder_trains_and_is_within_one_step_at_every_place() {
    for qconfig in [QConfig::x86_qat(), QConfig::qnnpack_qat(), QConfig::lsq()] {
        let mut net = decoder();
        fuse_all_qat(&mut net, &codes(0)).unwrap();
        prepare_qat(&mut net, qconfig).unwrap();
        assert!(describe(&net).contains("QatConvTransposeReLU6_2d"));
        let options = TrainOptions::new(3, Adam::new(1e-3).unwrap())
            .freeze_observers(2)
            .freeze_bn(2);
        fit(
            &mut net,
            options,
            |_| (0..4).map(codes).collect::<Vec<_>>(),
            loss,
        )
        .unwrap();
        let mut int8 = decoder();
        let report = convert_into(&net, &mut int8).unwrap();
        assert_eq!(
            report.row("1").unwrap().after,
            "QuantizedConvTranspose2d",
            "{report}"
        );
        assert_eq!(
            report.row("4").unwrap().after,
            "QuantizedConvTransposeReLU6_2d"
        );
        for row in step_differences(&net, &int8, &codes(40)).unwrap() {
            assert!(row.steps <= 1, "{row:?}");
        }
    }
}

#[test]
fn three_dimensions_convert_too() {
    manual_seed(6);
    let up = ConvTranspose3d::config(3, 5, [1, 2, 2])
        .stride([1, 2, 2])
        .build()
        .unwrap();
    let mut net = Sequential::new().push(QuantStub).push(up).push(DeQuantStub);
    let x = batch(2, &[1, 3, 2, 3, 4]);
    let want = net.forward(&x).unwrap().to_tensor();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, [x.clone()]).unwrap();
    let report = convert(&mut net).unwrap();
    assert_eq!(report.row("1").unwrap().after, "QuantizedConvTranspose3d");
    let got = net.forward(&x).unwrap().to_tensor();
    assert_eq!(got.shape(), [1, 5, 2, 6, 8]);
    assert!(distance(&got, &want) < 0.05, "{}", distance(&got, &want));
}
