//! The two orders of a transposed convolution's weights.
//!
//! PyTorch has the input channels first, `[in, out / groups, kernel…]`, where output channel `o` of group `g` is spread over
//! the rows of that group. Quantization wants one scale for each output channel, so int8 weights have these first,
//! `[out, in / groups, kernel…]`, as those of convolutions.

use qtensor_core::{Element, IntTensor, QTensor, Quantizer, Tensor};

use super::linear::rank_error;
use crate::error::{Error, Result};
use crate::spec::argument;

const OPERATION: &str = "conv_transpose weight";

/// Weights `[in, out / groups, kernel…]` as `[out, in / groups, kernel…]`, which is also the way back.
///
/// ```
/// # use qops::quantized::by_output_channel;
/// # use qtensor_core::Tensor;
/// let weight = Tensor::from_vec(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[2, 3, 1])?;
/// let rows = by_output_channel(&weight, 1)?;
/// assert_eq!((rows.shape(), rows.to_vec()), (&[3, 2, 1][..], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
/// assert_eq!(by_output_channel(&rows, 1)?, weight);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Rank`](qtensor_core::Error::Rank) below 2, [`Error::Argument`] if groups do not divide the first dimension.
pub fn by_output_channel<T: Element>(weight: &Tensor<T>, groups: usize) -> Result<Tensor<T>> {
    let (&[first, second], kernel) = weight.shape().split_at(weight.rank().min(2)) else {
        let expected = "3 to 5 (in, out / groups, kernel…)";
        return Err(rank_error(OPERATION, expected, weight.shape()));
    };
    if groups == 0 || !first.is_multiple_of(groups) {
        let expected = format!("a divisor of the {first} channels of {:?}", weight.shape());
        return Err(argument(OPERATION, "groups", expected, groups));
    }
    let taps: usize = kernel.iter().product();
    let grouped = weight.reshape(&[groups, first / groups, second, taps])?;
    let mut shape = vec![second * groups, first / groups];
    shape.extend(kernel);
    let swapped = grouped.permute(&[0, 2, 1, 3])?.contiguous();
    Ok(swapped.reshape(&shape)?)
}

/// As [`by_output_channel`], for quantized weights: scales along axis 1 become those of the output channels of every group.
///
/// # Errors
/// As [`by_output_channel`]; [`Error::Argument`] for weights quantized along another axis,
/// [`Error::UnsupportedDType`] for others than `qint8`.
pub(super) fn by_output_channel_quantized(weight: &QTensor, groups: usize) -> Result<QTensor> {
    let IntTensor::I8(ints) = weight.int_repr() else {
        return Err(Error::UnsupportedDType {
            operation: OPERATION,
            expected: "qint8 weights",
            actual: weight.dtype(),
        });
    };
    let ints = by_output_channel(ints, groups)?;
    let quantizer = match weight.quantizer() {
        Quantizer::PerChannel {
            scales,
            zero_points,
            axis: 1,
        } => Quantizer::per_channel(&scales.repeat(groups), &zero_points.repeat(groups), 0),
        Quantizer::PerChannel { axis, .. } => {
            let expected = "axis 1 of [in, out / groups, kernel…], or none";
            return Err(argument(OPERATION, "the channel axis", expected, axis));
        }
        per_tensor => per_tensor.clone(),
    };
    Ok(QTensor::from_parts(IntTensor::I8(ints), quantizer)?)
}
