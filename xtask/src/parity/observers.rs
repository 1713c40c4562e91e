//! Observers, fake-quants and configurations.

use super::row::{Group, absent, item, method, object, other};

pub const OBSERVERS: Group = Group { title: "Observers", rows: &[
    item("ObserverBase", "qobserve::Observer").seed("tests/others.rs::fixed_qparams_stay_whatever_comes"),
    method("with_args", "qobserve::ObserverBuilder<qobserve::MinMaxObserver>", "factory"),
    other("with_callable_args", "qobserve::ObserverFactory::new", "|| qobserve::ObserverFactory::new(\"mine\", || Box::new(qobserve::MinMaxObserver::default()))").note("any closure that makes an observer"),
    item("UniformQuantizationObserverBase", "qobserve::Settings").note("the settings that the built-in observers share"),
    item("MinMaxObserver", "qobserve::MinMaxObserver").seed("tests/min_max.rs::running_extremes_give_affine_qparams"),
    item("MovingAverageMinMaxObserver", "qobserve::MovingAverageMinMaxObserver"),
    item("PerChannelMinMaxObserver", "qobserve::PerChannelMinMaxObserver"),
    item("MovingAveragePerChannelMinMaxObserver", "qobserve::MovingAveragePerChannelMinMaxObserver"),
    item("HistogramObserver", "qobserve::HistogramObserver").note("three faults of PyTorch's are mended"),
    item("FixedQParamsObserver", "qobserve::FixedQParamsObserver"),
    item("PlaceholderObserver", "qobserve::PlaceholderObserver"),
    item("NoopObserver", "qobserve::NoopObserver"),
    item("RecordingObserver", "qobserve::RecordingObserver").note("keeps the last batches, not all"),
    absent("ReuseInputObserver", "graph mode only"),
    object("calculate_qparams", "qobserve::Observer", "calculate_qparams").seed("tests/min_max.rs::running_extremes_give_affine_qparams").note("an error before any data"),
    object("reset_min_max_vals", "qobserve::Observer", "reset"),
    method("get_tensor_value", "qobserve::RecordingObserver", "tensors"),
    item("get_observer_state_dict", "qflow::get_observer_state_dict"),
    item("load_observer_state_dict", "qflow::load_observer_state_dict"),
    item("default_observer", "qobserve::presets::default_observer"),
    item("default_weight_observer", "qobserve::presets::default_weight_observer"),
    item("default_per_channel_weight_observer", "qobserve::presets::default_per_channel_weight_observer"),
    item("default_histogram_observer", "qobserve::presets::default_histogram_observer"),
    item("default_placeholder_observer", "qobserve::presets::default_placeholder_observer"),
    item("default_debug_observer", "qobserve::presets::default_debug_observer"),
    item("default_dynamic_quant_observer", "qobserve::presets::default_dynamic_quant_observer"),
    item("default_float_qparams_observer", "qobserve::presets::default_float_qparams_observer"),
    item("default_float_qparams_observer_4bit", "qobserve::presets::default_float_qparams_observer_4bit"),
    item("default_fixed_qparams_range_0to1_observer", "qobserve::presets::default_fixed_qparams_range_0to1_observer"),
    item("default_fixed_qparams_range_neg1to1_observer", "qobserve::presets::default_fixed_qparams_range_neg1to1_observer"),
    absent("default_reuse_input_observer", "graph mode only"),
    item("weight_observer_range_neg_127_to_127", "qobserve::presets::weight_observer_range_neg_127_to_127"),
    item("per_channel_weight_observer_range_neg_127_to_127", "qobserve::presets::per_channel_weight_observer_range_neg_127_to_127"),
]};

pub const FAKE_QUANTS: Group = Group {
    title: "Fake-quants",
    rows: &[
        item("FakeQuantizeBase", "qobserve::FakeQuant"),
        item("FakeQuantize", "qobserve::FakeQuantize").seed("golden/fake_quant.rs::check"),
        item(
            "FixedQParamsFakeQuantize",
            "qobserve::FixedQParamsFakeQuantize",
        ),
        item(
            "FusedMovingAvgObsFakeQuantize",
            "qobserve::FusedMovingAvgObsFakeQuantize",
        )
        .note("converts with the qparams that it rounded with"),
        item("_LearnableFakeQuantize", "qobserve::LearnableFakeQuantize"),
        item("fake_quantize_per_tensor_affine", "qobserve::fake_quantize"),
        item(
            "fake_quantize_per_channel_affine",
            "qobserve::fake_quantize",
        ),
        object(
            "fused_moving_avg_obs_fake_quant",
            "qobserve::Observer",
            "forward",
        )
        .note("of a `FusedMovingAvgObsFakeQuantize`"),
        item("enable_fake_quant", "qnn::set_quantizing"),
        item("disable_fake_quant", "qnn::set_quantizing"),
        item("enable_observer", "qnn::set_observing"),
        item("disable_observer", "qnn::set_observing"),
        item(
            "default_fake_quant",
            "qobserve::presets::default_fake_quant",
        ),
        item(
            "default_weight_fake_quant",
            "qobserve::presets::default_weight_fake_quant",
        ),
        item(
            "default_per_channel_weight_fake_quant",
            "qobserve::presets::default_per_channel_weight_fake_quant",
        ),
        item(
            "default_dynamic_fake_quant",
            "qobserve::presets::default_dynamic_fake_quant",
        ),
        item(
            "default_histogram_fake_quant",
            "qobserve::presets::default_histogram_fake_quant",
        ),
        item(
            "default_embedding_fake_quant",
            "qobserve::presets::default_embedding_fake_quant",
        ),
        item(
            "default_embedding_fake_quant_4bit",
            "qobserve::presets::default_embedding_fake_quant_4bit",
        ),
        item(
            "default_fixed_qparams_range_0to1_fake_quant",
            "qobserve::presets::default_fixed_qparams_range_0to1_fake_quant",
        ),
        item(
            "default_fixed_qparams_range_neg1to1_fake_quant",
            "qobserve::presets::default_fixed_qparams_range_neg1to1_fake_quant",
        ),
        item(
            "default_fused_act_fake_quant",
            "qobserve::presets::default_fused_act_fake_quant",
        ),
        item(
            "default_fused_wt_fake_quant",
            "qobserve::presets::default_fused_wt_fake_quant",
        ),
        item(
            "default_fused_per_channel_wt_fake_quant",
            "qobserve::presets::default_fused_per_channel_wt_fake_quant",
        ),
        item(
            "fused_wt_fake_quant_range_neg_127_to_127",
            "qobserve::presets::fused_wt_fake_quant_range_neg_127_to_127",
        ),
        item(
            "fused_per_channel_wt_fake_quant_range_neg_127_to_127",
            "qobserve::presets::fused_per_channel_wt_fake_quant_range_neg_127_to_127",
        ),
    ],
};

pub const QCONFIG: Group = Group {
    title: "qconfig",
    rows: &[
        item("QConfig", "qobserve::QConfig")
            .seed("tests/ptq.rs::every_preset_and_activation_type_converts")
            .note("holds factories, so that no two places share an observer"),
        item("qconfig_dict", "qflow::QConfigSpec")
            .seed("tests/ptq.rs::rules_by_type_by_name_and_by_place_win_in_that_order"),
        method("qconfig_field", "qnn::Layer<qnn::Linear>", "with_qconfig")
            .seed("tests/ptq.rs::rules_by_type_by_name_and_by_place_win_in_that_order"),
        absent(
            "QConfigDynamic",
            "deprecated in PyTorch; a `QConfig` says itself when qparams are found",
        ),
        method("default_qconfig", "qobserve::QConfig", "default_qconfig"),
        method(
            "default_debug_qconfig",
            "qobserve::QConfig",
            "default_debug_qconfig",
        ),
        method(
            "default_per_channel_qconfig",
            "qobserve::QConfig",
            "default_per_channel_qconfig",
        ),
        method(
            "default_dynamic_qconfig",
            "qobserve::QConfig",
            "default_dynamic_qconfig",
        ),
        method(
            "per_channel_dynamic_qconfig",
            "qobserve::QConfig",
            "per_channel_dynamic_qconfig",
        ),
        method(
            "float16_dynamic_qconfig",
            "qobserve::QConfig",
            "float16_dynamic_qconfig",
        ),
        method(
            "float16_static_qconfig",
            "qobserve::QConfig",
            "float16_static_qconfig",
        )
        .note("activations and sums stay `f32`"),
        method(
            "float_qparams_weight_only_qconfig",
            "qobserve::QConfig",
            "float_qparams_weight_only_qconfig",
        ),
        method(
            "float_qparams_weight_only_qconfig_4bit",
            "qobserve::QConfig",
            "float_qparams_weight_only_qconfig_4bit",
        ),
        method(
            "default_qat_qconfig",
            "qobserve::QConfig",
            "default_qat_qconfig",
        ),
        method(
            "default_qat_qconfig_v2",
            "qobserve::QConfig",
            "default_qat_qconfig_v2",
        ),
        method(
            "default_dynamic_qat_qconfig",
            "qobserve::QConfig",
            "default_dynamic_qat_qconfig",
        )
        .note("activations stay float in training"),
        method(
            "default_weight_only_qconfig",
            "qobserve::QConfig",
            "default_weight_only_qconfig",
        ),
        method(
            "default_activation_only_qconfig",
            "qobserve::QConfig",
            "default_activation_only_qconfig",
        ),
        method(
            "default_quint8_weight_qconfig",
            "qobserve::QConfig",
            "default_quint8_weight_qconfig",
        ),
        absent("default_reuse_input_qconfig", "graph mode only"),
        method(
            "default_symmetric_qnnpack_qconfig",
            "qobserve::QConfig",
            "default_symmetric_qnnpack_qconfig",
        ),
        method(
            "default_per_channel_symmetric_qnnpack_qconfig",
            "qobserve::QConfig",
            "default_per_channel_symmetric_qnnpack_qconfig",
        ),
        method(
            "default_symmetric_qnnpack_qat_qconfig",
            "qobserve::QConfig",
            "default_symmetric_qnnpack_qat_qconfig",
        ),
        method(
            "default_per_channel_symmetric_qnnpack_qat_qconfig",
            "qobserve::QConfig",
            "default_per_channel_symmetric_qnnpack_qat_qconfig",
        ),
        method(
            "default_embedding_qat_qconfig",
            "qobserve::QConfig",
            "default_embedding_qat_qconfig",
        ),
        method(
            "default_embedding_qat_qconfig_4bit",
            "qobserve::QConfig",
            "default_embedding_qat_qconfig_4bit",
        ),
        item("get_default_qconfig", "qobserve::get_default_qconfig")
            .note("an unknown engine is an error; `x86` uses all integers"),
        item(
            "get_default_qat_qconfig",
            "qobserve::get_default_qat_qconfig",
        )
        .note("an unknown engine or version is an error"),
        item("qconfig_equals", "qobserve::qconfig_equals"),
        item("QConfigMapping", "qflow::QConfigSpec")
            .note("by type and by name; defaults: `get_default_qconfig_mapping`"),
    ],
};
