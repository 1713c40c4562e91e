//! Activations as kernels take them (dense, unsigned bytes in a known order) and results made from bytes.

use qkernels_x86::Context;
use qtensor_core::{DType, Element, IntTensor, Layout, MemoryFormat, QTensor, Tensor};

use super::params::{OutQParams, byte_zero_point};
use crate::error::{Error, Result};

/// The sign bit. Flipping it maps −128..=127 onto 0..=255 in order.
const SIGN: u8 = 0x80;

/// A per-tensor 8-bit activation in the unsigned domain.
pub(crate) struct Bytes {
    /// The integers, a signed tensor's with 128 added.
    pub data: Tensor<u8>,
    /// The scale.
    pub scale: f64,
    /// The zero point, 0..=255 for both types.
    pub zero_point: i32,
    /// The type that the tensor had and that the result gets.
    pub dtype: DType,
}

impl Bytes {
    /// The activation in a memory format, copying only if it is signed or lies in another order.
    ///
    /// Changing between row-major and channels-last is one blocked transpose of bytes; other strided
    /// views are gathered element by element.
    pub fn new(operation: &'static str, x: &QTensor, format: MemoryFormat) -> Result<Bytes> {
        let (scale, zero_point) = x.per_tensor(operation)?;
        let dtype = x.dtype();
        let data = match x.int_repr() {
            IntTensor::U8(t) => in_format(t, format)?,
            IntTensor::I8(t) => in_format(&flipped(t)?, format)?,
            IntTensor::I32(_) => return Err(unsupported(operation, dtype)),
        };
        Ok(Bytes {
            data,
            scale,
            zero_point: byte_zero_point(dtype, zero_point),
            dtype,
        })
    }

    /// The bytes in the order of `format`, which [`new`](Self::new) established, and the slack behind them.
    pub fn slice(&self, format: MemoryFormat) -> &[u8] {
        self.data
            .dense_slice_with_slack(format)
            .expect("the constructor brought the bytes into this format")
    }

    /// As [`slice`](Self::slice), without the slack.
    pub fn exact(&self, format: MemoryFormat) -> &[u8] {
        &self.slice(format)[..self.data.numel()]
    }
}

/// An 8-bit operation met `qint32`.
pub(crate) fn unsupported(operation: &'static str, actual: DType) -> Error {
    Error::UnsupportedDType {
        operation,
        expected: "quint8 or qint8",
        actual,
    }
}

/// The order in which an elementwise operation walks a tensor: its own if it is dense, so that
/// nothing is copied, else the one that convolutions want.
pub(crate) fn natural_format(layout: &Layout) -> MemoryFormat {
    let channels_last = layout.is_dense_in(MemoryFormat::ChannelsLast)
        || (layout.rank() >= 3 && !layout.is_dense_in(MemoryFormat::Contiguous));
    if channels_last {
        MemoryFormat::ChannelsLast
    } else {
        MemoryFormat::Contiguous
    }
}

/// Makes a result of `dtype` from unsigned bytes that `fill` writes in the order of `format`.
pub(crate) fn build(
    operation: &'static str,
    shape: &[usize],
    format: MemoryFormat,
    dtype: DType,
    out: OutQParams,
    fill: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<QTensor> {
    out.validate(operation, dtype)?;
    match dtype {
        DType::QUInt8 => QTensor::build_u8(shape, format, out.scale, out.zero_point, fill),
        DType::QInt8 => QTensor::build_i8(shape, format, out.scale, out.zero_point, |ints| {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(ints);
            fill(bytes)?;
            bytes.iter_mut().for_each(|byte| *byte ^= SIGN);
            Ok(())
        }),
        DType::QInt32 => Err(unsupported(operation, dtype)),
    }
}

/// As [`build`], into a tensor that exists, whose scale, zero point, type and shape the result must have.
///
/// Its memory is written in place if no other tensor shares it and it is dense in `format`; else it is replaced.
pub(crate) fn build_into(
    operation: &'static str,
    shape: &[usize],
    format: MemoryFormat,
    dtype: DType,
    destination: &mut QTensor,
    fill: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<()> {
    if destination.dtype() != dtype {
        return Err(Error::DTypesDiffer {
            operation,
            left: dtype,
            right: destination.dtype(),
        });
    }
    if destination.shape() != shape {
        return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation,
            expected: shape.to_vec(),
            actual: destination.shape().to_vec(),
        }));
    }
    let (scale, zero_point) = destination.per_tensor(operation)?;
    let Some(bytes) = destination.dense_bytes_mut(format) else {
        let out = OutQParams { scale, zero_point };
        *destination = build(operation, shape, format, dtype, out, fill)?;
        return Ok(());
    };
    fill(bytes)?;
    if dtype == DType::QInt8 {
        bytes.iter_mut().for_each(|byte| *byte ^= SIGN);
    }
    Ok(())
}

/// Maps a signed tensor to the unsigned domain, in its own order where that is dense.
fn flipped(signed: &Tensor<i8>) -> Result<Tensor<u8>> {
    let format = natural_format(signed.layout());
    let dense = signed.to_memory_format(format)?;
    let source = dense.dense_slice(format).unwrap_or(&[]);
    Tensor::build(signed.shape(), format, |out| {
        for (o, &q) in out.iter_mut().zip(source) {
            *o = q as u8 ^ SIGN;
        }
        Ok(())
    })
}

/// A tensor in a memory format, transposing in blocks where the present order is one of the two known.
pub(crate) fn in_format<T: Element>(t: &Tensor<T>, format: MemoryFormat) -> Result<Tensor<T>> {
    let layout = t.layout();
    if layout.is_dense_in(format) {
        return Ok(t.clone());
    }
    if layout.rank() < 3 || layout.numel() == 0 {
        return Ok(t.to_memory_format(format)?);
    }
    let other = match format {
        MemoryFormat::ChannelsLast => MemoryFormat::Contiguous,
        MemoryFormat::Contiguous => MemoryFormat::ChannelsLast,
    };
    let Some(source) = t.dense_slice(other) else {
        return Ok(t.to_memory_format(format)?);
    };
    let context = Context::new()?;
    let (batch, channels) = (t.shape()[0], t.shape()[1]);
    let spatial = t.shape()[2..].iter().product();
    Tensor::build(t.shape(), format, |out| {
        match format {
            MemoryFormat::ChannelsLast => {
                qkernels_x86::to_channels_last(&context, source, batch, channels, spatial, out)?;
            }
            MemoryFormat::Contiguous => {
                qkernels_x86::to_channels_first(&context, source, batch, channels, spatial, out)?;
            }
        }
        Ok(())
    })
}
