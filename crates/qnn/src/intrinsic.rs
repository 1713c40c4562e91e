//! Fused modules: what fusion puts in the place of a chain of modules.
//!
//! In float they compute what the chain computed. Fusion for inference folds batch norms into the weights, so its
//! fused modules are a convolution, linear layer or batch norm with an activation behind it; fusion for training keeps
//! them apart ([`ConvBn`], [`LinearBn1d`]), and [`qat`] holds their forms with rounded weights. [`quantized`]
//! holds their int8 counterparts, in which a rectifier is a clamp of the requantization and costs nothing. LeakyReLU and tanh behind a
//! linear layer are no clamps ([`Activated`]).

mod activated;
mod conv_add;
mod conv_bn;
mod fold;
mod fused;
pub mod qat;
pub mod quantized;
mod rectified;

pub use activated::{Activatable, Activated, Curve, Form, LinearLeakyReLU, LinearTanh};
pub use conv_add::{
    ConvAdd, ConvAdd1d, ConvAdd2d, ConvAdd3d, ConvAddReLU1d, ConvAddReLU2d, ConvAddReLU3d,
};
pub use conv_bn::{ConvBn, ConvBn1d, ConvBn2d, ConvBn3d, LinearBn1d};
pub use fold::{fold_conv, fold_conv_transpose, fold_linear};
pub use fused::{
    BNReLU, BNReLU1d, BNReLU2d, BNReLU3d, ConvReLU, ConvReLU1d, ConvReLU2d, ConvReLU3d,
    ConvTransposeReLU, ConvTransposeReLU1d, ConvTransposeReLU2d, ConvTransposeReLU3d, Fused,
    LinearReLU, Rectifier,
};
pub use rectified::Rectified;
