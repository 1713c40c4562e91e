//! Moving channels into pixels and back, for float and quantized tensors: the same views of both.

use crate::error::{Error, Result};
use crate::spec::argument;

/// Defines the operations for one kind of tensor.
macro_rules! shuffles {
    ($tensor:ty) => {
        /// Moves blocks of `factor²` channels into squares of pixels: `[…, C·r², H, W]` becomes `[…, C, H·r, W·r]`, and pixel
        /// `(r·h + i, r·w + j)` of channel `c` comes from channel `c·r² + i·r + j`. A copy.
        ///
        /// # Errors
        /// [`Rank`](qtensor_core::Error::Rank) below 3 dimensions; [`Error::Argument`](crate::Error::Argument) for a factor of 0 and for
        /// channels that are no multiple of `factor²`; [`ChannelAxisLost`](qtensor_core::Error::ChannelAxisLost) for a tensor with a map
        /// for each channel or row.
        pub fn pixel_shuffle(x: &$tensor, factor: usize) -> Result<$tensor> {
            let dim = crate::shuffle::channel_dim("pixel_shuffle", x.shape())?;
            let channels = crate::shuffle::blocks("pixel_shuffle", x.shape()[dim], factor)?;
            let lead: Vec<usize> = (0..=dim).collect();
            // […, C, r, r, H, W] to […, C, H, r, W, r].
            let split = x.unflatten(dim, &[Some(channels), Some(factor), Some(factor)])?;
            let order = [lead, vec![dim + 3, dim + 1, dim + 4, dim + 2]].concat();
            Ok(split
                .permute(&order)?
                .flatten_dims(dim + 3, dim + 4)?
                .flatten_dims(dim + 1, dim + 2)?)
        }

        /// Moves squares of `factor²` pixels into channels, the reverse of [`pixel_shuffle`]: `[…, C, H·r, W·r]` becomes
        /// `[…, C·r², H, W]`. A copy.
        ///
        /// # Errors
        /// As [`pixel_shuffle`]; [`Error::Argument`](crate::Error::Argument) for a height or width that is no multiple of `factor`.
        pub fn pixel_unshuffle(x: &$tensor, factor: usize) -> Result<$tensor> {
            let dim = crate::shuffle::channel_dim("pixel_unshuffle", x.shape())?;
            let [height, width] = crate::shuffle::squares(&x.shape()[dim + 1..], factor)?;
            let lead: Vec<usize> = (0..=dim).collect();
            // […, C, H, r, W, r] to […, C, r, r, H, W].
            let split = x.unflatten(dim + 2, &[Some(width), Some(factor)])?;
            let split = split.unflatten(dim + 1, &[Some(height), Some(factor)])?;
            let order = [lead, vec![dim + 2, dim + 4, dim + 1, dim + 3]].concat();
            Ok(split.permute(&order)?.flatten_dims(dim, dim + 2)?)
        }

        /// Interleaves groups of channels (dimension 1): channel `k` of group `g` moves from `g·(C/groups) + k` to
        /// `k·groups + g`. A copy, in the memory order of `x`; scales of channels move along.
        ///
        /// # Errors
        /// [`Rank`](qtensor_core::Error::Rank) below 2 dimensions; [`Error::Argument`](crate::Error::Argument) for a number of
        /// groups that does not divide the channels.
        pub fn channel_shuffle(x: &$tensor, groups: usize) -> Result<$tensor> {
            let order = crate::shuffle::interleaved(x.shape(), groups)?;
            Ok(x.index_select(1, &order)?)
        }
    };
}
pub(crate) use shuffles;

/// The dimension of channels in front of height and width.
pub(crate) fn channel_dim(operation: &'static str, shape: &[usize]) -> Result<usize> {
    shape
        .len()
        .checked_sub(3)
        .ok_or_else(|| rank_error(operation, "at least 3", shape))
}

/// How many channels are left where `factor²` become one.
pub(crate) fn blocks(operation: &'static str, channels: usize, factor: usize) -> Result<usize> {
    match factor.checked_mul(factor) {
        Some(square) if square > 0 && channels.is_multiple_of(square) => Ok(channels / square),
        _ => {
            let expected = format!("positive, its square a divisor of {channels} channels");
            Err(argument(operation, "factor", expected, factor))
        }
    }
}

/// Height and width in squares.
pub(crate) fn squares(plane: &[usize], factor: usize) -> Result<[usize; 2]> {
    if factor == 0 || plane.iter().any(|len| !len.is_multiple_of(factor)) {
        let expected = format!("a divisor of height and width {plane:?}");
        return Err(argument("pixel_unshuffle", "factor", expected, factor));
    }
    Ok([plane[0] / factor, plane[1] / factor])
}

/// The channel that each channel of the result comes from.
pub(crate) fn interleaved(shape: &[usize], groups: usize) -> Result<Vec<usize>> {
    let operation = "channel_shuffle";
    let Some(&channels) = shape.get(1) else {
        return Err(rank_error(operation, "at least 2", shape));
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        let expected = format!("a divisor of {channels} channels");
        return Err(argument(operation, "groups", expected, groups));
    }
    qtensor_core::checked_lengths(operation, shape)?;
    let each = channels / groups;
    Ok((0..channels)
        .map(|to| to % groups * each + to / groups)
        .collect())
}

fn rank_error(operation: &'static str, expected: &str, shape: &[usize]) -> Error {
    Error::Tensor(qtensor_core::Error::Rank {
        operation,
        expected: expected.into(),
        actual: shape.len(),
        shape: shape.to_vec(),
    })
}
