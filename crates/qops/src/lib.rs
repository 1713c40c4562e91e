//! Checked operations on float and quantized tensors.
#![doc = include_str!("../README.md")]

mod error;
pub mod float;
mod joined;
mod lanes;
mod padding;
pub mod quantized;
pub mod recurrent;
mod resampling;
mod shuffle;
mod spec;

pub use error::{Error, Result};
pub use padding::PadMode;
pub use resampling::{Interpolation, ResizeTo};
pub use spec::{ConvSpec, ConvTransposeSpec, PoolSpec};
