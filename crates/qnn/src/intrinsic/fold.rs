//! Folding a batch norm in evaluation mode into the layer in front of it.
//!
//! With `r = 1 / √(var + eps)`: `W' = W · (γ · r)` for each output channel, `b' = (b − mean) · r · γ + β`, a missing
//! bias being 0. Every step is in `f32` and in PyTorch's order (`torch/nn/utils/fusion.py`): folded weights are
//! quantized next, and a last bit can move an integer.

use qops::quantized::by_output_channel;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::float::{BatchNorm, Conv, ConvTranspose, Linear};

/// The convolution followed by the batch norm in evaluation mode, as one convolution.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if the channel counts differ.
pub fn fold_conv<const D: usize>(conv: &Conv<D>, norm: &BatchNorm<D>) -> Result<Conv<D>> {
    check_channels("ConvBn", conv.weight(), norm)?;
    let (weight, bias) = fold(conv.weight(), conv.bias(), &Channel::all(norm))?;
    Conv::from_parts(weight, Some(bias), *conv.geometry())
}

/// The transposed convolution followed by the batch norm in evaluation mode, as one transposed convolution.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if the channel counts differ.
#[doc(alias = "fuse_convtranspose_bn")]
pub fn fold_conv_transpose<const D: usize>(
    conv: &ConvTranspose<D>,
    norm: &BatchNorm<D>,
) -> Result<ConvTranspose<D>> {
    let weight = conv.weight_by_channel()?;
    check_channels("ConvTransposeBn", &weight, norm)?;
    let (weight, bias) = fold(&weight, conv.bias(), &Channel::all(norm))?;
    let weight = by_output_channel(&weight, conv.geometry().conv.groups)?;
    ConvTranspose::from_parts(weight, Some(bias), *conv.geometry())
}

/// The linear layer followed by the batch norm in evaluation mode, as one linear layer.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if the channel counts differ.
pub fn fold_linear(linear: &Linear, norm: &BatchNorm<1>) -> Result<Linear> {
    check_channels("LinearBn1d", linear.weight(), norm)?;
    let (weight, bias) = fold(linear.weight(), linear.bias(), &Channel::all(norm))?;
    Linear::from_parts(weight, Some(bias))
}

/// Refuses a batch norm of another width than the layer in front of it.
pub(crate) fn check_channels<const D: usize>(
    module: &'static str,
    weight: &Tensor,
    norm: &BatchNorm<D>,
) -> Result<()> {
    let (given, wanted) = (weight.shape()[0], norm.weight().numel());
    if given == wanted {
        return Ok(());
    }
    let what = format!("the layer gives {given} channels, the batch norm is for {wanted}");
    Err(crate::Error::Config { module, what })
}

/// The numbers of one channel of a batch norm.
struct Channel {
    mean: f32,
    /// `1 / √(var + eps)`.
    inverse_deviation: f32,
    gamma: f32,
    beta: f32,
}

impl Channel {
    fn all<const D: usize>(norm: &BatchNorm<D>) -> Vec<Channel> {
        let (gamma, beta) = (norm.weight().to_vec(), norm.bias().to_vec());
        let (mean, var) = (norm.running_mean().to_vec(), norm.running_var().to_vec());
        (0..gamma.len())
            .map(|c| Channel {
                mean: mean[c],
                inverse_deviation: 1.0 / (var[c] + norm.eps()).sqrt(),
                gamma: gamma[c],
                beta: beta[c],
            })
            .collect()
    }
}

fn fold(weight: &Tensor, bias: Option<&Tensor>, channels: &[Channel]) -> Result<(Tensor, Tensor)> {
    let per_channel = (weight.numel() / channels.len().max(1)).max(1);
    let values = weight.to_vec();
    let scaled = values
        .chunks(per_channel)
        .zip(channels)
        .flat_map(|(row, channel)| {
            let factor = channel.gamma * channel.inverse_deviation;
            row.iter().map(move |w| w * factor)
        });
    let old = bias.map(Tensor::to_vec);
    let moved = channels.iter().enumerate().map(|(c, channel)| {
        let b = old.as_ref().map_or(0.0, |b| b[c]);
        (b - channel.mean) * channel.inverse_deviation * channel.gamma + channel.beta
    });
    Ok((
        Tensor::from_vec(scaled.collect(), weight.shape())?,
        Tensor::from_vec(moved.collect(), &[channels.len()])?,
    ))
}
