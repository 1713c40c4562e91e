//! Calls of the operations on `f32` tensors, and of what training needs of them.

use qops::float::*;
use qops::{PoolSpec, Result};
use qtensor_core::Tensor;

use super::naive::{conv_shape, three};
use super::{Call, Numbers, is_large, same_floats as same};

pub fn check(numbers: &mut Numbers) -> Call {
    let call = match numbers.byte() % 12 {
        0 | 1 => conv_call(numbers),
        2 => product(numbers),
        3 | 4 => pool(numbers),
        5 => norm(numbers),
        6 => elementwise(numbers),
        7 => along_dims(numbers),
        8 => moved(numbers),
        9 => rows(numbers),
        10 => attended(numbers),
        _ => faked(numbers),
    };
    call.unwrap_or(Call::Refused)
}

fn conv_call(numbers: &mut Numbers) -> Option<Call> {
    let spatial = numbers.within(1, 3);
    let groups = if numbers.one_in(3) {
        numbers.within(1, 6)
    } else {
        1
    };
    let (group_in, group_out) = (numbers.within(1, 6), numbers.within(1, 6));
    let mut shape = vec![numbers.within(0, 2), groups * group_in];
    shape.extend((0..spatial).map(|_| numbers.within(1, 7)));
    let mut kernel = vec![groups * group_out, group_in];
    kernel.extend((0..spatial).map(|_| numbers.within(1, 4)));
    if numbers.one_in(16) {
        shape = numbers.shape(0, 6);
    }
    if numbers.one_in(16) {
        kernel = numbers.shape(0, 6);
    }
    let spec = numbers.conv_spec(spatial, groups)?;
    let size = conv_shape(&shape, &kernel, &spec);
    if size.as_deref().is_some_and(is_large) {
        return Some(Call::Large);
    }
    let (x, w) = (numbers.tensor(&shape)?, numbers.tensor(&kernel)?);
    let bias = numbers.tensor(&[kernel.first().copied().unwrap_or(1)])?;
    let bias = numbers.one_in(2).then_some(&bias);
    let y = conv(&x, &w, bias, &spec);
    let call = same(&y, &conv(&x.contiguous(), &w.contiguous(), bias, &spec));
    let grad_shape = match &y {
        Ok(y) if !numbers.one_in(8) => y.shape().to_vec(),
        _ => numbers.shape(0, 5),
    };
    let grad = numbers.tensor(&grad_shape)?;
    if numbers.one_in(16) {
        let rank = shape.len();
        shape = numbers.sizes(rank, 0, 7);
        if is_large(&shape) {
            return Some(Call::Large);
        }
    }
    if let Ok(dx) = conv_input_gradient(&grad, &w, &shape, &spec) {
        assert_eq!(dx.shape(), shape);
    }
    if let Ok(dw) = conv_weight_gradient(&grad, &x, &kernel, &spec) {
        assert_eq!(dw.shape(), kernel);
    }
    Some(call)
}

fn product(numbers: &mut Numbers) -> Option<Call> {
    let mut left = numbers.shape(0, 4);
    let mut right = if numbers.one_in(3) {
        numbers.shape(0, 4)
    } else {
        left.clone()
    };
    if let (Some(&k), [.., rows, columns]) = (left.last(), right.as_mut_slice()) {
        (*rows, *columns) = (k, 3);
    }
    if numbers.one_in(8) {
        left = numbers.shape(0, 4);
    }
    let (a, b) = (numbers.tensor(&left)?, numbers.tensor(&right)?);
    if numbers.one_in(2) {
        let bias = numbers.tensor(&[right.first().copied().unwrap_or(1)])?;
        let weight = b.transpose(0, right.len().saturating_sub(1)).unwrap_or(b);
        drop(HalfLinear::new(&weight, Some(&bias)).and_then(|half| half.run(&a)));
        let bias = numbers.one_in(2).then_some(&bias);
        return Some(same(
            &linear(&a, &weight, bias),
            &linear(&a.contiguous(), &weight.contiguous(), bias),
        ));
    }
    Some(same(
        &matmul(&a, &b),
        &matmul(&a.contiguous(), &b.contiguous()),
    ))
}

fn pool(numbers: &mut Numbers) -> Option<Call> {
    let spatial = numbers.within(1, 3);
    let shape = if numbers.one_in(16) {
        numbers.shape(spatial + 1, spatial + 3)
    } else {
        numbers.shape(spatial + 2, spatial + 2)
    };
    let x = numbers.tensor(&shape)?;
    let plain = x.contiguous();
    let given = if numbers.one_in(8) {
        numbers.shape(0, 5)
    } else {
        shape.clone()
    };
    if numbers.one_in(3) {
        let output = numbers.sizes(spatial, 0, 6);
        if is_large(&[&shape[..shape.len() - spatial], &output].concat()) {
            return Some(Call::Large);
        }
        let y = adaptive_avg_pool(&x, &output);
        if let Ok(y) = &y {
            drop(adaptive_avg_pool_backward(y, &given));
        }
        return Some(same(&y, &adaptive_avg_pool(&plain, &output)));
    }
    let spec = numbers.pool_spec(spatial)?;
    let size = spec.output("pool", three(&shape[shape.len() - spatial..]));
    if size.is_ok_and(|size| is_large(&[&shape[..1], &size].concat())) {
        return Some(Call::Large);
    }
    if numbers.one_in(2) {
        let y = avg_pool(&x, &spec);
        if let Ok(y) = &y {
            drop(avg_pool_backward(y, &given, &spec));
        }
        return Some(same(&y, &avg_pool(&plain, &spec)));
    }
    Some(same(
        &largest(&x, &spec, &given),
        &largest(&plain, &spec, &given),
    ))
}

fn largest(x: &Tensor, spec: &PoolSpec, given: &[usize]) -> Result<Tensor> {
    let (y, indices) = max_pool_with_indices(x, spec)?;
    drop(max_pool_backward(&y, &indices, given));
    assert_eq!(max_pool(x, spec)?.shape(), y.shape());
    Ok(y)
}

fn norm(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 5);
    let x = numbers.tensor(&shape)?;
    let eps = f64::from(numbers.real());
    if numbers.one_in(2) {
        let from = numbers.within(0, shape.len());
        let normalized = if numbers.one_in(8) {
            numbers.shape(0, 3)
        } else {
            shape[from..].to_vec()
        };
        let (gamma, beta) = (numbers.tensor(&normalized)?, numbers.tensor(&normalized)?);
        let y = layer_norm(&x, &normalized, Some(&gamma), Some(&beta), eps);
        drop(layer_norm_backward(&x, &x, &normalized, Some(&gamma), eps));
        return Some(y.into());
    }
    let channels = shape.get(1).copied().unwrap_or(1) + usize::from(numbers.one_in(16));
    let [mean, var, gamma, beta] = [(); 4].map(|()| numbers.tensor(&[channels]));
    let (mean, var, gamma, beta) = (mean?, var?, gamma?, beta?);
    let (gamma, beta) = (
        numbers.one_in(2).then_some(&gamma),
        numbers.one_in(2).then_some(&beta),
    );
    if let Ok(forward) = batch_norm_train(&x, gamma, beta, eps) {
        drop(batch_norm_train_backward(&x, &x, gamma, &forward));
    }
    let y = batch_norm(&x, &mean, &var, gamma, beta, eps);
    Some(same(
        &y,
        &batch_norm(&x.contiguous(), &mean, &var, gamma, beta, eps),
    ))
}

fn elementwise(numbers: &mut Numbers) -> Option<Call> {
    let left = numbers.shape(0, 5);
    let mut right = left.clone();
    let ones = numbers.byte();
    for (at, n) in right.iter_mut().enumerate() {
        *n = if ones >> (at % 8) & 1 == 1 { 1 } else { *n };
    }
    if numbers.one_in(8) {
        right = numbers.shape(0, 5);
    }
    if let Ok(shape) = broadcast_shape("add", &left, &right)
        && is_large(&shape)
    {
        return Some(Call::Large);
    }
    let (a, b) = (numbers.tensor(&left)?, numbers.tensor(&right)?);
    let (lo, hi) = (numbers.real(), numbers.real());
    let which = numbers.within(0, 13);
    let run = |a: &Tensor, b: &Tensor| match which {
        0 => add(a, b),
        1 => sub(a, b),
        2 => mul(a, b),
        3 => div(a, b),
        4 => clamp(a, lo, hi),
        5 => clamp_backward(a, b, lo, hi),
        6 => relu_backward(a, b),
        7 => relu6_backward(a, b),
        8 => hardswish(a).and(hardswish_backward(a, b)),
        9 => sigmoid(a).and(sigmoid_backward(a, b)),
        10 => tanh(a).and(tanh_backward(a, b)),
        11 => gelu(a).and(gelu_tanh(a)).and(gelu_backward(a, b)),
        12 => relu(a).and(relu6(a)).and(mul_scalar(a, lo)),
        _ => add_scalar(a, lo),
    };
    Some(same(&run(&a, &b), &run(&a.contiguous(), &b.contiguous())))
}

fn along_dims(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 5);
    let x = numbers.tensor(&shape)?;
    let dim = numbers.dim(shape.len());
    let dims: Vec<usize> = (0..numbers.within(0, 3))
        .map(|_| numbers.dim(shape.len()))
        .collect();
    let keep = numbers.one_in(2);
    let target = numbers.shape(0, 4);
    let which = numbers.within(0, 6);
    let run = |x: &Tensor| match which {
        0 => sum(x, &dims, keep),
        1 => mean(x, &dims, keep),
        2 => softmax(x, dim),
        3 => log_softmax(x, dim),
        4 => softmax(x, dim).and_then(|y| softmax_backward(x, &y, dim)),
        5 => log_softmax(x, dim).and_then(|y| log_softmax_backward(x, &y, dim)),
        _ => sum_to(x, &target),
    };
    Some(same(&run(&x), &run(&x.contiguous())))
}

fn moved(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let x = numbers.tensor(&shape)?;
    let dim = numbers.dim(shape.len());
    match numbers.byte() % 3 {
        0 => {
            let count = if numbers.one_in(16) { 1 } else { shape.len() };
            let sides: Vec<(usize, usize)> = (0..count)
                .map(|_| (numbers.size(0, 3), numbers.size(0, 3)))
                .collect();
            let total =
                |(n, &(a, b)): (&usize, &(usize, usize))| n.saturating_add(a).saturating_add(b);
            let size: Vec<usize> = shape.iter().zip(&sides).map(total).collect();
            if is_large(&size) {
                return Some(Call::Large);
            }
            Some(pad(&x, &sides, numbers.real()).into())
        }
        1 => {
            let whole = numbers.sizes(shape.len(), 0, 9);
            if is_large(&whole) {
                return Some(Call::Large);
            }
            let (start, step) = (numbers.size(0, 5), numbers.size(0, 4));
            Some(slice_backward(&x, &whole, dim, start, step).into())
        }
        _ => {
            let other = numbers.shape(0, 4);
            let y = numbers.tensor(&other)?;
            let parts = [&x, &y, &x];
            Some(cat(&parts[..numbers.within(0, 3)], dim).into())
        }
    }
}

fn rows(numbers: &mut Numbers) -> Option<Call> {
    let shape = [numbers.within(0, 9), numbers.within(0, 9)];
    let table = numbers.tensor(&shape)?;
    let at = numbers.shape(0, 3);
    let indices = numbers.indices(&at, shape[0])?;
    let y = embedding(&table, &indices);
    let given = numbers.sizes(2, 0, 9);
    if is_large(&given) {
        return Some(Call::Large);
    }
    if let Ok(y) = &y {
        drop(embedding_backward(y, &indices, &given));
        drop(embedding_backward(y, &indices, &shape));
    }
    Some(y.into())
}

fn attended(numbers: &mut Numbers) -> Option<Call> {
    let heads = numbers.size(0, 4);
    let width = heads.min(4) * numbers.within(0, 4);
    let (batch, time, keys) = (
        numbers.within(0, 2),
        numbers.within(0, 6),
        numbers.within(0, 6),
    );
    let shape = if numbers.one_in(16) {
        numbers.shape(0, 4)
    } else {
        vec![batch, time, width]
    };
    let q = numbers.tensor(&shape)?;
    let (k, v) = (
        numbers.tensor(&[batch, keys, width])?,
        numbers.tensor(&[batch, keys, width])?,
    );
    let masks = (
        numbers.tensor(&[batch, keys])?,
        numbers.tensor(&[time, keys])?,
    );
    let mask = AttentionMask {
        keys: numbers.one_in(2).then_some(&masks.0),
        pairs: numbers.one_in(2).then_some(&masks.1),
    };
    Some(attention(&q, &k, &v, heads, mask).into())
}

fn faked(numbers: &mut Numbers) -> Option<Call> {
    let shape = numbers.shape(0, 4);
    let x = numbers.tensor(&shape)?;
    let axis = numbers.one_in(2).then(|| numbers.dim(shape.len()));
    let count = axis.map_or(1, |axis| shape.get(axis).copied().unwrap_or(1));
    let scales: Vec<f32> = (0..count).map(|_| numbers.scale() as f32).collect();
    let integers: Vec<i32> = (0..count)
        .map(|_| numbers.pick(&[0, 1, 128, -128, i32::MIN, i32::MAX]))
        .collect();
    let floats: Vec<f32> = (0..count).map(|_| numbers.real()).collect();
    let ends = [0, 255, -128, 127, i32::MIN, i32::MAX, 1 << 20];
    let grid = FakeQuantGrid {
        scales: &scales,
        zero_points: if numbers.one_in(3) {
            ZeroPoints::Float(&floats)
        } else {
            ZeroPoints::Integer(&integers)
        },
        axis,
        quant_min: numbers.pick(&ends),
        quant_max: numbers.pick(&ends),
    };
    drop(fake_quantize_backward(&x, &x, &grid));
    drop(fake_quantize_qparams_backward(
        &x,
        &x,
        &grid,
        numbers.real(),
    ));
    Some(same(
        &fake_quantize(&x, &grid),
        &fake_quantize(&x.contiguous(), &grid),
    ))
}
