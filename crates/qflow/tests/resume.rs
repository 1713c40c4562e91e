//! Models saved between preparation and conversion: calibration and training go on as if they had never been interrupted.

use crate::common::{Net, images};
use qflow::{
    Error, QConfig, QConfigSpec, calibrate, convert, from_bytes, fuse_all, fuse_all_qat,
    get_observer_state_dict, load, load_observer_state_dict, prepare, prepare_qat, save, to_bytes,
};
use qgrad::optim::{Optimizer, Sgd};
use qnn::{
    DeQuantStub, FloatFunctional, Layer, Linear, Module, QuantStub, ReLU, Sequential, Value,
    describe, parameters,
};
use qobserve::{Observer, ObserverFactory};
use qtensor_core::Tensor;
use qtensor_core::container::{Kind, open, seal};

fn prepared(spec: impl Into<QConfigSpec>) -> Net {
    let mut net = Net::new();
    fuse_all(&mut net, &images(0)).unwrap();
    prepare(&mut net, spec).unwrap();
    net
}

fn in_training(qconfig: QConfig) -> Net {
    let mut net = Net::new();
    fuse_all_qat(&mut net, &images(0)).unwrap();
    prepare_qat(&mut net, qconfig).unwrap();
    net
}

fn step(net: &mut Net, seed: u64) {
    let mut optimizer = Sgd::config(0.01).build().unwrap();
    let y = net.forward(&images(seed)).unwrap();
    let target = Tensor::ones(y.shape()).unwrap();
    let loss = qgrad::ops::mse_loss(y.float("loss").unwrap(), &target).unwrap();
    loss.backward().unwrap();
    drop(loss);
    optimizer.step(&mut parameters(net)).unwrap();
}

#[test]
fn calibration_goes_on_after_loading() {
    for qconfig in [
        QConfig::x86(),
        QConfig::minmax(),
        QConfig::default_symmetric_qnnpack_qconfig(),
    ] {
        let mut net = prepared(&qconfig);
        calibrate(&net, (0..3).map(images)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calibrated.qt");
        save(&net, &path).unwrap();

        qnn::manual_seed(99);
        let mut resumed = prepared(&qconfig);
        load(&mut resumed, &path).unwrap();
        assert_eq!(to_bytes(&resumed).unwrap(), std::fs::read(&path).unwrap());
        for net in [&mut net, &mut resumed] {
            calibrate(net, (3..6).map(images)).unwrap();
            convert(net).unwrap();
        }
        assert_eq!(
            to_bytes(&resumed).unwrap(),
            to_bytes(&net).unwrap(),
            "{qconfig:?}"
        );
    }
}

#[test]
fn training_goes_on_after_loading() {
    for qconfig in [
        QConfig::x86_qat(),
        QConfig::fbgemm_qat(),
        QConfig::default_qat_qconfig(),
        QConfig::lsq(),
    ] {
        let mut net = in_training(qconfig.clone());
        (0..2).for_each(|seed| step(&mut net, seed));
        qnn::set_observing(&mut net, false);
        let bytes = to_bytes(&net).unwrap();

        qnn::manual_seed(99);
        let mut resumed = in_training(qconfig.clone());
        from_bytes(&mut resumed, &bytes).unwrap();
        assert_eq!(to_bytes(&resumed).unwrap(), bytes);
        for net in [&mut net, &mut resumed] {
            step(net, 2);
            qnn::set_observing(net, true);
            step(net, 3);
            qnn::eval(net);
            convert(net).unwrap();
        }
        assert_eq!(
            to_bytes(&resumed).unwrap(),
            to_bytes(&net).unwrap(),
            "{qconfig:?}"
        );
    }
}

#[test]
fn tables_of_embeddings_resume_too() {
    let make = || {
        let mut net: Layer<qnn::Embedding> = qnn::Embedding::new(4, 3).unwrap().into();
        prepare_qat(&mut net, QConfig::embedding_qat_4bit()).unwrap();
        net
    };
    let (net, mut resumed) = (make(), make());
    net.forward(&Tensor::from_vec(vec![0i64, 3], &[2]).unwrap())
        .unwrap();
    let bytes = to_bytes(&net).unwrap();
    from_bytes(&mut resumed, &bytes).unwrap();
    assert_eq!(to_bytes(&resumed).unwrap(), bytes);
    let mut wide: Layer<qnn::Embedding> = qnn::Embedding::new(4, 3).unwrap().into();
    prepare_qat(&mut wide, QConfig::embedding_qat()).unwrap();
    let error = from_bytes(&mut wide, &bytes).unwrap_err().to_string();
    assert!(
        error.contains("8 bits") && error.contains("4 bits"),
        "{error}"
    );
}

#[test]
fn a_functional_that_only_passed_scalars_by_is_still_calibrated() {
    let make = || {
        let mut add: Layer<FloatFunctional> = FloatFunctional.into();
        prepare(&mut add, QConfig::minmax()).unwrap();
        add
    };
    let add = make();
    let x: Value = Tensor::ones(&[2]).unwrap().into();
    add.add_scalar(&x, 1.0).unwrap();
    let mut resumed = make();
    from_bytes(&mut resumed, &to_bytes(&add).unwrap()).unwrap();
    convert(&mut resumed).unwrap();
    assert!(matches!(convert(&mut make()), Err(Error::Uncalibrated(_))));
}

#[test]
fn a_model_prepared_otherwise_is_refused_with_the_place() {
    let net = prepared(QConfig::x86());
    calibrate(&net, [images(0)]).unwrap();
    let bytes = to_bytes(&net).unwrap();
    let refused = |mut other: Net| {
        let before = (describe(&other), to_bytes(&other).unwrap());
        let error = from_bytes(&mut other, &bytes).unwrap_err();
        assert_eq!(
            (describe(&other), to_bytes(&other).unwrap()),
            before,
            "{error}"
        );
        error
    };

    let mut unprepared = Net::new();
    fuse_all(&mut unprepared, &images(0)).unwrap();
    let error = refused(unprepared);
    assert!(matches!(&error, Error::OtherPreparation { unprepared, .. } if unprepared.len() == 7));
    assert!(error.to_string().contains("\"conv1\""), "{error}");

    let fewer = QConfigSpec::from(QConfig::x86()).with_name("fc2", None);
    assert!(matches!(
        refused(prepared(fewer)),
        Error::OtherPreparation { unprepared, uncalibrated } if unprepared == ["fc2"] && uncalibrated.is_empty()
    ));
    let error = refused(prepared(QConfig::fbgemm())).to_string();
    assert!(
        error.contains("qconfig.activation") && error.contains("0..=127"),
        "{error}"
    );
    let error = refused(prepared(QConfig::qnnpack())).to_string();
    assert!(
        error.contains("qconfig.weight") && error.contains("per_tensor"),
        "{error}"
    );
    // The same names of configurations do not help if the observers differ.
    let lying = QConfig {
        activation: ObserverFactory::new(QConfig::x86().activation.name(), || {
            QConfig::fbgemm().activation.build()
        }),
        ..QConfig::x86()
    };
    let error = refused(prepared(lying)).to_string();
    assert!(error.contains("quant.activation_post_process"), "{error}");
}

#[test]
fn damage_is_an_error_or_a_consistent_model_and_never_a_panic() {
    let small = || {
        qnn::manual_seed(3);
        let mut net = Sequential::new()
            .push(QuantStub)
            .push(Linear::new(3, 2).unwrap())
            .push(ReLU)
            .push(DeQuantStub);
        prepare(&mut net, QConfig::minmax()).unwrap();
        net
    };
    let x: Value = Tensor::ones(&[1, 3]).unwrap().into();
    let net = small();
    calibrate(&net, [x.clone()]).unwrap();
    let bytes = to_bytes(&net).unwrap();
    for length in 0..bytes.len() {
        assert!(
            from_bytes(&mut small(), &bytes[..length]).is_err(),
            "{length}"
        );
    }
    let content = open(Kind::Model, &bytes).unwrap().to_vec();
    let (mut refused, mut other) = (0, small());
    let untouched = to_bytes(&other).unwrap();
    for at in 0..content.len() {
        let mut damaged = content.clone();
        damaged[at] ^= 1 << (at % 8);
        match from_bytes(&mut other, &seal(Kind::Model, &damaged)) {
            Ok(()) => {
                let _ = other.forward(&x);
                let _ = convert(&mut other);
                other = small();
            }
            Err(_) => {
                refused += 1;
                assert!(to_bytes(&other).unwrap() == untouched, "byte {at}");
            }
        }
    }
    assert!(refused > content.len() / 2);
    for cut in 1..content.len() {
        assert!(
            from_bytes(&mut small(), &seal(Kind::Model, &content[..cut])).is_err()
                || cut == records(&content)
        );
    }
    let mut longer = content.clone();
    longer.push(0);
    let error = from_bytes(&mut small(), &seal(Kind::Model, &longer)).unwrap_err();
    assert!(error.to_string().contains("left over"), "{error}");
}

/// Where the records end: what a file without calibration holds.
fn records(content: &[u8]) -> usize {
    let mut fresh = Sequential::new()
        .push(QuantStub)
        .push(Linear::new(3, 2).unwrap())
        .push(ReLU)
        .push(DeQuantStub);
    qnn::name_places(&mut fresh);
    let plain = to_bytes(&fresh).unwrap();
    let length = open(Kind::Model, &plain).unwrap().len();
    assert!(length < content.len());
    length
}

#[test]
fn states_of_observers_alone_go_from_model_to_model() {
    let (one, mut two) = (prepared(QConfig::x86()), prepared(QConfig::x86()));
    calibrate(&one, (0..3).map(images)).unwrap();
    let mut states = get_observer_state_dict(&one).unwrap();
    assert!(states.contains_key("conv1.activation_post_process"));
    assert!(!states.contains_key("dequant.activation_post_process"));
    load_observer_state_dict(&mut two, &states).unwrap();
    assert_eq!(get_observer_state_dict(&two).unwrap(), states);

    let state = states.remove("fc1.activation_post_process").unwrap();
    states.insert("fc9.activation_post_process".into(), state);
    let error = load_observer_state_dict(&mut two, &states).unwrap_err();
    assert!(
        matches!(&error, Error::ObserverStates { missing, unexpected }
        if missing[0].starts_with("fc1") && unexpected[0].starts_with("fc9"))
    );
    let mut trained = in_training(QConfig::x86_qat());
    step(&mut trained, 0);
    let states = get_observer_state_dict(&trained).unwrap();
    assert!(
        states.contains_key("fc1.weight_fake_quant"),
        "{:?}",
        states.keys()
    );
}

/// An observer of one's own that saves nothing.
#[derive(Clone, Debug, Default)]
struct Forgetful(qobserve::MinMaxObserver);

impl Observer for Forgetful {
    fn name(&self) -> &'static str {
        "Forgetful"
    }

    fn observe(&mut self, x: &Tensor) -> qobserve::Result<()> {
        self.0.observe(x)
    }

    fn calculate_qparams(&self) -> qobserve::Result<qtensor_core::Quantizer> {
        self.0.calculate_qparams()
    }

    fn has_observed(&self) -> bool {
        self.0.has_observed()
    }

    fn dtype(&self) -> qtensor_core::DType {
        self.0.dtype()
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn an_observer_that_saves_nothing_is_an_error_with_its_place() {
    let activation = ObserverFactory::new("Forgetful", || Box::new(Forgetful::default()));
    let net = prepared(QConfig {
        activation,
        ..QConfig::x86()
    });
    let error = to_bytes(&net).unwrap_err().to_string();
    assert!(
        error.contains("activation_post_process") && error.contains("Forgetful"),
        "{error}"
    );
}
