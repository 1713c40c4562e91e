//! One function per operation: the forward computation, and the rule that leads back as a closure.
//!
//! A rule holds the tensors it needs (which costs nothing: tensors share storage) and computes only the
//! gradients that are asked for.

mod activation;
mod conv;
mod conv_transpose;
mod dropout;
mod elementwise;
mod embedding;
mod layer_norm;
mod linear;
mod loss;
mod norm;
mod pool;
mod reduce;
mod resize;
mod shape;

pub use activation::{gelu, hardswish, log_softmax, relu6, sigmoid, softmax, tanh};
pub use conv::conv;
pub use conv_transpose::conv_transpose;
pub use dropout::dropout;
pub use elementwise::{add, add_scalar, clamp, div, mul, mul_scalar, relu, sub};
pub use embedding::{embedding, embedding_bag};
pub use layer_norm::layer_norm;
pub use linear::{linear, matmul};
pub use loss::{cross_entropy, mse_loss};
pub use norm::{BatchStatistics, batch_norm_eval, batch_norm_train};
pub use pool::{adaptive_avg_pool, avg_pool, max_pool};
pub use reduce::{mean, sum};
pub use resize::interpolate;
pub use shape::{cat, flatten, pad, permute, reshape, slice};

use qtensor_core::Tensor;

use crate::error::Result;

/// The gradient if it is needed, else nothing.
fn when(needed: bool, gradient: impl FnOnce() -> qops::Result<Tensor>) -> Result<Option<Tensor>> {
    Ok(needed.then(gradient).transpose()?)
}

/// All dimensions of a shape but the channels, dimension 1.
fn all_but_channels(rank: usize) -> Vec<usize> {
    (0..rank).filter(|&dim| dim != 1).collect()
}
