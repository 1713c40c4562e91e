//! Quantized modules: what places hold after conversion.
//!
//! They are made from float ones by `from_float`, hold int8 weights in their canonical form beside the
//! packed one (packed at construction, never on first call), and are immutable and `Send + Sync`.

mod attention;
mod conv;
mod conv_transpose;
mod embedding;
pub mod functional;
mod linear;
mod lstm;
mod norm;
mod qparams;
mod stubs;
mod weights;

pub use attention::MultiheadAttention;
pub use conv::{Conv, Conv1d, Conv2d, Conv3d};
pub(crate) use conv_transpose::WEIGHT as TRANSPOSED_WEIGHT;
pub use conv_transpose::{ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use embedding::{Embedding, EmbeddingBag};
pub use linear::Linear;
pub use lstm::{LSTM, LSTMCell};
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use qparams::QParams;
pub use stubs::{DeQuantize, Quantize};
pub(crate) use weights::quantize_observed;
pub use weights::quantize_weight;
