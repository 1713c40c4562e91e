//! Every kernel on slices that begin or end at inaccessible pages: none reads or writes beside them.
//!
//! Sizes are chosen around the widths of vectors, tiles and blocks. Results are compared with the naive
//! loops, or where there are none with those of the scalar tier in ordinary memory.

use core::fmt::Debug;

use bytemuck::Pod;

use qkernels_x86::reference::{self, Layer};
use qkernels_x86::*;

use crate::guard::{EDGES, Guarded};

const CHANNELS: [usize; 13] = [1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65];
const WIDTHS: [usize; 5] = [1, 2, 3, 7, 14];
const LENGTHS: [usize; 20] = [
    0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 1000,
];

/// Bytes that repeat only after a long while; those of odd seeds are small enough for sums of pairs in
/// 16 bits.
fn bytes(seed: usize, len: usize) -> Vec<u8> {
    let mut state = (seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let limit = if seed.is_multiple_of(2) { 255 } else { 127 };
    (0..len).map(|_| next() & limit).collect()
}

fn range(zero_point: i32) -> OutputRange {
    OutputRange {
        zero_point,
        lo: 0,
        hi: 255,
    }
}

/// Calls `run` with guarded copies of `x` and of an output of the length of `want`, on every tier and at
/// both edges; every result has the bytes of `want`.
fn guarded<X: Pod, Y: Pod + Debug + PartialEq>(
    what: impl Fn() -> String,
    x: &[X],
    want: &[Y],
    run: impl Fn(&Context, &[X], &mut [Y]) -> Result<()>,
) {
    let blank = vec![Y::zeroed(); want.len()];
    for isa in Isa::selected().expect("the tier that QTENSOR_ISA names runs on this CPU") {
        for edge in EDGES {
            let x = Guarded::new(x, edge);
            let mut out = Guarded::new(&blank, edge);
            let done = run(&Context::with(isa, 1), &x, &mut out);
            assert_eq!(done, Ok(()), "{} on {}", what(), isa.name());
            let same = bytemuck::cast_slice::<Y, u8>(&out) == bytemuck::cast_slice::<Y, u8>(want);
            assert!(same, "{} on {}, {edge:?}", what(), isa.name());
        }
    }
}

/// As [`guarded`], compared with the scalar tier in ordinary memory.
fn like_scalar<X: Pod, Y: Pod + Debug + PartialEq>(
    what: &str,
    x: &[X],
    len: usize,
    run: impl Fn(&Context, &[X], &mut [Y]) -> Result<()>,
) {
    let mut want = vec![Y::zeroed(); len];
    let scalar = Context::with(Isa::available()[0], 1);
    assert_eq!(run(&scalar, x, &mut want), Ok(()), "{what}");
    guarded(|| format!("{what} of {len}"), x, &want, run);
}

/// The parameters of a layer of `n` outputs with `k` products each.
struct Parameters {
    weight: Vec<i8>,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    input_zero_point: u8,
}

impl Parameters {
    fn new(seed: usize, n: usize, k: usize) -> Parameters {
        let multiplier = 255.0 / (128.0 * 100.0 * (k as f32).sqrt());
        Parameters {
            weight: (bytes(seed, n * k).into_iter())
                .map(|byte| byte.wrapping_sub(if seed.is_multiple_of(2) { 0 } else { 64 }) as i8)
                .collect(),
            bias: (0..n as i32).map(|i| i * 37 % 501 - 250).collect(),
            multipliers: (0..n)
                .map(|i| multiplier * (1.0 + i as f32 / 64.0))
                .collect(),
            input_zero_point: [0, 3, 128, 255][seed % 4],
        }
    }

    fn layer(&self) -> Layer<'_> {
        Layer {
            weight: &self.weight,
            bias: &self.bias,
            multipliers: &self.multipliers,
            input_zero_point: self.input_zero_point,
            range: range(99),
        }
    }

    fn requant(&self, weights: &PackedWeights) -> Requant {
        Requant::new(
            weights,
            &self.bias,
            &self.multipliers,
            self.input_zero_point,
            range(99),
        )
        .expect("the parameters are valid")
    }
}

fn check_linear(seed: usize, [m, n, k]: [usize; 3]) {
    let parameters = Parameters::new(seed, n, k);
    let x = bytes(seed + 2, m * k);
    let what = || format!("linear {m} x {n} x {k}");
    let want = reference::linear(&parameters.layer(), &x, m, n, k);
    for edge in EDGES {
        let weight = Guarded::new(&parameters.weight, edge);
        let weights = PackedWeights::linear(&weight, n, k).expect("the weights fit");
        let requant = parameters.requant(&weights);
        guarded(what, &x, &want, |ctx, x, out| {
            linear(ctx, x, m, &weights, &requant, out)
        });
        if edge == EDGES[0] {
            like_scalar("linear to i32", &x, m * n, |ctx, x, out: &mut [i32]| {
                linear_i32(ctx, x, m, &weights, &[parameters.input_zero_point], out)
            });
        }
    }
}

fn check_conv(seed: usize, shape: &ConvShape) {
    let taps = shape.kernel.iter().product::<usize>();
    let reduction = taps * shape.in_channels / shape.groups;
    let parameters = Parameters::new(seed, shape.out_channels, reduction);
    let pixels = shape.input.iter().product::<usize>();
    let x = bytes(seed + 2, shape.batch * pixels * shape.in_channels);
    let want = reference::conv(&parameters.layer(), &x, shape);
    for edge in EDGES {
        let weight = Guarded::new(&parameters.weight, edge);
        let weights = PackedWeights::conv(&weight, shape).expect("the weights fit");
        let requant = parameters.requant(&weights);
        guarded(
            || format!("{shape:?}"),
            &x,
            &want,
            |ctx, x, out| conv(ctx, x, shape, &weights, &requant, out),
        );
        if edge == EDGES[0] {
            let name = format!("sums of {shape:?}");
            like_scalar(&name, &x, want.len(), |ctx, x, out: &mut [i32]| {
                conv_i32(ctx, x, shape, &weights, parameters.input_zero_point, out)
            });
        }
    }
}

#[test]
fn linear_layers_of_every_depth_stay_within_their_slices() {
    for k in (1..=70).chain([147]) {
        for (i, m) in [1, 2, 3, 7, 14].into_iter().enumerate() {
            check_linear(k + i, [m, CHANNELS[(k + 3 * i) % CHANNELS.len()], k]);
        }
    }
    // Several parts of widened lines, several blocks of rows.
    for (seed, sizes) in [[7, 17, 1030], [97, 3, 513], [1, 65, 4096]]
        .into_iter()
        .enumerate()
    {
        check_linear(seed, sizes);
    }
}

/// A two-dimensional convolution of a batch of two.
fn plain(channels: [usize; 2], groups: usize, size: [usize; 2], kernel: usize) -> ConvShape {
    ConvShape {
        batch: 2,
        in_channels: channels[0],
        out_channels: channels[1],
        groups,
        input: [1, size[0], size[1]],
        kernel: [1, kernel, kernel],
        stride: [1; 3],
        padding: [0, kernel / 2, kernel / 2],
        dilation: [1; 3],
    }
}

#[test]
fn dense_convolutions_stay_within_their_slices() {
    for (i, channels) in CHANNELS.into_iter().enumerate() {
        let outputs = CHANNELS[(i * 5 + 1) % CHANNELS.len()];
        for (j, width) in WIDTHS.into_iter().enumerate() {
            let height = WIDTHS[(i + j) % 3];
            let three = plain([channels, outputs], 1, [height, width], 3);
            let one = plain([channels, outputs], 1, [height, width], 1);
            let shapes = [
                three,
                ConvShape {
                    stride: [1, 2, 2],
                    ..three
                },
                ConvShape {
                    dilation: [1, 2, 2],
                    padding: [0, 2, 2],
                    ..three
                },
                // The kernel is larger than the image, which lies in a wide margin.
                ConvShape {
                    kernel: [1, 4, 5],
                    padding: [0, 4, 3],
                    ..three
                },
                one,
                ConvShape {
                    stride: [1, 2, 3],
                    ..one
                },
                ConvShape {
                    padding: [0, 1, 0],
                    ..one
                },
            ];
            for (s, shape) in shapes.iter().enumerate() {
                assert_eq!(shape.validate(), Ok(()));
                check_conv(i + j + s, shape);
            }
        }
    }
}

#[test]
fn first_layers_stay_within_their_slices() {
    for channels in [1, 2, 3, 4] {
        for width in [7, 14, 15] {
            let shape = plain([channels, 17], 1, [9, width], 7);
            check_conv(
                width,
                &ConvShape {
                    stride: [1, 2, 2],
                    ..shape
                },
            );
            check_conv(
                width,
                &ConvShape {
                    padding: [0, 3, 0],
                    ..shape
                },
            );
            check_conv(width + 1, &plain([channels, 8], 1, [3, width], 3));
        }
    }
}

#[test]
fn groups_and_depthwise_convolutions_stay_within_their_slices() {
    for (i, channels) in CHANNELS.into_iter().enumerate() {
        for (j, width) in WIDTHS.into_iter().enumerate() {
            let height = WIDTHS[(i + j) % 4];
            let size = [height, width];
            for multiplier in [1, 2, 3] {
                let depthwise = plain([channels, channels * multiplier], channels, size, 3);
                check_conv(i + j, &depthwise);
                check_conv(
                    i + j + 1,
                    &ConvShape {
                        stride: [1, 2, 2],
                        ..depthwise
                    },
                );
            }
            let depthwise = plain([channels; 2], channels, size, 5);
            check_conv(i + j, &depthwise);
            let dilation = [1, 2, 3];
            check_conv(
                j,
                &ConvShape {
                    dilation,
                    padding: [0, 4, 6],
                    ..depthwise
                },
            );
            for group in [4, 8] {
                if channels > group && channels.is_multiple_of(group) {
                    let narrow = plain([channels; 2], channels / group, size, 3);
                    check_conv(i + j, &narrow);
                    let stride = [1, 2, 2];
                    check_conv(i + j + 1, &ConvShape { stride, ..narrow });
                }
            }
            for groups in [2, channels / 4] {
                if groups > 1 && channels.is_multiple_of(groups) {
                    check_conv(i + j, &plain([channels, groups * 3], groups, size, 3));
                    check_conv(i + j, &plain([channels, groups * 17], groups, size, 1));
                }
            }
        }
    }
}

#[test]
fn one_and_three_dimensions_stay_within_their_slices() {
    for (i, channels) in CHANNELS.into_iter().enumerate() {
        let volume = ConvShape {
            input: [3, 2, 7],
            kernel: [2, 2, 3],
            padding: [1, 1, 1],
            stride: [1, 2, 1],
            ..plain([channels, 5], 1, [1, 1], 1)
        };
        check_conv(i, &volume);
        check_conv(
            i,
            &ConvShape {
                out_channels: channels,
                groups: channels,
                ..volume
            },
        );
        let line = ConvShape {
            input: [1, 1, 14],
            kernel: [1, 1, 4],
            padding: [0, 0, 2],
            ..plain([channels, 17], 1, [1, 1], 1)
        };
        check_conv(i, &line);
    }
}

#[test]
fn pools_stay_within_their_slices() {
    for (i, channels) in CHANNELS.into_iter().enumerate() {
        for (j, width) in WIDTHS.into_iter().enumerate() {
            let plain = PoolShape {
                batch: 2,
                channels,
                input: [1, WIDTHS[(i + j) % 5], width],
                kernel: [1, 3, 3],
                stride: [1, 2, 2],
                padding: [0, 1, 1],
                dilation: [1; 3],
                ceil_mode: j % 2 == 1,
            };
            let elements = |[d, h, w]: [usize; 3]| plain.batch * d * h * w * channels;
            let x = bytes(i, elements(plain.input));
            for shape in [
                plain,
                PoolShape {
                    kernel: [1, 2, 2],
                    stride: [1; 3],
                    ..plain
                },
            ] {
                if shape.validate().is_err() {
                    continue;
                }
                let len = elements(shape.output());
                like_scalar("max_pool", &x, len, |ctx, x, out: &mut [u8]| {
                    max_pool(ctx, x, &shape, out)
                });
                like_scalar("avg_pool", &x, len, |ctx, x, out: &mut [u8]| {
                    avg_pool(ctx, x, &shape, 7, j % 2 == 0, None, out)
                });
            }
            for output in [[1, 1, 1], [1, 2, 3]] {
                let len = 2 * output.iter().product::<usize>() * channels;
                like_scalar("adaptive_avg_pool", &x, len, |ctx, x, out: &mut [u8]| {
                    adaptive_avg_pool(ctx, x, 2, channels, plain.input, output, 7, out)
                });
            }
        }
    }
}

#[test]
fn elementwise_operations_stay_within_their_slices() {
    let table: [u8; 256] = core::array::from_fn(|i| (i * 37 % 251) as u8);
    for len in LENGTHS {
        let (x, b) = (bytes(2, len), bytes(4, len));
        for edge in EDGES {
            let b = Guarded::new(&b, edge);
            like_scalar("add", &x, len, |ctx, a, out: &mut [u8]| {
                add(ctx, a, (0.5, 3), &b, (0.25, 200), 1.3, range(9), out)
            });
            like_scalar("mul", &x, len, |ctx, a, out: &mut [u8]| {
                mul(ctx, a, 3, &b, 200, 0.01, range(9), out)
            });
        }
        like_scalar("lookup", &x, len, |ctx, x, out: &mut [u8]| {
            lookup(ctx, x, &table, out)
        });
        like_scalar("clamp", &x, len, |ctx, x, out: &mut [u8]| {
            clamp(ctx, x, 9, 200, out)
        });
        like_scalar("flip_sign", &x, len, |ctx, x: &[u8], out: &mut [i8]| {
            flip_sign(ctx, x, out)
        });
    }
}

#[test]
fn conversions_and_scans_stay_within_their_slices() {
    for len in LENGTHS {
        let q = bytes(6, len);
        let signed: Vec<i8> = q.iter().map(|&q| q as i8).collect();
        let x: Vec<f32> = q.iter().map(|&q| (f32::from(q) - 100.0) * 0.37).collect();
        like_scalar("quantize_u8", &x, len, |ctx, x, out: &mut [u8]| {
            quantize_u8(ctx, x, 2.5, 7, out)
        });
        like_scalar("quantize_i8", &x, len, |ctx, x, out: &mut [i8]| {
            quantize_i8(ctx, x, 2.5, -7, out)
        });
        like_scalar("dequantize_u8", &q, len, |ctx, q, out: &mut [f32]| {
            dequantize_u8(ctx, q, 0.3, 7, out)
        });
        like_scalar("dequantize_i8", &signed, len, |ctx, q, out: &mut [f32]| {
            dequantize_i8(ctx, q, 0.3, -7, out)
        });
        like_scalar("min_max", &x, 2, |ctx, x, out: &mut [f32]| {
            if let Some(MinMax { min, max, .. }) = min_max(ctx, x) {
                out.copy_from_slice(&[min, max]);
            }
            Ok(())
        });
    }
}

#[test]
fn transposes_stay_within_their_slices() {
    for (i, channels) in CHANNELS.into_iter().enumerate() {
        for spatial in [1, 2, 3, 7, 14, 31, 32, 33, 49, 65] {
            let x = bytes(i, 2 * channels * spatial);
            let wide: Vec<f32> = x.iter().map(|&x| f32::from(x)).collect();
            let len = x.len();
            like_scalar("to_channels_last", &x, len, |ctx, x, out: &mut [u8]| {
                to_channels_last(ctx, x, 2, channels, spatial, out)
            });
            like_scalar("to_channels_first", &x, len, |ctx, x, out: &mut [u8]| {
                to_channels_first(ctx, x, 2, channels, spatial, out)
            });
            like_scalar("to_channels_last", &wide, len, |ctx, x, out: &mut [f32]| {
                to_channels_last(ctx, x, 2, channels, spatial, out)
            });
        }
    }
}
