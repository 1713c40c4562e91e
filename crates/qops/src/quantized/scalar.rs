//! A tensor and a number: the qparams absorb the number wherever they can.

use qtensor_core::affine::inverse_scale;
use qtensor_core::requant::{OutputRange, requantize_f32};
use qtensor_core::rounding::round_half_even_f64;
use qtensor_core::{DType, IntTensor, QTensor, Quantizer};

use super::bytes::{natural_format, unsupported};
use super::params::{OutQParams, byte_zero_point};
use super::table::mapped;
use crate::error::{Error, Result};

/// `x + c`, with `c` in whole steps: `c_q = rne(c / s)`.
///
/// If `z − c_q` fits the type it is the new zero point and the integers stay, without a copy. Else the
/// zero point is the nearer end of the range, the scale grows to `s' = s · |z − c_q − far end| / (Q_max − Q_min)`, and
/// `q' = clamp(rne(f32(q − z + c_q) · (s · (1/s'))) + z')`. This is PyTorch's rule
/// (`aten/src/ATen/native/quantized/cpu/BinaryOps.cpp`).
///
/// # Errors
/// [`Error::UnsupportedDType`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch),
/// [`Error::Argument`] if `c / s` is not a number below 2³⁰ in magnitude.
pub fn add_scalar(x: &QTensor, c: f64) -> Result<QTensor> {
    added("add_scalar", x, c)
}

/// [`add_scalar`] on behalf of an operation that errors name.
pub(super) fn added(operation: &'static str, x: &QTensor, c: f64) -> Result<QTensor> {
    let (scale, zero_point) = eight_bit(operation, x)?;
    let steps = round_half_even_f64(c / scale);
    if steps.is_nan() || steps.abs() >= f64::from(1 << 30) {
        return Err(Error::Argument {
            operation,
            argument: "c",
            expected: format!("below 2^30 steps of {scale:e} in magnitude"),
            actual: c.to_string(),
        });
    }
    let steps = steps as i32;
    let (lo, hi) = x.dtype().range();
    let moved = zero_point - steps;
    let (span, new_zero) = if moved < lo {
        (hi - moved, lo)
    } else if moved > hi {
        (moved - lo, hi)
    } else {
        return Ok(QTensor::from_parts(
            x.int_repr().clone(),
            Quantizer::per_tensor(scale, moved),
        )?);
    };
    let new_scale = f64::from(span) / f64::from(hi - lo) * scale;
    let multiplier = scale as f32 * inverse_scale(new_scale as f32);
    let range = OutputRange {
        zero_point: byte_zero_point(x.dtype(), new_zero),
        lo: 0,
        hi: 255,
    };
    let own_zero = byte_zero_point(x.dtype(), zero_point);
    mapped(operation, x, OutQParams::new(new_scale, new_zero), |_| {
        move |q| {
            let moved = i32::from(q) - own_zero + steps;
            requantize_f32(moved as f32 * multiplier, range) as u8
        }
    })
}

/// `x · c`: the scale becomes `s·|c|`.
///
/// For `c > 0` the integers stay, without a copy. For `c < 0` they are mirrored, `q' = Q_min + Q_max − q`, and so is
/// the zero point. For `c = 0` they are 0 with scale 1 and zero point 0.
///
/// # Errors
/// [`Error::UnsupportedDType`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch),
/// [`Error::Argument`] for NaN and infinities, [`InvalidScale`](qtensor_core::Error::InvalidScale) if
/// `s·|c|` leaves `f32`.
pub fn mul_scalar(x: &QTensor, c: f64) -> Result<QTensor> {
    multiplied("mul_scalar", x, c)
}

/// [`mul_scalar`] on behalf of an operation that errors name.
pub(super) fn multiplied(operation: &'static str, x: &QTensor, c: f64) -> Result<QTensor> {
    let (scale, zero_point) = eight_bit(operation, x)?;
    if !c.is_finite() {
        return Err(Error::Argument {
            operation,
            argument: "c",
            expected: "finite".into(),
            actual: c.to_string(),
        });
    }
    if c > 0.0 {
        let quantizer = Quantizer::per_tensor(scale * c, zero_point);
        quantizer.validate(operation, x.dtype(), x.shape())?;
        return Ok(QTensor::from_parts(x.int_repr().clone(), quantizer)?);
    }
    if c == 0.0 {
        let zeros = IntTensor::zeros(x.shape(), x.dtype(), natural_format(x.layout()))?;
        return Ok(QTensor::from_parts(zeros, Quantizer::per_tensor(1.0, 0))?);
    }
    let (lo, hi) = x.dtype().range();
    let out = OutQParams::new(-c * scale, lo + hi - zero_point);
    // In the unsigned domain both types mirror about 127.5.
    mapped(operation, x, out, |_| |q| 255 - q)
}

/// The map of an 8-bit per-tensor activation.
fn eight_bit(operation: &'static str, x: &QTensor) -> Result<(f64, i32)> {
    match x.dtype() {
        DType::QInt32 => Err(unsupported(operation, x.dtype())),
        DType::QInt8 | DType::QUInt8 => Ok(x.per_tensor(operation)?),
    }
}
