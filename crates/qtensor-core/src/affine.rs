//! The affine map on slices: `q = clamp(rne(x · (1/s)) + z)` and `x = (q − z) · s`.
//!
//! PyTorch's order of operations, bit for bit (`aten/src/ATen/native/quantized/AffineQuantizerBase.cpp`,
//! FBGEMM's `Quantize`): multiply by the reciprocal in `f32`, never divide; round first, add the zero
//! point after. NaN becomes the type's greatest value (PyTorch's 8-bit per-tensor result, chosen here
//! for every type), infinities saturate.

use crate::dtype::DType;
use crate::requant::{OutputRange, requantize_f32};
use crate::rounding::round_half_even;

/// `1 / s` as kernels use it: an `f32` division of the scale rounded to `f32`.
#[inline(always)]
pub fn inverse_scale(scale: f32) -> f32 {
    1.0 / scale
}

/// Quantizes one value to an 8-bit type. `inverse` is [`inverse_scale`] of the scale.
#[inline(always)]
pub fn quantize_8bit(x: f32, inverse: f32, range: OutputRange) -> i32 {
    requantize_f32(x * inverse, range)
}

/// The output range of a whole storage type around a zero point; for 8-bit types.
#[inline(always)]
pub fn full_range(dtype: DType, zero_point: i32) -> OutputRange {
    let (lo, hi) = dtype.range();
    OutputRange { zero_point, lo, hi }
}

/// Quantizes one value to any type. `inverse` is [`inverse_scale`] of the scale.
///
/// ```
/// # use qtensor_core::{DType, affine::{inverse_scale, quantize_value}};
/// // The reciprocal form gives 128 here; a division would give 127.
/// let inverse = inverse_scale(0.002_148_548_6);
/// assert_eq!(quantize_value(0.273_939_94, inverse, 0, DType::QUInt8), 128);
/// ```
pub fn quantize_value(x: f32, inverse: f32, zero_point: i32, dtype: DType) -> i32 {
    if dtype != DType::QInt32 {
        return quantize_8bit(x, inverse, full_range(dtype, zero_point));
    }
    // f32 cannot hold 2^31 − 1, so the sum and the clamp are in f64.
    let (lo, hi) = dtype.range();
    let rounded = round_half_even(x * inverse);
    if rounded.is_nan() {
        return hi;
    }
    (f64::from(rounded) + f64::from(zero_point)).clamp(f64::from(lo), f64::from(hi)) as i32
}

/// `(q − z) · s` in `f32`, the difference in wrapping `i32`: the per-tensor form.
#[inline(always)]
pub fn dequantize_value(q: i32, scale: f32, zero_point: i32) -> f32 {
    scale * q.wrapping_sub(zero_point) as f32
}

/// `(q − z) · s` evaluated in `f64`, then rounded to `f32`: the per-channel form.
///
/// It may differ by one unit in the last place from [`dequantize_value`], as it does in PyTorch.
#[inline(always)]
pub fn dequantize_channel_value(q: i32, scale: f64, zero_point: i32) -> f32 {
    ((f64::from(q as f32) - f64::from(zero_point)) * scale) as f32
}
