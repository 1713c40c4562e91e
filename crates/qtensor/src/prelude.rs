//! The everyday names: `use qtensor::prelude::*`.

pub use qflow::{
    ConvertOptions, Misfit, QConfigSpec, Report, calibrate, check, convert, convert_with, fuse_all,
    fuse_modules, load, load_safetensors, load_safetensors_bytes, metrics, prepare, quantize,
    quantize_dynamic, save, save_safetensors,
};
pub use qnn::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AvgPool1d, AvgPool2d, AvgPool3d,
    BatchNorm1d, BatchNorm2d, BatchNorm3d, Conv1d, Conv2d, Conv3d, DeQuantStub, Dropout, Flatten,
    FloatFunctional, Identity, Layer, Linear, MaxPool1d, MaxPool2d, MaxPool3d, Module, Node,
    QConfigSetting, QuantStub, ReLU, ReLU6, Sequential, Value, describe,
};
pub use qobserve::{Observer, QConfig};
pub use qtensor_core::{
    DType, QScheme, QTensor, Quantizer, Tensor, quantize_linear, quantize_per_channel,
    quantize_per_tensor,
};

/// The result of a `forward`; with a second parameter, the usual `Result`.
pub type Result<T, E = qnn::Error> = std::result::Result<T, E>;
