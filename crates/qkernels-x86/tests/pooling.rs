//! Pooling on every tier and thread count, against loops that follow PyTorch's definition literally.

use crate::common::pools::{mean, naive, naive_size};
use crate::common::{contexts, isas};
use qkernels_x86::{Context, Error, Isa, PoolShape, adaptive_avg_pool, avg_pool, max_pool};

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

const PLAIN: PoolShape = PoolShape {
    batch: 1,
    channels: 1,
    input: [1, 1, 1],
    kernel: [1, 1, 1],
    stride: [1, 1, 1],
    padding: [0, 0, 0],
    dilation: [1, 1, 1],
    ceil_mode: false,
};

/// Windows of one, two and three dimensions with every kind of edge.
fn geometries() -> Vec<PoolShape> {
    let mut all = Vec::new();
    for ceil_mode in [false, true] {
        for (input, kernel, stride, padding) in [
            ([1, 1, 9], [1, 1, 2], [1, 1, 2], [0, 0, 1]),
            ([1, 7, 9], [1, 3, 3], [1, 2, 2], [0, 1, 1]),
            ([1, 8, 6], [1, 2, 3], [1, 2, 3], [0, 0, 1]),
            ([1, 5, 5], [1, 3, 3], [1, 1, 1], [0, 1, 1]),
            ([1, 2, 2], [1, 3, 3], [1, 3, 3], [0, 1, 1]),
            ([1, 7, 7], [1, 7, 7], [1, 1, 1], [0, 3, 3]),
            ([1, 6, 11], [1, 2, 4], [1, 4, 5], [0, 1, 2]),
            ([3, 4, 5], [2, 2, 2], [2, 1, 2], [1, 0, 1]),
            ([4, 3, 3], [3, 1, 2], [1, 2, 1], [1, 0, 0]),
        ] {
            let shape = PoolShape {
                batch: 2,
                input,
                kernel,
                stride,
                padding,
                ceil_mode,
                ..PLAIN
            };
            all.push(shape);
        }
    }
    all
}

const CHANNELS: [usize; 15] = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65];

#[test]
fn sizes_follow_the_ceil_rule() {
    for mut shape in geometries() {
        for dilation in [[1, 1, 1], [1, 1, 2]] {
            shape.dilation = dilation;
            if shape.validate().is_ok() {
                let want: [usize; 3] = std::array::from_fn(|axis| naive_size(&shape, axis));
                assert_eq!(shape.output(), want, "{shape:?}");
            }
        }
    }
    // The last window of ceil_mode would start in the right padding: dropped.
    let shape = PoolShape {
        input: [1, 1, 4],
        kernel: [1, 1, 2],
        stride: [1, 1, 3],
        padding: [0, 0, 1],
        ceil_mode: true,
        ..PLAIN
    };
    assert_eq!(shape.output(), [1, 1, 2]);
    let shape = PoolShape {
        input: [1, 1, 6],
        ..shape
    };
    assert_eq!(shape.output(), [1, 1, 3]);
    let shape = PoolShape {
        input: [1, 1, 2],
        stride: [1, 1, 3],
        ..shape
    };
    assert_eq!(shape.output(), [1, 1, 1]);
    // The first window hangs over the end of the input, by less than a stride.
    let shape = PoolShape {
        kernel: [1, 1, 4],
        padding: [0; 3],
        ..shape
    };
    assert_eq!((shape.validate(), shape.output()), (Ok(()), [1, 1, 1]));
    // By a stride: there is none.
    let shape = PoolShape {
        kernel: [1, 1, 5],
        ..shape
    };
    assert!(shape.validate().is_err());
    // Half of a dilated window is padding.
    let shape = PoolShape {
        input: [1, 1, 6],
        kernel: [1, 1, 3],
        padding: [0, 0, 2],
        dilation: [1, 1, 2],
        ceil_mode: false,
        ..shape
    };
    assert_eq!((shape.validate(), shape.output()), (Ok(()), [1, 1, 2]));
}

#[test]
fn max_pool_takes_the_greatest_real_element() {
    for geometry in geometries() {
        for channels in CHANNELS {
            for dilation in [[1, 1, 1], [1, 2, 2], [2, 1, 3]] {
                let shape = PoolShape {
                    channels,
                    dilation,
                    ..geometry
                };
                if shape.validate().is_err() {
                    continue;
                }
                let x = bytes(1, 2 * shape.input.iter().product::<usize>() * channels);
                let mut want = Vec::new();
                naive(&shape, &x, |elements, _| {
                    want.push(elements.into_iter().max().unwrap_or(0))
                });
                contexts(|ctx| {
                    let mut out = vec![77; want.len()];
                    assert_eq!(max_pool(ctx, &x, &shape, &mut out), Ok(()));
                    assert!(out == want, "{ctx:?}, {shape:?}");
                });
            }
        }
    }
}

#[test]
fn avg_pool_divides_by_the_right_count() {
    for geometry in geometries() {
        for channels in CHANNELS {
            let shape = PoolShape {
                channels,
                ..geometry
            };
            let x = bytes(2, 2 * shape.input.iter().product::<usize>() * channels);
            for (zero_point, include, divisor) in [
                (0, true, None),
                (1, false, None),
                (127, true, None),
                (255, false, None),
                (127, true, Some(2)),
                (3, false, Some(-7)),
                (255, false, Some(1)),
            ] {
                let mut want = Vec::new();
                naive(&shape, &x, |elements, padded| {
                    let count = if include { padded } else { elements.len() };
                    want.push(mean(&elements, zero_point, divisor.unwrap_or(count as i32)));
                });
                contexts(|ctx| {
                    let mut out = vec![77; want.len()];
                    let pooled = avg_pool(ctx, &x, &shape, zero_point, include, divisor, &mut out);
                    assert_eq!(pooled, Ok(()));
                    assert!(
                        out == want,
                        "{ctx:?}, {shape:?}, {zero_point}, {include}, {divisor:?}"
                    );
                });
            }
        }
    }
}

#[test]
fn adaptive_pooling_covers_floor_to_ceil() {
    for (input, output) in [
        ([1, 1, 1], [1, 1, 1]),
        ([1, 7, 7], [1, 1, 1]),
        ([1, 7, 5], [1, 3, 2]),
        ([1, 3, 4], [1, 5, 4]),
        ([1, 1, 10], [1, 1, 7]),
        ([4, 5, 6], [2, 5, 4]),
        ([3, 20, 20], [1, 1, 1]),
    ] {
        for channels in CHANNELS {
            let [depth, height, width] = input;
            let x = bytes(3, 3 * depth * height * width * channels);
            for zero_point in [0, 1, 127, 255] {
                let mut want = Vec::new();
                let window = |axis: usize, o: usize| {
                    let (from, to) = (o * input[axis], (o + 1) * input[axis]);
                    from / output[axis]..to.div_ceil(output[axis])
                };
                for image in 0..3 {
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
                                        let pixel = ((image * depth + d) * height + h) * width + w;
                                        elements.push(x[pixel * channels + c]);
                                    }
                                }
                            }
                            want.push(mean(&elements, zero_point, elements.len() as i32));
                        }
                    }
                }
                contexts(|ctx| {
                    let mut out = vec![77; want.len()];
                    let pooled = adaptive_avg_pool(
                        ctx, &x, 3, channels, input, output, zero_point, &mut out,
                    );
                    assert_eq!(pooled, Ok(()));
                    assert!(
                        out == want,
                        "{ctx:?}, {input:?} to {output:?}, {channels}, {zero_point}"
                    );
                });
            }
        }
    }
}

#[test]
fn the_longest_16_bit_sums_do_not_wrap() {
    for size in [256, 257, 258, 514, 515, 1000] {
        let x = vec![255u8; size * 33];
        contexts(|ctx| {
            let mut out = [0u8; 33];
            let pooled = adaptive_avg_pool(ctx, &x, 1, 33, [1, 1, size], [1, 1, 1], 7, &mut out);
            assert_eq!((pooled, out), (Ok(()), [255; 33]), "{ctx:?}, {size}");
        });
    }
}

#[test]
fn large_maps_are_cut_for_threads_without_a_trace() {
    let shape = PoolShape {
        batch: 2,
        channels: 40,
        input: [1, 61, 57],
        kernel: [1, 3, 3],
        stride: [1, 1, 1],
        padding: [0, 1, 1],
        ..PLAIN
    };
    let x = bytes(4, 2 * 61 * 57 * 40);
    let mut want = Vec::new();
    naive(&shape, &x, |elements, padded| {
        want.push((
            elements.iter().copied().max().unwrap_or(0),
            mean(&elements, 5, padded as i32),
        ));
    });
    contexts(|ctx| {
        let (mut greatest, mut average) = (vec![0; want.len()], vec![0; want.len()]);
        assert_eq!(max_pool(ctx, &x, &shape, &mut greatest), Ok(()));
        assert_eq!(
            avg_pool(ctx, &x, &shape, 5, true, None, &mut average),
            Ok(())
        );
        assert!(
            greatest.into_iter().zip(average).eq(want.iter().copied()),
            "{ctx:?}"
        );
    });
    let scalar = Context::with(Isa::available()[0], 1);
    let mut want = vec![0; 2 * 9 * 40];
    let pool = |ctx: &Context, out: &mut [u8]| {
        adaptive_avg_pool(ctx, &x, 2, 40, [1, 61, 57], [1, 3, 3], 5, out)
    };
    assert_eq!(pool(&scalar, &mut want), Ok(()));
    contexts(|ctx| {
        let mut out = vec![0; want.len()];
        assert_eq!(pool(ctx, &mut out), Ok(()));
        assert!(out == want, "{ctx:?}");
    });
}

#[test]
fn an_empty_batch_pools_to_nothing() {
    let shape = PoolShape { batch: 0, ..PLAIN };
    contexts(|ctx| {
        assert_eq!(max_pool(ctx, &[], &shape, &mut []), Ok(()));
        assert_eq!(avg_pool(ctx, &[], &shape, 0, true, None, &mut []), Ok(()));
        assert_eq!(
            adaptive_avg_pool(ctx, &[], 0, 3, [1; 3], [1; 3], 0, &mut []),
            Ok(())
        );
    });
}

#[test]
fn mistakes_are_errors_with_both_numbers() {
    let ctx = &Context::with(isas()[0], 1);
    let operation = "pool";
    let shape = PoolShape {
        kernel: [1, 1, 3],
        padding: [0, 0, 2],
        input: [1, 1, 9],
        ..PLAIN
    };
    assert_eq!(
        shape.validate(),
        Err(Error::Padding {
            operation,
            axis: 2,
            padding: 2,
            limit: 1
        })
    );
    let shape = PoolShape {
        kernel: [1, 4, 1],
        input: [1, 3, 1],
        ..PLAIN
    };
    assert_eq!(
        shape.validate(),
        Err(Error::Window {
            operation,
            axis: 1,
            window: 4,
            input: 3
        })
    );
    assert_eq!(shape.output()[1], 0);
    let shape = PoolShape {
        stride: [1, 0, 1],
        ..PLAIN
    };
    assert_eq!(
        shape.validate(),
        Err(Error::Zero {
            operation,
            what: "stride"
        })
    );
    assert_eq!(shape.output()[1], 0);
    let shape = PoolShape {
        batch: usize::MAX,
        channels: 2,
        ..PLAIN
    };
    assert_eq!(shape.validate(), Err(Error::TooLarge { operation }));
    let shape = PoolShape {
        dilation: [usize::MAX; 3],
        kernel: [3; 3],
        ..PLAIN
    };
    assert_eq!(shape.validate(), Err(Error::TooLarge { operation }));

    let shape = PoolShape {
        input: [1, 2, 2],
        channels: 3,
        ..PLAIN
    };
    let length = |operation, buffer, expected, actual| {
        Err(Error::Length {
            operation,
            buffer,
            expected,
            actual,
        })
    };
    let mut out = [0; 12];
    assert_eq!(
        max_pool(ctx, &[0; 11], &shape, &mut out),
        length("max_pool", "x", 12, 11)
    );
    let result = avg_pool(ctx, &[0; 12], &shape, 0, true, None, &mut out[..5]);
    assert_eq!(result, length("avg_pool", "out", 12, 5));
    let result = adaptive_avg_pool(ctx, &[0; 12], 1, 3, [1, 2, 2], [1, 1, 2], 0, &mut out);
    assert_eq!(result, length("adaptive_avg_pool", "out", 6, 12));

    let (operation, what) = ("avg_pool", "divisor_override");
    let result = avg_pool(ctx, &[0; 12], &shape, 0, true, Some(0), &mut out);
    assert_eq!(result, Err(Error::Zero { operation, what }));
    let dilated = PoolShape {
        dilation: [1, 1, 2],
        ..shape
    };
    let result = avg_pool(ctx, &[0; 12], &dilated, 0, true, None, &mut out);
    let what = "dilation";
    assert_eq!(
        result,
        Err(Error::Mismatch {
            operation,
            what,
            expected: 1,
            actual: 2
        })
    );
    let result = avg_pool(ctx, &[0; 12], &shape, 256, true, None, &mut out);
    let (lo, hi, allowed) = (0, 255, "0..=255");
    assert_eq!(
        result,
        Err(Error::Range {
            operation,
            lo,
            hi,
            zero_point: 256,
            allowed
        })
    );
    let result = adaptive_avg_pool(ctx, &[], 1, 1, [1, 0, 1], [1; 3], 0, &mut []);
    let operation = "adaptive_avg_pool";
    assert_eq!(
        result,
        Err(Error::Zero {
            operation,
            what: "input size"
        })
    );
}
