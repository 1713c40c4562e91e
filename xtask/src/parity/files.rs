//! Files.

use super::row::{Group, item, method, object, other};

pub const SERIALIZATION: Group = Group {
    title: "Serialization",
    rows: &[
        other(
            "tensor",
            "qtensor_core::QTensor::to_bytes, from_bytes",
            "|q: &qtensor_core::QTensor| q.to_bytes()",
        )
        .seed("tests/qtensor.rs::all_types_and_maps_survive_a_file"),
        method("Linear", "qnn::quantized::Linear", "from_state")
            .note("one version; PyTorch's `state_dict`: `qflow::load_quantized_safetensors`"),
        method("Conv", "qnn::quantized::Conv2d", "from_state")
            .note("one version; PyTorch's `state_dict`: `qflow::load_quantized_safetensors`"),
        method("dynamic.Linear", "qnn::dynamic::Linear", "from_state"),
        method("dynamic.RNN", "qnn::dynamic::LSTM", "from_state"),
        object("observers", "qobserve::Observer", "to_bytes").note("of a model: `qflow::save`"),
        item("qat.ConvBn", "qflow::save")
            .note("a model between preparation and conversion is saved whole"),
        object("FakeQuantize", "qobserve::Observer", "restore").note("of any number of channels"),
        method("QFunctional", "qnn::QFunctional", "from_state"),
    ],
};
