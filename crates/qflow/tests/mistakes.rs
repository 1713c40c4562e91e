//! Users' mistakes, one by one: each is a clear error that names the place, and changes nothing.

use crate::common::{Net, batch, calibration, converted, images};
use qflow::{
    Error, QConfig, QConfigSpec, calibrate, check, convert, fuse_all, load_state_dict, prepare,
    state_dict,
};
use qnn::{
    Conv2d, DeQuantStub, Linear, Module, QuantStub, ReLU, Sequential, Value, ValueKind, describe,
};
use qobserve::{MinMaxObserver, Observer, ObserverFactory};
use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, QScheme, Quantizer, Tensor};

#[test]
fn converting_without_preparation_says_so() {
    let mut net = Net::new();
    let error = convert(&mut net).unwrap_err();
    assert!(
        matches!(error, Error::NotPrepared) && error.to_string().contains("prepare("),
        "{error}"
    );
}

#[test]
fn uncalibrated_places_are_listed_and_nothing_is_converted() {
    let mut net = Net::new();
    prepare(&mut net, QConfig::x86()).unwrap();
    let before = describe(&net);
    let error = convert(&mut net).unwrap_err();
    let Error::Uncalibrated(places) = &error else {
        panic!("{error}")
    };
    assert_eq!(places[..3], ["quant", "conv1", "bn1"]);
    assert!(error.to_string().contains("\"fc2\""), "{error}");
    assert_eq!(describe(&net), before);
    // The same model can still be calibrated.
    calibrate(&net, calibration()).unwrap();
    convert(&mut net).unwrap();
}

#[test]
fn a_float_value_into_a_quantized_module_names_the_place_and_the_stub() {
    let mut net = Sequential::new()
        .push(Conv2d::config(3, 4, 3).build().unwrap())
        .push(DeQuantStub);
    prepare(&mut net, QConfig::minmax()).unwrap();
    calibrate(&net, calibration()).unwrap();
    convert(&mut net).unwrap();
    let error = net.forward(&images(0)).unwrap_err().to_string();
    assert!(error.starts_with("0 (QuantizedConv2d)"), "{error}");
    assert!(
        error.contains("QuantStub") && error.contains("float"),
        "{error}"
    );
}

#[test]
fn check_reports_all_misplaced_values_at_once() {
    let mut net = Sequential::new()
        .push(Conv2d::config(3, 4, 3).padding(1).build().unwrap())
        .push(ReLU)
        .push(Conv2d::config(4, 4, 3).build().unwrap());
    let spec = QConfigSpec::from(QConfig::minmax()).with_name("2", None);
    prepare(&mut net, spec).unwrap();
    calibrate(&net, calibration()).unwrap();
    convert(&mut net).unwrap();
    let misfits = check(&mut net, &images(0)).unwrap();
    let found: Vec<(&str, ValueKind)> = misfits
        .iter()
        .map(|m| (m.path.as_str(), m.expected))
        .collect();
    assert_eq!(
        found,
        [("0", ValueKind::Quantized), ("2", ValueKind::Float)]
    );
    assert!(
        misfits[1].to_string().contains("DeQuantStub"),
        "{}",
        misfits[1]
    );
    assert!(check(&mut converted(), &images(0)).unwrap().is_empty());
}

#[test]
fn nan_and_infinity_in_calibration_name_the_place() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut net = Net::new();
        prepare(&mut net, QConfig::x86()).unwrap();
        let mut x = images(0).to_tensor();
        x.set(&[1, 2, 3, 4], bad).unwrap();
        let error = calibrate(&net, [Value::from(x)]).unwrap_err().to_string();
        assert!(error.starts_with("quant (QuantStub)"), "{error}");
    }
}

#[test]
fn shape_mistakes_show_both_shapes() {
    for mut net in [Net::new(), converted()] {
        qnn::name_places(&mut net);
        let error = net
            .forward(&batch(0, &[2, 4, 8, 8]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("conv1 ("), "{error}");
        assert!(
            error.contains("[2, 4, 8, 8]") || error.contains('4'),
            "{error}"
        );
        let error = net.forward(&batch(0, &[2, 3, 8])).unwrap_err().to_string();
        assert!(error.contains("[2, 3, 8]"), "{error}");
    }
    let linear = Linear::new(6, 2).unwrap();
    let error = linear.forward(&batch(0, &[3, 5])).unwrap_err().to_string();
    assert!(
        error.contains("[3, 5]") && error.contains("[2, 6]"),
        "{error}"
    );
}

#[test]
fn weights_with_missing_extra_or_misshaped_keys_are_listed() {
    let mut net = Net::new();
    let mut weights = state_dict(&net);
    weights.remove("conv1.weight");
    weights.remove("bn2.running_var");
    weights.insert("head.weight".into(), Tensor::zeros(&[1]).unwrap());
    let error = load_state_dict(&mut net, weights).unwrap_err();
    let Error::StateDict {
        missing,
        unexpected,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (missing.len(), unexpected.as_slice()),
        (2, &["head.weight".to_string()][..])
    );
    for key in ["conv1.weight", "bn2.running_var", "head.weight"] {
        assert!(error.to_string().contains(key), "{error}");
    }
    let mut weights = state_dict(&net);
    weights.insert("fc1.weight".into(), Tensor::zeros(&[16, 31]).unwrap());
    let error = load_state_dict(&mut net, weights).unwrap_err().to_string();
    assert!(
        error.contains("fc1.weight") && error.contains("[16, 31]") && error.contains("[16, 32]"),
        "{error}"
    );
}

#[test]
fn rules_for_unknown_names_are_refused() {
    let spec = QConfigSpec::from(QConfig::x86()).with_name("fc3", None);
    let error = prepare(&mut Net::new(), spec).unwrap_err().to_string();
    assert!(
        error.contains("\"fc3\"") && error.contains("\"fc2\""),
        "{error}"
    );
}

#[test]
fn empty_calibration_is_refused_in_the_one_line_form() {
    let error = qflow::quantize(&mut Net::new(), QConfig::x86(), Vec::new()).unwrap_err();
    assert!(matches!(error, Error::NoData("quantize")), "{error}");
}

#[test]
fn an_error_in_the_sample_pass_leaves_the_model_alone() {
    let mut net = Net::new();
    let before = describe(&net);
    assert!(fuse_all(&mut net, &batch(0, &[1, 1, 8, 8])).is_err());
    assert_eq!(describe(&net), before);
}

#[test]
fn a_module_of_another_signature_does_not_fit_a_place() {
    use qnn::{FloatFunctional, Layer, Place, erase};
    let mut place: Layer<Linear> = Linear::new(2, 2).unwrap().into();
    place.set_path("head.fc");
    let error = place.put(erase(FloatFunctional)).unwrap_err().to_string();
    assert!(
        error.contains("head.fc") && error.contains("FloatFunctional") && error.contains("Linear"),
        "{error}"
    );
    place.put(erase(QuantStub)).unwrap();
}

#[test]
fn an_empty_batch_does_not_calibrate() {
    let mut net = Sequential::new()
        .push(QuantStub)
        .push(Linear::new(6, 2).unwrap())
        .push(DeQuantStub);
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, [batch(0, &[0, 6])]).unwrap();
    let error = convert(&mut net).unwrap_err();
    assert!(
        matches!(&error, Error::Uncalibrated(places) if places == &["0", "1"]),
        "{error}"
    );
}

#[test]
fn fusing_prepared_places_is_refused() {
    let mut net = Net::new();
    prepare(&mut net, QConfig::x86()).unwrap();
    let error = fuse_all(&mut net, &images(0)).unwrap_err();
    assert!(
        matches!(&error, Error::FuseAfterPrepare(places) if places.contains(&"conv1".to_string())),
        "{error}"
    );
    assert!(!describe(&net).contains("Identity"));
}

#[test]
fn a_conversion_that_fails_at_one_place_changes_no_other() {
    use qflow::{ConvertOptions, Mapping, convert_with};
    use qnn::{FloatFunctional, erase};
    let mut net = Net::new();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, calibration()).unwrap();
    let before = describe(&net);
    // A row that makes a module of the wrong signature for linear layers, which come last.
    let mapping = Mapping::default().with(|_: &Linear, _| Ok(erase(FloatFunctional)));
    let options = ConvertOptions {
        mapping,
        ..ConvertOptions::default()
    };
    let error = convert_with(&mut net, &options).unwrap_err().to_string();
    assert!(
        error.contains("fc1") && error.contains("FloatFunctional"),
        "{error}"
    );
    assert_eq!(describe(&net), before);
}

/// An observer of somebody else's, whose greatest integer lies below its least.
#[derive(Clone, Debug)]
struct Reversed(MinMaxObserver);

impl Observer for Reversed {
    fn name(&self) -> &'static str {
        "Reversed"
    }

    fn observe(&mut self, x: &Tensor) -> qobserve::Result<()> {
        self.0.observe(x)
    }

    fn calculate_qparams(&self) -> qobserve::Result<Quantizer> {
        self.0.calculate_qparams()
    }

    fn has_observed(&self) -> bool {
        self.0.has_observed()
    }

    fn dtype(&self) -> DType {
        DType::QInt8
    }

    fn quant_range(&self) -> QuantRange {
        QuantRange {
            min: 63,
            max: -64,
            custom: true,
        }
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
fn a_weight_observer_without_integers_is_an_error() {
    let symmetric = MinMaxObserver::builder().dtype(DType::QInt8);
    let inner = symmetric.qscheme(QScheme::PerTensorSymmetric).build();
    let inner = inner.unwrap();
    let weight = ObserverFactory::new("reversed", move || Box::new(Reversed(inner.clone())));
    let mut net = Net::new();
    let qconfig = QConfig::minmax();
    let qconfig = QConfig { weight, ..qconfig };
    prepare(&mut net, qconfig).unwrap();
    calibrate(&net, calibration()).unwrap();
    let before = describe(&net);
    let message = convert(&mut net).unwrap_err().to_string();
    assert!(
        message.contains("63") && message.contains("-64"),
        "{message}"
    );
    assert_eq!(describe(&net), before);
}
