//! Concatenation of per-channel tensors, whose integers stay as they are, and stacking.

use qtensor_core::{IntTensor, QTensor, Quantizer, Tensor};

use super::cat::{first_of, joined as joined_activations};
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};
use crate::joined;

/// Joins per-channel tensors along `dim` without changing an integer: along their axis with their maps, along another
/// dimension if all have the same map.
pub(super) fn joined_channels(
    operation: &'static str,
    tensors: &[&QTensor],
    dim: usize,
) -> Result<QTensor> {
    let first = first_of(operation, tensors)?;
    let own = parts(operation, first)?;
    for x in tensors {
        if x.dtype() != first.dtype() {
            return Err(Error::DTypesDiffer {
                operation,
                left: first.dtype(),
                right: x.dtype(),
            });
        }
        let (_, _, axis) = parts(operation, x)?;
        if axis != own.2 {
            return Err(Error::ChannelAxes {
                operation,
                expected: own.2,
                actual: axis,
            });
        }
    }
    let ints = joined_ints(operation, tensors, dim)?;
    let (mut scales, mut zero_points) = (Vec::new(), Vec::new());
    for x in tensors {
        let (own_scales, own_zero_points, _) = parts(operation, x)?;
        scales.extend_from_slice(own_scales);
        zero_points.extend_from_slice(own_zero_points);
    }
    if own.2 != dim {
        same_maps(operation, own.0, own.1, &scales, &zero_points)?;
        scales.truncate(own.0.len());
        zero_points.truncate(own.1.len());
    }
    let map = Quantizer::per_channel(&scales, &zero_points, own.2);
    Ok(QTensor::from_parts(ints, map)?)
}

/// Requires that all maps are repetitions of the first.
fn same_maps(
    operation: &'static str,
    scales: &[f64],
    zero_points: &[i32],
    all_scales: &[f64],
    all_zero_points: &[i32],
) -> Result<()> {
    let channels = scales.len().max(1);
    for (i, (&scale, &zero_point)) in all_scales.iter().zip(all_zero_points).enumerate() {
        let (tensor, channel) = (i / channels, i % channels);
        if (scale, zero_point) != (scales[channel], zero_points[channel]) {
            return Err(Error::ChannelMaps {
                operation,
                tensor,
                channel,
                expected: (scales[channel], zero_points[channel]),
                actual: (scale, zero_point),
            });
        }
    }
    Ok(())
}

/// Scales, zero points and axis.
fn parts<'a>(operation: &'static str, x: &'a QTensor) -> Result<(&'a [f64], &'a [i32], usize)> {
    match x.quantizer() {
        Quantizer::PerChannel {
            scales,
            zero_points,
            axis,
        } => Ok((scales, zero_points, *axis)),
        Quantizer::PerTensor { .. } => Err(Error::Tensor(qtensor_core::Error::QSchemeMismatch {
            operation,
            expected: "per-channel",
            actual: "per-tensor",
        })),
    }
}

/// The integers of tensors of one type, side by side.
pub(super) fn joined_ints(
    operation: &'static str,
    tensors: &[&QTensor],
    dim: usize,
) -> Result<IntTensor> {
    let ints: Vec<&IntTensor> = tensors.iter().map(|x| x.int_repr()).collect();
    macro_rules! of {
        ($kind:ident) => {{
            let own = ints.iter().filter_map(|ints| match ints {
                IntTensor::$kind(t) => Some(t),
                _ => None,
            });
            IntTensor::$kind(joined::cat(
                operation,
                &own.collect::<Vec<&Tensor<_>>>(),
                dim,
            )?)
        }};
    }
    Ok(match ints.first() {
        Some(IntTensor::I8(_)) => of!(I8),
        Some(IntTensor::I32(_)) => of!(I32),
        _ => of!(U8),
    })
}

/// Puts tensors of one shape side by side along a new dimension before `dim`.
///
/// Per-tensor ones are dequantized and quantized with `out`, by default the first one's map, as [`cat`](super::cat()) does it.
/// Per-channel ones must all have the same map, which stays, and take no `out`.
///
/// # Errors
/// [`Error::Empty`] without tensors; [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch);
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim) if `dim` exceeds the rank; those of [`cat`](super::cat()).
pub fn stack(tensors: &[&QTensor], dim: usize, out: Option<OutQParams>) -> Result<QTensor> {
    let operation = "stack";
    let shapes: Vec<&[usize]> = tensors.iter().map(|t| t.shape()).collect();
    joined::check_stack(operation, &shapes, dim)?;
    let wide = tensors.iter().map(|t| t.unsqueeze(dim));
    let wide: Vec<QTensor> = wide.collect::<qtensor_core::Result<_>>()?;
    let wide: Vec<&QTensor> = wide.iter().collect();
    match (tensors[0].quantizer(), out) {
        (Quantizer::PerChannel { .. }, None) => joined_channels(operation, &wide, dim),
        _ => joined_activations(operation, &wide, dim, out, Activation::None),
    }
}
