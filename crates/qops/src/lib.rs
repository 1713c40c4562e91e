//! Checked operations on float and quantized tensors.
#![doc = include_str!("../README.md")]

mod error;
pub mod float;
pub mod quantized;
pub mod recurrent;
mod spec;

pub use error::{Error, Result};
pub use spec::{ConvSpec, ConvTransposeSpec, PoolSpec};
