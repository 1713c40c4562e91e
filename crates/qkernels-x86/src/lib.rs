//! Exact int8 kernels over slices, with run-time dispatch.
#![doc = include_str!("../README.md")]
//!
//! # Map
//!
//! Geometry is checked in [`ConvShape`] and [`PoolShape`], weights are packed into [`PackedWeights`] and
//! paired with a [`Requant`]; [`linear()`] and [`conv()`] then run the same loops over rows found through
//! pointers, with a micro-kernel of the [`Isa`] at their heart. [`mod@reference`] holds the naive loops that
//! all of this is compared with. Everything else works on slices element by element or window by window.

mod adaptive;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod cell;
#[cfg(target_arch = "x86_64")]
mod columns;
mod context;
mod conv;
mod curves;
mod depthwise;
mod driver;
mod dynamic;
mod elementwise;
mod error;
mod finish;
mod fork;
mod gather;
#[cfg(target_arch = "x86_64")]
mod grouped;
mod interleave;
mod isa;
mod layout;
mod linear;
mod map;
mod pack;
mod padded;
mod plan;
mod pool;
mod quantize;
pub mod reference;
mod requant;
mod residual;
mod rows_f32;
mod shape;
#[cfg(target_arch = "x86_64")]
mod shortcut;
mod source;
mod strips;
mod sums;
mod transposed;
#[cfg(target_arch = "x86_64")]
mod wide;
#[cfg(target_arch = "x86_64")]
mod winograd;

pub use adaptive::adaptive_avg_pool;
pub use attention::{AttentionScratch, AttentionShape, attention_f32};
pub use cell::{Cell, CellState, cell_step};
pub use context::Context;
pub use conv::conv;
pub use curves::{Curve, curve_f32};
pub use depthwise::DepthwiseTaps;
pub use dynamic::quantize_rows_u8;
pub use elementwise::{Byte, add, clamp, flip_sign, lookup, mul};
pub use error::{Error, Result};
pub use fork::{fork, try_fork};
pub use isa::peak::Peak;
pub use isa::sgemm::sgemm;
pub use isa::{ISA_VARIABLE, Isa, Tier, Work};
pub use layout::{to_channels_first, to_channels_last};
pub use linear::linear;
pub use pack::{MAX_REDUCTION, PackedWeights};
pub use pool::{PoolShape, avg_pool, max_pool};
pub use qtensor_core::requant::OutputRange;
pub use quantize::{MinMax, dequantize_i8, dequantize_u8, min_max, quantize_i8, quantize_u8};
pub use requant::Requant;
pub use residual::{Residual, conv_add};
pub use rows_f32::{layer_norm_f32, softmax_f32};
pub use shape::ConvShape;
pub use sums::{FloatOutput, RowParams, conv_f32, conv_i32, linear_f32, linear_i32};
pub use transposed::{TransposedPart, TransposedShape};
