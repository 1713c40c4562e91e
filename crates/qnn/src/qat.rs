//! Modules for quantization-aware training: float modules that compute with rounded weights.
//!
//! Their outputs are rounded by the place they stand in, whose observer is a fake-quant too. Made by
//! `qflow::prepare_qat`, or by `from_float` one by one. Modules with a batch norm inside are in
//! [`intrinsic::qat`](crate::intrinsic::qat).

mod conv;
mod conv_transpose;
mod embedding;
mod linear;
mod weight;

pub use conv::{Conv, Conv1d, Conv2d, Conv3d};
pub use conv_transpose::{ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
pub use embedding::{Embedding, EmbeddingBag};
pub use linear::Linear;
pub use weight::WeightFakeQuant;
pub(crate) use weight::through_both;
