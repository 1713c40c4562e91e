//! Bytes to a kernel call: what a fuzzer or a property test throws at the kernels.
//!
//! Any bytes name some call; its sizes come first, its data are the rest of the bytes over and over. The
//! call runs on every tier and is compared with the naive loops.

use qkernels_x86::{
    Context, ConvShape, OutputRange, PoolShape, TransposedShape, adaptive_avg_pool, avg_pool,
    max_pool,
};

use super::pools::{mean, naive};
use super::{Model, contexts, isas};

/// The most products of one call, so that a call takes less than a millisecond.
const MOST_PRODUCTS: u64 = 60_000;

/// What the bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Some kernel ran on every tier and gave the right bytes.
    Checked,
    /// The shape is not valid, and was refused.
    Refused,
    /// The call would take long.
    Large,
}

/// Reads numbers from the front, and zeros behind the end.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// A number of a range.
    fn within(&mut self, least: usize, most: usize) -> usize {
        least + usize::from(self.byte()) % (most - least + 1)
    }

    fn three(&mut self, least: usize, most: usize) -> [usize; 3] {
        // Most networks have two dimensions.
        let depth = if self.byte().is_multiple_of(4) {
            most.min(3)
        } else {
            1
        };
        [
            self.within(least, depth.max(least)),
            self.within(least, most),
            self.within(least, most),
        ]
    }

    /// The bytes that are left, over and over; a little different each time, so that columns differ.
    fn data(&self, len: usize, salt: u8) -> Vec<u8> {
        let value = |i: usize| match self.0 {
            [] => salt,
            bytes => bytes[i % bytes.len()].wrapping_add((i / bytes.len()) as u8 & salt),
        };
        (0..len).map(value).collect()
    }
}

/// Decodes one call, runs it and compares.
///
/// # Panics
/// If a kernel gives wrong bytes, refuses a valid shape or takes one that is not.
pub fn check(bytes: &[u8]) -> Call {
    let mut numbers = Numbers(bytes);
    match numbers.byte() % 10 {
        0 | 1 => linear(&mut numbers),
        2..=5 => convolution(&mut numbers),
        6 => pool(&mut numbers),
        7 => adaptive(&mut numbers),
        _ => transposed(&mut numbers),
    }
}

fn output_range(numbers: &mut Numbers) -> OutputRange {
    let zero_point = i32::from(numbers.byte());
    let (a, b) = (i32::from(numbers.byte()), i32::from(numbers.byte()));
    match numbers.byte() % 4 {
        0 => OutputRange {
            zero_point,
            lo: 0,
            hi: 255,
        },
        1 => OutputRange {
            zero_point,
            lo: zero_point,
            hi: 255,
        },
        _ => OutputRange {
            zero_point,
            lo: a.min(b),
            hi: a.max(b),
        },
    }
}

fn model(numbers: &mut Numbers, n: usize, k: usize) -> Model {
    let input_zero_point = numbers.byte();
    let range = output_range(numbers);
    // Any exponent and sign; NaN and infinity are refused elsewhere.
    let exponent = i32::from(numbers.byte()) - 128;
    let multiplier = match numbers.byte() % 4 {
        0 => 2.0f32.powi(exponent / 2),
        1 => -(2.0f32.powi(exponent / 8)),
        _ => 255.0 / (128.0 * 100.0 * (k as f32).sqrt()),
    };
    let bias = i32::from(numbers.byte()) - 128;
    Model {
        weight: (numbers.data(n * k, 3).into_iter())
            .map(|byte| byte as i8)
            .collect(),
        bias: (0..n as i32).map(|i| bias * (i % 3)).collect(),
        multipliers: (0..n)
            .map(|i| multiplier * (1.0 + (i % 4) as f32))
            .collect(),
        input_zero_point,
        range,
    }
}

fn linear(numbers: &mut Numbers) -> Call {
    let (m, n) = (numbers.within(0, 60), numbers.within(1, 81));
    let k = match numbers.byte() {
        255 => 700,
        byte => 1 + usize::from(byte) % 160,
    };
    if (m * n * k) as u64 > MOST_PRODUCTS {
        return Call::Large;
    }
    let model = model(numbers, n, k);
    model.check_linear(&numbers.data(m * k, 7), m, k);
    Call::Checked
}

/// Groups, and the input channels of each.
fn channels(numbers: &mut Numbers) -> [usize; 2] {
    let groups = match numbers.byte() % 4 {
        0 => numbers.within(1, 20),
        1 => numbers.within(1, 4),
        _ => 1,
    };
    let channels = match numbers.byte() % 4 {
        0 => 1,
        1 => 16 * numbers.within(1, 3),
        2 => 4 * numbers.within(1, 2),
        _ => numbers.within(1, 36),
    };
    [groups, channels]
}

fn convolution(numbers: &mut Numbers) -> Call {
    let [groups, channels] = channels(numbers);
    let shape = ConvShape {
        batch: numbers.within(0, 2),
        in_channels: groups * channels,
        out_channels: match numbers.byte() % 4 {
            0 => groups * channels,
            _ => groups * numbers.within(1, 36),
        },
        groups,
        input: numbers.three(1, 9),
        // Kernels that have a class of their own.
        kernel: match numbers.byte() % 4 {
            0 => [1, 3, 3],
            _ => numbers.three(1, 5),
        },
        stride: numbers.three(1, 3),
        padding: numbers.three(0, 5),
        dilation: numbers.three(1, 3),
    };
    if shape.validate().is_err() {
        assert!(
            shape.output().contains(&0),
            "{shape:?} has an output and is refused"
        );
        return Call::Refused;
    }
    if shape.macs() > MOST_PRODUCTS {
        return Call::Large;
    }
    let reduction = shape.kernel.iter().product::<usize>() * channels;
    let model = model(numbers, shape.out_channels, reduction);
    let len = shape.batch * shape.input.iter().product::<usize>() * shape.in_channels;
    model.check_conv(&numbers.data(len, 7), &shape);
    Call::Checked
}

fn transposed(numbers: &mut Numbers) -> Call {
    let [groups, channels] = channels(numbers);
    let shape = TransposedShape {
        batch: numbers.within(0, 2),
        in_channels: groups * channels,
        out_channels: groups * numbers.within(1, 24),
        groups,
        input: numbers.three(1, 6),
        kernel: numbers.three(1, 5),
        stride: numbers.three(1, 4),
        padding: numbers.three(0, 4),
        output_padding: numbers.three(0, 3),
        dilation: numbers.three(1, 3),
    };
    if shape.validate().is_err() {
        let too_much = |axis: usize| {
            shape.output_padding[axis] >= shape.stride[axis].max(shape.dilation[axis])
        };
        assert!(
            shape.output().contains(&0) || (0..3).any(too_much),
            "{shape:?} has an output and is refused"
        );
        return Call::Refused;
    }
    // Outputs without products take time as well.
    let outputs = shape.output().iter().product::<usize>() * shape.batch * shape.out_channels;
    if shape.macs().max(outputs as u64) > MOST_PRODUCTS {
        return Call::Large;
    }
    let reduction = shape.kernel.iter().product::<usize>() * channels;
    let model = model(numbers, shape.out_channels, reduction);
    let len = shape.batch * shape.input.iter().product::<usize>() * shape.in_channels;
    model.check_conv_transpose(&numbers.data(len, 7), &shape);
    Call::Checked
}

fn pool(numbers: &mut Numbers) -> Call {
    let shape = PoolShape {
        batch: numbers.within(0, 2),
        channels: numbers.within(1, 70),
        input: numbers.three(1, 9),
        kernel: numbers.three(1, 5),
        stride: numbers.three(1, 3),
        padding: numbers.three(0, 2),
        dilation: if numbers.byte().is_multiple_of(2) {
            [1; 3]
        } else {
            numbers.three(1, 3)
        },
        ceil_mode: numbers.byte().is_multiple_of(2),
    };
    let ctx = &Context::with(isas()[0], 1);
    let pixels = shape.batch * shape.input.iter().product::<usize>();
    let x = numbers.data(pixels * shape.channels, 7);
    if shape.validate().is_err() {
        assert!(max_pool(ctx, &x, &shape, &mut []).is_err(), "{shape:?}");
        return Call::Refused;
    }
    let zero_point = i32::from(numbers.byte());
    let include = numbers.byte().is_multiple_of(2);
    let divisor = match numbers.byte() {
        byte @ 1..=20 => Some(i32::from(byte) - 21),
        _ => None,
    };
    let (mut greatest, mut average) = (Vec::new(), Vec::new());
    naive(&shape, &x, |elements, padded| {
        greatest.push(elements.iter().copied().max().unwrap_or(0));
        let count = if include { padded } else { elements.len() };
        average.push(mean(&elements, zero_point, divisor.unwrap_or(count as i32)));
    });
    contexts(|ctx| {
        let mut out = vec![0xa5; greatest.len()];
        assert_eq!(max_pool(ctx, &x, &shape, &mut out), Ok(()));
        assert!(out == greatest, "maximum, {shape:?} on {}", ctx.isa.name());
        if shape.dilation == [1; 3] {
            let done = avg_pool(ctx, &x, &shape, zero_point, include, divisor, &mut out);
            assert_eq!(done, Ok(()));
            assert!(out == average, "average, {shape:?} on {}", ctx.isa.name());
        }
    });
    Call::Checked
}

fn adaptive(numbers: &mut Numbers) -> Call {
    let (batch, channels) = (numbers.within(0, 2), numbers.within(1, 70));
    let (input, output) = (numbers.three(1, 9), numbers.three(1, 6));
    let zero_point = i32::from(numbers.byte());
    let x = numbers.data(batch * input.iter().product::<usize>() * channels, 7);
    let window = |axis: usize, o: usize| {
        let (from, to) = (o * input[axis], (o + 1) * input[axis]);
        from / output[axis]..to.div_ceil(output[axis])
    };
    let mut want = Vec::new();
    for image in 0..batch {
        for o in 0..output.iter().product::<usize>() {
            let (od, oh, ow) = (
                o / (output[1] * output[2]),
                o / output[2] % output[1],
                o % output[2],
            );
            for c in 0..channels {
                let mut elements = Vec::new();
                for d in window(0, od) {
                    for h in window(1, oh) {
                        for w in window(2, ow) {
                            let pixel = ((image * input[0] + d) * input[1] + h) * input[2] + w;
                            elements.push(x[pixel * channels + c]);
                        }
                    }
                }
                want.push(mean(&elements, zero_point, elements.len() as i32));
            }
        }
    }
    contexts(|ctx| {
        let mut out = vec![0xa5; want.len()];
        let done = adaptive_avg_pool(
            ctx, &x, batch, channels, input, output, zero_point, &mut out,
        );
        assert_eq!(done, Ok(()));
        assert!(out == want, "{input:?} to {output:?} on {}", ctx.isa.name());
    });
    Call::Checked
}
