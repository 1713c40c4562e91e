//! Modules of quantization-aware training.

use super::row::{Group, item, method};

pub const QAT: Group = Group {
    title: "nn.qat",
    rows: &[
        item("Linear", "qnn::qat::Linear")
            .seed("tests/qat.rs::every_kind_of_module_trains_and_converts"),
        item("Conv2d", "qnn::qat::Conv2d")
            .seed("tests/qat.rs::every_kind_of_module_trains_and_converts"),
        item("Conv1d", "qnn::qat::Conv1d").note("in the default table too"),
        item("Conv3d", "qnn::qat::Conv3d"),
        item("Embedding", "qnn::qat::Embedding"),
        item("EmbeddingBag", "qnn::qat::EmbeddingBag"),
        method("dynamic.Linear", "qnn::qat::Linear", "to_dynamic")
            .note("of a `qat::Linear` in a place with a dynamic configuration"),
        method("from_float", "qnn::qat::Linear", "from_float")
            .seed("tests/qat.rs::modules_go_to_float_and_back_with_their_weights")
            .note("also of the others"),
        method("to_float", "qnn::qat::Linear", "to_float"),
    ],
};

pub const INTRINSIC_QAT: Group = Group {
    title: "intrinsic.qat",
    rows: &[
        item("ConvBn2d", "qnn::intrinsic::qat::ConvBn2d")
            .seed("tests/qat.rs::one_step_is_the_same_fused_unfused_and_with_fake_quants_off"),
        item("ConvBnReLU2d", "qnn::intrinsic::qat::ConvBnReLU2d")
            .seed("tests/qat.rs::one_step_is_the_same_fused_unfused_and_with_fake_quants_off"),
        item("ConvReLU2d", "qnn::intrinsic::qat::ConvReLU2d")
            .seed("tests/qat.rs::every_kind_of_module_trains_and_converts"),
        item("LinearReLU", "qnn::intrinsic::qat::LinearReLU")
            .seed("tests/qat.rs::every_kind_of_module_trains_and_converts"),
        item("ConvBn1d", "qnn::intrinsic::qat::ConvBn1d"),
        item("ConvBn3d", "qnn::intrinsic::qat::ConvBn3d"),
        item("ConvBnReLU1d", "qnn::intrinsic::qat::ConvBnReLU1d"),
        item("ConvBnReLU3d", "qnn::intrinsic::qat::ConvBnReLU3d"),
        item("ConvReLU1d", "qnn::intrinsic::qat::ConvReLU1d"),
        item("ConvReLU3d", "qnn::intrinsic::qat::ConvReLU3d"),
        item("LinearBn1d", "qnn::intrinsic::qat::LinearBn1d"),
        item("update_bn_stats", "qnn::update_bn_stats").note("reaches `LinearBn1d` too"),
        item("freeze_bn_stats", "qnn::freeze_bn_stats").note("reaches `LinearBn1d` too"),
        method(
            "reset_running_stats",
            "qnn::intrinsic::qat::ConvBn2d",
            "reset_running_stats",
        )
        .note("also of `LinearBn1d` and of batch norms"),
        method(
            "reset_bn_parameters",
            "qnn::intrinsic::qat::ConvBn2d",
            "reset_bn_parameters",
        )
        .note("also of `LinearBn1d`"),
        method("to_float", "qnn::intrinsic::qat::ConvBn2d", "to_float"),
    ],
};
