//! `IntTensor`: the raw integers of a quantized tensor, as one of three element types.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::indexing::{Index, Indexed};
use crate::layout::{Layout, MemoryFormat};
use crate::tensor::Tensor;

/// Integers as stored: `u8` for `quint8`, `i8` for `qint8`, `i32` for `qint32`.
///
/// [`QTensor::int_repr`](crate::QTensor::int_repr) returns one without copying.
#[derive(Clone, PartialEq)]
pub enum IntTensor {
    /// The integers of a `quint8` tensor.
    U8(Tensor<u8>),
    /// The integers of a `qint8` tensor.
    I8(Tensor<i8>),
    /// The integers of a `qint32` tensor.
    I32(Tensor<i32>),
}

/// Applies one expression to whichever tensor is inside.
macro_rules! each {
    ($ints:expr, $t:ident => $body:expr) => {
        match $ints {
            IntTensor::U8($t) => $body,
            IntTensor::I8($t) => $body,
            IntTensor::I32($t) => $body,
        }
    };
}
/// Applies a view operation and wraps its result again.
macro_rules! map_each {
    ($ints:expr, $t:ident => $body:expr) => {
        match $ints {
            IntTensor::U8($t) => Ok(IntTensor::U8($body)),
            IntTensor::I8($t) => Ok(IntTensor::I8($body)),
            IntTensor::I32($t) => Ok(IntTensor::I32($body)),
        }
    };
}

impl IntTensor {
    /// All zeros, of a storage type.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Rank`] for channels-last below rank 3.
    pub fn zeros(shape: &[usize], dtype: DType, format: MemoryFormat) -> Result<IntTensor> {
        Ok(match dtype {
            DType::QUInt8 => IntTensor::U8(Tensor::build(shape, format, zero)?),
            DType::QInt8 => IntTensor::I8(Tensor::build(shape, format, zero)?),
            DType::QInt32 => IntTensor::I32(Tensor::build(shape, format, zero)?),
        })
    }

    /// Converts integers in logical order to the storage type.
    ///
    /// # Errors
    /// [`Error::ValueCount`]. Values outside the type saturate.
    pub fn from_i32(values: &[i32], shape: &[usize], dtype: DType) -> Result<IntTensor> {
        Ok(match dtype {
            DType::QUInt8 => IntTensor::U8(Tensor::from_vec(
                values.iter().map(|&v| v.clamp(0, 255) as u8).collect(),
                shape,
            )?),
            DType::QInt8 => IntTensor::I8(Tensor::from_vec(
                values.iter().map(|&v| v.clamp(-128, 127) as i8).collect(),
                shape,
            )?),
            DType::QInt32 => IntTensor::I32(Tensor::from_slice(values, shape)?),
        })
    }

    /// The storage type.
    pub fn dtype(&self) -> DType {
        match self {
            IntTensor::U8(_) => DType::QUInt8,
            IntTensor::I8(_) => DType::QInt8,
            IntTensor::I32(_) => DType::QInt32,
        }
    }

    /// Shape, strides and offset.
    pub fn layout(&self) -> &Layout {
        each!(self, t => t.layout())
    }

    /// The integers in logical order, widened.
    pub fn to_i32_vec(&self) -> Vec<i32> {
        match self {
            IntTensor::U8(t) => t.to_vec().into_iter().map(i32::from).collect(),
            IntTensor::I8(t) => t.to_vec().into_iter().map(i32::from).collect(),
            IntTensor::I32(t) => t.to_vec(),
        }
    }

    /// The bytes in logical order, little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            IntTensor::U8(t) => t.to_vec(),
            IntTensor::I8(t) => bytemuck::cast_slice(&t.to_vec()).to_vec(),
            IntTensor::I32(t) => t.to_vec().into_iter().flat_map(i32::to_le_bytes).collect(),
        }
    }

    /// The reverse of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`Error::ValueCount`] if the bytes do not fill the shape.
    pub fn from_bytes(bytes: &[u8], shape: &[usize], dtype: DType) -> Result<IntTensor> {
        Ok(match dtype {
            DType::QUInt8 => IntTensor::U8(Tensor::from_slice(bytes, shape)?),
            DType::QInt8 => IntTensor::I8(Tensor::from_slice(bytemuck::cast_slice(bytes), shape)?),
            DType::QInt32 => {
                let (words, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(Error::ValueCount {
                        operation: "from_bytes (4 bytes a value)",
                        shape: shape.to_vec(),
                        expected: crate::layout::checked_numel(shape)?.saturating_mul(4),
                        actual: bytes.len(),
                    });
                }
                let values = words.iter().map(|w| i32::from_le_bytes(*w)).collect();
                IntTensor::I32(Tensor::from_vec(values, shape)?)
            }
        })
    }

    /// One integer, widened.
    pub(crate) fn get(&self, at: &[usize]) -> Result<i32> {
        Ok(match self {
            IntTensor::U8(t) => t.get(at)?.into(),
            IntTensor::I8(t) => t.get(at)?.into(),
            IntTensor::I32(t) => t.get(at)?,
        })
    }

    /// Writes one integer that already lies in the type's range.
    pub(crate) fn set(&mut self, at: &[usize], q: i32) -> Result<()> {
        match self {
            IntTensor::U8(t) => t.set(at, q as u8),
            IntTensor::I8(t) => t.set(at, q as i8),
            IntTensor::I32(t) => t.set(at, q),
        }
    }

    pub(crate) fn view(&self, shape: &[usize]) -> Result<IntTensor> {
        map_each!(self, t => t.view(shape)?)
    }

    pub(crate) fn contiguous(&self) -> IntTensor {
        match self {
            IntTensor::U8(t) => IntTensor::U8(t.contiguous()),
            IntTensor::I8(t) => IntTensor::I8(t.contiguous()),
            IntTensor::I32(t) => IntTensor::I32(t.contiguous()),
        }
    }

    pub(crate) fn to_memory_format(&self, format: MemoryFormat) -> Result<IntTensor> {
        map_each!(self, t => t.to_memory_format(format)?)
    }

    pub(crate) fn reshape(&self, shape: &[usize]) -> Result<IntTensor> {
        map_each!(self, t => t.reshape(shape)?)
    }

    pub(crate) fn permute(&self, order: &[usize]) -> Result<IntTensor> {
        map_each!(self, t => t.permute(order)?)
    }

    pub(crate) fn slice(
        &self,
        dim: usize,
        start: usize,
        end: usize,
        step: usize,
    ) -> Result<IntTensor> {
        map_each!(self, t => t.slice(dim, start, end, step)?)
    }

    pub(crate) fn select(&self, dim: usize, index: usize) -> Result<IntTensor> {
        map_each!(self, t => t.select(dim, index)?)
    }

    pub(crate) fn unsqueeze(&self, dim: usize) -> Result<IntTensor> {
        map_each!(self, t => t.unsqueeze(dim)?)
    }

    pub(crate) fn expand(&self, shape: &[usize]) -> Result<IntTensor> {
        map_each!(self, t => t.expand(shape)?)
    }

    pub(crate) fn gathered(
        &self,
        operation: &'static str,
        dim: usize,
        indices: &[usize],
    ) -> Result<IntTensor> {
        map_each!(self, t => t.gathered(operation, dim, indices)?)
    }

    pub(crate) fn indexed(&self, indexed: &Indexed) -> Result<IntTensor> {
        map_each!(self, t => t.indexed(indexed)?)
    }

    pub(crate) fn masked_select(&self, mask: &Tensor<u8>) -> Result<IntTensor> {
        map_each!(self, t => t.masked_select(mask)?)
    }

    /// Writes integers of the same type.
    pub(crate) fn index_put(&mut self, indices: &[Index<'_>], values: &IntTensor) -> Result<()> {
        match (self, values) {
            (IntTensor::U8(t), IntTensor::U8(v)) => t.index_put(indices, v),
            (IntTensor::I8(t), IntTensor::I8(v)) => t.index_put(indices, v),
            (IntTensor::I32(t), IntTensor::I32(v)) => t.index_put(indices, v),
            (t, v) => Err(Error::DTypeMismatch {
                operation: "index_put",
                expected: t.dtype(),
                actual: v.dtype(),
            }),
        }
    }

    /// Writes one integer that already lies in the type's range where `mask` is not 0.
    pub(crate) fn masked_fill(&mut self, mask: &Tensor<u8>, q: i32) -> Result<()> {
        match self {
            IntTensor::U8(t) => t.masked_fill(mask, q as u8),
            IntTensor::I8(t) => t.masked_fill(mask, q as i8),
            IntTensor::I32(t) => t.masked_fill(mask, q),
        }
    }

    pub(crate) fn shares_storage_with(&self, other: &IntTensor) -> bool {
        match (self, other) {
            (IntTensor::U8(a), IntTensor::U8(b)) => a.shares_storage_with(b),
            (IntTensor::I8(a), IntTensor::I8(b)) => a.shares_storage_with(b),
            (IntTensor::I32(a), IntTensor::I32(b)) => a.shares_storage_with(b),
            _ => false,
        }
    }
}

fn zero<T: Default + Copy>(out: &mut [T]) -> Result<()> {
    out.fill(T::default());
    Ok(())
}
