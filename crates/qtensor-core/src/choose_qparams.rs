//! From an observed range to a scale and a zero point: PyTorch's two routines, which differ.
//!
//! [`calculate_qparams`] is the observers' (`torch/ao/quantization/observer.py`, `_calculate_qparams`),
//! all in `f32`. [`choose_quantization_params`] is the one of dynamic operators and fused
//! fake-quantization (`aten/src/ATen/native/quantized/cpu/QuantUtils.h`, `ChooseQuantizationParams`), in `f64`.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::rounding::{round_half_even, round_half_even_f64};

mod optimized;

pub use optimized::choose_qparams_optimized;

/// The observers' least scale, `2^-23`.
pub const DEFAULT_EPS: f32 = f32::EPSILON;

/// The integers that an observer may use: the type's, a reduced range, or a custom one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct QuantRange {
    /// The least integer.
    pub min: i32,
    /// The greatest integer.
    pub max: i32,
    /// Given by the user, which changes the zero point of symmetric unsigned schemes.
    pub custom: bool,
}

impl QuantRange {
    /// The storage type's own range, or its half with `reduce_range`.
    pub const fn of(dtype: DType, reduce_range: bool) -> QuantRange {
        let (min, max) = if reduce_range {
            dtype.reduced_range()
        } else {
            dtype.range()
        };
        QuantRange {
            min,
            max,
            custom: false,
        }
    }

    /// A range chosen by the user. `reduce_range` floor-halves both ends.
    ///
    /// # Errors
    /// [`Error::InvalidRange`] unless `min < max`, 0 lies within, and the type can store both.
    pub fn custom(dtype: DType, min: i32, max: i32, reduce_range: bool) -> Result<QuantRange> {
        let (lo, hi) = dtype.range();
        let refuse = |why| Error::InvalidRange {
            operation: "quantization range",
            min: min.into(),
            max: max.into(),
            why,
        };
        if min >= max {
            return Err(refuse("the lower end must lie below the upper"));
        }
        if min > 0 || max < 0 {
            return Err(refuse(
                "0 must lie within, so that real zero is representable",
            ));
        }
        if min < lo || max > hi {
            return Err(refuse("it reaches beyond the storage type"));
        }
        let (min, max) = if reduce_range {
            (min.div_euclid(2), max.div_euclid(2))
        } else {
            (min, max)
        };
        Ok(QuantRange {
            min,
            max,
            custom: true,
        })
    }

    /// Refuses what the public fields allow to go wrong.
    ///
    /// # Errors
    /// [`Error::InvalidRange`] unless `min < max`.
    pub fn validate(self, operation: &'static str) -> Result<()> {
        if self.min < self.max {
            return Ok(());
        }
        Err(Error::InvalidRange {
            operation,
            min: self.min.into(),
            max: self.max.into(),
            why: "the least integer must lie below the greatest",
        })
    }

    /// `max − min`, exact in `f32` up to 24 bits and rounded once above.
    fn width(self) -> f32 {
        (i64::from(self.max) - i64::from(self.min)) as f32
    }
}

/// The qparams of an observed range `[min, max]`, in `f32`.
///
/// With `lo = min(min, 0)` and `hi = max(max, 0)`:
/// * affine: `s = max((hi − lo) / (Qmax − Qmin), eps)`, `z = clamp(Qmin − rne(lo / s), Qmin, Qmax)`;
/// * symmetric: `s = max(max(−lo, hi) / ((Qmax − Qmin) / 2), eps)`; `z` is 0 for signed types, 128 for
///   `quint8`, and `⌊(Qmin + Qmax) / 2⌋` for `quint8` with a custom range.
///
/// # Errors
/// [`Error::InvalidRange`] if `min > max`, either is NaN, or the range or its width is infinite; unless `Qmin < Qmax`; and for a
/// scale that vanishes, which no positive `eps` allows.
///
/// ```
/// # use qtensor_core::{DType, choose_qparams::{calculate_qparams, QuantRange, DEFAULT_EPS}};
/// let range = QuantRange::of(DType::QUInt8, false);
/// let (scale, zero_point) = calculate_qparams(-1.0, 3.0, DType::QUInt8, range, false, DEFAULT_EPS)?;
/// assert_eq!((scale, zero_point), (4.0 / 255.0, 64));
/// # Ok::<(), qtensor_core::Error>(())
/// ```
pub fn calculate_qparams(
    min: f32,
    max: f32,
    dtype: DType,
    range: QuantRange,
    symmetric: bool,
    eps: f32,
) -> Result<(f32, i32)> {
    check_range("calculate_qparams", min.into(), max.into())?;
    range.validate("calculate_qparams (integers)")?;
    let (lo, hi) = (min.min(0.0), max.max(0.0));
    let width = range.width();
    if !(hi - lo).is_finite() {
        return Err(Error::InvalidRange {
            operation: "calculate_qparams",
            min: min.into(),
            max: max.into(),
            why: "its width overflows f32",
        });
    }
    let positive = |scale: f32| {
        if scale > 0.0 {
            return Ok(scale);
        }
        Err(Error::InvalidRange {
            operation: "calculate_qparams",
            min: min.into(),
            max: max.into(),
            why: "its scale vanishes in f32, and eps is not positive",
        })
    };
    if symmetric {
        let scale = positive(((-lo).max(hi) / (width / 2.0)).max(eps))?;
        let middle = (i64::from(range.min) + i64::from(range.max)).div_euclid(2);
        let zero_point = match dtype {
            DType::QUInt8 if range.custom => middle as i32,
            DType::QUInt8 => 128,
            DType::QInt8 | DType::QInt32 => 0,
        };
        return Ok((scale, zero_point));
    }
    let scale = positive(((hi - lo) / width).max(eps))?;
    // The quotient is at most the width of the range, so i64 holds it for every type.
    let zero_point = i64::from(range.min) - round_half_even(lo / scale) as i64;
    Ok((
        scale,
        zero_point.clamp(range.min.into(), range.max.into()) as i32,
    ))
}

/// How [`choose_quantization_params`] treats its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChooseOptions {
    /// The least integer.
    pub qmin: i32,
    /// The greatest integer.
    pub qmax: i32,
    /// Make real zero land so that symmetric data stay symmetric.
    pub preserve_sparsity: bool,
    /// Halve both ends of the integer range first.
    pub reduce_range: bool,
}

/// The smallest scale that the routine allows (it fits a fixed-point multiplier in FBGEMM).
const SMALL_SCALE_THRESHOLD: f64 = 6.1e-5_f32 as f64;

/// `ChooseQuantizationParams`: the qparams of dynamic operators, in `f64`.
///
/// 1. `reduce_range` halves `qmin` and `qmax`.
/// 2. With `preserve_sparsity` and `min < 0 < max`, the range is widened symmetrically.
/// 3. The range is extended to include 0, `s = (max − min) / (qmax − qmin)`; a scale that vanishes in `f32` becomes 0.1.
/// 4. Scales below 6.1e-5 are raised to it and the range is widened to match.
/// 5. The zero point comes from the end of the range that is nearer to an integer multiple of the scale.
///
/// # Errors
/// [`Error::InvalidRange`] if `min > max` or either is NaN or infinite, and unless `qmin < qmax` (with
/// `reduce_range` after halving, with `preserve_sparsity` at least 2 apart, since half their distance is a divisor).
pub fn choose_quantization_params(
    min: f32,
    max: f32,
    options: ChooseOptions,
) -> Result<(f64, i32)> {
    check_range("choose_quantization_params", min.into(), max.into())?;
    let (mut min, mut max) = (f64::from(min), f64::from(max));
    let (mut qmin, mut qmax) = (options.qmin, options.qmax);
    if options.reduce_range {
        (qmin, qmax) = (qmin / 2, qmax / 2);
    }
    // A range of 32 bits is wider than i32.
    let steps = i64::from(qmax) - i64::from(qmin);
    let centred = options.preserve_sparsity && min < 0.0 && max > 0.0;
    if steps < if centred { 2 } else { 1 } {
        return Err(Error::InvalidRange {
            operation: "choose_quantization_params (qmin, qmax)",
            min: qmin.into(),
            max: qmax.into(),
            why: if steps < 1 {
                "the lower end must lie below the upper"
            } else {
                "a range that keeps zeros has integers on both sides of its middle"
            },
        });
    }
    if centred {
        let below = -((steps / 2 + 1) as f64);
        let above = (steps / 2) as f64;
        let multiple = (min / below).abs().max((max / above).abs());
        min = multiple * below;
        max = multiple * above;
    }
    (min, max) = (min.min(0.0), max.max(0.0));
    let width = steps as f64;
    let mut scale = (max - min) / width;
    if scale as f32 == 0.0 || (1.0 / scale as f32).is_infinite() {
        scale = 0.1;
    }
    if scale < SMALL_SCALE_THRESHOLD {
        let raised = SMALL_SCALE_THRESHOLD;
        if min == 0.0 {
            max = raised * width;
        } else if max == 0.0 {
            min = -raised * width;
        } else {
            (min, max) = (min * (raised / scale), max * (raised / scale));
        }
        scale = raised;
    }
    let from_min = f64::from(qmin) - min / scale;
    let from_max = f64::from(qmax) - max / scale;
    let error_min = f64::from(qmin).abs() - (min / scale).abs();
    let error_max = f64::from(qmax).abs() - (max / scale).abs();
    let mut initial = if error_min < error_max {
        from_min
    } else {
        from_max
    };
    if centred {
        initial = (f64::from(qmin) + f64::from(qmax)) / 2.0;
    }
    let zero_point = round_half_even_f64(initial.clamp(f64::from(qmin), f64::from(qmax))) as i32;
    Ok((scale, zero_point))
}

fn check_range(operation: &'static str, min: f64, max: f64) -> Result<()> {
    let refuse = |why| {
        Err(Error::InvalidRange {
            operation,
            min,
            max,
            why,
        })
    };
    if min.is_nan() || max.is_nan() {
        return refuse("an end is NaN");
    }
    if min > max {
        return refuse("the lower end lies above the upper");
    }
    if !(min.is_finite() && max.is_finite()) {
        return refuse("an end is infinite, so no scale represents it");
    }
    Ok(())
}
