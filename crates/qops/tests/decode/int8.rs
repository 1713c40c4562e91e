//! Calls of the operations on 8-bit integers.

use qops::quantized::*;
use qtensor_core::QTensor;

use super::layers::{conv_call, linear_call, table};
use super::naive;
use super::{Call, Numbers, is_large};

pub fn check(numbers: &mut Numbers) -> Call {
    let call = match numbers.byte() % 16 {
        0 | 1 => linear_call(numbers),
        2..=4 => conv_call(numbers),
        5 | 6 => binary(numbers),
        7 => joined(numbers),
        8 | 9 => pool(numbers),
        10 | 11 => unary(numbers),
        12 => ordered(numbers),
        13 => product_or_norm(numbers),
        14 => table(numbers),
        _ => into_given(numbers),
    };
    // Operands that cannot be made are refused where they are made.
    call.unwrap_or(Call::Refused)
}

/// The same result from row-major operands.
pub fn same(got: &qops::Result<QTensor>, plain: &qops::Result<QTensor>) -> Call {
    match (got, plain) {
        (Ok(got), Ok(plain)) => {
            assert_eq!(got, plain, "another layout gives another result");
            Call::Computed
        }
        (Err(_), Err(_)) => Call::Refused,
        _ => panic!("one layout gives {got:?}, another {plain:?}"),
    }
}

fn binary(numbers: &mut Numbers) -> Option<Call> {
    let left = numbers.shape(0, 5);
    let mut right = left.clone();
    if numbers.one_in(4) {
        let ones = numbers.byte();
        for (at, n) in right.iter_mut().enumerate() {
            *n = if ones >> (at % 8) & 1 == 1 { 1 } else { *n };
        }
    }
    if numbers.one_in(16) {
        right = numbers.shape(0, 4);
    }
    let dtype = numbers.dtype();
    let other = if numbers.one_in(32) {
        numbers.dtype()
    } else {
        dtype
    };
    let (a, b) = (
        numbers.qtensor(&left, dtype)?,
        numbers.qtensor(&right, other)?,
    );
    let out = numbers.out(dtype);
    let which = numbers.within(0, 3);
    let run = [add, add_relu, mul, mul_relu][which];
    let y = run(&a, &b, out);
    let call = same(&y, &run(&a.contiguous(), &b.contiguous(), out));
    let Ok(y) = y else { return Some(call) };
    Some(naive::binary(&a, &b, out, which, &y))
}

fn joined(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let dim = numbers.dim(shape.len());
    let dtype = numbers.dtype();
    let parts: Vec<QTensor> = (0..numbers.within(0, 3))
        .map(|_| {
            let mut shape = shape.clone();
            if let Some(n) = shape.get_mut(dim) {
                *n = numbers.within(0, 5);
            }
            let dtype = if numbers.one_in(32) {
                numbers.dtype()
            } else {
                dtype
            };
            numbers.qtensor(&shape, dtype)
        })
        .collect::<Option<_>>()?;
    let out = (!numbers.one_in(3)).then(|| numbers.out(dtype));
    let run = if numbers.one_in(2) { cat_relu } else { cat };
    let rows: Vec<QTensor> = parts.iter().map(QTensor::contiguous).collect();
    let all: Vec<&QTensor> = parts.iter().collect();
    let plain: Vec<&QTensor> = rows.iter().collect();
    Some(same(&run(&all, dim, out), &run(&plain, dim, out)))
}

fn pool(numbers: &mut Numbers) -> Option<Call> {
    let spatial = numbers.within(1, 3);
    let shape = if numbers.one_in(16) {
        numbers.shape(spatial + 1, spatial + 3)
    } else {
        numbers.shape(spatial + 2, spatial + 2)
    };
    let dtype = numbers.dtype();
    let x = numbers.qtensor(&shape, dtype)?;
    let plain = x.contiguous();
    if numbers.one_in(3) {
        let count = if numbers.one_in(16) { 0 } else { spatial };
        let output = numbers.sizes(count, 0, 6);
        let size = [&shape[..shape.len() - spatial], &output].concat();
        if is_large(&size) {
            return Some(Call::Large);
        }
        let y = adaptive_avg_pool(&x, &output);
        return Some(same(&y, &adaptive_avg_pool(&plain, &output)));
    }
    let spec = numbers.pool_spec(spatial)?;
    let average = numbers.one_in(2);
    let run = if average { avg_pool } else { max_pool };
    let input = naive::three(&shape[shape.len() - spatial..]);
    let size = spec.output("pool", input);
    if size.is_ok_and(|size| is_large(&[&shape[..1], &size].concat())) {
        return Some(Call::Large);
    }
    let y = run(&x, &spec);
    let call = same(&y, &run(&plain, &spec));
    match y {
        Ok(y) if !average => Some(naive::max_pool(&x, &spec, &y)),
        _ => Some(call),
    }
}

fn unary(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let dtype = numbers.dtype();
    let x = numbers.qtensor(&shape, dtype)?;
    let (out, real, other) = (numbers.out(dtype), numbers.real(), numbers.real());
    let given = numbers.one_in(2).then_some(out);
    let kind = numbers.pick(&[Gelu::Exact, Gelu::Tanh]);
    let dim = numbers.dim(shape.len());
    let which = numbers.within(0, 17);
    let channels = shape.get(1).copied().unwrap_or(1);
    let slopes = if numbers.one_in(2) { 1 } else { channels };
    let slope = numbers.qtensor(&[slopes], dtype)?;
    let run = |x: &QTensor| match which {
        0 => requantize(x, out),
        1 => sigmoid(x, given),
        2 => tanh(x, given),
        3 => hardsigmoid(x, given),
        4 => hardswish(x, out),
        5 => elu(x, real, out),
        6 => celu(x, real, out),
        7 => leaky_relu(x, real, given),
        8 => threshold(x, real, other),
        9 => gelu(x, kind),
        10 => prelu(x, &slope, out),
        11 => softmax(x, dim, out),
        12 => clamp(x, real, other),
        13 => relu(x),
        14 => relu6(x),
        15 => add_scalar(x, real.into()),
        16 => mul_scalar(x, real.into()),
        _ => {
            let y = dequantize(x)?;
            quantize(&y, out, dtype)
        }
    };
    let y = run(&x);
    let call = same(&y, &run(&x.contiguous()));
    match (which, y) {
        (13, Ok(y)) => Some(naive::relu(&x, &y)),
        _ => Some(call),
    }
}

fn ordered(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let dtype = numbers.dtype();
    let x = numbers.qtensor(&shape, dtype)?;
    let dim = numbers.dim(shape.len());
    let given = (!numbers.one_in(3)).then_some(dim);
    let (k, down) = (numbers.size(0, 9), numbers.one_in(2));
    let plain = x.contiguous();
    Some(match numbers.byte() % 6 {
        0 => same(&min(&x), &min(&plain)),
        1 => same(&max(&x), &max(&plain)),
        2 => match (argmin(&x), argmax(&x)) {
            (Ok(least), Ok(greatest)) => {
                let ints = x.int_repr().to_i32_vec();
                assert_eq!(Some(&ints[least as usize]), ints.iter().min());
                assert_eq!(Some(&ints[greatest as usize]), ints.iter().max());
                Call::Compared
            }
            _ => Call::Refused,
        },
        3 => match (min_dim(&x, dim), argmax_dim(&plain, dim), max_dim(&x, dim)) {
            (Ok(_), Ok(arg), Ok((_, at))) => {
                assert_eq!(arg, at);
                Call::Computed
            }
            _ => Call::Refused,
        },
        4 => match (sort(&x, given, down), argsort(&plain, given, down)) {
            (Ok((_, a)), Ok(b)) => {
                assert_eq!(a, b);
                Call::Computed
            }
            _ => Call::Refused,
        },
        _ => topk(&x, k, given, down).into(),
    })
}

fn product_or_norm(numbers: &mut Numbers) -> Option<Call> {
    let dtype = numbers.dtype();
    if numbers.one_in(2) {
        let mut left = numbers.shape(1, 4);
        let k = *left.last()?;
        let n = numbers.within(1, 6);
        let mut right = left.clone();
        if let [.., rows, columns] = right.as_mut_slice() {
            (*rows, *columns) = (k, n);
        }
        if numbers.one_in(8) {
            left = numbers.shape(0, 4);
        }
        let (a, b) = (
            numbers.qtensor(&left, dtype)?,
            numbers.qtensor(&right, dtype)?,
        );
        let out = numbers.out(dtype);
        return Some(same(
            &matmul(&a, &b, out),
            &matmul(&a.contiguous(), &b.contiguous(), out),
        ));
    }
    let shape = numbers.shape(0, 5);
    let x = numbers.qtensor(&shape, dtype)?;
    let channels = shape.get(1).copied().unwrap_or(1);
    let [mean, var, gamma, beta] = [(); 4].map(|()| numbers.tensor(&[channels]));
    let (mean, var, gamma, beta) = (mean?, var?, gamma?, beta?);
    let gamma = numbers.one_in(2).then_some(&gamma);
    let beta = numbers.one_in(2).then_some(&beta);
    let (eps, out, activation) = (numbers.real(), numbers.out(dtype), numbers.activation());
    let run = |x: &QTensor| batch_norm(x, &mean, &var, gamma, beta, eps, out, activation);
    Some(same(&run(&x), &run(&x.contiguous())))
}

/// The forms that write into a tensor that exists.
fn into_given(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let dtype = numbers.dtype();
    let mut out = numbers.qtensor(&shape, dtype)?;
    let shape = if numbers.one_in(8) {
        numbers.shape(0, 4)
    } else {
        shape
    };
    let dtype = if numbers.one_in(16) {
        numbers.dtype()
    } else {
        dtype
    };
    let (a, b) = (
        numbers.qtensor(&shape, dtype)?,
        numbers.qtensor(&shape, dtype)?,
    );
    let (dim, real) = (numbers.dim(shape.len()), numbers.real());
    let shared = numbers.one_in(4).then(|| out.clone());
    let result = match numbers.byte() % 12 {
        0 => add_out(&a, &b, &mut out),
        1 => mul_relu_out(&a, &b, &mut out),
        2 => cat_out(&[&a, &b], dim, &mut out),
        3 => cat_relu_out(&[&a], dim, &mut out),
        4 => requantize_out(&a, &mut out),
        5 => sigmoid_out(&a, &mut out),
        6 => tanh_out(&a, &mut out),
        7 => hardswish_out(&a, &mut out),
        8 => elu_out(&a, real, &mut out),
        9 => leaky_relu_out(&a, real, &mut out),
        10 => softmax_out(&a, dim, &mut out),
        _ => add_relu_like_first(&a, &b)
            .and(mul_like_first(&a, &b))
            .map(drop),
    };
    drop(shared);
    Some(result.into())
}
