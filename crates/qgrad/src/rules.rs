//! One function per operation: the forward computation, and the rule that leads back as a closure.
//!
//! A rule holds the tensors it needs (which costs nothing: tensors share storage) and computes only the
//! gradients that are asked for.

mod conv;
mod elementwise;
mod linear;
mod norm;
mod pool;
mod reduce;
mod shape;

pub use conv::conv;
pub use elementwise::{add, add_scalar, clamp, div, mul, mul_scalar, relu, sub};
pub use linear::{linear, matmul};
pub use norm::batch_norm_eval;
pub use pool::{adaptive_avg_pool, avg_pool, max_pool};
pub use reduce::{mean, sum};
pub use shape::{cat, flatten, permute, reshape};

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
