//! From float to quantized tensors: `quantize_per_tensor` and its siblings.

use crate::affine::{inverse_scale, quantize_value};
use crate::dtype::DType;
use crate::error::Result;
use crate::int_tensor::IntTensor;
use crate::layout::MemoryFormat;
use crate::qtensor::QTensor;
use crate::quantizer::Quantizer;
use crate::tensor::Tensor;

/// Quantizes `x` with one scale and zero point: `q = clamp(rne(x · (1/s)) + z)`.
///
/// A dense `x` keeps its memory format. NaN becomes the type's greatest value, infinities saturate.
///
/// # Errors
/// [`InvalidScale`](crate::Error::InvalidScale), [`InvalidZeroPoint`](crate::Error::InvalidZeroPoint).
pub fn quantize_per_tensor(
    x: &Tensor,
    scale: f64,
    zero_point: i32,
    dtype: DType,
) -> Result<QTensor> {
    quantize(
        x,
        Quantizer::per_tensor(scale, zero_point),
        dtype,
        "quantize_per_tensor",
    )
}

/// [`quantize_per_tensor`] under its first name.
///
/// # Errors
/// As [`quantize_per_tensor`].
pub fn quantize_linear(x: &Tensor, scale: f64, zero_point: i32, dtype: DType) -> Result<QTensor> {
    quantize(
        x,
        Quantizer::per_tensor(scale, zero_point),
        dtype,
        "quantize_linear",
    )
}

/// Quantizes `x` with a scale and zero point for each index along `axis`.
///
/// # Errors
/// [`NoSuchDim`](crate::Error::NoSuchDim), [`ChannelCount`](crate::Error::ChannelCount),
/// [`InvalidScale`](crate::Error::InvalidScale), [`InvalidZeroPoint`](crate::Error::InvalidZeroPoint).
pub fn quantize_per_channel(
    x: &Tensor,
    scales: &[f64],
    zero_points: &[i32],
    axis: usize,
    dtype: DType,
) -> Result<QTensor> {
    quantize(
        x,
        Quantizer::per_channel(scales, zero_points, axis),
        dtype,
        "quantize_per_channel",
    )
}

/// Quantizes `x` with a given map; the two functions above in one.
///
/// # Errors
/// As [`quantize_per_channel`].
pub fn quantize_with(x: &Tensor, quantizer: Quantizer, dtype: DType) -> Result<QTensor> {
    quantize(x, quantizer, dtype, "quantize_with")
}

/// A quantized tensor of zero integers with a given map.
///
/// (PyTorch leaves the memory uninitialized. Here the integers are 0.)
///
/// # Errors
/// Those of [`Quantizer::validate`] and of the shape.
#[doc(alias = "_empty_affine_quantized")]
#[doc(alias = "_empty_per_channel_affine_quantized")]
pub fn empty_affine_quantized(
    shape: &[usize],
    quantizer: Quantizer,
    dtype: DType,
) -> Result<QTensor> {
    QTensor::from_parts(
        IntTensor::zeros(shape, dtype, MemoryFormat::Contiguous)?,
        quantizer,
    )
}

fn quantize(
    x: &Tensor,
    quantizer: Quantizer,
    dtype: DType,
    operation: &'static str,
) -> Result<QTensor> {
    quantizer.validate(operation, dtype, x.shape())?;
    QTensor::from_parts(quantize_ints(x, &quantizer, dtype)?, quantizer)
}

pub(crate) fn quantize_ints(x: &Tensor, quantizer: &Quantizer, dtype: DType) -> Result<IntTensor> {
    match quantizer {
        Quantizer::PerTensor { scale, zero_point } => {
            let (inverse, z) = (inverse_scale(*scale as f32), *zero_point);
            let format = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast]
                .into_iter()
                .find(|f| x.layout().is_dense_in(*f))
                .unwrap_or(MemoryFormat::Contiguous);
            let q = |v| quantize_value(v, inverse, z, dtype);
            Ok(match dtype {
                DType::QUInt8 => IntTensor::U8(map_dense(x, format, |v| q(v) as u8)?),
                DType::QInt8 => IntTensor::I8(map_dense(x, format, |v| q(v) as i8)?),
                DType::QInt32 => IntTensor::I32(map_dense(x, format, q)?),
            })
        }
        Quantizer::PerChannel {
            scales,
            zero_points,
            axis,
        } => {
            let inverses: Vec<f32> = scales.iter().map(|&s| inverse_scale(s as f32)).collect();
            let channel = channel_of(x.shape(), *axis);
            let values = x.to_vec().into_iter().enumerate().map(|(i, v)| {
                let c = channel(i);
                quantize_value(v, inverses[c], zero_points[c], dtype)
            });
            IntTensor::from_i32(&values.collect::<Vec<_>>(), x.shape(), dtype)
        }
    }
}

/// The channel of the `i`-th element in logical order.
pub(crate) fn channel_of(shape: &[usize], axis: usize) -> impl Fn(usize) -> usize {
    let inner: usize = shape[axis + 1..].iter().product::<usize>().max(1);
    let channels = shape[axis].max(1);
    move |i| i / inner % channels
}

/// Maps a tensor element by element into a dense one of `format`.
pub(crate) fn map_dense<A: crate::Element, B: crate::Element>(
    t: &Tensor<A>,
    format: MemoryFormat,
    f: impl Fn(A) -> B,
) -> Result<Tensor<B>> {
    let dense;
    let source = match t.dense_slice(format) {
        Some(slice) => slice,
        None => {
            dense = t.to_memory_format(format)?;
            dense.dense_slice(format).unwrap_or(&[])
        }
    };
    Tensor::build(t.shape(), format, |out| {
        for (o, &v) in out.iter_mut().zip(source) {
            *o = f(v);
        }
        Ok(())
    })
}
