//! Channels whose bias does not fit the accumulator beside their sums.
//!
//! On the grid `s = s_x · s_w` of its sums, a bias `b` is `rne(b / s)` steps, which leaves `i32` where `s` is tiny beside
//! it: behind a place that saw only zeros in calibration (`s_x = 2^-23`), or in a channel of vanishing weights. PyTorch
//! keeps the bias in float and has no such limit. Here the channel is given other integers that have the same result:
//!
//! 1. With `[S₀, S₁]` the range of its sums over all inputs, a result that is `rne(clamp((b + S · s) / s_y))` for `S₀`
//!    and `S₁` alike (the formula is monotone) is so for every input. The channel then has the weights 0, the result
//!    as its bias, and the multiplier 1. This holds for dead channels and for biases far outside the output's range.
//! 2. Else its weights are halved, `w' = rne(w / 2^k)`, for the least `k` at which `rne(b / (2^k · s))` fits; the multiplier
//!    is `2^k · s / s_y`. No sum moves by more than `Σ |w − 2^k · w'| · max(z_x, 255 − z_x) · s / s_y` steps of the output. That is
//!    accepted up to half a step, so that a result is at most one beside the exact one. (A bias that does not fit is
//!    large beside the sums, unless these are longer than some thousand products: the move is then a few hundredths.)

use qtensor_core::affine::inverse_scale;
use qtensor_core::requant::OutputRange;
use qtensor_core::rounding::{round_half_even, round_half_even_f64};

/// The most that coarser weights may move a result, in steps of the output.
const MOST_MOVED: f64 = 0.5;

/// A channel's map: its bias, and the scales around it.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    /// The real bias.
    pub bias: f32,
    /// One step of the sums: input scale times weight scale.
    pub step: f32,
    /// The output's scale.
    pub output: f32,
}

/// What a channel computes with instead.
pub(super) struct Fitted {
    /// Its weights.
    pub weights: Vec<i8>,
    /// Its bias on the grid of these weights.
    pub bias: i32,
    /// The multiplier that belongs to both.
    pub multiplier: f32,
}

/// Other integers for a channel whose bias does not fit; `None` if they would change its results.
pub(super) fn fit(
    weights: &[i8],
    zero_point: u8,
    scales: Scales,
    range: OutputRange,
) -> Option<Fitted> {
    constant(weights, zero_point, scales, range).or_else(|| coarser(weights, zero_point, scales))
}

/// The first case: no input changes the result.
fn constant(weights: &[i8], zero_point: u8, scales: Scales, range: OutputRange) -> Option<Fitted> {
    let (lo, hi) = range.float_bounds();
    let result = |sum: i64| {
        let real = f64::from(scales.bias) + sum as f64 * f64::from(scales.step);
        let bounded = (real / f64::from(scales.output)).clamp(lo.into(), hi.into());
        round_half_even_f64(bounded) as i32
    };
    let (least, greatest) = sums(weights, zero_point);
    (result(least) == result(greatest)).then(|| Fitted {
        weights: vec![0; weights.len()],
        bias: result(least),
        multiplier: 1.0,
    })
}

/// The second case: the sums are so small beside the bias that a coarser grid holds both.
fn coarser(weights: &[i8], zero_point: u8, scales: Scales) -> Option<Fitted> {
    let (mut factor, mut step) = (1.0f32, scales.step);
    loop {
        (factor, step) = (factor * 2.0, step * 2.0);
        let multiplier = step / scales.output;
        if !(factor.is_finite() && multiplier.is_finite()) {
            return None;
        }
        let halved: Vec<i8> = weights
            .iter()
            .map(|&w| round_half_even(f32::from(w) / factor) as i8)
            .collect();
        let (least, greatest) = sums(&halved, zero_point);
        let (lowest, highest) = (
            (i64::from(i32::MIN) - least.min(0)) as f64,
            (i64::from(i32::MAX) - greatest.max(0)) as f64,
        );
        let bias = f64::from(round_half_even(scales.bias * inverse_scale(step)));
        if (lowest..=highest).contains(&bias) {
            let moved = moved(weights, &halved, factor, zero_point);
            let moved = moved * f64::from(scales.step) / f64::from(scales.output);
            return (moved <= MOST_MOVED).then_some(Fitted {
                weights: halved,
                bias: bias as i32,
                multiplier,
            });
        }
    }
}

/// The least and the greatest sum that an input can make.
fn sums(weights: &[i8], zero_point: u8) -> (i64, i64) {
    let (below, above) = (-i64::from(zero_point), 255 - i64::from(zero_point));
    weights.iter().fold((0, 0), |(least, greatest), &w| {
        let ends = [below * i64::from(w), above * i64::from(w)];
        (
            least + ends[0].min(ends[1]),
            greatest + ends[0].max(ends[1]),
        )
    })
}

/// How far a sum can move when `halved · factor` stands for `weights`.
fn moved(weights: &[i8], halved: &[i8], factor: f32, zero_point: u8) -> f64 {
    let reach = f64::from(zero_point.max(255 - zero_point));
    let error = |(&w, &h): (&i8, &i8)| (f64::from(w) - f64::from(h) * f64::from(factor)).abs();
    weights.iter().zip(halved).map(error).sum::<f64>() * reach
}
