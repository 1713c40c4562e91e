//! Calls of comparisons, on integers, with one number and on floats, and of the order of floats.

use std::cmp::Ordering;

use qops::float::{self, broadcast_shape};
use qops::{Result, quantized};
use qtensor_core::{QTensor, Tensor};

use super::{Call, Numbers, is_large, same_bits};

pub fn check(numbers: &mut Numbers) -> Call {
    let call = match numbers.byte() % 4 {
        0 => ordered(numbers),
        1 => with_number(numbers),
        2 => pair(numbers, true),
        _ => pair(numbers, false),
    };
    call.unwrap_or(Call::Refused)
}

type Holds = fn(f32, f32) -> bool;

const HOLDS: [Holds; 6] = [
    |a, b| a == b,
    |a, b| a != b,
    |a, b| a < b,
    |a, b| a <= b,
    |a, b| a > b,
    |a, b| a >= b,
];

/// Two operands that are mostly broadcast.
fn pair(numbers: &mut Numbers, integers: bool) -> Option<Call> {
    let left = numbers.shape(0, 5);
    let mut right = left.clone();
    let ones = numbers.byte();
    for (at, n) in right.iter_mut().enumerate() {
        *n = if ones >> (at % 8) & 1 == 1 { 1 } else { *n };
    }
    if numbers.one_in(8) {
        right = numbers.shape(0, 5);
    }
    let shape = broadcast_shape("comparison", &left, &right);
    if shape.as_ref().is_ok_and(|shape| is_large(shape)) {
        return Some(Call::Large);
    }
    let which = numbers.within(0, 5);
    let (a, b, marks) = if integers {
        let (first, second) = (numbers.dtype(), numbers.dtype());
        let (a, b) = (
            numbers.qtensor(&left, first)?,
            numbers.qtensor(&right, second)?,
        );
        use quantized::{eq, ge, gt, le, lt, ne};
        let run = [eq, ne, lt, le, gt, ge][which];
        (a.dequantize(), b.dequantize(), run(&a, &b))
    } else {
        let (a, b) = (numbers.tensor(&left)?, numbers.tensor(&right)?);
        use float::{eq, ge, gt, le, lt, ne};
        let marks = [eq, ne, lt, le, gt, ge][which](&a, &b);
        (a, b, marks)
    };
    Some(compared(&a, &b, which, marks))
}

fn with_number(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let dtype = numbers.dtype();
    let x: QTensor = numbers.qtensor(&shape, dtype)?;
    let (which, mut number) = (numbers.within(0, 5), numbers.real());
    let real = x.dequantize();
    if numbers.one_in(2) && x.numel() > 0 {
        number = real.to_vec()[usize::from(numbers.byte()) % x.numel()];
    }
    use quantized::{eq_scalar, ge_scalar, gt_scalar, le_scalar, lt_scalar, ne_scalar};
    let run = [
        eq_scalar, ne_scalar, lt_scalar, le_scalar, gt_scalar, ge_scalar,
    ][which];
    let marks = run(&x, number);
    Some(compared(&real, &Tensor::scalar(number), which, marks))
}

/// Broadcast by hand: the element at a position is that at the position modulo each length.
fn compared(a: &Tensor, b: &Tensor, which: usize, marks: Result<Tensor<u8>>) -> Call {
    let Ok(marks) = marks else {
        let refused = broadcast_shape("comparison", a.shape(), b.shape());
        assert!(refused.is_err(), "{:?} and {:?}", a.shape(), b.shape());
        return Call::Refused;
    };
    let shape = marks.shape();
    let (left, right) = (a.to_vec(), b.to_vec());
    let at = |t: &Tensor, flat: usize| {
        let (mut rest, mut index, mut step) = (flat, 0, 1);
        for (dim, &n) in shape.iter().enumerate().rev() {
            let place = rest % n;
            rest /= n;
            if let Some(own) = (dim + t.rank()).checked_sub(shape.len()) {
                let length = t.shape()[own];
                index += place % length * step;
                step *= length;
            }
        }
        index
    };
    let want: Vec<u8> = (0..marks.numel())
        .map(|flat| HOLDS[which](left[at(a, flat)], right[at(b, flat)]).into())
        .collect();
    assert_eq!(marks.to_vec(), want, "comparison {which}");
    Call::Compared
}

/// NaN is greater than every number; both zeros are equal.
fn order(a: f32, b: f32) -> Ordering {
    let nans = a.is_nan().cmp(&b.is_nan());
    nans.then(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

fn ordered(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let x = numbers.tensor(&shape)?;
    let dim = numbers.dim(shape.len());
    let given = (!numbers.one_in(3)).then_some(dim);
    let (k, down) = (numbers.size(0, 9), numbers.one_in(2));
    drop((float::min(&x), float::argmin(&x), float::msort(&x)));
    let (Ok((values, indices)), Ok(again)) = (
        float::sort(&x, given, down),
        float::argsort(&x, given, down),
    ) else {
        assert!(float::topk(&x, k, given, down).is_err());
        return Some(Call::Refused);
    };
    assert_eq!(indices, again);
    if let Ok(max) = float::max(&x) {
        let greatest = x.to_vec().into_iter().max_by(|&a, &b| order(a, b));
        assert_eq!(order(max.to_vec()[0], greatest?), Ordering::Equal);
    }
    let lanes = |shape: &[usize]| match given {
        None => (1, shape.iter().product(), 1),
        Some(dim) => (
            shape[..dim].iter().product::<usize>(),
            shape[dim],
            shape[dim + 1..].iter().product::<usize>(),
        ),
    };
    let (outer, length, inner) = lanes(&shape);
    let (from, sorted, places) = (x.to_vec(), values.to_vec(), indices.to_vec());
    let top = float::topk(&x, k, given, true).ok();
    for (o, n) in (0..outer).flat_map(|o| (0..inner).map(move |n| (o, n))) {
        let lane = |all: &[f32], length: usize| -> Vec<f32> {
            (0..length)
                .map(|i| all[(o * length + i) * inner + n])
                .collect()
        };
        let mut want: Vec<(f32, usize)> = lane(&from, length).into_iter().zip(0..).collect();
        want.sort_by(|a, b| match down {
            true => order(b.0, a.0),
            false => order(a.0, b.0),
        });
        let (want, at): (Vec<f32>, Vec<usize>) = want.into_iter().unzip();
        assert!(same_bits(&lane(&sorted, length), &want), "{shape:?}");
        let got = (0..length).map(|i| places[(o * length + i) * inner + n] as usize);
        assert!(got.eq(at), "{shape:?}");
        if let (Some((top, _)), true) = (&top, down) {
            assert!(same_bits(&lane(&top.to_vec(), k), &want[..k]), "{shape:?}");
        }
    }
    Some(Call::Compared)
}
