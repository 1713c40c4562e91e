//! Tools that compare and improve models.

use super::row::{Group, absent, item, method, object};

pub const NUMERIC_SUITE: Group = Group {
    title: "Numeric suite",
    rows: &[
        item("compare_weights", "qflow::accuracy::compare_weights"),
        item("compare_model_stub", "qflow::accuracy::compare_model_stub"),
        item(
            "prepare_model_with_stubs",
            "qflow::accuracy::get_shadow_activations",
        )
        .note("nothing is put into the model"),
        item(
            "compare_model_outputs",
            "qflow::accuracy::compare_model_outputs",
        ),
        item(
            "prepare_model_outputs",
            "qflow::accuracy::get_matching_activations",
        )
        .note("nothing is put into the model"),
        item(
            "get_matching_activations",
            "qflow::accuracy::get_matching_activations",
        ),
        item(
            "get_logger_dict",
            "qflow::accuracy::get_matching_activations",
        )
        .note("by dotted name"),
        item(
            "get_default_compare_output_module_list",
            "qflow::accuracy::get_matching_activations",
        )
        .note("every place"),
        item("Logger", "qflow::accuracy::Logger"),
        item("ShadowLogger", "qflow::accuracy::Logger"),
        item("OutputLogger", "qflow::accuracy::Logger"),
        item("Shadow", "qflow::accuracy::get_shadow_activations"),
    ],
};

pub const EQUALIZATION: Group = Group {
    title: "Equalization, correction, rounding",
    rows: &[
        item("equalize", "qflow::accuracy::equalize"),
        item("cross_layer_equalization", "qflow::accuracy::equalize")
            .note("a pair is a list of one"),
        absent(
            "converged",
            "within `qflow::accuracy::equalize`, which takes the threshold",
        ),
        absent("channel_range", "within `qflow::accuracy::equalize`"),
        absent("max_over_ndim", "within `qflow::accuracy::equalize`"),
        absent("min_over_ndim", "within `qflow::accuracy::equalize`"),
        absent(
            "expand_groups_in_paired_modules_list",
            "`equalize` takes pairs; a chain is the pairs of its neighbours",
        ),
        absent(
            "process_paired_modules_list_to_name",
            "`equalize` takes names",
        ),
        object("get_name_by_module", "qnn::Place", "path"),
        object("set_module_weight", "qnn::Node", "load_state"),
        object("set_module_bias", "qnn::Node", "load_state"),
        object("get_module_weight", "qnn::Node", "state"),
        object("get_module_bias", "qnn::Node", "state"),
        method("has_bias", "qnn::State", "contains"),
        item("bias_correction", "qflow::accuracy::correct_bias"),
        item("MeanShadowLogger", "qflow::accuracy::BiasCorrection")
            .note("the means are taken within `correct_bias`"),
        item("get_module", "qnn::walk"),
        object("get_param", "qnn::Node", "state"),
        item("parent_child_names", "qnn::join"),
        item("AdaptiveRoundingOptimizer", "qflow::accuracy::adaround"),
        item("AdaroundFakeQuantizer", "qflow::accuracy::adaround")
            .note("the soft weights are within it"),
        item("AdaptiveRoundingLoss", "qflow::accuracy::AdaRoundOptions")
            .note("its weights and exponents"),
    ],
};
