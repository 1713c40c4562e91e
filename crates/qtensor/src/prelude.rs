//! The everyday names: `use qtensor::prelude::*`.

pub use qflow::{
    ConvertOptions, Misfit, QConfigSpec, QatOptions, Report, TrainOptions, calibrate, check,
    convert, convert_into, convert_with, fit, fuse_all, fuse_all_qat, fuse_modules,
    fuse_modules_qat, load, load_safetensors, load_safetensors_bytes, metrics, prepare,
    prepare_qat, quantize, quantize_dynamic, quantize_qat, quantize_qat_with, save,
    save_safetensors,
};
pub use qnn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AttentionInput, AvgPool1d, AvgPool2d,
    AvgPool3d, BagMode, Bags, BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv1d, Conv2d, Conv3d,
    ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, DeQuantStub, Dropout, ELU, Embedding,
    EmbeddingBag, Flatten, FloatFunctional, GELU, GRU, GRUCell, GroupNorm, Hardsigmoid, Hardswish,
    Identity, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LSTM, LSTMCell, Layer, LayerNorm,
    LeakyReLU, Linear, MaxPool1d, MaxPool2d, MaxPool3d, Module, MultiheadAttention, Node, PReLU,
    PackedSequence, QConfigSetting, QuantStub, QuantWrapper, RNN, RNNCell, ReLU, ReLU6,
    RunSequence, Sequence, Sequential, Sigmoid, Softmax, Tanh, Upsample, UpsamplingBilinear2d,
    UpsamplingNearest2d, Value, describe, eval, parameters, train,
};
pub use qobserve::{Observer, QConfig};
pub use qtensor_core::{
    DType, QScheme, QTensor, Quantizer, Tensor, quantize_linear, quantize_per_channel,
    quantize_per_tensor,
};

/// The result of a `forward`; with a second parameter, the usual `Result`.
pub type Result<T, E = qnn::Error> = std::result::Result<T, E>;
