//! Quantization-aware training: fused and unfused agree, conversion keeps what was trained, switches and mistakes.

use std::collections::BTreeMap;

use crate::common::{self, Net, batch, calibration, images, norm};
use qflow::{
    Error, QConfig, QConfigSpec, QatOptions, TrainOptions, convert, convert_into, fit,
    fuse_all_qat, fuse_modules_qat, prepare_qat, quantize_qat, quantize_qat_with, step_differences,
};
use qgrad::optim::{Adam, ParameterSet, Sgd};
use qgrad::{Var, ops};
use qnn::{
    BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv1d, Conv2d, Conv3d, DeQuantStub, Embedding, Flatten,
    Layer, Linear, Module, Node, QuantStub, ReLU, Sequential, Value, describe, for_each_fake_quant,
    manual_seed, parameters, set_observing, set_quantizing, train,
};
use qtensor_core::Tensor;

/// A small net of the fusable kind, always with the same parameters.
fn small() -> Sequential {
    manual_seed(3);
    Sequential::new()
        .push(QuantStub)
        .push(Conv2d::config(3, 4, 3).bias(true).build().unwrap())
        .push(norm(4).unwrap())
        .push(ReLU)
        .push(DeQuantStub)
}

fn labels() -> Vec<usize> {
    vec![3, 1]
}

fn loss(net: &Sequential, x: &Value) -> qnn::Result<Var> {
    let y = net.forward(x)?;
    let target = Tensor::full(y.shape(), 0.3)?;
    Ok(ops::mse_loss(y.float("loss")?, &target)?)
}

fn net_loss(net: &Net, x: &Value) -> qnn::Result<Var> {
    let y = net.forward(x)?;
    Ok(ops::cross_entropy(y.float("loss")?, &labels(), 0.0)?)
}

/// The loss, and the gradients by the parameters' last names.
fn one_step(net: &mut Sequential) -> (f32, Vec<Tensor>, f32) {
    train(net);
    let before = loss(net, &images(1)).unwrap();
    before.backward().unwrap();
    let mut grads = Vec::new();
    parameters(net).each(&mut |_, var| grads.push(var.grad().unwrap()));
    let options = TrainOptions::new(1, Sgd::config(0.1).build().unwrap());
    parameters(net).each(&mut |_, var| var.zero_grad());
    fit(net, options, |_| [images(1)], loss).unwrap();
    train(net);
    let after = loss(net, &images(1)).unwrap();
    let item = |v: Var| v.untraced().item().unwrap();
    (item(before), grads, item(after))
}

#[test]
fn one_step_is_the_same_fused_unfused_and_with_fake_quants_off() {
    let (unfused, grads, after) = one_step(&mut small());

    let mut fused = small();
    fuse_modules_qat(&mut fused, &[&["1", "2", "3"]]).unwrap();
    assert!(describe(&fused).contains("ConvBnReLU2d"));
    let (fused, fused_grads, fused_after) = one_step(&mut fused);
    assert!((fused - unfused).abs() < 1e-5, "{fused} and {unfused}");
    assert!(
        (fused_after - after).abs() < 1e-5,
        "{fused_after} and {after}"
    );

    let mut off = small();
    fuse_modules_qat(&mut off, &[&["1", "2", "3"]]).unwrap();
    prepare_qat(&mut off, QConfig::x86_qat()).unwrap();
    assert!(describe(&off).contains("QatConvBnReLU2d"));
    set_quantizing(&mut off, false);
    let (off, off_grads, off_after) = one_step(&mut off);
    assert!((off - unfused).abs() < 1e-5, "{off} and {unfused}");
    assert!((off_after - after).abs() < 1e-5, "{off_after} and {after}");
    assert!(after < unfused, "a step goes down");

    assert_eq!((grads.len(), fused_grads.len(), off_grads.len()), (4, 4, 4));
    for i in 0..4 {
        assert!(common::distance(&grads[i], &fused_grads[i]) < 1e-5);
        assert!(common::distance(&grads[i], &off_grads[i]) < 1e-5);
    }
}

#[test]
fn rounding_changes_the_loss_and_every_weight_still_gets_a_gradient() {
    let mut net = Net::new();
    let chains = fuse_all_qat(&mut net, &images(0)).unwrap();
    assert_eq!(chains.len(), 3);
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    let rounded = net_loss(&net, &images(1)).unwrap();
    rounded.backward().unwrap();
    let mut without = Vec::new();
    parameters(&mut net).each(&mut |name, var| {
        if var.grad().is_none() {
            without.push(name.to_string());
        }
    });
    assert!(without.is_empty(), "{without:?}");
    set_quantizing(&mut net, false);
    let float = net_loss(&net, &images(1)).unwrap();
    assert_ne!(rounded.untraced(), float.untraced());
}

#[test]
fn the_int8_net_is_within_one_step_of_the_trained_one_at_every_place() {
    for qconfig in [QConfig::x86_qat(), QConfig::qnnpack_qat(), QConfig::lsq()] {
        let mut net = Net::new();
        fuse_all_qat(&mut net, &images(0)).unwrap();
        prepare_qat(&mut net, qconfig).unwrap();
        let options = TrainOptions::new(4, Adam::new(1e-3).unwrap())
            .freeze_observers(3)
            .freeze_bn(2);
        fit(&mut net, options, |_| calibration(), net_loss).unwrap();
        let before = describe(&net);
        let mut int8 = Net::new();
        let report = convert_into(&net, &mut int8).unwrap();
        assert_eq!(describe(&net), before, "the trained net stays as it is");
        assert_eq!(report.converted().count(), 7, "{report}");
        let rows = step_differences(&net, &int8, &images(40)).unwrap();
        // Every place but the last gives integers.
        assert_eq!(rows.len(), qnn::paths(&net).len() - 1);
        for row in rows {
            assert!(row.steps <= 1, "{row:?}");
        }
        // In place, conversion makes the same net.
        convert(&mut net).unwrap();
        let (a, b) = (
            net.forward(&images(41)).unwrap(),
            int8.forward(&images(41)).unwrap(),
        );
        assert_eq!(a.to_tensor(), b.to_tensor());
    }
}

#[test]
fn gamma_zero_stays_finite_and_keeps_learning() {
    let mut net = small();
    let mut weights = qflow::state_dict(&net);
    let gamma = Tensor::from_vec(vec![0.0, 1.0, 0.0, 1e-20], &[4]).unwrap();
    weights.insert("2.weight".into(), gamma);
    // Above 0, so that the ReLU passes gradients.
    weights.insert("2.bias".into(), Tensor::full(&[4], 0.5).unwrap());
    qflow::load_state_dict(&mut net, weights).unwrap();
    fuse_all_qat(&mut net, &images(0)).unwrap();
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    let y = net.forward(&images(1)).unwrap();
    let target = batch(9, y.shape()).to_tensor();
    let value = ops::mse_loss(y.float("loss").unwrap(), &target).unwrap();
    assert!(value.untraced().item().unwrap().is_finite());
    value.backward().unwrap();
    let mut grads = BTreeMap::new();
    parameters(&mut net).each(&mut |name, var| {
        grads.insert(name.to_string(), var.grad().unwrap().to_vec());
    });
    assert!(grads.values().flatten().all(|g| g.is_finite()), "{grads:?}");
    assert!(grads["1.bn.weight"].iter().all(|g| *g != 0.0), "{grads:?}");
    let report = convert(&mut net).unwrap();
    assert_eq!(report.converted().count(), 3);
    assert!(
        net.forward(&images(1))
            .unwrap()
            .to_tensor()
            .to_vec()
            .iter()
            .all(|v| v.is_finite())
    );
}

#[test]
fn every_kind_of_module_trains_and_converts() {
    type Make = fn() -> Sequential;
    let nets: [(Make, &[usize], &[&str]); 3] = [
        (
            || {
                Sequential::new()
                    .push(QuantStub)
                    .push(Conv1d::config(2, 4, 3).padding(1).build().unwrap())
                    .push(BatchNorm1d::new(4).unwrap())
                    .push(Conv1d::config(4, 4, 3).padding(1).build().unwrap())
                    .push(ReLU)
                    .push(Flatten::new())
                    .push(Linear::new(24, 5).unwrap())
                    .push(BatchNorm1d::new(5).unwrap())
                    .push(ReLU)
                    .push(Linear::new(5, 3).unwrap())
                    .push(BatchNorm1d::new(3).unwrap())
                    .push(DeQuantStub)
            },
            &[4, 2, 6],
            &[
                "QatConvBn1d",
                "QatConvReLU1d",
                "QatLinearBnReLU1d",
                "QatLinearBn1d",
            ],
        ),
        (
            || {
                Sequential::new()
                    .push(QuantStub)
                    .push(Conv2d::config(2, 4, 3).build().unwrap())
                    .push(Conv2d::config(4, 4, 1).bias(false).build().unwrap())
                    .push(BatchNorm2d::new(4).unwrap())
                    .push(Flatten::new())
                    .push(Linear::new(16, 5).unwrap())
                    .push(ReLU)
                    .push(Linear::without_bias(5, 3).unwrap())
                    .push(DeQuantStub)
            },
            &[3, 2, 4, 4],
            &["QatConv2d", "QatConvBn2d", "QatLinearReLU", "QatLinear"],
        ),
        (
            || {
                Sequential::new()
                    .push(QuantStub)
                    .push(Conv3d::config(1, 2, 2).build().unwrap())
                    .push(BatchNorm3d::new(2).unwrap())
                    .push(ReLU)
                    .push(Conv3d::config(2, 2, 1).build().unwrap())
                    .push(DeQuantStub)
            },
            &[2, 1, 3, 3, 3],
            &["QatConvBnReLU3d", "QatConv3d"],
        ),
    ];
    for (make, shape, kinds) in nets {
        let mut net = make();
        let data: Vec<Value> = (0..3).map(|seed| batch(seed, shape)).collect();
        fuse_all_qat(&mut net, &data[0]).unwrap();
        prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
        for kind in kinds {
            assert!(
                describe(&net).contains(&format!("{kind}(")),
                "{kind}\n{}",
                describe(&net)
            );
        }
        let options = TrainOptions::new(2, Sgd::config(0.01).build().unwrap());
        fit(&mut net, options, |_| &data, loss).unwrap();
        set_observing(&mut net, false);
        let mut int8 = make();
        convert_into(&net, &mut int8).unwrap();
        assert!(!describe(&int8).contains("Qat"), "{}", describe(&int8));
        for row in step_differences(&net, &int8, &data[1]).unwrap() {
            assert!(row.steps <= 1, "{row:?}\n{}", describe(&int8));
        }
    }
}

#[test]
fn switches_by_epoch_freeze_observers_and_statistics() {
    let mut net = small();
    fuse_all_qat(&mut net, &images(0)).unwrap();
    prepare_qat(&mut net, QConfig::fbgemm_qat()).unwrap();
    let options = |epochs| TrainOptions::new(epochs, Sgd::config(0.05).build().unwrap());
    fit(&mut net, options(1), |_| [images(1)], loss).unwrap();
    let statistics = |net: &Sequential| qflow::state_dict(net)["1.bn.running_mean"].to_vec();
    let qparams = |net: &mut Sequential| {
        let mut found = Vec::new();
        for_each_fake_quant(net, &mut |name, f| {
            found.push((name.to_string(), format!("{:?}", f.calculate_qparams())));
        });
        found
    };
    let (means, found) = (statistics(&net), qparams(&mut net));
    assert_eq!(found.len(), 3, "{found:?}");
    fit(
        &mut net,
        options(2).freeze_observers(0).freeze_bn(0),
        |_| [images(2)],
        loss,
    )
    .unwrap();
    assert_eq!(statistics(&net), means);
    assert_eq!(qparams(&mut net), found);
    // Training mode does not take the freeze back; these do.
    qnn::update_bn_stats(&mut net);
    set_observing(&mut net, true);
    fit(&mut net, options(1), |_| [images(2)], loss).unwrap();
    assert_ne!(statistics(&net), means);
    assert_ne!(qparams(&mut net), found);
}

#[test]
fn the_one_line_form_reports_its_mistakes() {
    let data: Vec<Value> = calibration();
    let error = quantize_qat(&mut small(), loss, &[]).unwrap_err();
    assert!(matches!(error, Error::NoData("quantize_qat")), "{error}");

    let mut calls = 0;
    let diverging = |net: &Sequential, x: &Value| {
        calls += 1;
        // The first call watches for fusion.
        let factor = if calls > 3 { f32::NAN } else { 1.0 };
        Ok(ops::mul_scalar(&loss(net, x)?, factor)?)
    };
    let error = quantize_qat(&mut small(), diverging, &data).unwrap_err();
    let Error::LossNotFinite {
        loss: value,
        epoch: 0,
        batch: 2,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(
        value.is_nan() && error.to_string().contains("NaN in epoch 0, batch 2"),
        "{error}"
    );

    let constant = |_: &Sequential, _: &Value| Ok(Var::from(Tensor::scalar(1.0)));
    let error = quantize_qat(&mut small(), constant, &data)
        .unwrap_err()
        .to_string();
    assert!(error.contains("depends on no parameter"), "{error}");

    let mut empty = Sequential::new().push(ReLU);
    let options = TrainOptions::new(1, Adam::new(0.1).unwrap());
    let p = Var::parameter(Tensor::scalar(1.0));
    let error = fit(&mut empty, options, |_| &data, |_, _: &Value| Ok(p.clone())).unwrap_err();
    assert!(
        error.to_string().contains("no parameter to train"),
        "{error}"
    );

    let options = QatOptions {
        qconfig: QConfigSpec::from(QConfig::x86_qat()).with_name("nowhere", None),
        ..QatOptions::defaults(1).unwrap()
    };
    let error = quantize_qat_with(&mut small(), options, loss, &data).unwrap_err();
    assert!(matches!(error, Error::UnknownPlaces { .. }), "{error}");
}

#[test]
fn an_error_in_a_batch_leaves_the_parameters_of_the_last_step() {
    let mut net = small();
    let weights = qflow::state_dict(&net)["1.weight"].clone();
    let nan = |net: &Sequential, x: &Value| Ok(ops::mul_scalar(&loss(net, x)?, f32::INFINITY)?);
    let options = TrainOptions::new(1, Sgd::config(0.1).build().unwrap());
    assert!(fit(&mut net, options, |_| [images(0)], nan).is_err());
    assert_eq!(qflow::state_dict(&net)["1.weight"], weights);
    // The model is in evaluation mode again.
    let error = loss(&net, &images(0)).unwrap().backward().unwrap_err();
    assert!(matches!(error, qgrad::Error::NoGraph { .. }), "{error}");
}

#[test]
fn twins_of_another_structure_are_refused() {
    let mut net = small();
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    loss(&net, &images(0)).unwrap();
    let mut other = Sequential::new().push(QuantStub);
    let error = convert_into(&net, &mut other).unwrap_err().to_string();
    assert!(
        error.contains("has a ReLU") && error.contains("a nothing"),
        "{error}"
    );
    assert_eq!(
        describe(&other),
        describe(&Sequential::new().push(QuantStub))
    );
    // Conversion before any batch names the places, as after calibration.
    let mut untrained = small();
    prepare_qat(&mut untrained, QConfig::x86_qat()).unwrap();
    let error = convert(&mut untrained).unwrap_err();
    assert!(
        matches!(&error, Error::Uncalibrated(places) if places[0] == "0"),
        "{error}"
    );
}

#[test]
fn modules_go_to_float_and_back_with_their_weights() {
    let mut net = small();
    fuse_modules_qat(&mut net, &[&["1", "2", "3"]]).unwrap();
    let state = qflow::state_dict(&net);
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    assert_eq!(qflow::state_dict(&net), state);
    let fused =
        qnn::intrinsic::ConvBn2d::new(Conv2d::config(3, 4, 3).build().unwrap(), norm(4).unwrap())
            .unwrap();
    let qat = qnn::intrinsic::qat::ConvBn2d::from_float(&fused, &QConfig::x86_qat().weight);
    let float = qat.to_float().unwrap();
    let x = images(5);
    let (a, b) = (fused.forward(&x).unwrap(), float.forward(&x).unwrap());
    assert!(common::distance(&a.to_tensor(), &b.to_tensor()) < 1e-5);
    let message =
        qnn::intrinsic::ConvBn2d::new(Conv2d::config(3, 4, 3).build().unwrap(), norm(5).unwrap())
            .unwrap_err()
            .to_string();
    assert!(message.contains('4') && message.contains('5'), "{message}");
    assert_eq!(qat.kind(), "QatConvBn2d");
}

/// A table of embeddings, the mean of its rows, and a linear layer.
#[derive(Module)]
#[module(input = Tensor<i64>)]
struct Tagger {
    table: Layer<Embedding>,
    quant: Layer<QuantStub>,
    fc: Layer<Linear>,
    dequant: Layer<DeQuantStub>,
}

impl Tagger {
    fn new() -> Tagger {
        manual_seed(2);
        Tagger {
            table: Embedding::new(6, 4).unwrap().into(),
            quant: QuantStub.into(),
            fc: Linear::new(4, 2).unwrap().into(),
            dequant: DeQuantStub.into(),
        }
    }

    fn forward(&self, indices: &Tensor<i64>) -> qnn::Result<Value> {
        let x = self.quant.forward(&self.table.forward(indices)?)?;
        self.dequant.forward(&self.fc.forward(&x)?)
    }
}

#[test]
fn embeddings_train_with_rounded_rows_and_become_small_tables() {
    let spec = || {
        QConfigSpec::from(QConfig::x86_qat())
            .with_type::<Embedding>(Some(QConfig::embedding_qat_4bit()))
    };
    let mut net = Tagger::new();
    prepare_qat(&mut net, spec()).unwrap();
    assert!(
        describe(&net).contains("QatEmbedding(6, 4)"),
        "{}",
        describe(&net)
    );
    let indices = Tensor::from_vec(vec![0i64, 2, 5, 2], &[4]).unwrap();
    let loss = |net: &Tagger, x: &Tensor<i64>| {
        let y = net.forward(x)?;
        Ok(ops::cross_entropy(y.float("loss")?, &[0, 1, 0, 1], 0.0)?)
    };
    let options = TrainOptions::new(30, Adam::new(0.05).unwrap()).freeze_observers(29);
    let losses = fit(&mut net, options, |_| [indices.clone()], loss).unwrap();
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    let mut small = Tagger::new();
    let report = convert_into(&net, &mut small).unwrap();
    let after = report.row("table").map(|row| row.after.as_str());
    assert_eq!(after, Some("QuantizedEmbedding"), "{report}");
    let (a, b) = (
        net.forward(&indices).unwrap(),
        small.forward(&indices).unwrap(),
    );
    assert!(common::distance(&a.to_tensor(), &b.to_tensor()) < 0.1);
    // Without a configuration for embeddings, the table stays as it is.
    let mut plain = Tagger::new();
    prepare_qat(&mut plain, QConfig::x86_qat()).unwrap();
    assert!(!describe(&plain).contains("QatEmbedding"));
}
