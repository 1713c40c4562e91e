//! Convolutions on every instruction set of this CPU, byte for byte against naive loops.

use crate::common::{Data, Model, check_conv, isas, range};
use proptest::prelude::*;
use qkernels_x86::{Context, ConvShape, Error, PackedWeights, Requant, conv, linear, reference};

const CHANNELS: [usize; 14] = [1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65, 144];

/// A square two-dimensional convolution.
fn square(
    channels: [usize; 2],
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> ConvShape {
    ConvShape {
        batch: 1,
        in_channels: channels[0],
        out_channels: channels[1],
        groups: 1,
        input: [1, size, size],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        dilation: [1; 3],
    }
}

#[test]
fn every_number_of_channels_is_exact() {
    let mut data = Data::new(1);
    for (i, channels) in CHANNELS.into_iter().enumerate() {
        let outputs = CHANNELS[CHANNELS.len() - 1 - i];
        check_conv(&mut data, &square([channels, outputs], 5, 3, 1, 1));
        check_conv(&mut data, &square([channels, outputs], 7, 1, 1, 0));
        check_conv(&mut data, &square([channels, 17], 6, 1, 2, 0));
        check_conv(&mut data, &square([channels, 5], 4, 4, 1, 0));
    }
}

#[test]
fn every_padding_stride_and_dilation_is_exact() {
    let mut data = Data::new(2);
    for channels in [2, 3, 20] {
        for kernel in 1..=3 {
            for padding in 0..=4 {
                for stride in 1..=3 {
                    for dilation in 1..=3 {
                        let shape = ConvShape {
                            dilation: [1, 1 + dilation % 2, dilation],
                            ..square([channels, 6], 5, kernel, stride, padding)
                        };
                        if shape.validate().is_ok() {
                            check_conv(&mut data, &shape);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn images_of_many_lines_and_batches_are_exact() {
    let mut data = Data::new(11);
    // More bytes than are padded at a time, with more lines than bands and pieces divide.
    check_conv(&mut data, &square([64, 9], 71, 3, 1, 1));
    check_conv(&mut data, &square([40, 17], 91, 3, 2, 1));
    check_conv(&mut data, &square([3, 20], 120, 7, 2, 3));
    // Several images, whose narrow lines are computed together, and a batch of bands.
    for (batch, size, channels) in [(1, 7, 32), (3, 7, 64), (5, 5, 16), (2, 14, 48), (9, 28, 64)] {
        for stride in [1, 2] {
            let shape = ConvShape {
                batch,
                ..square([channels, 33], size, 3, stride, 1)
            };
            check_conv(&mut data, &shape);
        }
    }
    // Planes that a kernel of one plane takes one by one.
    for channels in [16, 20] {
        let shape = ConvShape {
            batch: 2,
            input: [3, 6, 5],
            ..square([channels, 17], 1, 3, 1, 1)
        };
        check_conv(&mut data, &shape);
    }
    // Planes of padding above and below the only one.
    let shape = ConvShape {
        kernel: [2, 3, 3],
        padding: [1, 1, 1],
        ..square([32, 8], 9, 3, 1, 1)
    };
    check_conv(&mut data, &shape);
    // Weights that are more than the activations: threads share out their columns.
    check_conv(&mut data, &square([64, 256], 7, 3, 1, 1));
    check_conv(&mut data, &square([256, 528], 7, 1, 1, 0));
}

#[test]
fn additions_with_and_without_shortcuts_are_exact() {
    let mut data = Data::new(31);
    // With fewer roundings the first two are the same sums, the others are not: they are full of ties.
    let ties = [0.7 / 3.0, 0.7 / 6.0, 0.7];
    let sums = [
        ([2.71 / 255.0, 9.87 / 255.0, 4.67 / 255.0], 0, range(0)),
        ([9.87 / 255.0, 2.71 / 255.0, 6.17 / 255.0], 131, range(77)),
        (ties, 0, range(0)),
        (ties, 131, range(77)),
    ];
    for (channels, kernel) in [([64, 64], 1), ([128, 96], 1), ([320, 40], 1), ([32, 80], 3)] {
        let shape = square(channels, 9, kernel, 1, kernel / 2);
        let model = data.model(channels[1], channels[0] * kernel * kernel);
        let mut x = data.bytes(81 * channels[0]);
        let conv = reference::conv(&model.layer(), &x, &shape);
        x.resize(x.len() + 64, 0);
        let weights = PackedWeights::conv(&model.weight, &shape).unwrap();
        for isa in isas() {
            for sum in sums {
                let (context, requant) = (Context::with(isa, 2), model.requant(&weights));
                model.check_sum(&context, &x, &shape, (&weights, &requant), &conv, sum);
            }
            // What is remembered of one addition is not used for another.
            let (context, requant) = (Context::with(isa, 1), model.requant(&weights));
            for sum in sums {
                model.check_sum(&context, &x, &shape, (&weights, &requant), &conv, sum);
            }
        }
    }
}

/// Padding of zero is left out of sums, line by line and column by column.
#[test]
fn padding_of_zero_is_exact() {
    let mut data = Data::new(32);
    let deep = |shape: ConvShape| ConvShape {
        input: [3, 6, 7],
        kernel: [2, 3, 3],
        padding: [1, 2, 1],
        ..shape
    };
    let lying = |shape: ConvShape| ConvShape {
        input: [1, 5, 13],
        kernel: [1, 2, 5],
        padding: [0, 1, 2],
        dilation: [1, 3, 1],
        ..shape
    };
    for (channels, outputs) in [(4, 5), (8, 64), (20, 70), (64, 144)] {
        let square = |size, kernel, stride, padding| ConvShape {
            batch: 2,
            ..square([channels, outputs], size, kernel, stride, padding)
        };
        let shapes = [
            square(7, 3, 1, 1),
            square(14, 3, 2, 1),
            square(9, 3, 1, 0),
            square(12, 5, 1, 2),
            square(9, 2, 1, 1),
            square(4, 3, 1, 2),
            deep(square(1, 1, 1, 0)),
            lying(square(1, 1, 1, 0)),
        ];
        for shape in shapes {
            let reduction = shape.kernel.iter().product::<usize>() * channels;
            let mut model = data.model(outputs, reduction);
            model.input_zero_point = 0;
            let x = data.bytes(2 * shape.input.iter().product::<usize>() * channels);
            model.check_conv(&x, &shape);
            let want = reference::conv(&model.layer(), &x, &shape);
            for (isa, threads) in isas().into_iter().flat_map(|isa| [(isa, 2), (isa, 7)]) {
                assert!(model.conv(&Context::with(isa, threads), &x, &shape) == want);
            }
        }
    }
}

#[test]
fn tensors_that_no_near_cache_holds_are_exact() {
    // More than 2 MiB of input and output, from which on matrix tiles fetch the next block ahead.
    let mut data = Data::new(21);
    check_conv(&mut data, &square([64, 64], 129, 1, 1, 0));
    let images = square([72, 40], 101, 1, 1, 0);
    check_conv(&mut data, &ConvShape { batch: 2, ..images });
}

#[test]
fn padding_of_many_times_the_image_is_exact() {
    let mut data = Data::new(12);
    for padding in [200, 3000] {
        let shape = ConvShape {
            kernel: [1, 3, 3],
            stride: [1, 3 * padding / 4, 3 * padding / 4],
            ..square([32, 16], 4, 3, 1, padding)
        };
        check_conv(&mut data, &shape);
    }
}

#[test]
fn kernels_larger_than_the_image_are_exact() {
    let mut data = Data::new(9);
    for channels in [1, 3, 16, 18] {
        for size in [[1, 1], [1, 3], [2, 1], [3, 2]] {
            for kernel in [[2, 5], [3, 3], [5, 4], [7, 7]] {
                for padding in [[1, 2], [3, 3], [6, 8]] {
                    for (stride, dilation) in [(1, 1), (2, 1), (1, 2), (3, 2)] {
                        let shape = ConvShape {
                            input: [1, size[0], size[1]],
                            kernel: [1, kernel[0], kernel[1]],
                            padding: [0, padding[0], padding[1]],
                            dilation: [1, dilation, dilation],
                            ..square([channels, 5], 1, 1, stride, 0)
                        };
                        if shape.validate().is_ok() {
                            check_conv(&mut data, &shape);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn images_of_every_size_are_exact() {
    let mut data = Data::new(3);
    for height in [1, 2, 3, 7, 14] {
        for width in [1, 2, 3, 7, 14] {
            for channels in [3, 16] {
                let shape = square([channels, 8], 1, 3, 1, 1);
                check_conv(
                    &mut data,
                    &ConvShape {
                        input: [1, height, width],
                        batch: 2,
                        ..shape
                    },
                );
            }
        }
    }
}

#[test]
fn one_and_three_dimensions_are_exact() {
    let mut data = Data::new(4);
    for channels in [1, 3, 12, 33] {
        let line = ConvShape {
            batch: 3,
            in_channels: channels,
            out_channels: 18,
            groups: 1,
            input: [1, 1, 19],
            kernel: [1, 1, 5],
            stride: [1, 1, 2],
            padding: [0, 0, 2],
            dilation: [1; 3],
        };
        check_conv(&mut data, &line);
        let volume = ConvShape {
            input: [4, 5, 6],
            kernel: [3, 2, 3],
            stride: [1, 2, 1],
            padding: [1, 0, 2],
            dilation: [1, 2, 1],
            ..line
        };
        check_conv(&mut data, &volume);
    }
}

#[test]
fn groups_are_exact() {
    let mut data = Data::new(5);
    for channels in [4, 8, 12, 20, 36, 64] {
        for groups in [1, 2, channels / 4, channels] {
            for per_group in [1, 3, 17] {
                let shape = square([channels, groups * per_group], 5, 3, 1, 1);
                check_conv(
                    &mut data,
                    &ConvShape {
                        groups,
                        batch: 2,
                        ..shape
                    },
                );
                let shape = square([channels, groups * per_group], 6, 1, 2, 0);
                check_conv(&mut data, &ConvShape { groups, ..shape });
            }
        }
    }
}

#[test]
fn first_layers_are_exact() {
    let mut data = Data::new(6);
    for channels in [1, 2, 3, 4] {
        check_conv(&mut data, &square([channels, 20], 15, 7, 2, 3));
        check_conv(&mut data, &square([channels, 8], 9, 3, 2, 1));
        check_conv(&mut data, &square([channels, 8], 3, 7, 1, 6));
    }
}

#[test]
fn extreme_values_never_saturate() {
    for (x, w) in [(255, -128), (255, 127), (0, -128)] {
        for zero_point in [0, 1, 127, 255] {
            for channels in [1, 3, 64] {
                let shape = square([channels, 17], 5, 3, 1, 1);
                let mut model = Model::constant(w, 17, 9 * channels, zero_point);
                model.multipliers.fill(1.0 / (channels as f32 * 2000.0));
                model.range = range(100);
                model.check_conv(&vec![x; 25 * channels], &shape);
            }
        }
    }
}

#[test]
fn thread_counts_agree() {
    let mut data = Data::new(7);
    let plain = ConvShape {
        batch: 2,
        ..square([32, 40], 16, 3, 1, 1)
    };
    let deep = square([512, 520], 3, 3, 1, 0);
    let grouped = ConvShape {
        groups: 2,
        ..square([64, 64], 24, 3, 1, 1)
    };
    let stem = square([3, 32], 64, 7, 2, 3);
    let point = square([96, 80], 48, 1, 2, 0);
    for shape in [plain, deep, grouped, stem, point] {
        assert!(shape.macs() > 2_000_000);
        let taps: usize = shape.kernel.iter().product();
        let reduction = taps * shape.in_channels / shape.groups;
        let model = data.model(shape.out_channels, reduction);
        let x = data.bytes(shape.batch * shape.input.iter().product::<usize>() * shape.in_channels);
        let want = reference::conv(&model.layer(), &x, &shape);
        for isa in isas() {
            for threads in [1, 2, 3, 7] {
                let got = model.conv(&Context::with(isa, threads), &x, &shape);
                assert!(
                    got == want,
                    "{shape:?} on {} with {threads} threads",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn weights_serve_other_batches_and_sizes() -> Result<(), Error> {
    let mut data = Data::new(8);
    let packed_for = square([6, 10], 9, 3, 2, 1);
    let model = data.model(10, 54);
    let weights = PackedWeights::conv(&model.weight, &packed_for)?;
    let requant = Requant::new(
        &weights,
        &model.bias,
        &model.multipliers,
        model.input_zero_point,
        model.range,
    )?;
    let shape = ConvShape {
        batch: 3,
        input: [1, 4, 11],
        ..packed_for
    };
    let x = data.bytes(3 * 44 * 6);
    let mut out = vec![0; 3 * 2 * 6 * 10];
    conv(&Context::new()?, &x, &shape, &weights, &requant, &mut out)?;
    assert_eq!(out, reference::conv(&model.layer(), &x, &shape));
    let empty = ConvShape { batch: 0, ..shape };
    conv(&Context::new()?, &[], &empty, &weights, &requant, &mut [])
}

#[test]
fn mistakes_are_named() -> Result<(), Error> {
    let context = Context::new()?;
    let shape = square([2, 3], 5, 3, 1, 0);
    let weights = PackedWeights::conv(&[1; 54], &shape)?;
    let requant = Requant::new(&weights, &[0; 3], &[1.0; 3], 0, range(0))?;
    let run = |shape: &ConvShape, x: usize, out: usize| {
        conv(
            &context,
            &vec![0; x],
            shape,
            &weights,
            &requant,
            &mut vec![0; out],
        )
    };
    assert_eq!(run(&shape, 50, 27), Ok(()));
    let short = Error::Length {
        operation: "conv",
        buffer: "input",
        expected: 50,
        actual: 49,
    };
    assert_eq!(run(&shape, 49, 27), Err(short));
    let short = Error::Length {
        operation: "conv",
        buffer: "output",
        expected: 27,
        actual: 26,
    };
    assert_eq!(run(&shape, 50, 26), Err(short));
    let small = ConvShape {
        input: [1, 2, 5],
        ..shape
    };
    assert_eq!(
        run(&small, 50, 27),
        Err(Error::Window {
            operation: "conv",
            axis: 1,
            window: 3,
            input: 2
        })
    );
    let strided = ConvShape {
        stride: [1, 1, 2],
        ..shape
    };
    let mismatch = Error::Mismatch {
        operation: "conv",
        what: "width stride",
        expected: 1,
        actual: 2,
    };
    assert_eq!(run(&strided, 50, 27), Err(mismatch));
    assert!(matches!(
        linear(&context, &[0; 18], 1, &weights, &requant, &mut [0; 3]),
        Err(Error::Packing { .. })
    ));
    let error = Error::Length {
        operation: "conv weights",
        buffer: "weight",
        expected: 54,
        actual: 53,
    };
    assert_eq!(
        PackedWeights::conv(&[1; 53], &shape).map(|w| w.outputs()),
        Err(error)
    );
    let plain = PackedWeights::linear(&[1; 54], 3, 18)?;
    assert!(matches!(
        conv(&context, &[0; 50], &shape, &plain, &requant, &mut [0; 27]),
        Err(Error::Packing { .. })
    ));
    Ok(())
}

prop_compose! {
    fn shapes()(
        batch in 1usize..3, group_channels in 1usize..20, group_outputs in 1usize..20, groups in 1usize..4,
        input in [1usize..3, 1usize..8, 1usize..9], kernel in [1usize..3, 1usize..4, 1usize..5],
        stride in [1usize..3, 1usize..3, 1usize..4], padding in [0usize..2, 0usize..3, 0usize..5],
        dilation in [1usize..3, 1usize..3, 1usize..3],
    ) -> ConvShape {
        let (in_channels, out_channels) = (groups * group_channels, groups * group_outputs);
        ConvShape { batch, in_channels, out_channels, groups, input, kernel, stride, padding, dilation }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_convolutions_are_exact_or_refused(shape in shapes(), seed: u64) {
        if shape.validate().is_ok() {
            check_conv(&mut Data::new(seed), &shape);
        } else {
            prop_assert!(shape.output().contains(&0));
        }
    }
}
