//! What ordinary and transposed convolutions, and pools, share: weights and activations in one to three dimensions, and images
//! that are quantized as they come.

use qkernels_x86::{Context, RowParams};
use qtensor_core::{MemoryFormat, QTensor, Tensor};

use super::dynamic::{DynamicQuant, Quantized};
use super::linear::rank_error;
use super::params::Activation;
use crate::error::{Error, Result};

/// Output channels, input channels of a group, and the kernel, of a weight `[out, in / groups, kernel…]`.
pub(crate) fn weight_sizes(
    what: &'static str,
    weight: &[usize],
) -> Result<([usize; 2], [usize; 3])> {
    let refused = || rank_error(what, "3 to 5 (out, in / groups, kernel…)", weight);
    let (&[outputs, per_group], kernel) = weight.split_at(weight.len().min(2)) else {
        return Err(refused());
    };
    let kernel = three_axes(kernel).ok_or_else(refused)?;
    Ok(([outputs, per_group], kernel))
}

/// Refuses a weight for another number of spatial dimensions than `spatial`.
pub(crate) fn check_rank(operation: &'static str, weight: &QTensor, spatial: usize) -> Result<()> {
    if weight.rank() == spatial + 2 {
        return Ok(());
    }
    let expected = format!("{} for the weight", spatial + 2);
    Err(rank_error(operation, &expected, weight.shape()))
}

/// Batch and spatial size of the activation `x`, which has as many dimensions as `weight` and `in_channels` channels. `what`
/// says how the weight counts them.
pub(crate) fn images(
    operation: &'static str,
    x: &[usize],
    weight: &[usize],
    (what, in_channels): (&'static str, usize),
) -> Result<(usize, [usize; 3])> {
    let (batch, channels, input) = batched(operation, x)?;
    if x.len() != weight.len() {
        let expected = format!("{} beside a weight of shape {weight:?}", weight.len());
        return Err(rank_error(operation, &expected, x));
    }
    if channels != in_channels {
        return Err(Error::Operands {
            operation,
            what,
            expected: in_channels,
            actual: channels,
            left: weight.to_vec(),
            right: x.to_vec(),
        });
    }
    Ok((batch, input))
}

/// Quantizes the images of `x` as they come, and makes a result of shape `size`.
///
/// `compute` fills the results of so many images that share their parameters.
pub(crate) fn by_images(
    operation: &'static str,
    x: &Tensor,
    size: &[usize],
    quant: DynamicQuant,
    activation: Activation,
    compute: impl Fn(&Context, usize, &[RowParams], &[u8], &mut [f32]) -> Result<()>,
) -> Result<Tensor> {
    let format = MemoryFormat::ChannelsLast;
    let batch = size[0];
    let input = Quantized::new(operation, x, quant, batch, format)?;
    Tensor::build(size, format, |y| {
        if y.is_empty() {
            return Ok(());
        }
        let context = Context::new()?;
        // Images that share their parameters are one call.
        let calls = input.params.len();
        let (from, to) = (x.numel() / calls, y.len() / calls);
        let results = input.params.chunks_exact(1).zip(y.chunks_exact_mut(to));
        for (call, (params, y)) in results.enumerate() {
            let x = &input.slice(format)[call * from..];
            compute(&context, batch / calls, params, x, y)?;
        }
        activation.limit(y);
        Ok(())
    })
}

/// Batch, channels and spatial size of an activation with one to three spatial dimensions.
pub(crate) fn batched(operation: &'static str, x: &[usize]) -> Result<(usize, usize, [usize; 3])> {
    let refused = || rank_error(operation, "3 to 5 (batch, channels, spatial…)", x);
    let (&[batch, channels], spatial) = x.split_at(x.len().min(2)) else {
        return Err(refused());
    };
    let spatial = three_axes(spatial).ok_or_else(refused)?;
    Ok((batch, channels, spatial))
}

/// One to three spatial sizes as three, missing leading ones being 1.
pub(crate) fn three_axes(sizes: &[usize]) -> Option<[usize; 3]> {
    match *sizes {
        [w] => Some([1, 1, w]),
        [h, w] => Some([1, h, w]),
        [d, h, w] => Some([d, h, w]),
        _ => None,
    }
}

/// The logical shape of a result, from its three axes the last `spatial`.
pub(crate) fn output_shape(
    batch: usize,
    channels: usize,
    axes: [usize; 3],
    spatial: usize,
) -> Vec<usize> {
    [batch, channels]
        .into_iter()
        .chain(axes[3 - spatial..].iter().copied())
        .collect()
}
