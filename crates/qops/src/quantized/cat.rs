//! Concatenation of activations.

use qtensor_core::{MemoryFormat, QTensor, Quantizer};

use super::bytes::{Bytes, build, natural_format};
use super::cat_channels::joined_channels;
use super::params::{Activation, OutQParams};
use super::table::{ThroughReals, write};
use crate::error::{Error, Result};

/// Joins tensors along `dim`: each is dequantized and quantized with `out`, by default the first one's map.
///
/// An input that already has the map of the result is copied as it is, which is what requantizing it would give. The
/// others go through a table of their 256 values.
///
/// Per-channel tensors of any type, without `out`, keep their integers: along their channel axis the scales and zero points are
/// joined too, along another dimension all must have the same map.
///
/// ```
/// # use qops::quantized::cat;
/// # use qtensor_core::{DType, Tensor, quantize_per_channel};
/// let x = Tensor::from_vec(vec![1.0, 2.0], &[1, 2])?;
/// let a = quantize_per_channel(&x, &[0.5], &[0], 0, DType::QInt8)?;
/// let b = quantize_per_channel(&x, &[0.25], &[7], 0, DType::QInt8)?;
/// let c = cat(&[&a, &b], 0, None)?;
/// assert_eq!(c.q_per_channel_scales()?, [0.5, 0.25]);
/// assert_eq!(c.dequantize().to_vec(), [1.0, 2.0, 1.0, 2.0]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without tensors; [`Error::DTypesDiffer`]; [`Error::UnsupportedDType`];
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim); [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) if shapes
/// differ elsewhere than along `dim`; [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch); bad `out` parameters; [`Error::ChannelAxes`]
/// and [`Error::ChannelMaps`] for per-channel tensors that do not fit.
#[doc(alias = "concatenate")]
pub fn cat(tensors: &[&QTensor], dim: usize, out: Option<OutQParams>) -> Result<QTensor> {
    let first = tensors.first().map(|x| x.quantizer());
    if let (Some(Quantizer::PerChannel { .. }), None) = (first, out) {
        return joined_channels("cat", tensors, dim);
    }
    joined("cat", tensors, dim, out, Activation::None)
}

/// `max(cat, 0)`; see [`cat`].
///
/// # Errors
/// As [`cat`].
pub fn cat_relu(tensors: &[&QTensor], dim: usize, out: Option<OutQParams>) -> Result<QTensor> {
    joined("cat_relu", tensors, dim, out, Activation::Relu)
}

pub(super) fn joined(
    operation: &'static str,
    tensors: &[&QTensor],
    dim: usize,
    out: Option<OutQParams>,
    activation: Activation,
) -> Result<QTensor> {
    let first = first_of(operation, tensors)?;
    let out = match out {
        Some(out) => out,
        None => {
            let (scale, zero_point) = first.per_tensor(operation)?;
            OutQParams { scale, zero_point }
        }
    };
    out.validate(operation, first.dtype())?;
    let format = natural_format(first.layout());
    let join = Join::new(operation, tensors, dim, format, out, activation)?;
    build(operation, &join.shape, format, first.dtype(), out, |y| {
        join.write(y);
        Ok(())
    })
}

/// The first tensor, which decides type and, unless told otherwise, map.
pub(super) fn first_of<'a>(
    operation: &'static str,
    tensors: &[&'a QTensor],
) -> Result<&'a QTensor> {
    tensors.first().copied().ok_or(Error::Empty {
        operation,
        what: "tensor",
    })
}

/// All inputs under the result's map, ready to be laid side by side.
pub(super) struct Join {
    /// The shape of the result.
    pub shape: Vec<usize>,
    parts: Vec<Vec<u8>>,
    runs: Vec<usize>,
}

impl Join {
    /// Checks the inputs, of which there is at least one, and requantizes each to the valid map `out`.
    pub fn new(
        operation: &'static str,
        tensors: &[&QTensor],
        dim: usize,
        format: MemoryFormat,
        out: OutQParams,
        activation: Activation,
    ) -> Result<Join> {
        let shape = joined_shape(operation, tensors, dim)?;
        let parts = tensors
            .iter()
            .map(|x| {
                let part = Bytes::new(operation, x, format)?;
                requantized(&part, format, out, activation)
            })
            .collect::<Result<_>>()?;
        // In memory order, what lies behind the joined dimension is one run of bytes for each index before it.
        let inner = run_length(&shape, dim, format);
        let runs = tensors.iter().map(|x| x.shape()[dim] * inner).collect();
        Ok(Join { shape, parts, runs })
    }

    /// Writes the result in memory order.
    pub fn write(&self, y: &mut [u8]) {
        let stride: usize = self.runs.iter().sum();
        let mut start = 0;
        let parts = self.parts.iter().zip(&self.runs);
        for (part, &run) in parts.filter(|(_, run)| **run > 0) {
            let rows = y.chunks_exact_mut(stride);
            for (row, source) in rows.zip(part.chunks_exact(run)) {
                row[start..start + run].copy_from_slice(source);
            }
            start += run;
        }
    }
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
    let function = ThroughReals {
        from: (part.scale as f32, part.zero_point),
        scale: out.scale as f32,
        range,
        function: |x| x,
    };
    let mut bytes = vec![0; source.len()];
    write(&function, source, &mut bytes)?;
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
