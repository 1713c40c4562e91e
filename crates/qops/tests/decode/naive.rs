//! The plain formulas, where they are short; layers whose bias does not fit its grid are left out.

use qops::quantized::{Activation, OutQParams};
use qops::{ConvSpec, PoolSpec};
use qtensor_core::{QTensor, Tensor};

use super::Call;
use crate::common::{ints, map, requantized, stored};

/// The last three of the lengths, the missing leading ones being 1.
pub fn three(spatial: &[usize]) -> [usize; 3] {
    let mut out = [1; 3];
    for (to, &from) in out.iter_mut().rev().zip(spatial.iter().rev()) {
        *to = from;
    }
    out
}

/// The shape that a convolution has, if its operands fit.
pub fn conv_shape(input: &[usize], kernel: &[usize], spec: &ConvSpec) -> Option<Vec<usize>> {
    let (batch, window) = (input.first()?, kernel.get(2..)?);
    let size = spec.output(three(input.get(2..)?), three(window)).ok()?;
    Some([&[*batch, kernel[0]], &size[..]].concat())
}

/// Whether the formula needs nothing but a bias that fits its grid.
pub fn fits(x: &QTensor, weight: &QTensor, bias: &[f32], out: OutQParams) -> bool {
    let Ok(scale) = x.q_scale() else { return false };
    bias.iter().enumerate().all(|(c, bias)| {
        let Some((weight_scale, _)) = weight.quantizer().channel(c) else {
            return false;
        };
        let step = scale as f32 * weight_scale;
        let multiplier = step / out.scale as f32;
        (bias / step).abs() < 1e8 && multiplier < 1e20
    })
}

pub fn biases(bias: Option<&Tensor>, channels: usize) -> Vec<f32> {
    bias.map_or(vec![0.0; channels], Tensor::to_vec)
}

pub fn linear(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    (out, activation): (OutQParams, Activation),
    y: &QTensor,
) -> Call {
    let &[n, k] = weight.shape() else {
        panic!("a weight of shape {:?} was taken", weight.shape())
    };
    let bias = biases(bias, n);
    if !fits(x, weight, &bias, out) {
        return Call::Computed;
    }
    let ((scale, z), q, w) = (map(x), ints(x), ints(weight));
    let mut want = Vec::new();
    for row in q.chunks(k) {
        for (c, &bias) in bias.iter().enumerate() {
            let products = row.iter().zip(&w[c * k..]);
            let sum = products
                .map(|(&q, &w)| i64::from(q - z) * i64::from(w))
                .sum();
            let scales = (scale, weight.quantizer().channel(c).unwrap().0);
            want.push(requantized(sum, bias, scales, out, x.dtype(), activation));
        }
    }
    assert_eq!(ints(y), want, "linear {n}x{k}");
    Call::Compared
}

pub fn conv(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvSpec,
    (out, activation): (OutQParams, Activation),
    y: &QTensor,
) -> Call {
    let (xs, ws) = (x.shape(), weight.shape());
    let bias = biases(bias, ws[0]);
    if !fits(x, weight, &bias, out) {
        return Call::Computed;
    }
    let (input, kernel) = (three(&xs[2..]), three(&ws[2..]));
    let size = spec.output(input, kernel).unwrap();
    let ((scale, z), q, w) = (map(x), ints(x), ints(weight));
    let group_out = ws[0] / spec.groups;
    let mut want = Vec::new();
    for (n, c) in (0..xs[0]).flat_map(|n| (0..ws[0]).map(move |c| (n, c))) {
        for at in positions(size) {
            let mut sum = 0;
            for i in 0..ws[1] {
                let plane = n * xs[1] + c / group_out * ws[1] + i;
                for (tap, t) in positions(kernel).enumerate() {
                    let Some(p) = source(at, t, (spec.stride, spec.padding, spec.dilation), input)
                    else {
                        continue;
                    };
                    let w = w[(c * ws[1] + i) * kernel.iter().product::<usize>() + tap];
                    sum += i64::from(q[index(plane, p, input)] - z) * i64::from(w);
                }
            }
            let scales = (scale, weight.quantizer().channel(c).unwrap().0);
            want.push(requantized(
                sum,
                bias[c],
                scales,
                out,
                x.dtype(),
                activation,
            ));
        }
    }
    assert_eq!(ints(y), want, "{xs:?} with {ws:?}, {spec:?}");
    Call::Compared
}

pub fn max_pool(x: &QTensor, spec: &PoolSpec, y: &QTensor) -> Call {
    // This loop goes over padding too, and a window may be far larger than its input.
    if spec.kernel.iter().any(|&n| n > 16) {
        return Call::Computed;
    }
    let planes: usize = x.shape()[..2].iter().product();
    let input = three(&x.shape()[2..]);
    let size = spec.output("max_pool", input).unwrap();
    let q = ints(x);
    let mut want = Vec::new();
    for plane in 0..planes {
        for at in positions(size) {
            let steps = (spec.stride, spec.padding, spec.dilation);
            let taps = positions(spec.kernel).filter_map(|t| source(at, t, steps, input));
            let greatest = taps.map(|p| q[index(plane, p, input)]).max();
            // Only dilation makes windows without a single element.
            want.push(greatest.unwrap_or(x.dtype().range().0));
        }
    }
    assert_eq!(ints(y), want, "{:?}, {spec:?}", x.shape());
    Call::Compared
}

pub fn positions([d, h, w]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..d * h * w).map(move |i| [i / (h * w), i / w % h, i % w])
}

pub fn index(plane: usize, p: [usize; 3], [d, h, w]: [usize; 3]) -> usize {
    ((plane * d + p[0]) * h + p[1]) * w + p[2]
}

/// Where in the input a tap of a window lies, if not in the padding. Sizes may be near the end of their type.
fn source(
    at: [usize; 3],
    tap: [usize; 3],
    (stride, padding, dilation): ([usize; 3], [usize; 3], [usize; 3]),
    input: [usize; 3],
) -> Option<[usize; 3]> {
    let mut p = [0; 3];
    for a in 0..3 {
        let wide = |x: usize, y: usize| x as i128 * y as i128;
        let place = wide(at[a], stride[a]) + wide(tap[a], dilation[a]) - padding[a] as i128;
        p[a] = usize::try_from(place).ok().filter(|&p| p < input[a])?;
    }
    Some(p)
}

/// Sums (0 and 1) and products (2 and 3), the odd ones rectified.
pub fn binary(a: &QTensor, b: &QTensor, out: OutQParams, which: usize, y: &QTensor) -> Call {
    let ((sa, za), (sb, zb)) = (map(a), map(b));
    let inverse = 1.0 / out.scale as f32;
    let (Ok(left), Ok(right)) = (a.expand(y.shape()), b.expand(y.shape())) else {
        panic!("{:?} and {:?} gave {:?}", a.shape(), b.shape(), y.shape())
    };
    let activation = [Activation::None, Activation::Relu][which % 2];
    let want = |(qa, qb): (i32, i32)| {
        let v = if which < 2 {
            (sa * (qa - za) as f32 + sb * (qb - zb) as f32) * inverse
        } else {
            ((qa - za) * (qb - zb)) as f32 * (sa * sb * inverse)
        };
        v.is_finite().then(|| stored(v, out, a.dtype(), activation))
    };
    let want: Option<Vec<i32>> = ints(&left)
        .into_iter()
        .zip(ints(&right))
        .map(want)
        .collect();
    let Some(want) = want else {
        return Call::Computed;
    };
    assert_eq!(
        ints(y),
        want,
        "operation {which} of {:?}, {:?}",
        a.shape(),
        b.shape()
    );
    Call::Compared
}

pub fn relu(x: &QTensor, y: &QTensor) -> Call {
    let (_, z) = map(x);
    let want: Vec<i32> = ints(x).into_iter().map(|q| q.max(z)).collect();
    assert_eq!(ints(y), want);
    Call::Compared
}
