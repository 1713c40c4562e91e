//! Quantized tensors: storage, the affine map, and files.
#![doc = include_str!("../README.md")]

pub mod affine;
pub mod buffer;
pub mod choose_qparams;
pub mod container;
mod display;
mod dtype;
mod error;
mod int_tensor;
mod layout;
mod qtensor;
mod quantize;
mod quantizer;
pub mod requant;
pub mod rounding;
mod serial;
mod tensor;

pub use dtype::{DType, QScheme};
pub use error::{Error, Result};
pub use int_tensor::IntTensor;
pub use layout::{Dims, Layout, MemoryFormat, checked_numel};
pub use qtensor::QTensor;
pub use quantize::{
    empty_affine_quantized, quantize_linear, quantize_per_channel, quantize_per_tensor,
    quantize_with,
};
pub use quantizer::Quantizer;
pub use tensor::{Element, Tensor};
