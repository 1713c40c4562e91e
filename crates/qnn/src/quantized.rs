//! Quantized modules: what places hold after conversion.
//!
//! They are made from float ones by `from_float`, hold int8 weights in their canonical form beside the
//! packed one (packed at construction, never on first call), and are immutable and `Send + Sync`.

mod attention;
mod conv;
mod embedding;
pub mod functional;
mod group_norm;
mod linear;
mod lstm;
mod norm;
mod qparams;
mod slopes;
mod stubs;
mod weights;

// These work on integers as they are.
pub use crate::float::{
    Dropout, MaxPool1d, MaxPool2d, MaxPool3d, ReLU, ReLU6, Upsample, UpsamplingBilinear2d,
    UpsamplingNearest2d,
};
pub use attention::MultiheadAttention;
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
    Convolution,
};
pub use embedding::{Embedding, EmbeddingBag};
pub use group_norm::{
    GroupNorm, InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, LayerNorm,
};
pub use linear::Linear;
pub use lstm::{LSTM, LSTMCell};
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use qparams::QParams;
pub use slopes::{ELU, Hardswish, LeakyReLU, PReLU, Sigmoid, Softmax};
pub use stubs::{DeQuantize, Quantize};
pub use weights::quantize_weight;
pub(crate) use weights::{quantize_observed, same_shape};
