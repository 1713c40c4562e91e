//! Depthwise convolutions through the public door, on every tier, byte for byte against naive loops.
//! The geometry in depth is tested beside the kernel.

use crate::common::{Data, check_conv, isas, range};
use qkernels_x86::{Context, ConvShape, Error, PackedWeights, Requant, conv};

/// A square two-dimensional depthwise convolution.
fn square(
    channels: usize,
    multiplier: usize,
    size: usize,
    kernel: usize,
    stride: usize,
) -> ConvShape {
    ConvShape {
        batch: 1,
        in_channels: channels,
        out_channels: channels * multiplier,
        groups: channels,
        input: [1, size, size],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: [0, kernel / 2, kernel / 2],
        dilation: [1; 3],
    }
}

#[test]
fn every_number_of_channels_is_exact() {
    let mut data = Data::new(11);
    for channels in [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 144] {
        for multiplier in [1, 2, 5] {
            for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2), (4, 3)] {
                check_conv(&mut data, &square(channels, multiplier, 9, kernel, stride));
            }
        }
    }
}

#[test]
fn every_padding_stride_and_dilation_is_exact() {
    let mut data = Data::new(12);
    for kernel in 1..=4 {
        for padding in 0..=5 {
            for stride in 1..=4 {
                for dilation in 1..=3 {
                    let shape = ConvShape {
                        batch: 2,
                        input: [1, 6, 11],
                        padding: [0, padding / 2, padding],
                        dilation: [1, 1, dilation],
                        ..square(19, 1, 0, kernel, stride)
                    };
                    if shape.validate().is_ok() {
                        check_conv(&mut data, &shape);
                    }
                }
            }
        }
    }
}

#[test]
fn one_and_three_dimensions_are_exact() {
    let mut data = Data::new(13);
    for channels in [2, 8, 33] {
        let plain = square(channels, 1, 1, 1, 1);
        check_conv(
            &mut data,
            &ConvShape {
                input: [1, 1, 50],
                kernel: [1, 1, 31],
                padding: [0, 0, 15],
                ..plain
            },
        );
        check_conv(
            &mut data,
            &ConvShape {
                input: [5, 6, 7],
                kernel: [3, 3, 3],
                stride: [1, 2, 1],
                padding: [1, 1, 1],
                ..plain
            },
        );
    }
}

#[test]
fn layers_of_mobile_networks_are_the_same_on_every_thread_count() {
    let mut data = Data::new(14);
    for shape in [
        square(32, 1, 112, 3, 1),
        square(144, 1, 56, 3, 2),
        square(576, 1, 14, 3, 1),
        square(960, 1, 7, 3, 1),
        square(120, 1, 28, 5, 1),
    ] {
        let model = data.model(shape.out_channels, shape.kernel.iter().product());
        let x = data.bytes(shape.input.iter().product::<usize>() * shape.in_channels);
        model.check_conv(&x, &shape);
        for isa in isas() {
            let want = model.conv(&Context::with(isa, 1), &x, &shape);
            for threads in [2, 3, 7] {
                let got = model.conv(&Context::with(isa, threads), &x, &shape);
                assert!(
                    got == want,
                    "{} on {threads} threads, {shape:?}",
                    isa.name()
                );
            }
        }
    }
}

/// The largest activations times the least weights, and the other way round, stay exact.
#[test]
fn extreme_sums_do_not_saturate() {
    let shape = square(16, 1, 3, 3, 1);
    for (weight, zero_point, want) in [(-128i8, 255, 255 - 144), (127, 0, 144)] {
        let weights = PackedWeights::conv(&[weight; 16 * 9], &shape).expect("a valid shape");
        // The centre sums nine products of 255 times 128 (or 127).
        let multiplier = 144.0 / (9.0 * 255.0 * f32::from(weight).abs());
        let requant = Requant::new(&weights, &[0; 16], &[multiplier; 16], 0, range(zero_point));
        let requant = requant.expect("valid parameters");
        for isa in isas() {
            let mut out = [0; 9 * 16];
            let done = conv(
                &Context::with(isa, 1),
                &[255; 9 * 16],
                &shape,
                &weights,
                &requant,
                &mut out,
            );
            assert_eq!(done, Ok(()));
            assert_eq!(out[4 * 16..5 * 16], [want; 16], "{}", isa.name());
        }
    }
}

#[test]
fn mistakes_are_errors_with_both_numbers() {
    let shape = square(4, 2, 3, 3, 1);
    let refused = PackedWeights::conv(&[0; 71], &shape).err();
    assert!(
        matches!(
            refused,
            Some(Error::Length {
                expected: 72,
                actual: 71,
                ..
            })
        ),
        "{refused:?}"
    );
    let weights = PackedWeights::conv(&[0; 72], &shape).expect("a valid shape");
    let requant = Requant::new(&weights, &[0; 8], &[1.0; 8], 0, range(0)).expect("valid");
    let ctx = Context::with(isas()[0], 1);
    let refused = conv(&ctx, &[0; 35], &shape, &weights, &requant, &mut [0; 72]);
    assert!(
        matches!(
            refused,
            Err(Error::Length {
                expected: 36,
                actual: 35,
                ..
            })
        ),
        "{refused:?}"
    );
    let refused = conv(&ctx, &[0; 36], &shape, &weights, &requant, &mut [0; 71]);
    assert!(
        matches!(
            refused,
            Err(Error::Length {
                expected: 72,
                actual: 71,
                ..
            })
        ),
        "{refused:?}"
    );
    let other = ConvShape {
        out_channels: 4,
        ..shape
    };
    let refused = conv(&ctx, &[0; 36], &other, &weights, &requant, &mut [0; 36]);
    assert!(
        matches!(
            refused,
            Err(Error::Mismatch {
                expected: 8,
                actual: 4,
                ..
            })
        ),
        "{refused:?}"
    );
}
