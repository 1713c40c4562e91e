//! Tensors.

use super::row::{Group, item, method, other};

pub const TENSOR: Group = Group {
    title: "Tensor",
    rows: &[
        item("quantize_per_tensor", "qtensor_core::quantize_per_tensor")
            .seed("tests/qtensor.rs::quantizing_does_not_depend_on_the_layout")
            .note("also under its name of 2019, `quantize_linear`"),
        item(
            "quantize_per_tensor.tensor_qparams",
            "qtensor_core::quantize_per_tensor_tensor_qparams",
        ),
        item(
            "quantize_per_tensor.tensors",
            "qtensor_core::quantize_per_tensor_all",
        ),
        item(
            "quantize_per_tensor_dynamic",
            "qtensor_core::quantize_per_tensor_dynamic",
        ),
        item("quantize_per_channel", "qtensor_core::quantize_per_channel").note(
            "integer zero points; float ones are for `SubByteTensor` and tables of embeddings",
        ),
        method("dequantize", "qtensor_core::QTensor", "dequantize")
            .seed("golden/affine.rs::check")
            .note("lists: `dequantize_all`; 16-bit floats: `Tensor::to_f16`"),
        method("int_repr", "qtensor_core::QTensor", "int_repr")
            .seed("tests/qtensor.rs::integers_read_back_as_they_were_put_in"),
        other(
            "repr",
            "Display of qtensor_core::QTensor",
            "<qtensor_core::QTensor as std::fmt::Display>::fmt",
        )
        .seed("tests/qtensor.rs::printing_shows_values_and_debugging_integers"),
        other(
            "save/load",
            "qtensor_core::QTensor::save, load",
            "|q: &qtensor_core::QTensor, p: &str| (q.save(p), qtensor_core::QTensor::load(p))",
        )
        .seed("tests/qtensor.rs::all_types_and_maps_survive_a_file")
        .note("a file holds one tensor, so views do not share storage after loading"),
        method("q_scale", "qtensor_core::QTensor", "q_scale"),
        method("q_zero_point", "qtensor_core::QTensor", "q_zero_point"),
        method(
            "q_per_channel_scales",
            "qtensor_core::QTensor",
            "q_per_channel_scales",
        ),
        method(
            "q_per_channel_zero_points",
            "qtensor_core::QTensor",
            "q_per_channel_zero_points",
        ),
        method(
            "q_per_channel_axis",
            "qtensor_core::QTensor",
            "q_per_channel_axis",
        )
        .note("right after views and `select` too"),
        method("qscheme", "qtensor_core::QTensor", "qscheme"),
        item("is_quantized", "qnn::Value::Quantized")
            .note("the type says it: `Tensor`, `QTensor`, or a `Value` of either"),
        item(
            "_make_per_tensor_quantized_tensor",
            "qtensor_core::make_per_tensor_quantized_tensor",
        ),
        item(
            "_make_per_channel_quantized_tensor",
            "qtensor_core::make_per_channel_quantized_tensor",
        ),
        item(
            "_empty_affine_quantized",
            "qtensor_core::empty_affine_quantized",
        ),
        item(
            "_empty_per_channel_affine_quantized",
            "qtensor_core::empty_per_channel_affine_quantized",
        ),
        item(
            "_choose_qparams_per_tensor",
            "qtensor_core::choose_qparams_per_tensor",
        ),
        item(
            "choose_qparams_optimized",
            "qtensor_core::choose_qparams::choose_qparams_optimized",
        ),
        other(
            "clone",
            "Clone of qtensor_core::QTensor",
            "<qtensor_core::QTensor as Clone>::clone",
        )
        .note("shares storage until one of both is written to"),
        method("copy_", "qtensor_core::QTensor", "copy_from")
            .note("takes the source's map; from floats: `copy_from_float`"),
        method("empty_like", "qtensor_core::QTensor", "empty_like"),
        method("resize_", "qtensor_core::QTensor", "resize")
            .note("new elements are real zeros, not garbage"),
        method("item", "qtensor_core::QTensor", "item"),
        method("setitem", "qtensor_core::QTensor", "set").note("index expressions: `index_put`"),
        method("fill_", "qtensor_core::QTensor", "fill"),
        method("equal", "qtensor_core::QTensor", "equal"),
        item("quint4x2", "qtensor_core::SubByteType"),
        item("quint2x4", "qtensor_core::SubByteTensor"),
    ],
};
