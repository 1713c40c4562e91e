//! Calls of transposed convolutions, on integers and on floats with their gradients.

use qops::ConvTransposeSpec;
use qops::float::{conv_transpose, conv_transpose_input_gradient, conv_transpose_weight_gradient};
use qops::quantized::{Activation, OutQParams, PackedConvTranspose, by_output_channel};
use qtensor_core::{IntTensor, QTensor, Tensor};

use super::int8::same;
use super::layers::{bias, granularity};
use super::naive::{biases, fits, index, positions, three};
use super::{Call, Numbers, is_large, is_plain, same_floats};
use crate::common::{ints, map, requantized};

pub fn check(numbers: &mut Numbers) -> Call {
    call(numbers).unwrap_or(Call::Refused)
}

fn call(numbers: &mut Numbers) -> Option<Call> {
    let spatial = numbers.within(1, 3);
    let groups = if numbers.one_in(3) {
        numbers.within(1, 4)
    } else {
        1
    };
    let (group_in, group_out) = (numbers.within(1, 7), numbers.within(1, 7));
    let mut shape = vec![numbers.within(0, 2), groups * group_in];
    shape.extend((0..spatial).map(|_| numbers.within(1, 5)));
    if numbers.one_in(32) {
        shape = numbers.shape(0, 6);
    }
    // Output channels first.
    let mut kernel = vec![groups * group_out, group_in];
    kernel.extend((0..spatial).map(|_| numbers.within(1, 4)));
    if numbers.one_in(32) {
        kernel = numbers.shape(0, 6);
    }
    let spec = numbers.transposed_spec(spatial, groups)?;
    chosen_size(numbers, &shape, &kernel, &spec);
    if output(&shape, &kernel, &spec).is_some_and(|size| is_large(&size)) {
        return Some(Call::Large);
    }
    if numbers.one_in(3) {
        real(numbers, &shape, &kernel, &spec)
    } else {
        integers(numbers, &shape, &kernel, &spec)
    }
}

/// The shape of the result, if the operands fit.
fn output(input: &[usize], kernel: &[usize], spec: &ConvTransposeSpec) -> Option<Vec<usize>> {
    let (batch, window) = (*input.first()?, kernel.get(2..)?);
    let size = spec.output(three(input.get(2..)?), three(window)).ok()?;
    Some([&[batch, kernel[0]], &size[..]].concat())
}

/// A specification that is asked for an output size has it.
fn chosen_size(numbers: &mut Numbers, shape: &[usize], kernel: &[usize], spec: &ConvTransposeSpec) {
    if !numbers.one_in(4) || shape.len() < 3 || kernel.len() != shape.len() {
        return;
    }
    let size = numbers.sizes(shape.len() - 2, 1, 12);
    let (input, kernel) = (three(&shape[2..]), three(&kernel[2..]));
    if let Ok(chosen) = spec.with_output_size(input, kernel, &size) {
        assert_eq!(chosen.output(input, kernel).unwrap(), three(&size));
    }
}

fn integers(
    numbers: &mut Numbers,
    shape: &[usize],
    kernel: &[usize],
    spec: &ConvTransposeSpec,
) -> Option<Call> {
    let dtype = numbers.dtype();
    let weight = numbers.weight(kernel)?;
    let bias = bias(numbers, kernel.first().copied().unwrap_or(0))?;
    let (out, activation) = (numbers.out(dtype), numbers.activation());
    let packed = PackedConvTranspose::by_channel(&weight, bias.as_ref(), spec);
    let other = by_input_channel(&weight, spec.groups)
        .map(|weight| PackedConvTranspose::new(&weight, bias.as_ref(), spec));
    let Ok(packed) = packed else {
        assert!(!matches!(other, Some(Ok(_))), "one order alone is refused");
        return Some(Call::Refused);
    };
    if numbers.one_in(5) {
        let x = numbers.tensor(shape)?;
        let quant = granularity(numbers);
        return Some(same_floats(
            &packed.run_dynamic(&x, quant, activation),
            &packed.run_dynamic(&x.contiguous(), quant, activation),
        ));
    }
    let x = numbers.qtensor(shape, dtype)?;
    let y = packed.run(&x, out, activation);
    let call = same(&y, &packed.run(&x.contiguous(), out, activation));
    if let Some(other) = other {
        same(&y, &other.and_then(|other| other.run(&x, out, activation)));
    }
    let Ok(y) = y else { return Some(call) };
    Some(naive(
        &x,
        &weight,
        bias.as_ref(),
        spec,
        (out, activation),
        &y,
    ))
}

/// Weights that have one scale, in PyTorch's order.
fn by_input_channel(weight: &QTensor, groups: usize) -> Option<QTensor> {
    let IntTensor::I8(ints) = weight.int_repr() else {
        return None;
    };
    weight.q_scale().ok()?;
    let ints = by_output_channel(ints, groups).ok()?;
    QTensor::from_parts(IntTensor::I8(ints), weight.quantizer().clone()).ok()
}

/// The sums by the formula, in the order of the output: of every input and tap of its group that meet in a position.
fn sums(
    input: &[usize],
    kernel: &[usize],
    spec: &ConvTransposeSpec,
    mut product: impl FnMut(usize, usize) -> f64,
) -> Vec<f64> {
    let (shape, taps) = (three(&input[2..]), three(&kernel[2..]));
    let size = spec.output(shape, taps).unwrap();
    let group_out = kernel[0] / spec.groups;
    let mut sums = Vec::new();
    for (n, c) in (0..input[0]).flat_map(|n| (0..kernel[0]).map(move |c| (n, c))) {
        for at in positions(size) {
            let met = positions(taps).enumerate().filter_map(|(tap, t)| {
                let from = source(at, t, spec, shape)?;
                Some((tap, from))
            });
            let mut sum = 0.0;
            for (tap, from) in met {
                for i in 0..kernel[1] {
                    let plane = n * input[1] + c / group_out * kernel[1] + i;
                    let w = (c * kernel[1] + i) * taps.iter().product::<usize>() + tap;
                    sum += product(index(plane, from, shape), w);
                }
            }
            sums.push(sum);
        }
    }
    sums
}

/// The input that a tap brings to a position of the output, if there is one. Sizes may be near the end of their type.
fn source(
    at: [usize; 3],
    tap: [usize; 3],
    spec: &ConvTransposeSpec,
    input: [usize; 3],
) -> Option<[usize; 3]> {
    let mut from = [0; 3];
    for a in 0..3 {
        let place = at[a] as i128 + spec.padding[a] as i128;
        let steps = place - tap[a] as i128 * spec.dilation[a] as i128;
        let stride = spec.stride[a] as i128;
        if steps < 0 || steps % stride != 0 {
            return None;
        }
        from[a] = usize::try_from(steps / stride)
            .ok()
            .filter(|&i| i < input[a])?;
    }
    Some(from)
}

fn naive(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvTransposeSpec,
    (out, activation): (OutQParams, Activation),
    y: &QTensor,
) -> Call {
    let bias = biases(bias, weight.shape()[0]);
    if !fits(x, weight, &bias, out) {
        return Call::Computed;
    }
    let ((scale, z), q, w) = (map(x), ints(x), ints(weight));
    let sums = sums(x.shape(), weight.shape(), spec, |x, k| {
        f64::from(q[x] - z) * f64::from(w[k])
    });
    let plane: usize = y.shape()[2..].iter().product();
    let want: Vec<i32> = (sums.into_iter().enumerate())
        .map(|(at, sum)| {
            let c = at / plane.max(1) % bias.len();
            let scales = (scale, weight.quantizer().channel(c).unwrap().0);
            requantized(sum as i64, bias[c], scales, out, x.dtype(), activation)
        })
        .collect();
    let (xs, ws) = (x.shape(), weight.shape());
    assert_eq!(ints(y), want, "{xs:?} with {ws:?}, {spec:?}");
    Call::Compared
}

fn real(
    numbers: &mut Numbers,
    shape: &[usize],
    kernel: &[usize],
    spec: &ConvTransposeSpec,
) -> Option<Call> {
    let rows = numbers.tensor(kernel)?;
    let w = by_output_channel(&rows, spec.groups).ok()?;
    let x = numbers.tensor(shape)?;
    let bias = numbers.tensor(&[kernel[0]])?;
    let bias = numbers.one_in(2).then_some(&bias);
    let y = conv_transpose(&x, &w, bias, spec);
    let call = same_floats(&y, &conv_transpose(&x.contiguous(), &w, bias, spec));
    let grad_shape = match &y {
        Ok(y) if !numbers.one_in(8) => y.shape().to_vec(),
        _ => numbers.shape(0, 5),
    };
    let grad = numbers.tensor(&grad_shape)?;
    let dx = conv_transpose_input_gradient(&grad, &w, shape, spec);
    let dw = conv_transpose_weight_gradient(&grad, &x, w.shape(), spec);
    let Ok(y) = y else { return Some(call) };
    let plain = [&x, &w, &grad].into_iter().chain(bias).all(is_plain);
    if !plain || x.numel() * w.shape()[1] > 1000 {
        return Some(call);
    }
    let (q, k) = (x.to_vec(), rows.to_vec());
    let product = |x: usize, w: usize| f64::from(q[x]) * f64::from(k[w]);
    let sums = sums(shape, kernel, spec, product);
    let bias = biases(bias, kernel[0]);
    let plane: usize = y.shape()[2..].iter().product();
    let with_bias =
        |(at, sum): (usize, &f64)| (sum + f64::from(bias[at / plane.max(1) % bias.len()])) as f32;
    let want: Vec<f32> = sums.iter().enumerate().map(with_bias).collect();
    assert_eq!(y.to_vec(), want, "{shape:?} with {kernel:?}, {spec:?}");
    if let (Ok(dx), Ok(dw)) = (dx, dw) {
        assert_eq!((dx.shape(), dw.shape()), (shape, w.shape()));
        // What is linear in x and in w has one inner product with the gradient, whichever way it is made.
        let whole: f64 = (sums.iter().zip(grad.to_vec()))
            .map(|(sum, g)| sum * f64::from(g))
            .sum();
        assert_eq!(inner(&dx, &x), whole, "the gradient of {shape:?}, {spec:?}");
        assert_eq!(
            inner(&dw, &w),
            whole,
            "the gradient of {kernel:?}, {spec:?}"
        );
    }
    Some(Call::Compared)
}

fn inner(a: &Tensor, b: &Tensor) -> f64 {
    let products = a.to_vec().into_iter().zip(b.to_vec());
    products.map(|(a, b)| f64::from(a) * f64::from(b)).sum()
}
