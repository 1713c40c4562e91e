//! `QTensor`: integers and the affine map that gives them meaning.

use crate::affine::{dequantize_channel_value, dequantize_value, inverse_scale, quantize_value};
use crate::dtype::{DType, QScheme};
use crate::error::{Error, Result};
use crate::int_tensor::IntTensor;
use crate::layout::{Layout, MemoryFormat};
use crate::quantizer::Quantizer;
use crate::tensor::{Tensor, flattened, swapped};

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

    /// Bytes that the integers and the map take: what a file holds of it.
    pub fn bytes(&self) -> usize {
        let map = match &self.quantizer {
            Quantizer::PerTensor { .. } => 12,
            Quantizer::PerChannel { scales, .. } => 12 * scales.len(),
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

    /// True if both have the same type, map, shape and integers.
    pub fn equal(&self, other: &QTensor) -> bool {
        self == other
    }

    /// True if both view the same storage.
    pub fn shares_storage_with(&self, other: &QTensor) -> bool {
        self.ints.shares_storage_with(&other.ints)
    }

    fn rebuilt(&self, ints: IntTensor, quantizer: Quantizer) -> QTensor {
        debug_assert!(
            quantizer
                .validate("view", ints.dtype(), ints.layout().shape())
                .is_ok()
        );
        QTensor { ints, quantizer }
    }

    /// This tensor if it is dense in row-major order, else a copy that is.
    pub fn contiguous(&self) -> QTensor {
        self.rebuilt(self.ints.contiguous(), self.quantizer.clone())
    }

    /// This tensor if it is dense in `format`, else a copy that is.
    ///
    /// # Errors
    /// [`Error::Rank`] for channels-last below rank 3.
    pub fn to_memory_format(&self, format: MemoryFormat) -> Result<QTensor> {
        Ok(self.rebuilt(self.ints.to_memory_format(format)?, self.quantizer.clone()))
    }

    /// The same elements under another shape, without a copy.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::NotViewable`], [`Error::ChannelAxisLost`].
    pub fn view(&self, shape: &[usize]) -> Result<QTensor> {
        let ints = self.ints.view(shape)?;
        Ok(self.rebuilt(ints, self.quantizer.reshaped("view", self.shape(), shape)?))
    }

    /// As [`view`](Self::view), copying if it must.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::ChannelAxisLost`].
    pub fn reshape(&self, shape: &[usize]) -> Result<QTensor> {
        let ints = self.ints.reshape(shape)?;
        Ok(self.rebuilt(
            ints,
            self.quantizer.reshaped("reshape", self.shape(), shape)?,
        ))
    }

    /// Merges the dimensions from `start` on into one, copying if it must.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::ChannelAxisLost`].
    pub fn flatten(&self, start: usize) -> Result<QTensor> {
        self.reshape(&flattened(self.layout(), start)?)
    }

    /// Dimensions in a new order, without a copy; a channel axis moves along.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::NoSuchDim`], [`Error::ShapeMismatch`] for a repeated dimension.
    pub fn permute(&self, order: &[usize]) -> Result<QTensor> {
        Ok(self.rebuilt(self.ints.permute(order)?, self.quantizer.permuted(order)))
    }

    /// Two dimensions swapped, without a copy.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`].
    pub fn transpose(&self, a: usize, b: usize) -> Result<QTensor> {
        self.permute(&swapped(self.layout(), a, b)?)
    }

    /// Elements `start, start + step, …` below `end` of one dimension, without a copy.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`].
    pub fn slice(&self, dim: usize, start: usize, end: usize, step: usize) -> Result<QTensor> {
        let ints = self.ints.slice(dim, start, end, step)?;
        Ok(self.rebuilt(ints, self.quantizer.sliced(dim, start, end, step)))
    }

    /// Drops a dimension by fixing its index, without a copy. Selecting a channel gives a per-tensor map.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`].
    pub fn select(&self, dim: usize, index: usize) -> Result<QTensor> {
        let ints = self.ints.select(dim, index)?;
        Ok(self.rebuilt(ints, self.quantizer.selected(dim, index)))
    }

    /// Drops a dimension of length 1. Dropping a channel axis gives a per-tensor map.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`].
    pub fn squeeze(&self, dim: usize) -> Result<QTensor> {
        self.layout().squeeze(dim)?;
        self.select(dim, 0)
    }

    /// Inserts a dimension of length 1 before `dim`.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`].
    pub fn unsqueeze(&self, dim: usize) -> Result<QTensor> {
        Ok(self.rebuilt(self.ints.unsqueeze(dim)?, self.quantizer.unsqueezed(dim)))
    }

    /// Repeats dimensions of length 1 without a copy.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`].
    pub fn expand(&self, shape: &[usize]) -> Result<QTensor> {
        let ints = self.ints.expand(shape)?;
        Ok(self.rebuilt(ints, self.quantizer.expanded(self.rank(), shape)))
    }
}

/// Quantizes `x` with one scale and zero point: `q = clamp(rne(x · (1/s)) + z)`.
///
/// A dense `x` keeps its memory format. NaN becomes the type's greatest value, infinities saturate.
///
/// # Errors
/// [`Error::InvalidScale`], [`Error::InvalidZeroPoint`].
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
/// [`Error::NoSuchDim`], [`Error::ChannelCount`], [`Error::InvalidScale`], [`Error::InvalidZeroPoint`].
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
    Ok(QTensor {
        ints: quantize_ints(x, &quantizer, dtype)?,
        quantizer,
    })
}

fn quantize_ints(x: &Tensor, quantizer: &Quantizer, dtype: DType) -> Result<IntTensor> {
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
fn channel_of(shape: &[usize], axis: usize) -> impl Fn(usize) -> usize {
    let inner: usize = shape[axis + 1..].iter().product::<usize>().max(1);
    let channels = shape[axis].max(1);
    move |i| i / inner % channels
}

/// Maps a tensor element by element into a dense one of `format`.
fn map_dense<A: crate::Element, B: crate::Element>(
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
