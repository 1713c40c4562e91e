//! Fused modules: what fusion puts in the place of a chain of modules.
//!
//! In float they compute what the chain computed. Batch norms are folded into the weights by then, so a
//! fused module is a convolution, linear layer or batch norm with an activation behind it. [`quantized`]
//! holds their int8 counterparts, in which the activation is a clamp of the requantization and costs nothing.

mod fused;
pub mod quantized;
mod rectified;

pub use fused::{
    BNReLU, BNReLU1d, BNReLU2d, BNReLU3d, ConvReLU, ConvReLU1d, ConvReLU2d, ConvReLU3d, Fused,
    LinearReLU, Rectifier,
};
pub use rectified::Rectified;
