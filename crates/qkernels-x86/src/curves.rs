//! Smooth functions of one number: exponential, sigmoid, tanh and the GELUs, in `f32`.
//!
//! Each is one formula of additions, products and at most two divisions in a fixed order, never fused, so every
//! instruction set and the portable code give the same bits. The polynomials were fitted to the functions in `f64`,
//! by weighted least squares with weights that even out the relative error; the bounds below are those of the tests,
//! which compare whole ranges with `f64`.
//!
//! | function | greatest error |
//! |---|---|
//! | exponential, sigmoid | 4e-7 of the value |
//! | tanh, error function | 6e-7 |
//!
//! NaN stays NaN.

use qtensor_core::rounding::round_half_even_small;

use crate::context::Context;
use crate::error::Result;
use crate::isa::Work;
use crate::map::{self, Unary};

/// Below this many elements of such a function the fork costs more than it saves; they take about eight times as
/// long as a sum.
pub(crate) const SERIAL_BELOW: u64 = map::SERIAL_BELOW / 8;

/// `c[0] + c[1] u + c[2] u² + …`, by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(c: [f32; N], u: f32) -> f32 {
    let mut sum = c[N - 1];
    let mut at = N - 1;
    while at > 0 {
        at -= 1;
        sum = sum * u + c[at];
    }
    sum
}

/// `eˣ`; 0 below −87, where numbers stop being normal, and infinite above 88.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LEAST: f32 = -87.0;
    const GREATEST: f32 = 88.0;
    // ln 2 as a number of few digits, whose products with small integers are exact, and the rest.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const TAIL: [f32; 5] = [
        4.999_999_4e-1,
        1.666_652e-1,
        4.166_839_3e-2,
        8.368_781e-3,
        1.381_446_6e-3,
    ];
    // The number of doublings must be an integer even for NaN, which `max` replaces and `clamp` keeps.
    #[expect(clippy::manual_clamp, reason = "see above")]
    let whole = x.max(LEAST).min(GREATEST) * core::f32::consts::LOG2_E;
    let doublings = round_half_even_small(whole);
    let n = doublings as f32;
    let r = x.clamp(LEAST, GREATEST) - n * LN2_HIGH - n * LN2_LOW;
    let value = polynomial(TAIL, r) * (r * r) + r + 1.0;
    let value = value * f32::from_bits(((doublings + 127) as u32) << 23);
    let value = if x < LEAST { 0.0 } else { value };
    if x > GREATEST { f32::INFINITY } else { value }
}

/// A function as numerator and denominator, so that a product of several takes one division.
#[derive(Clone, Copy)]
pub(crate) struct Fraction {
    over: f32,
    under: f32,
}

impl Fraction {
    /// `1 / (1 + e⁻ˣ)`.
    #[inline(always)]
    pub(crate) fn sigmoid(x: f32) -> Fraction {
        Fraction {
            over: 1.0,
            under: 1.0 + exp(-x),
        }
    }

    /// The hyperbolic tangent: `x · P(x²) / Q(x²)` up to ±9, where it is 1 but for the last bit.
    #[inline(always)]
    pub(crate) fn tanh(x: f32) -> Fraction {
        const LIMIT: f32 = 9.0;
        const P: [f32; 5] = [
            1.0,
            1.338_103_9e-1,
            3.495_603_3e-3,
            2.060_930_3e-5,
            1.335_491_4e-8,
        ];
        const Q: [f32; 5] = [
            1.0,
            4.671_435_4e-1,
            2.587_704_2e-2,
            3.285_658_6e-4,
            7.776_673e-7,
        ];
        let x = x.clamp(-LIMIT, LIMIT);
        let u = x * x;
        Fraction {
            over: x * polynomial(P, u),
            under: polynomial(Q, u),
        }
    }

    #[inline(always)]
    pub(crate) fn times(self, other: Fraction) -> Fraction {
        Fraction {
            over: self.over * other.over,
            under: self.under * other.under,
        }
    }

    #[inline(always)]
    pub(crate) fn value(self) -> f32 {
        self.over / self.under
    }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    Fraction::sigmoid(x).value()
}

/// The hyperbolic tangent, and exactly ±1 from ±9 on.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    limited(x, 9.0, Fraction::tanh(x).value())
}

/// `value` within ±1, and ±1 itself where `x` is beyond `limit`.
#[inline(always)]
fn limited(x: f32, limit: f32, value: f32) -> f32 {
    // The last bit may be one too many near the limit.
    let value = value.clamp(-1.0, 1.0);
    if x.abs() >= limit {
        1.0f32.copysign(x)
    } else {
        value
    }
}

/// The error function: `x · P(x²) / Q(x²)` up to ±3.92, and ±1 from there on.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    const LIMIT: f32 = 3.92;
    const P: [f32; 7] = [
        core::f32::consts::FRAC_2_SQRT_PI,
        1.999_143_8e-1,
        5.057_194_5e-2,
        3.701_129e-3,
        1.418_351_7e-4,
        -1.957_702_1e-6,
        1.992_320_3e-8,
    ];
    const Q: [f32; 5] = [
        1.0,
        5.105_011_5e-1,
        1.149_941_76e-1,
        1.435_229e-2,
        9.559_096_7e-4,
    ];
    let inner = x.clamp(-LIMIT, LIMIT);
    let u = inner * inner;
    limited(x, LIMIT, inner * polynomial(P, u) / polynomial(Q, u))
}

/// A smooth function of one number, for [`curve_f32`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x · (1 + erf(x / √2)) / 2`.
    Gelu,
    /// `x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2`.
    GeluTanh,
}

/// `out[i] = curve(x[i])` for each element of `out`; `x` may be longer.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) if `x` is shorter than `out`.
///
/// ```
/// # use qkernels_x86::{Context, Curve, curve_f32};
/// let mut y = [0.0; 3];
/// curve_f32(&Context::new()?, Curve::Sigmoid, &[0.0, 100.0, -100.0], &mut y)?;
/// assert_eq!(y, [0.5, 1.0, 0.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn curve_f32(ctx: &Context, curve: Curve, x: &[f32], out: &mut [f32]) -> Result<()> {
    crate::error::at_least("curve_f32", "x", out.len(), x.len())?;
    let pieces = ctx.pieces(out.len() as u64, SERIAL_BELOW);
    let piece = out.len().div_ceil(pieces).next_multiple_of(64).max(1);
    Context::chunks(out, piece, |start, out| {
        let x = &x[start..start + out.len()];
        ctx.isa.vectorize(Curved { curve, x, out });
    });
    Ok(())
}

struct Curved<'a> {
    curve: Curve,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Work for Curved<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Curved { curve, x, out } = self;
        match curve {
            Curve::Sigmoid => each(SigmoidOf, x, out),
            Curve::Tanh => each(TanhOf, x, out),
            Curve::Gelu => each(GeluOf, x, out),
            Curve::GeluTanh => each(GeluTanhOf, x, out),
        }
    }
}

#[inline(always)]
fn each(formula: impl Unary<f32, f32>, x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = formula.apply(x);
    }
}

#[derive(Clone, Copy)]
struct SigmoidOf;

impl Unary<f32, f32> for SigmoidOf {
    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        sigmoid(x)
    }
}

#[derive(Clone, Copy)]
struct TanhOf;

impl Unary<f32, f32> for TanhOf {
    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        tanh(x)
    }
}

#[derive(Clone, Copy)]
struct GeluOf;

impl Unary<f32, f32> for GeluOf {
    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        0.5 * x * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2))
    }
}

#[derive(Clone, Copy)]
struct GeluTanhOf;

impl Unary<f32, f32> for GeluTanhOf {
    #[inline(always)]
    fn apply(self, x: f32) -> f32 {
        // √(2/π).
        const FACTOR: f32 = 0.797_884_6;
        0.5 * x * (1.0 + tanh(FACTOR * (x + 0.044_715 * (x * x * x))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evenly spread numbers, and small ones of all magnitudes, of both signs.
    fn numbers(limit: f32) -> impl Iterator<Item = f32> {
        let even = (-20_000..=20_000).map(move |i| i as f32 / 20_000.0 * limit);
        even.chain((0..120).flat_map(|e| [1.3f32.powi(-e), -(1.3f32.powi(-e))]))
    }

    fn greatest(limit: f32, error: impl Fn(f32) -> f64) -> f64 {
        numbers(limit).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn errors_stay_below_the_documented_bounds() {
        let exponential = greatest(87.0, |x| {
            let want = f64::from(x).exp();
            (f64::from(exp(x)) - want).abs() / want
        });
        assert!(exponential < 4e-7, "{exponential:e}");
        let logistic = greatest(80.0, |x| {
            let want = 1.0 / (1.0 + (-f64::from(x)).exp());
            (f64::from(sigmoid(x)) - want).abs() / want
        });
        assert!(logistic < 4e-7, "{logistic:e}");
        let tangent = greatest(12.0, |x| {
            let want = f64::from(x).tanh();
            (f64::from(tanh(x)) - want).abs() / want.abs().max(1e-30)
        });
        assert!(tangent < 6e-7, "{tangent:e}");
    }

    #[test]
    fn the_error_function_has_its_known_values() {
        // Abramowitz and Stegun, table 7.1.
        for (x, want) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_878),
            (1.0, 0.842_700_793),
            (1.5, 0.966_105_146),
            (2.0, 0.995_322_265),
            (3.0, 0.999_977_91),
            (5.0, 1.0),
        ] {
            for (x, want) in [(x, want), (-x, -want)] {
                let error = (f64::from(erf(x as f32)) - want).abs();
                assert!(error < 6e-7, "{x}: {error:e}");
            }
        }
    }

    #[test]
    fn ends_of_the_line_are_calm() {
        for (f, low, high) in [
            (exp as fn(f32) -> f32, 0.0, f32::INFINITY),
            (sigmoid, 0.0, 1.0),
            (tanh, -1.0, 1.0),
            (erf, -1.0, 1.0),
        ] {
            assert!(f(f32::NAN).is_nan());
            for far in [100.0, 1e30, f32::INFINITY] {
                assert_eq!((f(-far), f(far)), (low, high), "{far}");
            }
        }
        assert_eq!(GeluOf.apply(100.0), 100.0);
        assert_eq!(GeluOf.apply(-100.0), 0.0);
        assert!(numbers(50.0).all(|x| tanh(x).abs() <= 1.0 && erf(x).abs() <= 1.0));
        assert!(numbers(50.0).all(|x| (0.0..=1.0).contains(&sigmoid(x))));
    }
}
