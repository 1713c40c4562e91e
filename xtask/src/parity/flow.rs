//! The flow from a float model to an int8 one.

use super::row::{Group, absent, item, method, object};

pub const FLOW: Group = Group {
    title: "Flow",
    rows: &[
        item("QuantStub", "qnn::QuantStub")
            .seed("tests/quantized.rs::stubs_cross_the_border_both_ways"),
        item("DeQuantStub", "qnn::DeQuantStub")
            .seed("tests/quantized.rs::stubs_cross_the_border_both_ways"),
        item("fuse_modules", "qflow::fuse_modules")
            .seed("tests/fusion.rs::every_pattern_folds_to_the_same_output")
            .note("by watching a sample: `fuse_all`"),
        item("QuantWrapper", "qnn::QuantWrapper"),
        item("add_quant_dequant", "qflow::add_quant_dequant"),
        item("fuse_modules_qat", "qflow::fuse_modules_qat"),
        item("fuse_known_modules", "qflow::fuse_known_modules"),
        item("fuse_conv_bn", "qnn::intrinsic::fold_conv"),
        item("fuse_conv_bn_relu", "qflow::fuse_known_modules"),
        item("fuse_linear_bn", "qnn::intrinsic::fold_linear"),
        item(
            "fuse_convtranspose_bn",
            "qnn::intrinsic::fold_conv_transpose",
        ),
        item("get_fuser_method", "qflow::get_fuser_method"),
        item("propagate_qconfig_", "qflow::propagate_qconfig")
            .seed("tests/custom.rs::a_nested_childs_rule_beats_its_parents"),
        item("prepare", "qflow::prepare")
            .seed("tests/ptq.rs::the_int8_net_stays_near_the_float_net"),
        item("calibrate", "qflow::calibrate")
            .seed("tests/ptq.rs::calibration_does_not_change_what_the_float_net_computes"),
        item("convert", "qflow::convert")
            .seed("tests/ptq.rs::the_report_says_what_became_of_each_place"),
        item("quantize", "qflow::quantize")
            .seed("tests/ptq.rs::the_int8_net_stays_near_the_float_net"),
        item("quantize_dynamic", "qflow::quantize_dynamic")
            .seed("tests/dynamic.rs::one_line_replaces_every_linear_layer_and_stays_near_float"),
        item("prepare_qat", "qflow::prepare_qat")
            .seed("tests/qat.rs::every_kind_of_module_trains_and_converts"),
        item("quantize_qat", "qflow::quantize_qat")
            .seed("tests/qat.rs::the_one_line_form_reports_its_mistakes"),
        item("swap_module", "qflow::swap_module"),
        item("mixed_static+dynamic", "qflow::convert")
            .seed("tests/dynamic.rs::static_and_dynamic_places_convert_in_one_pass")
            .note("one pass; PyTorch takes two"),
        item("one-line_and_modular_APIs", "qflow::quantize")
            .seed("tests/ptq.rs::the_int8_net_stays_near_the_float_net")
            .note("`quantize`, `quantize_dynamic` and `quantize_qat` beside the single steps"),
        item(
            "get_default_static_quant_module_mappings",
            "qflow::get_default_static_quant_module_mappings",
        ),
        item(
            "get_default_dynamic_quant_module_mappings",
            "qflow::get_default_dynamic_quant_module_mappings",
        ),
        item(
            "get_default_qat_module_mappings",
            "qflow::get_default_qat_module_mappings",
        ),
        item(
            "get_embedding_static_quant_module_mappings",
            "qflow::get_embedding_static_quant_module_mappings",
        ),
        item(
            "get_embedding_qat_module_mappings",
            "qflow::get_default_qat_module_mappings",
        )
        .note("embeddings are in the default table"),
        item(
            "get_default_static_quant_reference_module_mappings",
            "qflow::get_default_static_quant_reference_module_mappings",
        )
        .note("stubs pass floats on; `convert(is_reference=True)`: `ConvertOptions::reference`"),
        item(
            "get_default_qconfig_propagation_list",
            "qflow::get_default_qconfig_propagation_list",
        ),
        item("get_default_custom_config_dict", "qflow::Mapping").note("rows of `with_custom`"),
        absent(
            "get_default_float_to_quantized_operator_mappings",
            "a functional is a place: `FloatFunctional` becomes `QFunctional`",
        ),
        method(
            "get_static_quant_module_class",
            "qflow::Mapping",
            "has::<qnn::Linear>",
        ),
        method(
            "get_dynamic_quant_module_class",
            "qflow::Mapping",
            "has::<qnn::Linear>",
        ),
        absent(
            "get_quantized_operator",
            "a functional is a place: `FloatFunctional` becomes `QFunctional`",
        ),
        item("no_observer_set", "qflow::no_observer_set"),
        item("custom_modules", "qflow::Mapping")
            .note("`with`, `with_dynamic`, `with_weight_only`, `with_custom`"),
        item("default_eval_fn", "qflow::calibrate"),
        method("get_combined_dict", "qflow::Mapping", "combined"),
        item("QuantType", "qobserve::QuantType"),
        item(
            "determine_qparams",
            "qtensor_core::choose_qparams::calculate_qparams",
        ),
        object("get_qparam_dict", "qobserve::Observer", "calculate_qparams")
            .note("with `dtype`, `qscheme` and `quant_range`"),
        item("get_fqn_to_example_inputs", "qnn::tap::record")
            .note("outputs of every place by name; inputs: `register_forward_pre_hook`"),
        item("engine_selection", "qobserve::get_default_qconfig")
            .note("names choose configurations; one set of kernels computes them all"),
    ],
};
