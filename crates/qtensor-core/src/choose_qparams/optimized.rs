//! The range of a row that loses least when it is quantized to few bits: a greedy search from both ends.

use half::f16;

use crate::error::{Error, Result};
use crate::rounding::round_half_even;
use crate::tensor::Tensor;

/// The range `(min, max)` of the values of `x` that the greedy search ends with, for quantization to `bits` bits.
///
/// The range starts at the extremes and shrinks in steps of `(max − min) / bins`, at the end that then has the smaller error, until
/// it is no wider than `⌊bins · (1 − ratio)⌋` steps. Of all ranges that lose less than both of their successors the best one
/// is taken. The error is the Euclidean distance between `x` and its twin, quantized with `min` and the scale `(max − min) / (2^bits − 1)` rounded
/// to 16-bit floats, all in `f32`. This is PyTorch's routine for rows of embeddings
/// (`aten/src/ATen/native/quantized/QTensor.cpp`, `choose_qparams_optimized`); its usual values are 200 bins and a ratio of 0.16.
///
/// # Errors
/// [`Error::ValueCount`] without elements; [`Error::InvalidRange`] for NaN and infinities, unless `bits` is 1 to 8, `bins` at least 1
/// and `ratio` in 0..=1.
///
/// ```
/// # use qtensor_core::{Tensor, choose_qparams::choose_qparams_optimized};
/// let x = Tensor::from_vec(vec![2.0, 2.0], &[2])?;
/// assert_eq!(choose_qparams_optimized(&x, 200, 0.16, 4)?, (2.0, 2.0));
/// # Ok::<(), qtensor_core::Error>(())
/// ```
pub fn choose_qparams_optimized(
    x: &Tensor,
    bins: u32,
    ratio: f64,
    bits: u32,
) -> Result<(f32, f32)> {
    let operation = "choose_qparams_optimized";
    let values = x.to_vec();
    let refuse = |min: f64, max: f64, why| {
        Err(Error::InvalidRange {
            operation,
            min,
            max,
            why,
        })
    };
    if values.is_empty() {
        return Err(Error::ValueCount {
            operation,
            shape: x.shape().to_vec(),
            expected: 1,
            actual: 0,
        });
    }
    if !(1..=8).contains(&bits) {
        return refuse(0.0, bits.into(), "bits must be 1 to 8");
    }
    if bins == 0 || !(0.0..=1.0).contains(&ratio) {
        return refuse(
            bins.into(),
            ratio,
            "bins must be at least 1 and the ratio in 0..=1",
        );
    }
    let mut best = values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &v| {
            (lo.min(v), hi.max(v))
        });
    if !values.iter().all(|v| v.is_finite()) || !(best.1 - best.0).is_finite() {
        return refuse(
            best.0.into(),
            best.1.into(),
            "all values and their range must be finite",
        );
    }
    let step = (best.1 - best.0) / bins as f32;
    let narrowest = (f64::from(bins) * (1.0 - f64::from(ratio as f32))) as i32 as f32 * step;
    let (mut lo, mut hi) = best;
    let mut loss = distance(&values, lo, hi, bits);
    let mut best_loss = loss;
    while lo + narrowest < hi {
        let raised = distance(&values, lo + step, hi, bits);
        let lowered = distance(&values, lo, hi - step, bits);
        if loss < raised && loss < lowered && loss < best_loss {
            best_loss = loss;
            best = (lo, hi);
        }
        let before = (lo, hi);
        if raised < lowered {
            (lo, loss) = (lo + step, raised);
        } else {
            (hi, loss) = (hi - step, lowered);
        }
        // Steps may vanish beside large ends; then no further range exists.
        if (lo, hi) == before {
            break;
        }
    }
    Ok(best)
}

/// `√(Σ (x − x')²)`.
fn distance(values: &[f32], min: f32, max: f32, bits: u32) -> f32 {
    let half = |v: f32| f16::from_f32(v).to_f32();
    let min = half(min);
    let width = max - min;
    let greatest = ((1u32 << bits) - 1) as f32;
    let scale = if width == 0.0 {
        1.0
    } else {
        half(width / greatest)
    };
    let inverse = if scale == 0.0 { 1.0 } else { 1.0 / scale };
    let square = |&v: &f32| {
        let steps = round_half_even((v - min) * inverse).min(greatest).max(0.0);
        let lost = v - (steps * scale + min);
        lost * lost
    };
    values.iter().map(square).sum::<f32>().sqrt()
}
