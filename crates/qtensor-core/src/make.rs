//! Quantized tensors from their parts, from qparams in tensors, from lists, and with qparams chosen on the spot.

use half::f16;

use crate::choose_qparams::{ChooseOptions, choose_quantization_params};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::int_tensor::IntTensor;
use crate::layout::MemoryFormat;
use crate::qtensor::QTensor;
use crate::quantize::{empty_affine_quantized, quantize_with};
use crate::quantizer::Quantizer;
use crate::tensor::Tensor;

/// Integers with one scale and zero point; the type of the integers is that of the tensor.
///
/// ```
/// # use qtensor_core::{IntTensor, Tensor, make_per_tensor_quantized_tensor};
/// let ints = IntTensor::U8(Tensor::from_vec(vec![8, 10, 14], &[3])?);
/// let q = make_per_tensor_quantized_tensor(ints, 0.5, 10)?;
/// assert_eq!(q.dequantize().to_vec(), [-1.0, 0.0, 2.0]);
/// # Ok::<(), qtensor_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidScale`], [`Error::InvalidZeroPoint`].
#[doc(alias = "_make_per_tensor_quantized_tensor")]
pub fn make_per_tensor_quantized_tensor(
    ints: IntTensor,
    scale: f64,
    zero_point: i32,
) -> Result<QTensor> {
    QTensor::from_parts(ints, Quantizer::per_tensor(scale, zero_point))
}

/// Integers with a scale and a zero point for each index along `axis`.
///
/// # Errors
/// [`Error::NoSuchDim`], [`Error::ChannelCount`], [`Error::InvalidScale`], [`Error::InvalidZeroPoint`].
#[doc(alias = "_make_per_channel_quantized_tensor")]
pub fn make_per_channel_quantized_tensor(
    ints: IntTensor,
    scales: &[f64],
    zero_points: &[i32],
    axis: usize,
) -> Result<QTensor> {
    QTensor::from_parts(ints, Quantizer::per_channel(scales, zero_points, axis))
}

/// A per-channel quantized tensor of zero integers; see [`empty_affine_quantized`].
///
/// # Errors
/// Those of [`make_per_channel_quantized_tensor`] and of the shape.
#[doc(alias = "_empty_per_channel_affine_quantized")]
pub fn empty_per_channel_affine_quantized(
    shape: &[usize],
    scales: &[f64],
    zero_points: &[i32],
    axis: usize,
    dtype: DType,
) -> Result<QTensor> {
    let quantizer = Quantizer::per_channel(scales, zero_points, axis);
    empty_affine_quantized(shape, quantizer, dtype)
}

/// [`quantize_per_tensor`](crate::quantize_per_tensor) with the scale and the zero point in tensors of one element.
///
/// # Errors
/// [`Error::ValueCount`] for another number of elements; [`Error::InvalidScale`]; [`Error::InvalidZeroPoint`].
#[doc(alias = "quantize_per_tensor.tensor_qparams")]
pub fn quantize_per_tensor_tensor_qparams(
    x: &Tensor,
    scale: &Tensor,
    zero_point: &Tensor<i64>,
    dtype: DType,
) -> Result<QTensor> {
    let (scale, wide) = (scale.item()?, zero_point.item()?);
    let (lo, hi) = dtype.range();
    let zero_point = i32::try_from(wide).map_err(|_| Error::InvalidZeroPoint {
        operation: "quantize_per_tensor",
        zero_point: wide,
        dtype,
        lo: lo.into(),
        hi: hi.into(),
        channel: None,
    })?;
    crate::quantize_per_tensor(x, scale.into(), zero_point, dtype)
}

/// [`quantize_per_tensor`](crate::quantize_per_tensor) of several tensors, each with its own scale and zero point.
///
/// # Errors
/// [`Error::ValueCount`] unless there are as many scales and zero points as tensors; [`Error::InvalidScale`];
/// [`Error::InvalidZeroPoint`].
#[doc(alias = "quantize_per_tensor.tensors")]
pub fn quantize_per_tensor_all(
    tensors: &[Tensor],
    scales: &[f64],
    zero_points: &[i32],
    dtype: DType,
) -> Result<Vec<QTensor>> {
    for (operation, actual) in [
        (
            "quantize_per_tensor (scales for a list of tensors)",
            scales.len(),
        ),
        (
            "quantize_per_tensor (zero points for a list of tensors)",
            zero_points.len(),
        ),
    ] {
        if actual != tensors.len() {
            return Err(Error::ValueCount {
                operation,
                shape: vec![tensors.len()],
                expected: tensors.len(),
                actual,
            });
        }
    }
    let maps = scales.iter().zip(zero_points);
    tensors
        .iter()
        .zip(maps)
        .map(|(x, (&scale, &zero_point))| crate::quantize_per_tensor(x, scale, zero_point, dtype))
        .collect()
}

/// [`QTensor::dequantize`] of several tensors.
#[doc(alias = "dequantize.tensors")]
pub fn dequantize_all(tensors: &[QTensor]) -> Vec<Tensor> {
    tensors.iter().map(QTensor::dequantize).collect()
}

/// The scale and zero point of the range of `x` on 0..=255, or 0..=127 with `reduce_range`:
/// [`choose_quantization_params`] of the least and the greatest element.
///
/// # Errors
/// [`Error::InvalidRange`] for NaN and infinities; [`Error::ValueCount`] without elements.
#[doc(alias = "_choose_qparams_per_tensor")]
pub fn choose_qparams_per_tensor(x: &Tensor, reduce_range: bool) -> Result<(f64, i32)> {
    chosen("choose_qparams_per_tensor", x, DType::QUInt8, reduce_range)
}

/// Quantizes `x` with the scale and zero point that its range asks for, to 8 bits.
///
/// ```
/// # use qtensor_core::{DType, Tensor, quantize_per_tensor_dynamic};
/// let x = Tensor::from_vec(vec![-1.0, 0.0, 4.1], &[3])?;
/// let q = quantize_per_tensor_dynamic(&x, DType::QUInt8, false)?;
/// assert_eq!(q.int_repr().to_i32_vec(), [0, 50, 255]);
/// # Ok::<(), qtensor_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidRange`] for NaN and infinities; [`Error::ValueCount`] without elements;
/// [`Error::DTypeMismatch`] for `qint32`.
pub fn quantize_per_tensor_dynamic(
    x: &Tensor,
    dtype: DType,
    reduce_range: bool,
) -> Result<QTensor> {
    let operation = "quantize_per_tensor_dynamic";
    if dtype == DType::QInt32 {
        return Err(Error::DTypeMismatch {
            operation,
            expected: DType::QUInt8,
            actual: dtype,
        });
    }
    let (scale, zero_point) = chosen(operation, x, dtype, reduce_range)?;
    quantize_with(x, Quantizer::per_tensor(scale, zero_point), dtype)
}

fn chosen(
    operation: &'static str,
    x: &Tensor,
    dtype: DType,
    reduce_range: bool,
) -> Result<(f64, i32)> {
    if x.numel() == 0 {
        return Err(Error::ValueCount {
            operation,
            shape: x.shape().to_vec(),
            expected: 1,
            actual: 0,
        });
    }
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    for value in x.to_vec() {
        // A NaN stays: comparisons with it are false.
        if value < min || value.is_nan() {
            min = value;
        }
        if value > max || value.is_nan() {
            max = value;
        }
        if value.is_nan() {
            break;
        }
    }
    let (qmin, qmax) = dtype.range();
    let options = ChooseOptions {
        qmin,
        qmax,
        preserve_sparsity: false,
        reduce_range,
    };
    choose_quantization_params(min, max, options)
}

impl QTensor {
    /// A tensor of zero integers with the shape, type, map and memory format of this one.
    ///
    /// (PyTorch leaves the memory uninitialized. Here the integers are 0.)
    ///
    /// # Errors
    /// None for a tensor that exists, except where a repeated (expanded) one would not fit into memory.
    pub fn empty_like(&self) -> Result<QTensor> {
        let channels_last = self.layout().is_dense_in(MemoryFormat::ChannelsLast)
            && !self.layout().is_dense_in(MemoryFormat::Contiguous);
        let format = if channels_last {
            MemoryFormat::ChannelsLast
        } else {
            MemoryFormat::Contiguous
        };
        let ints = IntTensor::zeros(self.shape(), self.dtype(), format)?;
        QTensor::from_parts(ints, self.quantizer().clone())
    }
}

impl Tensor {
    /// The nearest 16-bit floats, ties to even; beyond ±65504 infinities.
    #[doc(alias = "half")]
    pub fn to_f16(&self) -> Tensor<f16> {
        self.map(f16::from_f32)
    }
}

impl Tensor<f16> {
    /// The same numbers in `f32`, exactly.
    #[doc(alias = "float")]
    pub fn dequantize(&self) -> Tensor {
        self.map(f16::to_f32)
    }
}
