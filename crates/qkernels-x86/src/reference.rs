//! Naive loops with the semantics of the kernels, for tests and benches to compare with.
//!
//! They share nothing with the kernels but the geometry and the normative
//! [`requantize`]: no packing, no zero-point correction, no tiles.

use qtensor_core::requant::{OutputRange, requantize};

use crate::shape::ConvShape;
use crate::transposed::TransposedShape;

/// The parameters of a layer as users know them.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `[out][in]` or `[out][in / groups][depth][height][width]`.
    pub weight: &'a [i8],
    /// One per output channel, with scale `s_x * s_w[c]`.
    pub bias: &'a [i32],
    /// One per output channel: `s_x * s_w[c] / s_y`.
    pub multipliers: &'a [f32],
    /// The integer that stands for real zero in the input.
    pub input_zero_point: u8,
    /// Zero point and clamp of the output.
    pub range: OutputRange,
}

impl Layer<'_> {
    fn product(&self, x: u8, w: i8) -> i32 {
        (i32::from(x) - i32::from(self.input_zero_point)) * i32::from(w)
    }

    fn output(&self, channel: usize, sum: i32) -> u8 {
        requantize(
            self.bias[channel] + sum,
            self.multipliers[channel],
            self.range,
        ) as u8
    }
}

/// A linear layer of `n` outputs and `k` inputs, on the `m` rows of `x`.
///
/// # Panics
/// If a slice is too short.
///
/// ```
/// # use qkernels_x86::{OutputRange, reference::{Layer, linear}};
/// let range = OutputRange { zero_point: 0, lo: 0, hi: 255 };
/// let layer = Layer { weight: &[1, 2], bias: &[3], multipliers: &[1.0], input_zero_point: 1, range };
/// assert_eq!(linear(&layer, &[5, 6], 1, 1, 2), [17]);
/// ```
pub fn linear(layer: &Layer, x: &[u8], m: usize, n: usize, k: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let mut sum = 0;
            for c in 0..k {
                sum += layer.product(x[i * k + c], layer.weight[j * k + c]);
            }
            out.push(layer.output(j, sum));
        }
    }
    out
}

/// A convolution of channels-last `x`.
///
/// # Panics
/// If a slice is too short or the shape is not valid.
pub fn conv(layer: &Layer, x: &[u8], shape: &ConvShape) -> Vec<u8> {
    let [od, oh, ow] = shape.output();
    let [kd, kh, kw] = shape.kernel;
    let [id, ih, iw] = shape.input;
    let (taps, channels) = (kd * kh * kw, shape.in_channels / shape.groups);
    let columns = shape.out_channels / shape.groups;
    let mut out = Vec::with_capacity(shape.batch * od * oh * ow * shape.out_channels);
    for position in 0..shape.batch * od * oh * ow {
        let at = [position / ow / oh % od, position / ow % oh, position % ow];
        let image = position / ow / oh / od;
        for n in 0..shape.out_channels {
            let first = n / columns * channels;
            let mut sum = 0;
            for tap in 0..taps {
                let tap_at = [tap / kw / kh, tap / kw % kh, tap % kw];
                let coordinate = |axis: usize| {
                    (at[axis] * shape.stride[axis] + tap_at[axis] * shape.dilation[axis])
                        .checked_sub(shape.padding[axis])
                        .filter(|&coordinate| coordinate < shape.input[axis])
                };
                let (Some(d), Some(h), Some(w)) = (coordinate(0), coordinate(1), coordinate(2))
                else {
                    continue;
                };
                let pixel = ((image * id + d) * ih + h) * iw + w;
                let x = &x[pixel * shape.in_channels + first..][..channels];
                let weight = &layer.weight[n * channels * taps..][..channels * taps];
                for (c, &x) in x.iter().enumerate() {
                    sum += layer.product(x, weight[c * taps + tap]);
                }
            }
            out.push(layer.output(n, sum));
        }
    }
    out
}

/// A transposed convolution of channels-last `x`, by its definition: each input is multiplied with the whole kernel, and
/// the products are added where they fall.
///
/// # Panics
/// If a slice is too short or the shape is not valid.
pub fn conv_transpose(layer: &Layer, x: &[u8], shape: &TransposedShape) -> Vec<u8> {
    let ([od, oh, ow], [kd, kh, kw], [id, ih, iw]) = (shape.output(), shape.kernel, shape.input);
    let (taps, channels) = (kd * kh * kw, shape.in_channels / shape.groups);
    let columns = shape.out_channels / shape.groups;
    let mut sums: Vec<i32> = layer.bias.repeat(shape.batch * od * oh * ow);
    for (at, &x) in x[..shape.batch * id * ih * iw * shape.in_channels]
        .iter()
        .enumerate()
    {
        let (pixel, channel) = (at / shape.in_channels, at % shape.in_channels);
        let from = [pixel / iw / ih % id, pixel / iw % ih, pixel % iw];
        let image = pixel / iw / ih / id;
        let difference = i32::from(x) - i32::from(layer.input_zero_point);
        for tap in 0..taps {
            let tap_at = [tap / kw / kh, tap / kw % kh, tap % kw];
            let coordinate = |axis: usize| {
                (from[axis] * shape.stride[axis] + tap_at[axis] * shape.dilation[axis])
                    .checked_sub(shape.padding[axis])
                    .filter(|&coordinate| coordinate < shape.output()[axis])
            };
            let (Some(d), Some(h), Some(w)) = (coordinate(0), coordinate(1), coordinate(2)) else {
                continue;
            };
            let position = ((image * od + d) * oh + h) * ow + w;
            for column in 0..columns {
                let n = channel / channels * columns + column;
                let weight = layer.weight[(n * channels + channel % channels) * taps + tap];
                sums[position * shape.out_channels + n] += difference * i32::from(weight);
            }
        }
    }
    let requantized = sums.iter().enumerate().map(|(at, &sum)| {
        let multiplier = layer.multipliers[at % shape.out_channels];
        requantize(sum, multiplier, layer.range) as u8
    });
    requantized.collect()
}
