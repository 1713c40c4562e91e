//! The normative requantization: an `i32` accumulator becomes an 8-bit activation.
//!
//! `q = clamp(rne(f32(acc) · M) + z, lo, hi)`, every step in IEEE `f32`, no fused multiply-add.
//! The product is clamped to `[lo − z, hi − z]` before it is rounded. Rounding is monotone and keeps
//! integers, so the result is the one of the formula, and no product can leave the range in which
//! conversions to `i32` agree on every CPU. This is FBGEMM's order of operations
//! (`fbgemm/src/QuantUtils.cc`, `RequantizeAvx2`): the zero point is added after rounding.

use crate::rounding::round_half_even_small;

/// Where a requantized value may lie: the output's zero point and the clamp around it.
///
/// A fused ReLU raises `lo` to the zero point; a fused ReLU6 lowers `hi` to the integer of `6.0`.
///
/// ```
/// # use qtensor_core::requant::{OutputRange, requantize};
/// let range = OutputRange { zero_point: 3, lo: 0, hi: 255 };
/// assert_eq!(requantize(10, 0.25, range), 5); // 2.5 rounds to 2, plus 3
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputRange {
    /// The integer that stands for real zero.
    pub zero_point: i32,
    /// The least result.
    pub lo: i32,
    /// The greatest result.
    pub hi: i32,
}

impl OutputRange {
    /// The bounds of the float product, `lo − z` and `hi − z`; exact in `f32` for 8-bit types.
    #[inline(always)]
    pub fn float_bounds(self) -> (f32, f32) {
        (
            (self.lo - self.zero_point) as f32,
            (self.hi - self.zero_point) as f32,
        )
    }
}

/// Requantizes one accumulator (which already holds the bias and the zero-point correction).
///
/// A NaN product (only an infinite or NaN multiplier makes one) gives `hi`; kernels refuse such
/// multipliers when weights are packed.
#[inline(always)]
pub fn requantize(acc: i32, multiplier: f32, range: OutputRange) -> i32 {
    requantize_f32(acc as f32 * multiplier, range)
}

/// The second half of [`requantize`], from the scaled `f32` on. Elementwise operations share it.
#[inline(always)]
pub fn requantize_f32(scaled: f32, range: OutputRange) -> i32 {
    let (lo, hi) = range.float_bounds();
    // The upper bound first: for a NaN it is the answer, as `minps` gives it. Written out, because
    // `f32::min` treats NaN otherwise and takes three instructions for that.
    let below = if scaled < hi { scaled } else { hi };
    let bounded = if below > lo { below } else { lo };
    round_half_even_small(bounded) + range.zero_point
}

/// `M = (s_x · s_w) / s_y`, each step in `f32`: the multiplier of one output channel.
///
/// FBGEMM computes it in this order, and another order may differ in the last bit.
#[inline(always)]
pub fn output_multiplier(input_scale: f32, weight_scale: f32, output_scale: f32) -> f32 {
    (input_scale * weight_scale) / output_scale
}
