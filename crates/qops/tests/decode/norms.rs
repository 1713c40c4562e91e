//! Calls of normalizations of integers by their own statistics, and of means and deviations.

use qops::float;
use qops::quantized::{Activation, OutQParams, group_norm, instance_norm, layer_norm, mean, std};
use qtensor_core::{QTensor, Tensor};

use super::int8::same;
use super::{Call, Numbers, same_floats};
use crate::common::{ints, map, stored};

pub fn check(numbers: &mut Numbers) -> Call {
    call(numbers).unwrap_or(Call::Refused)
}

fn call(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 5);
    if numbers.one_in(4) {
        return statistics(numbers, &shape);
    }
    let dtype = numbers.dtype();
    let x = numbers.qtensor(&shape, dtype)?;
    let eps = if numbers.one_in(2) {
        f64::from(numbers.real())
    } else {
        1e-5
    };
    let out = numbers.out(dtype);
    if numbers.one_in(3) {
        by_row(numbers, &x, eps, out)
    } else {
        by_channel(numbers, &x, eps, out)
    }
}

fn by_row(numbers: &mut Numbers, x: &QTensor, eps: f64, out: OutQParams) -> Option<Call> {
    let normalized = match numbers.byte() % 8 {
        0 => numbers.shape(0, 3),
        1 => numbers.sizes(2, 0, 9),
        _ => x.shape()[numbers.within(0, x.rank())..].to_vec(),
    };
    let [gamma, beta] = parameters(numbers, &normalized);
    let run = |x: &QTensor| layer_norm(x, &normalized, gamma.as_ref(), beta.as_ref(), eps, out);
    let y = run(x);
    let call = same(&y, &run(&x.contiguous()));
    let Ok(y) = y else { return Some(call) };
    let length: usize = normalized.iter().product();
    let want = expected(x, length, [gamma, beta], |i| i % length, eps, out);
    Some(compared(&y, want))
}

fn by_channel(numbers: &mut Numbers, x: &QTensor, eps: f64, out: OutQParams) -> Option<Call> {
    let channels = x.shape().get(1).copied().unwrap_or(1);
    let given = channels + usize::from(numbers.one_in(16));
    let [gamma, beta] = parameters(numbers, &[given]);
    let groups = match numbers.byte() % 4 {
        0 => numbers.size(0, 9),
        1 => 1,
        _ => channels,
    };
    let norm = |x: &QTensor| group_norm(x, groups, gamma.as_ref(), beta.as_ref(), eps, out);
    let y = norm(x);
    let call = same(&y, &norm(&x.contiguous()));
    if groups == channels {
        same(
            &y,
            &instance_norm(x, gamma.as_ref(), beta.as_ref(), eps, out),
        );
    }
    let Ok(y) = y else { return Some(call) };
    let each: usize = x.shape()[2..].iter().product();
    let channel = |i: usize| i / each % channels;
    let length = channels / groups * each;
    Some(compared(
        &y,
        expected(x, length, [gamma, beta], channel, eps, out),
    ))
}

fn parameters(numbers: &mut Numbers, shape: &[usize]) -> [Option<Tensor>; 2] {
    [(); 2].map(|()| match numbers.one_in(3) {
        true => None,
        false => numbers.tensor(shape),
    })
}

/// `(x − mean) / √(var + eps) · gamma + beta` over rows of `length` elements, with the parameters at `at`; `None` where that is no
/// number.
fn expected(
    x: &QTensor,
    length: usize,
    [gamma, beta]: [Option<Tensor>; 2],
    at: impl Fn(usize) -> usize,
    eps: f64,
    out: OutQParams,
) -> Option<Vec<i32>> {
    let (scale, z) = (x.q_scale().ok()?, map(x).1);
    let [gamma, beta] = [gamma, beta].map(|t| t.map(|t| t.to_vec()));
    let (ints, mut want) = (ints(x), Vec::new());
    for (row, ints) in ints.chunks(length.max(1)).enumerate() {
        let deviations = ints.iter().map(|&q| i64::from(q - z));
        let sum: i64 = deviations.clone().sum();
        let squares: i64 = deviations.map(|d| d * d).sum();
        let mean = sum as f64 / length as f64;
        let variance = (squares as f64 / length as f64 - mean * mean).max(0.0);
        let deviation = (variance * scale * scale + eps).sqrt();
        let slope = if deviation > 0.0 {
            (scale / deviation) as f32
        } else {
            0.0
        };
        for (i, &q) in ints.iter().enumerate() {
            let parameter = at(row * length + i);
            let gamma = gamma.as_ref().map_or(1.0, |g| g[parameter]);
            let beta = beta.as_ref().map_or(0.0, |b| b[parameter]);
            let real = ((q - z) as f32 - mean as f32) * (slope * gamma) + beta;
            let v = real * (1.0 / out.scale as f32);
            if !v.is_finite() {
                return None;
            }
            want.push(stored(v, out, x.dtype(), Activation::None));
        }
    }
    Some(want)
}

fn compared(y: &QTensor, want: Option<Vec<i32>>) -> Call {
    let Some(want) = want else {
        return Call::Computed;
    };
    assert_eq!(ints(y), want, "a norm of {:?}", y.shape());
    Call::Compared
}

fn statistics(numbers: &mut Numbers, shape: &[usize]) -> Option<Call> {
    let count = numbers.within(0, 3);
    let dims: Vec<usize> = (0..count).map(|_| numbers.dim(shape.len())).collect();
    let (keep, unbiased) = (numbers.one_in(2), numbers.one_in(2));
    if numbers.one_in(3) {
        let x = numbers.tensor(shape)?;
        let plain = x.contiguous();
        let variance = float::var(&x, &dims, unbiased, keep);
        same_floats(&variance, &float::var(&plain, &dims, unbiased, keep));
        return Some(same_floats(
            &float::std(&x, &dims, unbiased, keep),
            &float::std(&plain, &dims, unbiased, keep),
        ));
    }
    let dtype = numbers.dtype();
    let x = numbers.qtensor(shape, dtype)?;
    let plain = x.contiguous();
    same(
        &std(&x, &dims, unbiased, keep),
        &std(&plain, &dims, unbiased, keep),
    );
    let y = mean(&x, &dims, keep);
    let call = same(&y, &mean(&plain, &dims, keep));
    let (Ok(y), true) = (y, dims.is_empty()) else {
        return Some(call);
    };
    let ints = ints(&x);
    let sum: i64 = ints.iter().copied().map(i64::from).sum();
    let want = (sum as f64 / ints.len() as f64).round_ties_even();
    assert_eq!(y.int_repr().to_i32_vec(), [want as i32]);
    Some(Call::Compared)
}
