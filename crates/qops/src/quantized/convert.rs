//! Between real numbers and integers, through the kernels.

use qkernels_x86::Context;
use qtensor_core::affine::inverse_scale;
use qtensor_core::{DType, IntTensor, MemoryFormat, QTensor, Quantizer, Tensor, quantize_with};

use super::bytes::in_format;
use super::params::OutQParams;
use crate::error::{Error, Result};

/// Quantizes `x`: `q = clamp(rne(x · (1/s)) + z)`, into channels-last memory for three and more dimensions.
///
/// The integers are those of [`qtensor_core::quantize_per_tensor`], which keeps the order of `x`; this
/// function is for the entrance of a quantized network, whose operations read channels-last.
///
/// # Errors
/// [`InvalidScale`](qtensor_core::Error::InvalidScale), [`InvalidZeroPoint`](qtensor_core::Error::InvalidZeroPoint).
#[doc(alias = "quantize_per_tensor")]
pub fn quantize(x: &Tensor, out: OutQParams, dtype: DType) -> Result<QTensor> {
    out.validate("quantize", dtype)?;
    let format = if x.rank() >= 3 {
        MemoryFormat::ChannelsLast
    } else {
        MemoryFormat::Contiguous
    };
    let (inverse, z) = (inverse_scale(out.scale as f32), out.zero_point);
    // Bytes are a quarter of the floats, so a row-major input is transposed after quantizing.
    let source_format = if x.layout().is_dense_in(MemoryFormat::Contiguous) {
        MemoryFormat::Contiguous
    } else {
        format
    };
    let dense = x.to_memory_format(source_format)?;
    let values = dense.dense_slice(source_format).unwrap_or(&[]);
    let context = Context::new()?;
    let ints = match dtype {
        DType::QUInt8 => {
            let ints: Tensor<u8> = Tensor::build(x.shape(), source_format, |q| {
                qkernels_x86::quantize_u8(&context, values, inverse, z, q).map_err(Error::from)
            })?;
            IntTensor::U8(in_format(&ints, format)?)
        }
        DType::QInt8 => {
            let ints: Tensor<i8> = Tensor::build(x.shape(), source_format, |q| {
                qkernels_x86::quantize_i8(&context, values, inverse, z, q).map_err(Error::from)
            })?;
            IntTensor::I8(in_format(&ints, format)?)
        }
        DType::QInt32 => {
            let quantized = quantize_with(&dense, out.quantizer(), dtype)?;
            return Ok(quantized.to_memory_format(format)?);
        }
    };
    Ok(QTensor::from_parts(ints, out.quantizer())?)
}

/// The real values `(q − z) · s`, in the memory order of `x` where that is dense.
///
/// The values are those of [`QTensor::dequantize`], which also serves what has no kernel here:
/// per-channel and `qint32` tensors, and strided views.
///
/// # Errors
/// [`Error::Kernel`] if the requested instruction set does not exist.
pub fn dequantize(x: &QTensor) -> Result<Tensor> {
    let Quantizer::PerTensor { scale, zero_point } = *x.quantizer() else {
        return Ok(x.dequantize());
    };
    let format = [MemoryFormat::Contiguous, MemoryFormat::ChannelsLast]
        .into_iter()
        .find(|&format| x.layout().is_dense_in(format));
    let Some(format) = format else {
        return Ok(x.dequantize());
    };
    let (scale, z, context) = (scale as f32, zero_point, Context::new()?);
    match x.int_repr() {
        IntTensor::U8(t) => {
            let q = t.dense_slice(format).unwrap_or(&[]);
            Tensor::build(x.shape(), format, |out| {
                Ok(qkernels_x86::dequantize_u8(&context, q, scale, z, out)?)
            })
        }
        IntTensor::I8(t) => {
            let q = t.dense_slice(format).unwrap_or(&[]);
            Tensor::build(x.shape(), format, |out| {
                Ok(qkernels_x86::dequantize_i8(&context, q, scale, z, out)?)
            })
        }
        IntTensor::I32(_) => Ok(x.dequantize()),
    }
}
