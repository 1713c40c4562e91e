//! A naive linear layer and convolution, to tell whose integers are wrong where they differ.
//!
//! Some of FBGEMM's kernels add the products of two neighbouring taps in 16 bits, where `255 · 127` twice
//! does not fit: all kernels on a CPU without VNNI, and the depthwise 3×3 and 5×5 ones on every CPU
//! (`src/FbgemmI8DepthwiseAvx2-inl.h` there). Such sums saturate. Here both sums are computed, the exact
//! one and the saturating one; taps neighbour each other in the order kernel, then channel.

use qops::ConvSpec;
use qtensor_core::affine::inverse_scale;
use qtensor_core::requant::{OutputRange, output_multiplier, requantize};
use qtensor_core::rounding::round_half_even;
use qtensor_core::{IntTensor, QTensor, Tensor};

use crate::compare::equal_ints;
use crate::store::Fallible;

/// Why a recorded result may be another one than ours, which must then be the exact one.
pub const SATURATED: &str = "PyTorch's 16-bit sums saturated; ours equal the exact sums";

/// A case of `linear` or `conv`.
pub struct Layer<'a> {
    pub x: &'a QTensor,
    pub w: &'a QTensor,
    pub bias: Option<&'a Tensor>,
    pub spec: ConvSpec,
    pub relu: bool,
}

/// The result to require, and what to say about the recorded one if that is another.
///
/// It is the recorded one, `theirs`, unless every integer of that is what saturating sums give, and not
/// every one of them is exact. Then it is the exact result.
pub fn expected(layer: &Layer<'_>, theirs: &QTensor) -> Fallible<(QTensor, Option<String>)> {
    let recorded = theirs.int_repr().to_i32_vec();
    let exact = layer.result(theirs, |pair| pair)?;
    if recorded == exact {
        return Ok((theirs.clone(), None));
    }
    let saturating = |pair: i32| pair.clamp(i16::MIN.into(), i16::MAX.into());
    if recorded != layer.result(theirs, saturating)? {
        return Ok((theirs.clone(), None));
    }
    let ints = IntTensor::from_i32(&exact, theirs.shape(), theirs.dtype())?;
    let exact = QTensor::from_parts(ints, theirs.quantizer().clone())?;
    // The comparison fails, and says where and with which numbers.
    let Err(differences) = equal_ints("y", &exact, theirs) else {
        return Ok((exact, None));
    };
    let text = format!(
        "{differences}; the first is ours and exact, and all recorded ones are what saturating \
         16-bit sums of two products give"
    );
    Ok((exact, Some(text)))
}

/// Depth, height and width; missing ones are 1.
fn axes(shape: &[usize]) -> [usize; 3] {
    let spatial = shape.get(2..).unwrap_or(&[]);
    let mut axes = [1; 3];
    axes[3 - spatial.len()..].copy_from_slice(spatial);
    axes
}

/// The `i`-th position of a volume in row-major order.
fn position(i: usize, volume: [usize; 3]) -> [usize; 3] {
    let (h, w) = (volume[1], volume[2]);
    [i / (h * w), i / w % h, i % w]
}

impl Layer<'_> {
    /// The integers in row-major order, with `pair` applied to each sum of two products.
    fn result(&self, like: &QTensor, pair: impl Fn(i32) -> i32) -> Fallible<Vec<i32>> {
        let (input_scale, input_zero_point) = self.x.per_tensor("x")?;
        let (output_scale, zero_point) = like.per_tensor("y")?;
        let (least, hi) = like.dtype().range();
        let lo = if self.relu { zero_point } else { least };
        let range = OutputRange { zero_point, lo, hi };
        let biases = self.bias.map(Tensor::to_vec);
        let mut out = Vec::with_capacity(like.numel());
        let (batch, channels) = (like.shape()[0], like.shape()[1]);
        let volume = axes(like.shape());
        let (x, w) = (Ints::new(self.x), Ints::new(self.w));
        for n in 0..batch {
            for c in 0..channels {
                let scale = self.w.quantizer().channel(c).ok_or("too few scales")?.0;
                let step = input_scale as f32 * scale;
                let bias = biases.as_ref().map_or(0.0, |b| b[c]);
                let bias = round_half_even(bias * inverse_scale(step)) as i32;
                let multiplier = output_multiplier(input_scale as f32, scale, output_scale as f32);
                for at in 0..volume.iter().product() {
                    let taps = self.taps(&x, &w, n, c, position(at, volume), input_zero_point);
                    let products: Vec<i32> = taps.iter().map(|(q, w)| q * w).collect();
                    let sum: i32 = products.chunks(2).map(|p| pair(p.iter().sum())).sum();
                    let weights: i32 = taps.iter().map(|(_, w)| w).sum();
                    let acc = sum - input_zero_point * weights + bias;
                    out.push(requantize(acc, multiplier, range));
                }
            }
        }
        Ok(out)
    }

    /// The integers of input and weight that meet at one output; padding is the zero point.
    fn taps(
        &self,
        x: &Ints,
        w: &Ints,
        n: usize,
        c: usize,
        at: [usize; 3],
        zero_point: i32,
    ) -> Vec<(i32, i32)> {
        let spec = &self.spec;
        let group = c / (w.outer / spec.groups);
        let mut taps = Vec::new();
        for k in 0..w.volume.iter().product() {
            let tap = position(k, w.volume);
            let from: [Option<usize>; 3] = std::array::from_fn(|d| {
                let there = at[d] * spec.stride[d] + tap[d] * spec.dilation[d];
                let there = there.checked_sub(spec.padding[d])?;
                (there < x.volume[d]).then_some(there)
            });
            for channel in 0..w.inner {
                let q = match from {
                    [Some(a), Some(b), Some(e)] => x.get(n, group * w.inner + channel, [a, b, e]),
                    _ => zero_point,
                };
                taps.push((q, w.get(c, channel, tap)));
            }
        }
        taps
    }
}

/// The integers of `(outer, inner, depth, height, width)`.
struct Ints {
    ints: Vec<i32>,
    outer: usize,
    inner: usize,
    volume: [usize; 3],
}

impl Ints {
    fn new(q: &QTensor) -> Ints {
        Ints {
            ints: q.int_repr().to_i32_vec(),
            outer: q.shape()[0],
            inner: q.shape()[1],
            volume: axes(q.shape()),
        }
    }

    fn get(&self, outer: usize, inner: usize, [d, h, w]: [usize; 3]) -> i32 {
        let [_, height, width] = self.volume;
        let volume: usize = self.volume.iter().product();
        self.ints[(outer * self.inner + inner) * volume + (d * height + h) * width + w]
    }
}
