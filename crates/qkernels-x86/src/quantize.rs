//! Between `f32` and 8-bit integers: quantize, dequantize, and the range scan that comes before them.

use qtensor_core::requant::{OutputRange, requantize_f32};

use crate::context::Context;
use crate::elementwise::check_zero_point;
use crate::error::{Error, Result};
use crate::fork::fork;
use crate::isa::Work;
use crate::map::{Unary, piece_len, unary};

/// Quantizes to `u8`: `out = clamp(rne(x·inv_scale) + zero_point, 0, 255)`, the product in `f32`.
///
/// PyTorch multiplies by the reciprocal `1/scale` and never divides; a division differs at ties. The
/// zero point is added after rounding. NaN gives 255, infinities saturate. The scale is not checked.
///
/// # Errors
/// [`Error::Length`] if `x` is shorter than `out`, [`Error::Range`] if `zero_point` is not a `u8`.
///
/// ```
/// # use qkernels_x86::{Context, quantize_u8};
/// let mut out = [0u8; 4];
/// quantize_u8(&Context::new()?, &[0.0, 1.25, -9.0, f32::NAN], 2.0, 10, &mut out)?;
/// assert_eq!(out, [10, 12, 0, 255]); // 2.5 rounds to even
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "quantize_per_tensor")]
pub fn quantize_u8(
    ctx: &Context,
    x: &[f32],
    inv_scale: f32,
    zero_point: i32,
    out: &mut [u8],
) -> Result<()> {
    check_zero_point("quantize_u8", zero_point)?;
    let range = OutputRange {
        zero_point,
        lo: 0,
        hi: 255,
    };
    unary(ctx, "quantize_u8", Quantize { inv_scale, range }, x, out)
}

/// Quantizes to `i8`: [`quantize_u8`] with the range `-128..=127`; NaN gives 127.
///
/// # Errors
/// [`Error::Length`] if `x` is shorter than `out`, [`Error::Range`] if `zero_point` is not an `i8`.
pub fn quantize_i8(
    ctx: &Context,
    x: &[f32],
    inv_scale: f32,
    zero_point: i32,
    out: &mut [i8],
) -> Result<()> {
    check_signed_zero_point("quantize_i8", zero_point)?;
    let range = OutputRange {
        zero_point,
        lo: -128,
        hi: 127,
    };
    unary(ctx, "quantize_i8", Quantize { inv_scale, range }, x, out)
}

/// The formula of [`quantize_u8`].
#[derive(Clone, Copy)]
pub(crate) struct Quantize {
    pub(crate) inv_scale: f32,
    pub(crate) range: OutputRange,
}

impl Unary<f32, u8> for Quantize {
    #[inline(always)]
    fn apply(self, x: f32) -> u8 {
        requantize_f32(x * self.inv_scale, self.range) as u8
    }
}

impl Unary<f32, i8> for Quantize {
    #[inline(always)]
    fn apply(self, x: f32) -> i8 {
        requantize_f32(x * self.inv_scale, self.range) as i8
    }
}

/// Dequantizes `u8`: `out = scale · f32(q − zero_point)`.
///
/// # Errors
/// [`Error::Length`] if `q` is shorter than `out`, [`Error::Range`] if `zero_point` is not a `u8`.
///
/// ```
/// # use qkernels_x86::{Context, dequantize_u8};
/// let mut out = [0.0f32; 2];
/// dequantize_u8(&Context::new()?, &[0, 12], 0.5, 10, &mut out)?;
/// assert_eq!(out, [-5.0, 1.0]);
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn dequantize_u8(
    ctx: &Context,
    q: &[u8],
    scale: f32,
    zero_point: i32,
    out: &mut [f32],
) -> Result<()> {
    check_zero_point("dequantize_u8", zero_point)?;
    unary(
        ctx,
        "dequantize_u8",
        Dequantize { scale, zero_point },
        q,
        out,
    )
}

/// Dequantizes `i8`: `out = scale · f32(q − zero_point)`.
///
/// # Errors
/// [`Error::Length`] if `q` is shorter than `out`, [`Error::Range`] if `zero_point` is not an `i8`.
pub fn dequantize_i8(
    ctx: &Context,
    q: &[i8],
    scale: f32,
    zero_point: i32,
    out: &mut [f32],
) -> Result<()> {
    check_signed_zero_point("dequantize_i8", zero_point)?;
    unary(
        ctx,
        "dequantize_i8",
        Dequantize { scale, zero_point },
        q,
        out,
    )
}

#[derive(Clone, Copy)]
struct Dequantize {
    scale: f32,
    zero_point: i32,
}

impl Unary<u8, f32> for Dequantize {
    #[inline(always)]
    fn apply(self, q: u8) -> f32 {
        self.scale * (i32::from(q) - self.zero_point) as f32
    }
}

impl Unary<i8, f32> for Dequantize {
    #[inline(always)]
    fn apply(self, q: i8) -> f32 {
        self.scale * (i32::from(q) - self.zero_point) as f32
    }
}

fn check_signed_zero_point(operation: &'static str, zero_point: i32) -> Result<()> {
    if (-128..=127).contains(&zero_point) {
        return Ok(());
    }
    Err(Error::Range {
        operation,
        lo: -128,
        hi: 127,
        zero_point,
        allowed: "-128..=127",
    })
}

/// What [`min_max`] saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinMax {
    /// The least number; `+inf` if every element is NaN.
    pub min: f32,
    /// The greatest number; `-inf` if every element is NaN.
    pub max: f32,
    /// Whether any element is NaN. NaN takes no part in `min` and `max`.
    pub nan: bool,
}

impl MinMax {
    const EMPTY: MinMax = MinMax {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
        nan: false,
    };

    /// What an element of zero shows.
    pub(crate) const ZERO: MinMax = MinMax {
        min: 0.0,
        max: 0.0,
        nan: false,
    };

    #[inline(always)]
    fn merge(self, other: MinMax) -> MinMax {
        MinMax {
            min: least(other.min, self.min),
            max: greatest(other.max, self.max),
            nan: self.nan | other.nan,
        }
    }
}

/// The least and the greatest element and whether there is a NaN, or `None` for an empty slice.
///
/// The answer does not depend on the order of the elements: a zero is reported as `+0.0`.
///
/// ```
/// # use qkernels_x86::{Context, MinMax, min_max};
/// let seen = min_max(&Context::new()?, &[1.0, f32::NAN, -2.0]);
/// assert_eq!(seen, Some(MinMax { min: -2.0, max: 1.0, nan: true }));
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "aminmax")]
pub fn min_max(ctx: &Context, x: &[f32]) -> Option<MinMax> {
    if x.is_empty() {
        return None;
    }
    let piece = piece_len(ctx, x.len());
    let seen = if x.len() <= piece {
        ctx.isa.vectorize(Scan(x))
    } else {
        let mut parts = vec![MinMax::EMPTY; x.len().div_ceil(piece)];
        fork(parts.iter_mut().zip(x.chunks(piece)), |(seen, part)| {
            *seen = ctx.isa.vectorize(Scan(part));
        });
        parts.into_iter().fold(MinMax::EMPTY, MinMax::merge)
    };
    // Adding zero turns -0.0 into +0.0 and changes nothing else; which zero a scan meets first
    // depends on the number of lanes.
    Some(MinMax {
        min: seen.min + 0.0,
        max: seen.max + 0.0,
        nan: seen.nan,
    })
}

/// The smaller one, or `old` if `new` is NaN. A comparison, because it is one instruction.
#[inline(always)]
fn least(new: f32, old: f32) -> f32 {
    if new < old { new } else { old }
}

/// The greater one, or `old` if `new` is NaN.
#[inline(always)]
fn greatest(new: f32, old: f32) -> f32 {
    if new > old { new } else { old }
}

/// Independent running extremes, enough to hide the latency of a comparison.
const LANES: usize = 32;

struct Scan<'a>(&'a [f32]);

impl Work for Scan<'_> {
    type Output = MinMax;

    #[inline(always)]
    fn run(self) -> MinMax {
        scan(self.0)
    }
}

/// The extremes of some elements, either zero among them.
#[inline(always)]
pub(crate) fn scan(x: &[f32]) -> MinMax {
    let mut min = [f32::INFINITY; LANES];
    let mut max = [f32::NEG_INFINITY; LANES];
    let mut nan = [0u32; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            min[i] = least(block[i], min[i]);
            max[i] = greatest(block[i], max[i]);
            nan[i] |= u32::from(block[i].is_nan());
        }
    }
    let mut seen = MinMax::EMPTY;
    for i in 0..LANES {
        seen = seen.merge(MinMax {
            min: min[i],
            max: max[i],
            nan: nan[i] != 0,
        });
    }
    for &x in rest {
        seen = seen.merge(MinMax {
            min: least(x, f32::INFINITY),
            max: greatest(x, f32::NEG_INFINITY),
            nan: x.is_nan(),
        });
    }
    seen
}
