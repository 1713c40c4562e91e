//! PyTorch's presets: each against the definition in `torch.ao.quantization`, by type, type of integers, scheme and range.

use qgrad::Var;
use qobserve::{
    ENGINES, Error, FakeQuant, ObserverFactory, QConfig, QuantType, get_default_qat_qconfig,
    get_default_qconfig, presets::*, qconfig_equals,
};
use qtensor_core::Tensor;

/// `name dtype scheme min..max`, of an observer that conversion can ask.
fn line(factory: &ObserverFactory) -> String {
    let o = factory.build();
    let range = o.quant_range();
    let (dtype, scheme) = (o.dtype(), o.qscheme());
    format!("{} {dtype} {scheme} {}..{}", o.name(), range.min, range.max)
}

#[test]
fn observers_are_those_of_pytorch() {
    let affine = "quint8 per_tensor_affine";
    let tensor = "qint8 per_tensor_symmetric";
    let channel = "qint8 per_channel_symmetric";
    for (factory, want) in [
        (
            default_observer(),
            format!("MinMaxObserver {affine} 0..127"),
        ),
        (
            default_histogram_observer(),
            format!("HistogramObserver {affine} 0..127"),
        ),
        (
            default_weight_observer(),
            format!("MinMaxObserver {tensor} -128..127"),
        ),
        (
            default_per_channel_weight_observer(),
            format!("PerChannelMinMaxObserver {channel} -128..127"),
        ),
        (
            weight_observer_range_neg_127_to_127(),
            format!("MinMaxObserver {tensor} -127..127"),
        ),
        (
            per_channel_weight_observer_range_neg_127_to_127(),
            format!("PerChannelMinMaxObserver {channel} -127..127"),
        ),
        (
            default_placeholder_observer(),
            format!("PlaceholderObserver {affine} 0..255"),
        ),
        (
            default_debug_observer(),
            format!("RecordingObserver {affine} 0..255"),
        ),
        (
            default_fixed_qparams_range_0to1_observer(),
            format!("FixedQParamsObserver {affine} 0..255"),
        ),
        (
            default_fake_quant(),
            format!("FakeQuantize {affine} 0..127"),
        ),
        (
            default_weight_fake_quant(),
            format!("FakeQuantize {tensor} -128..127"),
        ),
        (
            default_per_channel_weight_fake_quant(),
            format!("FakeQuantize {channel} -128..127"),
        ),
        (
            default_dynamic_fake_quant(),
            format!("FakeQuantize {affine} 0..255"),
        ),
        (
            default_histogram_fake_quant(),
            format!("FakeQuantize {affine} 0..127"),
        ),
        (
            default_fixed_qparams_range_neg1to1_fake_quant(),
            format!("FixedQParamsFakeQuantize {affine} 0..255"),
        ),
        (
            default_fused_act_fake_quant(),
            format!("FusedMovingAvgObsFakeQuantize {affine} 0..255"),
        ),
        (
            default_fused_wt_fake_quant(),
            format!("FusedMovingAvgObsFakeQuantize {tensor} -128..127"),
        ),
        (
            default_fused_per_channel_wt_fake_quant(),
            format!("FusedMovingAvgObsFakeQuantize {channel} -128..127"),
        ),
        (
            fused_wt_fake_quant_range_neg_127_to_127(),
            format!("FusedMovingAvgObsFakeQuantize {tensor} -127..127"),
        ),
        (
            fused_per_channel_wt_fake_quant_range_neg_127_to_127(),
            format!("FusedMovingAvgObsFakeQuantize {channel} -127..127"),
        ),
    ] {
        assert_eq!(line(&factory), want);
    }
}

#[test]
fn narrow_presets_have_a_least_scale() {
    let tiny = Var::from(Tensor::full(&[2, 2], 1e-9).unwrap());
    for factory in [
        weight_observer_range_neg_127_to_127(),
        per_channel_weight_observer_range_neg_127_to_127(),
        QConfig::default_symmetric_qnnpack_qconfig().activation,
    ] {
        let mut observer = factory.build();
        observer.forward(&tiny).unwrap();
        let (scale, _) = observer.calculate_qparams().unwrap().channel(0).unwrap();
        assert_eq!(scale, 1.0 / 4096.0, "{factory:?}");
    }
}

#[test]
fn a_dynamic_fake_quant_forgets_and_others_average() {
    for (factory, want) in [
        (default_dynamic_fake_quant(), 2.0),
        (default_fake_quant(), 1.01),
    ] {
        let mut fake_quant = factory.build();
        for greatest in [1.0, 2.0] {
            let x = Tensor::from_vec(vec![0.0, greatest], &[2]).unwrap();
            fake_quant.forward(&x.into()).unwrap();
        }
        assert_eq!(fake_quant.range(), Some((0.0, want)), "{factory:?}");
    }
}

#[test]
fn embeddings_have_rows_of_eight_or_four_bits() {
    for (qconfig, greatest) in [
        (QConfig::default_embedding_qat_qconfig(), 255),
        (QConfig::default_embedding_qat_qconfig_4bit(), 15),
    ] {
        assert_eq!(qconfig.weight.build().quant_range().max, greatest);
        assert_eq!(qconfig.quant_type(), QuantType::WeightOnly);
    }
    let four = QConfig::float_qparams_weight_only_qconfig_4bit().weight;
    assert_eq!(default_float_qparams_observer_4bit(), four);
    assert_ne!(default_float_qparams_observer(), four);
    assert_ne!(
        default_embedding_fake_quant(),
        default_embedding_fake_quant_4bit()
    );
}

#[test]
fn configurations_are_those_of_pytorch() {
    let of = |activation, weight| QConfig { activation, weight };
    let per_channel = default_per_channel_weight_observer;
    for (qconfig, want) in [
        (
            QConfig::default_qconfig(),
            of(default_observer(), default_weight_observer()),
        ),
        (
            QConfig::default_per_channel_qconfig(),
            of(default_observer(), per_channel()),
        ),
        (
            QConfig::default_debug_qconfig(),
            of(default_debug_observer(), default_weight_observer()),
        ),
        (
            QConfig::default_qat_qconfig(),
            of(default_fake_quant(), default_weight_fake_quant()),
        ),
        (
            QConfig::default_qat_qconfig_v2(),
            of(
                default_fused_act_fake_quant(),
                default_fused_wt_fake_quant(),
            ),
        ),
        (
            QConfig::default_weight_only_qconfig(),
            of(noop_observer(), default_weight_fake_quant()),
        ),
        (
            QConfig::default_activation_only_qconfig(),
            of(default_fake_quant(), noop_observer()),
        ),
        (
            QConfig::fbgemm(),
            of(default_histogram_observer(), per_channel()),
        ),
    ] {
        assert_eq!(qconfig, want);
        assert!(qconfig_equals(Some(&qconfig), Some(&want)));
    }
    for (qconfig, act, weight) in [
        (
            QConfig::default_symmetric_qnnpack_qconfig(),
            "HistogramObserver",
            "per_tensor",
        ),
        (
            QConfig::default_per_channel_symmetric_qnnpack_qconfig(),
            "HistogramObserver",
            "per_channel",
        ),
        (
            QConfig::default_symmetric_qnnpack_qat_qconfig(),
            "FusedMovingAvgObsFakeQuantize",
            "per_tensor",
        ),
        (
            QConfig::default_per_channel_symmetric_qnnpack_qat_qconfig(),
            "FusedMovingAvgObsFakeQuantize",
            "per_channel",
        ),
    ] {
        let activation = line(&qconfig.activation);
        assert_eq!(
            activation,
            format!("{act} qint8 per_tensor_affine -128..127")
        );
        let weight = format!("qint8 {weight}_symmetric -127..127");
        assert!(line(&qconfig.weight).ends_with(&weight), "{qconfig:?}");
    }
    let quint8 = QConfig::default_quint8_weight_qconfig().weight;
    assert_eq!(
        line(&quint8),
        "MinMaxObserver quint8 per_tensor_affine 0..255"
    );
    let dynamic = QConfig::default_dynamic_qat_qconfig();
    assert_eq!(dynamic.weight, default_weight_fake_quant());
    assert_eq!(dynamic.quant_type(), QuantType::Dynamic);
    let float16 = QConfig::float16_static_qconfig();
    assert!(float16.is_float16() && float16.quant_type() == QuantType::Dynamic);
}

#[test]
fn engines_have_defaults_and_others_are_errors_with_the_names() {
    for engine in ENGINES {
        let narrow = if engine == "fbgemm" { 127 } else { 255 };
        let per_channel = engine != "qnnpack";
        let mut all = vec![get_default_qconfig(engine).unwrap()];
        all.extend((0..2).map(|v| get_default_qat_qconfig(engine, v).unwrap()));
        for (i, qconfig) in all.iter().enumerate() {
            let activation = qconfig.activation.build();
            assert_eq!(activation.quant_range().max, narrow, "{engine} {i}");
            let weight = qconfig.weight.build();
            assert_eq!(
                weight.qscheme().is_per_channel(),
                per_channel,
                "{engine} {i}"
            );
            assert_eq!(activation.as_fake_quant().is_some(), i > 0);
            assert_eq!(
                weight.as_fake_quant().is_some_and(FakeQuant::is_observing),
                i > 0
            );
        }
        assert!(!qconfig_equals(Some(&all[1]), Some(&all[2])), "{engine}");
        let error = get_default_qat_qconfig(engine, 7).unwrap_err();
        assert!(matches!(error, Error::UnknownVersion { version: 7, .. }));
    }
    for error in [
        get_default_qconfig("tpu").unwrap_err(),
        get_default_qat_qconfig("tpu", 0).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(ENGINES.iter().all(|e| text.contains(e)), "{text}");
    }
}

#[test]
fn equality_looks_at_settings_and_not_at_names() {
    use qobserve::MinMaxObserver;
    let named =
        |name: &str| ObserverFactory::new(name.to_string(), || Box::new(MinMaxObserver::default()));
    assert_eq!(named("a"), named("b"));
    assert_ne!(named("a"), default_observer());
    assert_eq!(
        MinMaxObserver::builder().factory().unwrap(),
        QConfig::minmax().activation
    );
    assert!(qconfig_equals(None, None));
}
