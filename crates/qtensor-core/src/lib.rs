//! Quantized tensors: storage, the affine map, and files.
#![doc = include_str!("../README.md")]

pub mod affine;
pub mod buffer;
pub mod choose_qparams;
pub mod container;
mod display;
mod dtype;
mod error;
pub mod grown;
mod indexing;
mod int_tensor;
mod layout;
mod make;
mod pieces;
mod qtensor;
mod quantize;
mod quantizer;
pub mod requant;
mod resize;
pub mod rounding;
mod serial;
mod sub_byte;
mod tensor;

pub use dtype::{DType, QScheme};
pub use error::{Error, Result};
pub use indexing::Index;
pub use int_tensor::IntTensor;
pub use layout::{Dims, Layout, MAX_RANK, MemoryFormat, checked_lengths, checked_numel};
pub use make::{
    choose_qparams_per_tensor, dequantize_all, empty_per_channel_affine_quantized,
    make_per_channel_quantized_tensor, make_per_tensor_quantized_tensor, quantize_per_tensor_all,
    quantize_per_tensor_dynamic, quantize_per_tensor_tensor_qparams,
};
pub use qtensor::QTensor;
pub use quantize::{
    empty_affine_quantized, quantize_linear, quantize_per_channel, quantize_per_tensor,
    quantize_with,
};
pub use quantizer::Quantizer;
pub use sub_byte::{SubByteMap, SubByteTensor, SubByteType};
pub use tensor::{Element, Tensor};

/// 16-bit floats, which tensors can hold.
pub use half::f16;
