//! Folding a batch norm in evaluation mode into the layer in front of it.
//!
//! `W' = W · γ / √(var + eps)` for each output channel, `b' = (b − mean) · γ / √(var + eps) + β`, with a
//! missing bias as 0 (`torch/nn/utils/fusion.py`). The factors are `f64` and rounded once.

use qnn::{BatchNorm, Conv, Linear};
use qtensor_core::Tensor;

use crate::error::Result;

/// The convolution followed by the batch norm, as one convolution. The channel counts agree.
pub(crate) fn fold_conv<const D: usize>(conv: &Conv<D>, norm: &BatchNorm<D>) -> Result<Conv<D>> {
    let (weight, bias) = fold(conv.weight(), conv.bias(), &norm.affine())?;
    Ok(Conv::from_parts(weight, Some(bias), *conv.geometry())?)
}

/// The linear layer followed by the batch norm, as one linear layer. The channel counts agree.
pub(crate) fn fold_linear(linear: &Linear, norm: &BatchNorm<1>) -> Result<Linear> {
    let (weight, bias) = fold(linear.weight(), linear.bias(), &norm.affine())?;
    Ok(Linear::from_parts(weight, Some(bias))?)
}

fn fold(weight: &Tensor, bias: Option<&Tensor>, affine: &[(f64, f64)]) -> Result<(Tensor, Tensor)> {
    let per_channel = weight.numel() / affine.len().max(1);
    let values = weight.to_vec();
    let scaled = values
        .iter()
        .enumerate()
        .map(|(i, &w)| (f64::from(w) * affine[i / per_channel].0) as f32);
    let old = bias.map(Tensor::to_vec);
    let moved = affine.iter().enumerate().map(|(c, &(factor, offset))| {
        let b = old.as_ref().map_or(0.0, |b| f64::from(b[c]));
        (b * factor + offset) as f32
    });
    Ok((
        Tensor::from_vec(scaled.collect(), weight.shape())?,
        Tensor::from_vec(moved.collect(), &[affine.len()])?,
    ))
}
