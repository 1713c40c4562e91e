//! Padding of quantized tensors: integers are copied, and a constant is quantized with the map of the tensor.

use qtensor_core::{MemoryFormat, QTensor, Quantizer, empty_affine_quantized};

use super::bytes::natural_format;
use super::cat_channels::joined_ints;
use crate::error::{Error, Result};
use crate::padding::{PadMode, check_pairs, padded_indices};
use crate::spec::argument;

/// Puts `before` and `after` copies of `value`, quantized with the map of `x`, at both ends of each dimension; one pair for each
/// dimension, first to last. (PyTorch's `pad` counts them from the last dimension.)
///
/// ```
/// # use qops::quantized::{OutQParams, pad, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let x = quantize(&Tensor::from_vec(vec![1.0, 2.0], &[2])?, OutQParams::new(0.5, 3), DType::QUInt8)?;
/// assert_eq!(pad(&x, &[(1, 2)], 1.3)?.int_repr().to_i32_vec(), [6, 5, 7, 6, 6]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for another number of pairs than the rank, and for padding along a channel axis, where no scale is
/// known; [`TooLarge`](qtensor_core::Error::TooLarge).
#[doc(alias = "constant_pad_nd")]
pub fn pad(x: &QTensor, padding: &[(usize, usize)], value: f32) -> Result<QTensor> {
    let operation = "pad";
    check_pairs(operation, x.rank(), padding)?;
    if let Quantizer::PerChannel { axis, .. } = x.quantizer()
        && padding[*axis] != (0, 0)
    {
        let (before, after) = padding[*axis];
        let expected = format!("(0, 0) along the channel axis {axis}");
        return Err(argument(
            operation,
            "padding",
            expected,
            format!("({before}, {after})"),
        ));
    }
    let ends = x.shape().iter().zip(padding);
    let result: Vec<usize> = ends
        .map(|(len, (before, after))| len.saturating_add(*before).saturating_add(*after))
        .collect();
    qtensor_core::checked_numel(&result)?;
    in_memory_order(x, padding, |x, padding| {
        padding
            .iter()
            .enumerate()
            .try_fold(x.clone(), |x, (dim, &pair)| {
                extended(operation, &x, dim, pair, value)
            })
    })
}

/// As [`pad`], with elements of `x` instead of a constant: mirrored, repeated, or from the other end. A channel axis may be
/// padded; the scales and zero points are repeated with the channels.
///
/// # Errors
/// [`Error::Argument`] for another number of pairs than the rank, and for more elements than there are to repeat;
/// [`TooLarge`](qtensor_core::Error::TooLarge).
#[doc(alias = "reflection_pad2d")]
#[doc(alias = "replication_pad2d")]
pub fn pad_with(x: &QTensor, padding: &[(usize, usize)], mode: PadMode) -> Result<QTensor> {
    let dims = padded_indices("pad", x.shape(), padding, mode)?;
    let padded = dims
        .iter()
        .try_fold(x.clone(), |x, (dim, indices)| x.index_select(*dim, indices));
    Ok(padded?)
}

/// One dimension with a constant at both ends.
fn extended(
    operation: &'static str,
    x: &QTensor,
    dim: usize,
    (before, after): (usize, usize),
    value: f32,
) -> Result<QTensor> {
    if (before, after) == (0, 0) {
        return Ok(x.clone());
    }
    let block = |length: usize| {
        let mut shape = x.shape().to_vec();
        shape[dim] = length;
        let mut block = empty_affine_quantized(&shape, x.quantizer().clone(), x.dtype())?;
        block.fill(value)?;
        Ok::<QTensor, Error>(block)
    };
    let ints = joined_ints(operation, &[&block(before)?, x, &block(after)?], dim)?;
    Ok(QTensor::from_parts(ints, x.quantizer().clone())?)
}

/// Pads a channels-last tensor under the shape that it has in memory, so that the result is channels-last too.
fn in_memory_order(
    x: &QTensor,
    padding: &[(usize, usize)],
    pad: impl FnOnce(&QTensor, &[(usize, usize)]) -> Result<QTensor>,
) -> Result<QTensor> {
    let rank = x.rank();
    if natural_format(x.layout()) == MemoryFormat::Contiguous {
        return pad(x, padding);
    }
    let order: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
    let mut back = vec![0; rank];
    order
        .iter()
        .enumerate()
        .for_each(|(to, &from)| back[from] = to);
    let turned: Vec<(usize, usize)> = order.iter().map(|&dim| padding[dim]).collect();
    Ok(pad(&x.permute(&order)?, &turned)?.permute(&back)?)
}
