//! The only rounding code of the workspace: round half to even, in the forms that the affine map,
//! the requantizing epilogues and the pools need.
//!
//! SIMD paths use the hardware's conversion in its default mode, which rounds the same way; the tests
//! of every ISA compare them with these functions byte for byte.

/// `1.5 * 2^23`. Adding it to a float below `2^22` in magnitude pushes the fraction out of the
/// mantissa, and the addition itself rounds half to even.
pub const MAGIC: f32 = 12_582_912.0;

/// Rounds to the nearest integer, ties to even, for any `f32` (infinities and NaN pass through).
///
/// ```
/// # use qtensor_core::rounding::round_half_even;
/// assert_eq!(round_half_even(2.5), 2.0);
/// assert_eq!(round_half_even(-3.5), -4.0);
/// ```
#[inline(always)]
pub fn round_half_even(x: f32) -> f32 {
    x.round_ties_even()
}

/// [`round_half_even`] to an integer for values of magnitude below `2^22`.
///
/// An addition and a subtraction of integers, so that the baseline x86-64 build, which has no rounding
/// instruction, vectorizes it. Callers clamp first; outside the range the result is meaningless.
#[inline(always)]
pub fn round_half_even_small(x: f32) -> i32 {
    debug_assert!(
        x.abs() <= 4_194_304.0,
        "round_half_even_small is exact below 2^22, got {x}"
    );
    // The sum's mantissa holds the integer; the difference of the bit patterns is exact, and cheaper than
    // a conversion, which would also have to saturate.
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}

/// Rounds a non-negative scaled index (`f64`) half to even.
#[inline(always)]
pub fn round_half_even_f64(x: f64) -> f64 {
    x.round_ties_even()
}
