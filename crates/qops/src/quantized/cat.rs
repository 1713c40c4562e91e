//! Concatenation of activations.

use qkernels_x86::Context;
use qtensor_core::affine::{dequantize_value, inverse_scale, quantize_8bit};
use qtensor_core::{MemoryFormat, QTensor};

use super::bytes::{Bytes, build, natural_format};
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};

/// Joins tensors along `dim`: each is dequantized and quantized with `out`, by default the first one's map.
///
/// An input that already has the map of the result is copied as it is, which is what requantizing it would give. The
/// others go through a table of their 256 values.
///
/// # Errors
/// [`Error::Empty`] without tensors; [`Error::DTypesDiffer`]; [`Error::UnsupportedDType`];
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim); [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) if shapes
/// differ elsewhere than along `dim`; [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch); bad `out` parameters.
#[doc(alias = "concatenate")]
pub fn cat(tensors: &[&QTensor], dim: usize, out: Option<OutQParams>) -> Result<QTensor> {
    joined("cat", tensors, dim, out, Activation::None)
}

/// `max(cat, 0)`; see [`cat`].
///
/// # Errors
/// As [`cat`].
pub fn cat_relu(tensors: &[&QTensor], dim: usize, out: Option<OutQParams>) -> Result<QTensor> {
    joined("cat_relu", tensors, dim, out, Activation::Relu)
}

fn joined(
    operation: &'static str,
    tensors: &[&QTensor],
    dim: usize,
    out: Option<OutQParams>,
    activation: Activation,
) -> Result<QTensor> {
    let Some(first) = tensors.first() else {
        return Err(Error::Empty {
            operation,
            what: "tensor",
        });
    };
    let out = match out {
        Some(out) => out,
        None => {
            let (scale, zero_point) = first.per_tensor(operation)?;
            OutQParams { scale, zero_point }
        }
    };
    out.validate(operation, first.dtype())?;
    let shape = joined_shape(operation, tensors, dim)?;
    let format = natural_format(first.layout());
    let parts: Vec<Bytes> = tensors
        .iter()
        .map(|x| Bytes::new(operation, x, format))
        .collect::<Result<_>>()?;
    let parts: Vec<_> = parts
        .iter()
        .map(|part| requantized(part, format, out, activation))
        .collect::<Result<_>>()?;
    // In memory order, what lies behind the joined dimension is one run of bytes for each index before it.
    let inner = run_length(&shape, dim, format);
    let runs: Vec<usize> = tensors.iter().map(|x| x.shape()[dim] * inner).collect();
    build(operation, &shape, format, first.dtype(), out, |y| {
        let stride: usize = runs.iter().sum();
        let mut start = 0;
        for (part, &run) in parts.iter().zip(&runs).filter(|(_, run)| **run > 0) {
            let rows = y.chunks_exact_mut(stride);
            for (row, source) in rows.zip(part.chunks_exact(run)) {
                row[start..start + run].copy_from_slice(source);
            }
            start += run;
        }
        Ok(())
    })
}

/// The shape of the result, with the checks of all inputs against the first.
fn joined_shape(operation: &'static str, tensors: &[&QTensor], dim: usize) -> Result<Vec<usize>> {
    let first = tensors[0];
    let mut shape = first.shape().to_vec();
    if dim >= shape.len() {
        return Err(Error::Tensor(qtensor_core::Error::NoSuchDim {
            operation,
            dim,
            rank: shape.len(),
            shape,
        }));
    }
    for x in &tensors[1..] {
        if x.dtype() != first.dtype() {
            return Err(Error::DTypesDiffer {
                operation,
                left: first.dtype(),
                right: x.dtype(),
            });
        }
        let mut expected = first.shape().to_vec();
        if let Some(&own) = x.shape().get(dim) {
            expected[dim] = own;
            shape[dim] += own;
        }
        if x.shape() != expected {
            return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
                operation,
                expected,
                actual: x.shape().to_vec(),
            }));
        }
    }
    Ok(shape)
}

/// The bytes of one input under the result's map.
fn requantized(
    part: &Bytes,
    format: MemoryFormat,
    out: OutQParams,
    activation: Activation,
) -> Result<Vec<u8>> {
    let range = out.byte_range(part.dtype, activation);
    let source = part.exact(format);
    let same = part.scale == out.scale && part.zero_point == range.zero_point;
    if same && activation == Activation::None {
        return Ok(source.to_vec());
    }
    let inverse = inverse_scale(out.scale as f32);
    let table: [u8; 256] = std::array::from_fn(|q| {
        let real = dequantize_value(q as i32, part.scale as f32, part.zero_point);
        quantize_8bit(real, inverse, range) as u8
    });
    let mut bytes = vec![0; source.len()];
    qkernels_x86::lookup(&Context::new()?, source, &table, &mut bytes)?;
    Ok(bytes)
}

/// The number of elements behind `dim` in the memory order of `format`.
fn run_length(shape: &[usize], dim: usize, format: MemoryFormat) -> usize {
    let behind = |start: usize| shape[start..].iter().product::<usize>();
    match (format, dim) {
        (MemoryFormat::Contiguous, _) => behind(dim + 1),
        (MemoryFormat::ChannelsLast, 1) => 1,
        (MemoryFormat::ChannelsLast, 0) => behind(1),
        (MemoryFormat::ChannelsLast, _) => behind(dim + 1) * shape[1],
    }
}
