//! The depthwise kernel in every geometry, on every tier and thread count, against its definition.

use qtensor_core::requant::{OutputRange, requantize};

use super::*;
use crate::finish::Requantized;
use crate::isa::Isa;
use crate::pool::unravel;

const PLAIN: ConvShape = ConvShape {
    batch: 1,
    in_channels: 1,
    out_channels: 1,
    groups: 1,
    input: [1, 1, 1],
    kernel: [1, 1, 1],
    stride: [1; 3],
    padding: [0; 3],
    dilation: [1; 3],
};

/// The tiers to test: the one that `QTENSOR_ISA` names, or every one of this CPU.
fn isas() -> Vec<Isa> {
    Isa::selected().expect("the tier that QTENSOR_ISA names runs on this CPU")
}

/// Bytes with many extremes.
fn bytes(seed: usize, len: usize) -> Vec<u8> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state >> 61 {
            0 => 255,
            1 => 128,
            _ => (state >> 24) as u8,
        }
    };
    (0..len).map(|_| next()).collect()
}

/// One output pixel after the other, padding as the zero point, the zero point taken off at the end.
fn naive(x: &[u8], w: &[i8], shape: &ConvShape, zero_point: u8, bias0: &[i32]) -> Vec<i32> {
    let [depth, height, width] = shape.output();
    let taps: usize = shape.kernel.iter().product();
    let multiplier = shape.out_channels / shape.in_channels;
    let mut sums = Vec::new();
    let pixels = (0..shape.batch * depth * height * width).map(|pixel| {
        let [image, d, h] = unravel(pixel / width, [depth, height, width]);
        (image, [d, h, pixel % width])
    });
    for (image, output) in pixels {
        for o in 0..shape.out_channels {
            let mut sum = bias0[o];
            for tap in 0..taps {
                let [_, kernel_h, kernel_w] = shape.kernel;
                let kernel = [
                    tap / (kernel_h * kernel_w),
                    tap / kernel_w % kernel_h,
                    tap % kernel_w,
                ];
                let at: [Option<usize>; 3] = core::array::from_fn(|axis| {
                    (output[axis] * shape.stride[axis] + kernel[axis] * shape.dilation[axis])
                        .checked_sub(shape.padding[axis])
                        .filter(|&at| at < shape.input[axis])
                });
                let value = match at {
                    [Some(d), Some(h), Some(w)] => {
                        let plane = (image * shape.input[0] + d) * shape.input[1] + h;
                        let pixel = plane * shape.input[2] + w;
                        x[pixel * shape.in_channels + o / multiplier]
                    }
                    _ => zero_point,
                };
                sum = sum.wrapping_add(i32::from(value) * i32::from(w[o * taps + tap]));
            }
            sums.push(sum);
        }
    }
    sums
}

fn check(shape: ConvShape, seed: usize) {
    let x = bytes(seed, shape.input_len() + seed % 3);
    let taps: usize = shape.kernel.iter().product();
    let w: Vec<i8> = (bytes(seed + 1, shape.out_channels * taps).into_iter())
        .map(|w| w as i8)
        .collect();
    let zero_point = [0, 1, 127, 255][seed % 4];
    let packed = DepthwiseTaps::pack(&w, &shape).expect("a valid shape");
    let bias0: Vec<i32> = (packed.column_sums().iter().enumerate())
        .map(|(c, sum)| c as i32 * 37 - i32::from(zero_point) * sum)
        .collect();
    let mult: Vec<f32> = (0..shape.out_channels)
        .map(|c| [0.007_812_5, 0.25, 0.003, 1.5][c % 4] / taps as f32)
        .collect();
    let range = [
        OutputRange {
            zero_point: 127,
            lo: 0,
            hi: 255,
        },
        OutputRange {
            zero_point: 3,
            lo: 3,
            hi: 200,
        },
    ][seed % 2];
    let want: Vec<u8> = (naive(&x, &w, &shape, zero_point, &bias0).into_iter())
        .enumerate()
        .map(|(i, sum)| requantize(sum, mult[i % shape.out_channels], range) as u8)
        .collect();
    for isa in isas() {
        for threads in [1, 2, 3, 7] {
            let ctx = Context::with(isa, threads);
            let mut out = vec![99; want.len()];
            let from = Requantized {
                multipliers: &mult,
                range,
            };
            let done = depthwise(
                &ctx, &x, &shape, &packed, &bias0, zero_point, from, &mut out,
            );
            assert_eq!(done, Ok(()));
            assert!(out == want, "{ctx:?}, {shape:?}");
        }
    }
}

#[test]
fn every_geometry_equals_the_definition() {
    let mut seed = 0;
    for (input, kernel, stride, padding, dilation) in [
        ([1, 9, 11], [1, 3, 3], [1, 1, 1], [0, 1, 1], [1, 1, 1]),
        ([1, 9, 11], [1, 3, 3], [1, 2, 2], [0, 1, 1], [1, 1, 1]),
        ([1, 8, 12], [1, 5, 5], [1, 1, 1], [0, 2, 2], [1, 1, 1]),
        ([1, 8, 12], [1, 5, 5], [1, 2, 2], [0, 2, 2], [1, 1, 1]),
        ([1, 7, 7], [1, 3, 3], [1, 1, 1], [0, 2, 2], [1, 2, 2]),
        ([1, 9, 10], [1, 3, 4], [1, 2, 3], [0, 0, 3], [1, 2, 3]),
        ([1, 2, 2], [1, 3, 3], [1, 1, 1], [0, 1, 1], [1, 1, 1]),
        ([1, 1, 1], [1, 3, 3], [1, 2, 2], [0, 1, 1], [1, 1, 1]),
        ([1, 3, 3], [1, 7, 7], [1, 1, 1], [0, 3, 3], [1, 1, 1]),
        ([1, 4, 6], [1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1]),
        ([1, 5, 6], [1, 2, 1], [1, 1, 2], [0, 1, 0], [1, 3, 1]),
        ([1, 6, 9], [1, 1, 2], [1, 3, 4], [0, 4, 5], [1, 1, 2]),
        ([1, 1, 20], [1, 1, 3], [1, 1, 1], [0, 0, 1], [1, 1, 1]),
        ([1, 1, 20], [1, 1, 9], [1, 1, 2], [0, 0, 4], [1, 1, 2]),
        ([4, 5, 6], [3, 3, 3], [1, 1, 1], [1, 1, 1], [1, 1, 1]),
        ([5, 4, 6], [2, 3, 2], [2, 1, 3], [1, 2, 0], [2, 1, 2]),
    ] {
        for channels in [1, 2, 7, 8, 9, 17, 33, 64, 65] {
            for multiplier in [1, 2, 3] {
                let shape = ConvShape {
                    batch: 2,
                    in_channels: channels,
                    out_channels: channels * multiplier,
                    groups: channels,
                    input,
                    kernel,
                    stride,
                    padding,
                    dilation,
                };
                check(shape, seed);
                seed += 1;
            }
        }
    }
}

#[test]
fn every_channel_count_and_width_has_its_tails() {
    for channels in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 144] {
        for width in 1..10 {
            let shape = ConvShape {
                in_channels: channels,
                out_channels: channels,
                groups: channels,
                input: [1, 3, width],
                kernel: [1, 3, 3],
                padding: [0, 1, 1],
                ..PLAIN
            };
            check(shape, channels + width);
        }
    }
}

#[test]
fn large_maps_are_cut_for_threads_and_groups_of_channels() {
    for (stride, channels) in [(1, 40), (2, 96)] {
        let shape = ConvShape {
            in_channels: channels,
            out_channels: channels,
            groups: channels,
            input: [1, 61, 67],
            kernel: [1, 3, 3],
            stride: [1, stride, stride],
            padding: [0, 1, 1],
            ..PLAIN
        };
        check(shape, 5);
    }
}

#[test]
fn absurd_paddings_and_dilations_cost_no_memory() {
    let far = 1usize << 40;
    for channels in [2, 9] {
        for (kernel, stride, padding, dilation) in [
            ([1, 1, 3], [1, 1, far], [0, 0, far], [1, 1, 1]),
            ([1, 1, 3], [1, 1, 1], [0, 0, far], [1, 1, far]),
            ([1, 3, 2], [1, far, far], [0, far, far], [1, far, 2]),
            ([2, 1, 1], [far, 1, 1], [far, 0, 0], [far, 1, 1]),
        ] {
            let shape = ConvShape {
                in_channels: channels,
                out_channels: 2 * channels,
                groups: channels,
                input: [2, 2, 3],
                kernel,
                stride,
                padding,
                dilation,
                ..PLAIN
            };
            check(shape, channels);
        }
    }
}

#[test]
fn extreme_values_are_summed_exactly() {
    let shape = ConvShape {
        in_channels: 8,
        out_channels: 8,
        groups: 8,
        input: [1, 1, 4],
        kernel: [1, 1, 4],
        ..PLAIN
    };
    let packed = DepthwiseTaps::pack(&[-128; 32], &shape).expect("a valid shape");
    let range = OutputRange {
        zero_point: 255,
        lo: 0,
        hi: 255,
    };
    let magnitude = 4.0 * 255.0 * 128.0;
    for isa in isas() {
        let (ctx, mut out) = (Context::with(isa, 1), [9; 8]);
        let x = [255; 32];
        let mult = [100.0 / magnitude; 8];
        let from = Requantized {
            multipliers: &mult,
            range,
        };
        let done = depthwise(&ctx, &x, &shape, &packed, &[0; 8], 0, from, &mut out);
        assert_eq!((done, out), (Ok(()), [155; 8]));
    }
}

/// The sums themselves.
#[derive(Clone, Copy)]
struct Wrapped;

impl FromSums for Wrapped {
    type Out = i32;

    fn convert(self, _: usize, _: usize, sums: &[i32], out: &mut [i32]) {
        out.copy_from_slice(sums);
    }
}

#[test]
fn sums_of_many_extreme_products_wrap_as_their_start_values_do() {
    // Below and above the taps that are summed in 16 bits, and twice as many.
    for (input, kernel) in [
        ([1, 3, 4], [1, 3, 3]),
        ([1, 2, 7], [1, 5, 101]),
        ([1, 2, 7], [1, 2, 253]),
        ([1, 5, 6], [1, 23, 23]),
        ([2, 4, 5], [3, 19, 18]),
    ] {
        for channels in [1, 8, 9, 16, 21] {
            let shape = ConvShape {
                in_channels: channels,
                out_channels: channels,
                groups: channels,
                input,
                kernel,
                padding: kernel.map(|size| size / 2),
                ..PLAIN
            };
            let taps: usize = kernel.iter().product();
            for (element, zero_point) in [(0, 0), (255, 255), (0, 255), (255, 0), (127, 128)] {
                let x = vec![element; shape.input_len()];
                // Weights at either end, or at both in turn.
                let w: Vec<i8> = (0..channels * taps)
                    .map(|i| match i / taps % 3 {
                        0 => -128,
                        1 => 127,
                        _ => [127, -128][i % 2],
                    })
                    .collect();
                let packed = DepthwiseTaps::pack(&w, &shape).expect("a valid shape");
                let start: Vec<i32> = (0..channels)
                    .map(|channel| [0, i32::MAX, i32::MIN][channel % 3])
                    .collect();
                let want = naive(&x, &w, &shape, zero_point, &start);
                for isa in isas() {
                    let (ctx, mut out) = (Context::with(isa, 1), vec![9; want.len()]);
                    let done = depthwise(
                        &ctx, &x, &shape, &packed, &start, zero_point, Wrapped, &mut out,
                    );
                    assert_eq!(done, Ok(()));
                    assert!(out == want, "{ctx:?}, {shape:?}, {element}, {zero_point}");
                }
            }
        }
    }
}

#[test]
fn mistakes_are_errors_with_both_numbers() {
    let shape = ConvShape {
        in_channels: 2,
        out_channels: 4,
        groups: 2,
        input: [1, 2, 2],
        kernel: [1, 2, 2],
        ..PLAIN
    };
    let length = |buffer, expected, actual| Error::Length {
        operation: OPERATION,
        buffer,
        expected,
        actual,
    };
    let mismatch = |what, expected, actual| Error::Mismatch {
        operation: OPERATION,
        what,
        expected,
        actual,
    };
    let refused = DepthwiseTaps::pack(&[0; 15], &shape).err();
    assert_eq!(refused, Some(length("weights", 16, 15)));
    let dense = ConvShape { groups: 1, ..shape };
    let refused = DepthwiseTaps::pack(&[0; 16], &dense).err();
    assert_eq!(refused, Some(mismatch("groups", 2, 1)));

    let packed = DepthwiseTaps::pack(&[1; 16], &shape).expect("a valid shape");
    assert_eq!(packed.column_sums(), [4; 4]);
    let ctx = Context::with(isas()[0], 1);
    let range = OutputRange {
        zero_point: 0,
        lo: 0,
        hi: 255,
    };
    let run = |x: &[u8], shape: &ConvShape, bias: &[i32], out: &mut [u8]| {
        let multipliers = &[1.0; 4];
        let from = Requantized { multipliers, range };
        depthwise(&ctx, x, shape, &packed, bias, 0, from, out)
    };
    let (x, bias, mut out) = ([0; 8], [0; 4], [0; 4]);
    assert_eq!(run(&x, &shape, &bias, &mut out), Ok(()));
    let refused = run(&x[1..], &shape, &bias, &mut out);
    assert_eq!(refused, Err(length("x", 8, 7)));
    let refused = run(&x, &shape, &bias[1..], &mut out);
    assert_eq!(refused, Err(length("start value", 4, 3)));
    let refused = run(&x, &shape, &bias, &mut out[1..]);
    assert_eq!(refused, Err(length("out", 4, 3)));
    let other = ConvShape {
        kernel: [1, 1, 2],
        ..shape
    };
    let refused = run(&x, &other, &bias, &mut out);
    assert_eq!(refused, Err(mismatch("kernel height", 2, 1)));
}
