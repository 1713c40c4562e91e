//! `QTensor`: integers and the affine map that gives them meaning.

use crate::affine::{dequantize_channel_value, dequantize_value, inverse_scale, quantize_value};
use crate::dtype::{DType, QScheme};
use crate::error::{Error, Result};
use crate::int_tensor::IntTensor;
use crate::layout::{Layout, MemoryFormat};
use crate::quantize::{channel_of, map_dense, quantize_ints};
use crate::quantizer::Quantizer;
use crate::serial::{scales_are_single, zero_points_vanish};
use crate::tensor::Tensor;

mod gather;
mod index;
mod views;

/// A quantized tensor: `x = (q − z) · s`, per tensor or per channel, over shared strided storage.
///
/// Views cost nothing and carry the map with them: a per-channel axis follows every permutation, and
/// slicing it slices its scales. Equality means the same type, map, shape and integers.
///
/// ```
/// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
/// let x = Tensor::from_vec(vec![-1.0, 0.0, 0.5, 2.0], &[2, 2])?;
/// let q = quantize_per_tensor(&x, 0.5, 10, DType::QUInt8)?;
/// assert_eq!(q.int_repr().to_i32_vec(), [8, 10, 11, 14]);
/// assert_eq!(q.dequantize(), x);
/// # Ok::<(), qtensor_core::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct QTensor {
    ints: IntTensor,
    quantizer: Quantizer,
}

impl QTensor {
    /// Integers with their map.
    ///
    /// # Errors
    /// Those of [`Quantizer::validate`].
    #[doc(alias = "_make_per_tensor_quantized_tensor")]
    #[doc(alias = "_make_per_channel_quantized_tensor")]
    pub fn from_parts(ints: IntTensor, quantizer: Quantizer) -> Result<QTensor> {
        quantizer.validate("from_parts", ints.dtype(), ints.layout().shape())?;
        Ok(QTensor { ints, quantizer })
    }

    /// A `quint8` tensor whose integers `fill` writes in memory order of `format`; see [`Tensor::build`].
    ///
    /// # Errors
    /// Those of [`Quantizer::validate`] and [`Tensor::build`], and whatever `fill` returns.
    pub fn build_u8<E: From<Error>>(
        shape: &[usize],
        format: MemoryFormat,
        scale: f64,
        zero_point: i32,
        fill: impl FnOnce(&mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<QTensor, E> {
        let quantizer = Quantizer::per_tensor(scale, zero_point);
        quantizer.validate("build_u8", DType::QUInt8, shape)?;
        Ok(QTensor {
            ints: IntTensor::U8(Tensor::build(shape, format, fill)?),
            quantizer,
        })
    }

    /// As [`build_u8`](Self::build_u8), for `qint8`.
    ///
    /// # Errors
    /// As [`build_u8`](Self::build_u8).
    pub fn build_i8<E: From<Error>>(
        shape: &[usize],
        format: MemoryFormat,
        scale: f64,
        zero_point: i32,
        fill: impl FnOnce(&mut [i8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<QTensor, E> {
        let quantizer = Quantizer::per_tensor(scale, zero_point);
        quantizer.validate("build_i8", DType::QInt8, shape)?;
        Ok(QTensor {
            ints: IntTensor::I8(Tensor::build(shape, format, fill)?),
            quantizer,
        })
    }

    /// The integers, without a copy.
    pub fn int_repr(&self) -> &IntTensor {
        &self.ints
    }

    /// The affine map.
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// The storage type.
    pub fn dtype(&self) -> DType {
        self.ints.dtype()
    }

    /// The scheme as stored: per-tensor or per-channel affine.
    pub fn qscheme(&self) -> QScheme {
        match self.quantizer {
            Quantizer::PerTensor { .. } => QScheme::PerTensorAffine,
            Quantizer::PerChannel { .. } => QScheme::PerChannelAffine,
        }
    }

    /// The scale of a per-tensor map.
    ///
    /// # Errors
    /// [`Error::QSchemeMismatch`] for a per-channel tensor.
    pub fn q_scale(&self) -> Result<f64> {
        Ok(self.per_tensor("q_scale")?.0)
    }

    /// The zero point of a per-tensor map.
    ///
    /// # Errors
    /// [`Error::QSchemeMismatch`] for a per-channel tensor.
    pub fn q_zero_point(&self) -> Result<i32> {
        Ok(self.per_tensor("q_zero_point")?.1)
    }

    /// Scale and zero point of a per-tensor map; `operation` names the caller in the error.
    ///
    /// # Errors
    /// [`Error::QSchemeMismatch`] for a per-channel tensor.
    pub fn per_tensor(&self, operation: &'static str) -> Result<(f64, i32)> {
        match self.quantizer {
            Quantizer::PerTensor { scale, zero_point } => Ok((scale, zero_point)),
            Quantizer::PerChannel { .. } => Err(Error::QSchemeMismatch {
                operation,
                expected: "per-tensor",
                actual: "per-channel",
            }),
        }
    }

    /// The scales of a per-channel map.
    ///
    /// # Errors
    /// [`Error::QSchemeMismatch`] for a per-tensor tensor.
    pub fn q_per_channel_scales(&self) -> Result<&[f64]> {
        Ok(self.per_channel("q_per_channel_scales")?.0)
    }

    /// The zero points of a per-channel map.
    ///
    /// # Errors
    /// [`Error::QSchemeMismatch`] for a per-tensor tensor.
    pub fn q_per_channel_zero_points(&self) -> Result<&[i32]> {
        Ok(self.per_channel("q_per_channel_zero_points")?.1)
    }

    /// The channel axis of a per-channel map.
    ///
    /// # Errors
    /// [`Error::QSchemeMismatch`] for a per-tensor tensor.
    pub fn q_per_channel_axis(&self) -> Result<usize> {
        Ok(self.per_channel("q_per_channel_axis")?.2)
    }

    fn per_channel(&self, operation: &'static str) -> Result<(&[f64], &[i32], usize)> {
        match &self.quantizer {
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => Ok((scales, zero_points, *axis)),
            Quantizer::PerTensor { .. } => Err(Error::QSchemeMismatch {
                operation,
                expected: "per-channel",
                actual: "per-tensor",
            }),
        }
    }

    /// The lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        self.layout().shape()
    }

    /// Shape, strides and offset.
    pub fn layout(&self) -> &Layout {
        self.ints.layout()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.layout().numel()
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.layout().rank()
    }

    /// Bytes that the integers and the map take in a file, without its headers: the integers, then
    /// a scale of 8 bytes and a zero point of 4 for a per-tensor map, or for each channel a scale (4 bytes if `f32` holds
    /// all scales exactly, else 8) and, if any differs from 0, a zero point.
    ///
    /// Files write zero points in as few bytes as each one needs, so they may be up to 3 bytes smaller for each.
    pub fn bytes(&self) -> usize {
        let map = match &self.quantizer {
            Quantizer::PerTensor { .. } => 12,
            Quantizer::PerChannel {
                scales,
                zero_points,
                ..
            } => {
                let scale = if scales_are_single(scales) { 4 } else { 8 };
                let zero_point = if zero_points_vanish(zero_points) {
                    0
                } else {
                    4
                };
                (scale + zero_point) * scales.len()
            }
        };
        self.numel() * self.dtype().size() + map
    }

    /// `(q − z) · s`, as a tensor in the same memory format where that is dense.
    ///
    /// Per tensor the product is taken in `f32`, per channel in `f64` and then rounded, as in PyTorch.
    pub fn dequantize(&self) -> Tensor {
        let format = if self.layout().is_dense_in(MemoryFormat::Contiguous) {
            MemoryFormat::Contiguous
        } else if self.layout().is_dense_in(MemoryFormat::ChannelsLast) {
            MemoryFormat::ChannelsLast
        } else {
            MemoryFormat::Contiguous
        };
        match (&self.quantizer, &self.ints) {
            (Quantizer::PerTensor { scale, zero_point }, ints) => {
                let (s, z) = (*scale as f32, *zero_point);
                let built = match ints {
                    IntTensor::U8(t) => map_dense(t, format, |q| dequantize_value(q.into(), s, z)),
                    IntTensor::I8(t) => map_dense(t, format, |q| dequantize_value(q.into(), s, z)),
                    IntTensor::I32(t) => map_dense(t, format, |q| dequantize_value(q, s, z)),
                };
                built.expect("the shape of an existing tensor is valid")
            }
            (
                Quantizer::PerChannel {
                    scales,
                    zero_points,
                    axis,
                },
                ints,
            ) => {
                let channel = channel_of(self.shape(), *axis);
                let values = ints.to_i32_vec().into_iter().enumerate().map(|(i, q)| {
                    let c = channel(i);
                    dequantize_channel_value(q, scales[c], zero_points[c])
                });
                Tensor::from_vec(values.collect(), self.shape())
                    .expect("as many values as integers")
            }
        }
    }

    /// The real value of one element.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::OutOfRange`].
    pub fn get(&self, at: &[usize]) -> Result<f32> {
        let q = self.ints.get(at)?;
        Ok(match &self.quantizer {
            Quantizer::PerTensor { scale, zero_point } => {
                dequantize_value(q, *scale as f32, *zero_point)
            }
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => dequantize_channel_value(q, scales[at[*axis]], zero_points[at[*axis]]),
        })
    }

    /// The real value of a tensor with exactly one element.
    ///
    /// # Errors
    /// [`Error::ValueCount`].
    pub fn item(&self) -> Result<f32> {
        self.dequantize().item()
    }

    /// Quantizes `value` with this tensor's map and writes it.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::OutOfRange`].
    #[doc(alias = "setitem")]
    pub fn set(&mut self, at: &[usize], value: f32) -> Result<()> {
        self.layout().index(at)?;
        let channel = match &self.quantizer {
            Quantizer::PerTensor { .. } => 0,
            Quantizer::PerChannel { axis, .. } => at[*axis],
        };
        let (scale, zero_point) = self
            .quantizer
            .channel(channel)
            .expect("the index was checked");
        let q = quantize_value(value, inverse_scale(scale), zero_point, self.dtype());
        self.ints.set(at, q)
    }

    /// Quantizes `value` with this tensor's map and writes it everywhere.
    ///
    /// # Errors
    /// None for a tensor that exists; the result keeps the signature of the other writers.
    #[doc(alias = "fill_")]
    pub fn fill(&mut self, value: f32) -> Result<()> {
        let source = Tensor::full(self.shape(), value)?;
        self.copy_from_float(&source)
    }

    /// Quantizes `source` with this tensor's own map into it.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes.
    #[doc(alias = "copy_")]
    pub fn copy_from_float(&mut self, source: &Tensor) -> Result<()> {
        if source.shape() != self.shape() {
            return Err(Error::ShapeMismatch {
                operation: "copy_from_float",
                expected: self.shape().to_vec(),
                actual: source.shape().to_vec(),
            });
        }
        self.ints = quantize_ints(source, &self.quantizer, self.dtype())?;
        Ok(())
    }

    /// Takes over the integers and the map of `source`.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::DTypeMismatch`].
    #[doc(alias = "copy_")]
    pub fn copy_from(&mut self, source: &QTensor) -> Result<()> {
        if source.shape() != self.shape() {
            return Err(Error::ShapeMismatch {
                operation: "copy_from",
                expected: self.shape().to_vec(),
                actual: source.shape().to_vec(),
            });
        }
        if source.dtype() != self.dtype() {
            return Err(Error::DTypeMismatch {
                operation: "copy_from",
                expected: self.dtype(),
                actual: source.dtype(),
            });
        }
        *self = source.clone();
        Ok(())
    }

    /// The integers of an 8-bit tensor as mutable bytes (a signed one's in two's complement) in the memory order of
    /// `format`, if they lie so and no other tensor shares them; see [`Tensor::dense_slice_mut`].
    pub fn dense_bytes_mut(&mut self, format: MemoryFormat) -> Option<&mut [u8]> {
        match &mut self.ints {
            IntTensor::U8(t) => t.dense_slice_mut(format),
            IntTensor::I8(t) => t.dense_slice_mut(format).map(bytemuck::cast_slice_mut),
            IntTensor::I32(_) => None,
        }
    }

    /// True if both have the same type, map, shape and integers.
    pub fn equal(&self, other: &QTensor) -> bool {
        self == other
    }

    /// True if both view the same storage.
    pub fn shares_storage_with(&self, other: &QTensor) -> bool {
        self.ints.shares_storage_with(&other.ints)
    }
}
