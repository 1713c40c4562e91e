//! Fused modules for quantization-aware training: rounded weights, batch norms that are still trained, rectifiers.
//!
//! | module | made from |
//! |---|---|
//! | [`ConvBn`] | [`intrinsic::ConvBn`](super::ConvBn) |
//! | [`ConvBnReLU`] | `Fused<ConvBn>` |
//! | [`ConvReLU`] | [`intrinsic::ConvReLU`](super::ConvReLU) |
//! | [`ConvTransposeReLU`] | [`intrinsic::ConvTransposeReLU`](super::ConvTransposeReLU) |
//! | [`LinearReLU`] | [`intrinsic::LinearReLU`](super::LinearReLU) |
//! | [`LinearLeakyReLU`] | [`intrinsic::LinearLeakyReLU`](super::LinearLeakyReLU) |
//! | [`LinearTanh`] | [`intrinsic::LinearTanh`](super::LinearTanh) |
//! | [`LinearBn1d`] | [`intrinsic::LinearBn1d`](super::LinearBn1d) |

mod conv_bn;
mod linear_bn;

pub use conv_bn::{ConvBn, ConvBn1d, ConvBn2d, ConvBn3d};
pub use linear_bn::LinearBn1d;

use qgrad::{Var, ops};

use super::activated::Activated;
use super::fused::Fused;
use crate::error::Result;
use crate::float::{BatchNorm, LeakyReLU, Tanh};
use crate::qat;

/// A convolution, a trained batch norm and a rectifier.
pub type ConvBnReLU<const D: usize> = Fused<ConvBn<D>>;
/// A convolution over `(N, C, L)`, a trained batch norm and a rectifier.
pub type ConvBnReLU1d = ConvBnReLU<1>;
/// A convolution over `(N, C, H, W)`, a trained batch norm and a rectifier.
pub type ConvBnReLU2d = ConvBnReLU<2>;
/// A convolution over `(N, C, D, H, W)`, a trained batch norm and a rectifier.
pub type ConvBnReLU3d = ConvBnReLU<3>;
/// A convolution with rounded weights and a rectifier.
pub type ConvReLU<const D: usize> = Fused<qat::Conv<D>>;
/// A convolution over `(N, C, L)` with rounded weights and a rectifier.
pub type ConvReLU1d = ConvReLU<1>;
/// A convolution over `(N, C, H, W)` with rounded weights and a rectifier.
pub type ConvReLU2d = ConvReLU<2>;
/// A convolution over `(N, C, D, H, W)` with rounded weights and a rectifier.
pub type ConvReLU3d = ConvReLU<3>;
/// A transposed convolution with rounded weights and a rectifier.
pub type ConvTransposeReLU<const D: usize> = Fused<qat::ConvTranspose<D>>;
/// A transposed convolution over `(N, C, L)` with rounded weights and a rectifier.
pub type ConvTransposeReLU1d = ConvTransposeReLU<1>;
/// A transposed convolution over `(N, C, H, W)` with rounded weights and a rectifier.
pub type ConvTransposeReLU2d = ConvTransposeReLU<2>;
/// A transposed convolution over `(N, C, D, H, W)` with rounded weights and a rectifier.
pub type ConvTransposeReLU3d = ConvTransposeReLU<3>;
/// A linear layer with rounded weights and a rectifier.
pub type LinearReLU = Fused<qat::Linear>;
/// A linear layer with rounded weights and a leaky ReLU.
pub type LinearLeakyReLU = Activated<qat::Linear, LeakyReLU>;
/// A linear layer with rounded weights and a hyperbolic tangent.
pub type LinearTanh = Activated<qat::Linear, Tanh>;
/// A linear layer with rounded weights, a trained batch norm and a rectifier.
pub type LinearBnReLU1d = Fused<LinearBn1d>;

/// What a weight is multiplied by before it is rounded, one factor a channel: `f = γ / √(running var + eps)`.
///
/// The weight is rounded as it will be once the batch norm is folded, and the layer's result is divided by `f` again,
/// so that the batch norm behind it sees the layer's own values. Where `γ` is 0 (below 1e-12) the factor would be too,
/// and the quotient meaningless; there `f = 1 / √(running var + eps)`, as with `γ = 1`. The folded weight of
/// such a channel is 0, and so is its contribution here, because the batch norm multiplies by `γ`.
pub(crate) fn scale_factor<const D: usize>(bn: &BatchNorm<D>) -> Result<Var> {
    let eps = bn.eps();
    let deviation = bn.running_var().map(|v| (v + eps).sqrt());
    Ok(ops::div(
        &away_from_zero(bn.gamma()),
        &Var::from(deviation),
    )?)
}

/// `γ`, or 1 where it vanishes and passes no gradient.
fn away_from_zero(gamma: &Var) -> Var {
    let vanishes = |g: f32| g.abs() < 1e-12;
    let values = gamma.untraced().clone();
    let safe = values.map(|g| if vanishes(g) { 1.0 } else { g });
    Var::from_operation("away_from_zero", &[gamma], safe, move |grad, _| {
        let pass = values.map(|g| if vanishes(g) { 0.0 } else { 1.0 });
        Ok(vec![Some(qops::float::mul(grad, &pass)?)])
    })
}

/// A vector of one value a channel in the shape that multiplies along `dim` of a tensor of this rank.
pub(crate) fn along(vector: &Var, dim: usize, rank: usize) -> Result<Var> {
    let mut shape = vec![1; rank];
    shape[dim] = vector.untraced().numel();
    Ok(ops::reshape(vector, &shape)?)
}
