//! Modules of inference.

use super::row::{Group, absent, item, method, object, other};

pub const QUANTIZED: Group = Group {
    title: "nn.quantized",
    rows: &[
        item("Quantize", "qnn::quantized::Quantize")
            .seed("tests/quantized.rs::stubs_cross_the_border_both_ways"),
        item("DeQuantize", "qnn::quantized::DeQuantize")
            .seed("tests/quantized.rs::stubs_cross_the_border_both_ways"),
        item("Linear", "qnn::quantized::Linear")
            .seed("tests/quantized.rs::a_linear_layer_is_exact_in_integers"),
        item("Conv2d", "qnn::quantized::Conv2d")
            .seed("tests/pytorch.rs::every_place_gives_pytorchs_integers"),
        item("Conv1d", "qnn::quantized::Conv1d"),
        item("Conv3d", "qnn::quantized::Conv3d"),
        item("ConvTranspose1d", "qnn::quantized::ConvTranspose1d")
            .note("weights per channel too, which PyTorch lacks"),
        item("ConvTranspose2d", "qnn::quantized::ConvTranspose2d")
            .note("weights per channel too, which PyTorch lacks"),
        item("ConvTranspose3d", "qnn::quantized::ConvTranspose3d")
            .note("weights per channel too, which PyTorch lacks"),
        item("ReLU", "qnn::ReLU")
            .seed("qnn/tests/modules.rs::float_modules_compute_their_formula")
            .note("the float module works on integers"),
        item("MaxPool2d", "qnn::MaxPool2d")
            .seed("qnn/tests/modules.rs::float_modules_compute_their_formula")
            .note("the float module works on integers"),
        item("Upsample", "qnn::Upsample").note("the float module works on integers"),
        item("UpsamplingNearest2d", "qnn::UpsamplingNearest2d")
            .note("the float module works on integers"),
        item("UpsamplingBilinear2d", "qnn::UpsamplingBilinear2d")
            .note("the float module works on integers"),
        item("ReLU6", "qnn::ReLU6").note("the float module works on integers"),
        item("ELU", "qnn::quantized::ELU"),
        item("Hardswish", "qnn::quantized::Hardswish"),
        item("LeakyReLU", "qnn::quantized::LeakyReLU"),
        item("PReLU", "qnn::quantized::PReLU"),
        item("Sigmoid", "qnn::quantized::Sigmoid").note("the float module works on integers too"),
        item("Softmax", "qnn::quantized::Softmax").note("the float module works on integers too"),
        item("BatchNorm2d", "qnn::quantized::BatchNorm2d"),
        item("BatchNorm3d", "qnn::quantized::BatchNorm3d").note("also one dimension"),
        item("LayerNorm", "qnn::quantized::LayerNorm"),
        item("GroupNorm", "qnn::quantized::GroupNorm"),
        item("InstanceNorm1d", "qnn::quantized::InstanceNorm1d"),
        item("InstanceNorm2d", "qnn::quantized::InstanceNorm2d"),
        item("InstanceNorm3d", "qnn::quantized::InstanceNorm3d"),
        item("Dropout", "qnn::Dropout").note("passes integers on in evaluation"),
        item("Embedding", "qnn::quantized::Embedding").note("8 and 4 bits"),
        item("EmbeddingBag", "qnn::quantized::EmbeddingBag").note("8 and 4 bits"),
        item("LSTM", "qnn::quantized::LSTM"),
        item("MultiheadAttention", "qnn::quantized::MultiheadAttention"),
        item("FloatFunctional", "qnn::FloatFunctional").seed(
            "qnn/tests/modules.rs::functionals_compute_and_watch_only_what_has_a_range_of_its_own",
        ),
        item("QFunctional", "qnn::QFunctional").seed(
            "qnn/tests/modules.rs::functionals_compute_and_watch_only_what_has_a_range_of_its_own",
        ),
        absent("FXFloatFunctional", "graph mode only"),
        method("*.add", "qnn::Layer<qnn::FloatFunctional>", "add").seed(
            "qnn/tests/modules.rs::functionals_compute_and_watch_only_what_has_a_range_of_its_own",
        ),
        method("*.cat", "qnn::Layer<qnn::FloatFunctional>", "cat").seed(
            "qnn/tests/modules.rs::functionals_compute_and_watch_only_what_has_a_range_of_its_own",
        ),
        method("*.add_relu", "qnn::Layer<qnn::FloatFunctional>", "add_relu").seed(
            "qnn/tests/modules.rs::functionals_compute_and_watch_only_what_has_a_range_of_its_own",
        ),
        method("*.mul", "qnn::Layer<qnn::FloatFunctional>", "mul"),
        method(
            "*.add_scalar",
            "qnn::Layer<qnn::FloatFunctional>",
            "add_scalar",
        ),
        method(
            "*.mul_scalar",
            "qnn::Layer<qnn::FloatFunctional>",
            "mul_scalar",
        ),
        method("*.matmul", "qnn::Layer<qnn::FloatFunctional>", "matmul"),
        item("LinearPackedParams", "qops::quantized::PackedLinear"),
        item("EmbeddingPackedParams", "qops::quantized::EmbeddingTable"),
        absent(
            "WeightedQuantizedModule",
            "a base class; the modules share `Node` and `Module`, and `weight`, `bias` and `output` by name",
        ),
        method("from_float", "qnn::quantized::Conv2d", "from_float")
            .seed("tests/quantized.rs::rectifiers_are_clamps_of_the_same_sums")
            .note("also of `Linear`, `BatchNorm2d` and the others"),
        method("from_reference", "qnn::quantized::Conv2d", "from_reference")
            .note("also of the others, and of dynamic modules; from integers: `from_parts`"),
        method("weight", "qnn::quantized::Conv2d", "weight"),
        method("bias", "qnn::quantized::Conv2d", "bias"),
        method(
            "set_weight_bias",
            "qnn::quantized::Linear",
            "set_weight_bias",
        )
        .note("also of convolutions, transposed ones too"),
        object("extra_repr", "qnn::Node", "extra_repr"),
        item("reference.Linear", "qnn::reference::Linear"),
        item("reference.Conv1d", "qnn::reference::Conv1d"),
        item("reference.Conv2d", "qnn::reference::Conv2d"),
        item("reference.Conv3d", "qnn::reference::Conv3d"),
        item(
            "reference.ConvTranspose1d",
            "qnn::reference::ConvTranspose1d",
        ),
        item(
            "reference.ConvTranspose2d",
            "qnn::reference::ConvTranspose2d",
        ),
        item(
            "reference.ConvTranspose3d",
            "qnn::reference::ConvTranspose3d",
        ),
        item("reference.Embedding", "qnn::reference::Embedding"),
        item("reference.EmbeddingBag", "qnn::reference::EmbeddingBag"),
        item("reference.RNNCell", "qnn::reference::RNNCell"),
        item("reference.LSTMCell", "qnn::reference::LSTMCell"),
        item("reference.GRUCell", "qnn::reference::GRUCell"),
        item("reference.LSTM", "qnn::reference::LSTM"),
        item("reference.GRU", "qnn::reference::GRU"),
        item("quantized.dropout", "qnn::Dropout").note("passes integers on in evaluation"),
        method("linear_relu", "qops::quantized::PackedLinear", "run")
            .note("with `Activation::Relu`"),
        method(
            "linear_leaky_relu",
            "qops::quantized::PackedLinear",
            "run_leaky_relu",
        ),
        method("linear_tanh", "qops::quantized::PackedLinear", "run_tanh"),
        method("conv2d_relu", "qops::quantized::PackedConv", "run").note("with `Activation::Relu`"),
        item("batch_norm2d_relu", "qops::quantized::batch_norm").note("with `Activation::Relu`"),
        method("conv2d_add", "qops::quantized::PackedConv", "run_add"),
    ],
};

pub const DYNAMIC: Group = Group {
    title: "nn.quantized.dynamic",
    rows: &[
        item("Linear", "qnn::dynamic::Linear")
            .seed("tests/dynamic.rs::one_line_replaces_every_linear_layer_and_stays_near_float")
            .note("int8 and 16-bit float weights"),
        item("LSTM", "qnn::dynamic::LSTM").seed("golden/recurrent.rs::check"),
        item("GRU", "qnn::dynamic::GRU").seed("golden/recurrent.rs::check"),
        item("RNN", "qnn::dynamic::RNN")
            .seed("golden/recurrent.rs::check")
            .note("not in PyTorch 2.6"),
        item("RNNCell", "qnn::dynamic::RNNCell").seed("golden/recurrent.rs::check"),
        item("LSTMCell", "qnn::dynamic::LSTMCell").seed("golden/recurrent.rs::check"),
        item("GRUCell", "qnn::dynamic::GRUCell").seed("golden/recurrent.rs::check"),
        item("Conv1d", "qnn::dynamic::Conv1d")
            .seed("qnn/tests/dynamic.rs::convolutions_keep_their_float_results"),
        item("Conv2d", "qnn::dynamic::Conv2d")
            .seed("qnn/tests/dynamic.rs::convolutions_keep_their_float_results")
            .note("results are float, not requantized"),
        item("Conv3d", "qnn::dynamic::Conv3d")
            .seed("qnn/tests/dynamic.rs::convolutions_keep_their_float_results"),
        item("ConvTranspose1d", "qnn::dynamic::ConvTranspose1d"),
        item("ConvTranspose2d", "qnn::dynamic::ConvTranspose2d"),
        item("ConvTranspose3d", "qnn::dynamic::ConvTranspose3d"),
        item("RNNBase", "qnn::dynamic::Recurrent"),
        item("RNNCellBase", "qnn::dynamic::RecurrentCell"),
        item("PackedParameter", "qops::recurrent::DynamicGates"),
        method("pack_weight_bias", "qops::recurrent::DynamicGates", "new"),
        method("apply_permutation", "qnn::PackedSequence", "pack_unsorted")
            .note("sequences are sorted and sorted back there"),
        object("get_weight", "qnn::Node", "state").note("under PyTorch's names"),
        object("get_bias", "qnn::Node", "state").note("under PyTorch's names"),
        item("PackedSequence_input", "qnn::PackedSequence"),
    ],
};

pub const INTRINSIC: Group = Group {
    title: "intrinsic (float)",
    rows: &[
        item("ConvReLU1d", "qnn::intrinsic::ConvReLU1d"),
        item("ConvReLU2d", "qnn::intrinsic::ConvReLU2d").note("also with ReLU6"),
        item("ConvReLU3d", "qnn::intrinsic::ConvReLU3d"),
        item("ConvBn1d", "qnn::intrinsic::ConvBn1d"),
        item("ConvBn2d", "qnn::intrinsic::ConvBn2d"),
        item("ConvBn3d", "qnn::intrinsic::ConvBn3d"),
        other(
            "ConvBnReLU1d",
            "qnn::intrinsic::Fused<qnn::intrinsic::ConvBn1d>",
            "qnn::intrinsic::Fused::<qnn::intrinsic::ConvBn1d>::new",
        ),
        other(
            "ConvBnReLU2d",
            "qnn::intrinsic::Fused<qnn::intrinsic::ConvBn2d>",
            "qnn::intrinsic::Fused::<qnn::intrinsic::ConvBn2d>::new",
        ),
        other(
            "ConvBnReLU3d",
            "qnn::intrinsic::Fused<qnn::intrinsic::ConvBn3d>",
            "qnn::intrinsic::Fused::<qnn::intrinsic::ConvBn3d>::new",
        ),
        item("LinearReLU", "qnn::intrinsic::LinearReLU"),
        item("LinearBn1d", "qnn::intrinsic::LinearBn1d"),
        item("BNReLU2d", "qnn::intrinsic::BNReLU2d"),
        item("BNReLU3d", "qnn::intrinsic::BNReLU3d").note("also one dimension"),
        item("LinearLeakyReLU", "qnn::intrinsic::LinearLeakyReLU")
            .note("fused by default, and for training too"),
        item("LinearTanh", "qnn::intrinsic::LinearTanh")
            .note("fused by default, and for training too"),
        item("ConvAdd2d", "qnn::intrinsic::ConvAdd2d")
            .note("one and three dimensions too; without a module: `add_after` of a functional's place"),
        item("ConvAddReLU2d", "qnn::intrinsic::ConvAddReLU2d")
            .note("one and three dimensions too; without a module: `add_relu_after` of a functional's place"),
    ],
};

pub const INTRINSIC_QUANTIZED: Group = Group {
    title: "intrinsic.quantized",
    rows: &[
        item("ConvReLU2d", "qnn::intrinsic::quantized::ConvReLU2d")
            .seed("tests/pytorch.rs::every_place_gives_pytorchs_integers"),
        item("LinearReLU", "qnn::intrinsic::quantized::LinearReLU")
            .seed("tests/pytorch.rs::every_place_gives_pytorchs_integers"),
        item("ConvReLU1d", "qnn::intrinsic::quantized::ConvReLU1d"),
        item("ConvReLU3d", "qnn::intrinsic::quantized::ConvReLU3d"),
        item("BNReLU2d", "qnn::intrinsic::quantized::BNReLU2d"),
        item("BNReLU3d", "qnn::intrinsic::quantized::BNReLU3d"),
        item(
            "LinearLeakyReLU",
            "qnn::intrinsic::quantized::LinearLeakyReLU",
        )
        .note("oneDNN's order: one rounding, behind the activation"),
        item("LinearTanh", "qnn::intrinsic::quantized::LinearTanh")
            .note("oneDNN's order: one rounding, behind the activation"),
        item("ConvAdd2d", "qnn::intrinsic::quantized::ConvAdd2d")
            .note("rounds the convolution's result too, as the two operations do"),
        item("ConvAddReLU2d", "qnn::intrinsic::quantized::ConvAddReLU2d")
            .note("rounds the convolution's result too, as the two operations do"),
        item(
            "dynamic.LinearReLU",
            "qnn::intrinsic::quantized::dynamic::LinearReLU",
        ),
    ],
};

pub const QUANTIZABLE: Group = Group {
    title: "quantizable",
    rows: &[
        item("LSTM", "qnn::quantizable::LSTM"),
        item("LSTMCell", "qnn::quantizable::LSTMCell"),
        item("MultiheadAttention", "qnn::quantizable::MultiheadAttention"),
        method(
            "MultiheadAttention.dequantize",
            "qnn::quantized::MultiheadAttention",
            "dequantize",
        ),
    ],
};
