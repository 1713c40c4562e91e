//! Tools that compare and improve models.

use super::row::{Group, absent, item, method, object};

pub const NUMERIC_SUITE: Group = Group {
    title: "Numeric suite",
    rows: &[
        absent("compare_weights", "not there yet"),
        absent("compare_model_stub", "not there yet"),
        absent("prepare_model_with_stubs", "not there yet"),
        absent("compare_model_outputs", "not there yet"),
        absent("prepare_model_outputs", "not there yet"),
        absent("get_matching_activations", "not there yet"),
        absent("get_logger_dict", "not there yet"),
        absent("get_default_compare_output_module_list", "not there yet"),
        absent("Logger", "not there yet"),
        absent("ShadowLogger", "not there yet"),
        absent("OutputLogger", "not there yet"),
        absent("Shadow", "not there yet"),
    ],
};

pub const EQUALIZATION: Group = Group {
    title: "Equalization, correction, rounding",
    rows: &[
        absent("equalize", "not there yet"),
        absent("cross_layer_equalization", "not there yet"),
        absent("converged", "not there yet"),
        absent("channel_range", "not there yet"),
        absent("max_over_ndim", "not there yet"),
        absent("min_over_ndim", "not there yet"),
        absent("expand_groups_in_paired_modules_list", "not there yet"),
        absent("process_paired_modules_list_to_name", "not there yet"),
        object("get_name_by_module", "qnn::Place", "path"),
        object("set_module_weight", "qnn::Node", "load_state"),
        object("set_module_bias", "qnn::Node", "load_state"),
        object("get_module_weight", "qnn::Node", "state"),
        object("get_module_bias", "qnn::Node", "state"),
        method("has_bias", "qnn::State", "contains"),
        absent("bias_correction", "not there yet"),
        absent("MeanShadowLogger", "not there yet"),
        item("get_module", "qnn::walk"),
        object("get_param", "qnn::Node", "state"),
        item("parent_child_names", "qnn::join"),
        absent("AdaptiveRoundingOptimizer", "not there yet"),
        absent("AdaroundFakeQuantizer", "not there yet"),
        absent("AdaptiveRoundingLoss", "not there yet"),
    ],
};
