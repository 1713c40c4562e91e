//! The table of loaders: which kind in a model file is restored by which constructor.

use qnn::intrinsic::quantized::{BNReLU, ConvAdd, ConvReLU, ConvTransposeReLU, Fused, LinearReLU};
use qnn::intrinsic::{Activated, Curve};
use qnn::quantized::{
    BatchNorm, Conv, ConvTranspose, DeQuantize, Embedding, EmbeddingBag, Linear, Quantize,
};
use qnn::{
    Erased, Error, Identity, LeakyReLU, QFunctional, Result, State, Tanh, dynamic, erase, quantized,
};

mod reference;

type Loader = fn(&mut State) -> Result<Erased>;

/// Whether modules of that kind are made from a file; others are filled in where they stand.
pub(crate) fn restores(kind: &str) -> bool {
    loader(kind).is_some()
}

/// The module of that kind from its state and configuration.
pub(crate) fn restore(kind: &str, state: &mut State) -> Result<Erased> {
    match loader(kind) {
        Some(load) => load(state),
        None => Err(Error::Config {
            module: "loader",
            what: format!("no loader for {kind:?}"),
        }),
    }
}

fn loader(kind: &str) -> Option<Loader> {
    Some(match kind {
        "Identity" => |_| Ok(erase(Identity)),
        "Quantize" => |s| Quantize::from_state(s).map(erase),
        "DeQuantize" => |_| Ok(erase(DeQuantize)),
        "QFunctional" => |s| QFunctional::from_state(s).map(erase),
        "QuantizedLinear" => |s| Linear::from_state(s).map(erase),
        "DynamicQuantizedLinear" => |s| dynamic::Linear::from_state(s).map(erase),
        "DynamicQuantizedLinearReLU" | "DynamicQuantizedLinearReLU6" => {
            |s| dynamic_linear_relu(s).map(erase)
        }
        "DynamicQuantizedRNN" => |s| dynamic::RNN::from_state(s).map(erase),
        "DynamicQuantizedLSTM" => |s| dynamic::LSTM::from_state(s).map(erase),
        "DynamicQuantizedGRU" => |s| dynamic::GRU::from_state(s).map(erase),
        "DynamicQuantizedRNNCell" => |s| dynamic::RNNCell::from_state(s).map(erase),
        "DynamicQuantizedLSTMCell" => |s| dynamic::LSTMCell::from_state(s).map(erase),
        "DynamicQuantizedGRUCell" => |s| dynamic::GRUCell::from_state(s).map(erase),
        "DynamicQuantizedConv1d" => |s| dynamic::Conv::<1>::from_state(s).map(erase),
        "DynamicQuantizedConv2d" => |s| dynamic::Conv::<2>::from_state(s).map(erase),
        "DynamicQuantizedConv3d" => |s| dynamic::Conv::<3>::from_state(s).map(erase),
        "DynamicQuantizedConvReLU1d" | "DynamicQuantizedConvReLU6_1d" => {
            |s| dynamic_conv_relu::<1>(s).map(erase)
        }
        "DynamicQuantizedConvReLU2d" | "DynamicQuantizedConvReLU6_2d" => {
            |s| dynamic_conv_relu::<2>(s).map(erase)
        }
        "DynamicQuantizedConvReLU3d" | "DynamicQuantizedConvReLU6_3d" => {
            |s| dynamic_conv_relu::<3>(s).map(erase)
        }
        "QuantizedEmbedding" => |s| Embedding::from_state(s).map(erase),
        "QuantizedEmbeddingBag" => |s| EmbeddingBag::from_state(s).map(erase),
        "QuantizedELU" => |s| quantized::ELU::from_state(s).map(erase),
        "QuantizedHardswish" => |s| quantized::Hardswish::from_state(s).map(erase),
        "QuantizedLeakyReLU" => |s| quantized::LeakyReLU::from_state(s).map(erase),
        "QuantizedPReLU" => |s| quantized::PReLU::from_state(s).map(erase),
        "QuantizedSigmoid" => |s| quantized::Sigmoid::from_state(s).map(erase),
        "QuantizedSoftmax" => |s| quantized::Softmax::from_state(s).map(erase),
        "QuantizedLayerNorm" => |s| quantized::LayerNorm::from_state(s).map(erase),
        "QuantizedGroupNorm" => |s| quantized::GroupNorm::from_state(s).map(erase),
        "QuantizedInstanceNorm1d" => |s| quantized::InstanceNorm1d::from_state(s).map(erase),
        "QuantizedInstanceNorm2d" => |s| quantized::InstanceNorm2d::from_state(s).map(erase),
        "QuantizedInstanceNorm3d" => |s| quantized::InstanceNorm3d::from_state(s).map(erase),
        "QuantizedLSTM" => |s| quantized::LSTM::from_state(s).map(erase),
        "QuantizedLSTMCell" => |s| quantized::LSTMCell::from_state(s).map(erase),
        "QuantizedMultiheadAttention" => {
            |s| quantized::MultiheadAttention::from_state(s).map(erase)
        }
        "QuantizedLinearReLU" | "QuantizedLinearReLU6" => |s| linear_relu(s).map(erase),
        "QuantizedLinearLeakyReLU" => |s| activated::<LeakyReLU>(s).map(erase),
        "QuantizedLinearTanh" => |s| activated::<Tanh>(s).map(erase),
        "DynamicQuantizedLinearLeakyReLU" => |s| dynamic_activated::<LeakyReLU>(s).map(erase),
        "DynamicQuantizedLinearTanh" => |s| dynamic_activated::<Tanh>(s).map(erase),
        "QuantizedConv1d" => |s| Conv::<1>::from_state(s).map(erase),
        "QuantizedConv2d" => |s| Conv::<2>::from_state(s).map(erase),
        "QuantizedConv3d" => |s| Conv::<3>::from_state(s).map(erase),
        "QuantizedConvReLU1d" | "QuantizedConvReLU6_1d" => |s| conv_relu::<1>(s).map(erase),
        "QuantizedConvReLU2d" | "QuantizedConvReLU6_2d" => |s| conv_relu::<2>(s).map(erase),
        "QuantizedConvReLU3d" | "QuantizedConvReLU6_3d" => |s| conv_relu::<3>(s).map(erase),
        "QuantizedConvAdd1d" => |s| ConvAdd::<1>::from_state(s).map(erase),
        "QuantizedConvAdd2d" => |s| ConvAdd::<2>::from_state(s).map(erase),
        "QuantizedConvAdd3d" => |s| ConvAdd::<3>::from_state(s).map(erase),
        "QuantizedConvAddReLU1d" => |s| ConvAdd::<1, true>::from_state(s).map(erase),
        "QuantizedConvAddReLU2d" => |s| ConvAdd::<2, true>::from_state(s).map(erase),
        "QuantizedConvAddReLU3d" => |s| ConvAdd::<3, true>::from_state(s).map(erase),
        "QuantizedConvTranspose1d" => |s| ConvTranspose::<1>::from_state(s).map(erase),
        "QuantizedConvTranspose2d" => |s| ConvTranspose::<2>::from_state(s).map(erase),
        "QuantizedConvTranspose3d" => |s| ConvTranspose::<3>::from_state(s).map(erase),
        "QuantizedConvTransposeReLU1d" | "QuantizedConvTransposeReLU6_1d" => {
            |s| conv_transpose_relu::<1>(s).map(erase)
        }
        "QuantizedConvTransposeReLU2d" | "QuantizedConvTransposeReLU6_2d" => {
            |s| conv_transpose_relu::<2>(s).map(erase)
        }
        "QuantizedConvTransposeReLU3d" | "QuantizedConvTransposeReLU6_3d" => {
            |s| conv_transpose_relu::<3>(s).map(erase)
        }
        "DynamicQuantizedConvTranspose1d" => {
            |s| dynamic::ConvTranspose::<1>::from_state(s).map(erase)
        }
        "DynamicQuantizedConvTranspose2d" => {
            |s| dynamic::ConvTranspose::<2>::from_state(s).map(erase)
        }
        "DynamicQuantizedConvTranspose3d" => {
            |s| dynamic::ConvTranspose::<3>::from_state(s).map(erase)
        }
        "DynamicQuantizedConvTransposeReLU1d" | "DynamicQuantizedConvTransposeReLU6_1d" => {
            |s| dynamic_conv_transpose_relu::<1>(s).map(erase)
        }
        "DynamicQuantizedConvTransposeReLU2d" | "DynamicQuantizedConvTransposeReLU6_2d" => {
            |s| dynamic_conv_transpose_relu::<2>(s).map(erase)
        }
        "DynamicQuantizedConvTransposeReLU3d" | "DynamicQuantizedConvTransposeReLU6_3d" => {
            |s| dynamic_conv_transpose_relu::<3>(s).map(erase)
        }
        "QuantizedBatchNorm1d" => |s| BatchNorm::<1>::from_state(s).map(erase),
        "QuantizedBatchNorm2d" => |s| BatchNorm::<2>::from_state(s).map(erase),
        "QuantizedBatchNorm3d" => |s| BatchNorm::<3>::from_state(s).map(erase),
        "QuantizedBNReLU1d" | "QuantizedBNReLU6_1d" => |s| bn_relu::<1>(s).map(erase),
        "QuantizedBNReLU2d" | "QuantizedBNReLU6_2d" => |s| bn_relu::<2>(s).map(erase),
        "QuantizedBNReLU3d" | "QuantizedBNReLU6_3d" => |s| bn_relu::<3>(s).map(erase),
        _ => return reference::loader(kind),
    })
}

fn conv_relu<const D: usize>(state: &mut State) -> Result<ConvReLU<D>> {
    Fused::from_state(state, Conv::from_state)
}

fn bn_relu<const D: usize>(state: &mut State) -> Result<BNReLU<D>> {
    Fused::from_state(state, BatchNorm::from_state)
}

fn linear_relu(state: &mut State) -> Result<LinearReLU> {
    Fused::from_state(state, Linear::from_state)
}

fn activated<A: Curve>(state: &mut State) -> Result<Activated<Linear, A>> {
    Activated::from_state(state, Linear::from_state)
}

fn dynamic_activated<A: Curve>(state: &mut State) -> Result<Activated<dynamic::Linear, A>> {
    Activated::from_state(state, dynamic::Linear::from_state)
}

fn dynamic_linear_relu(state: &mut State) -> Result<Fused<dynamic::Linear>> {
    Fused::from_state(state, dynamic::Linear::from_state)
}

fn dynamic_conv_relu<const D: usize>(state: &mut State) -> Result<Fused<dynamic::Conv<D>>> {
    Fused::from_state(state, dynamic::Conv::from_state)
}

fn conv_transpose_relu<const D: usize>(state: &mut State) -> Result<ConvTransposeReLU<D>> {
    Fused::from_state(state, ConvTranspose::from_state)
}

fn dynamic_conv_transpose_relu<const D: usize>(
    state: &mut State,
) -> Result<Fused<dynamic::ConvTranspose<D>>> {
    Fused::from_state(state, dynamic::ConvTranspose::from_state)
}
