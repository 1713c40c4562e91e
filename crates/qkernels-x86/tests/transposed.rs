//! Transposed convolutions on every instruction set of this CPU, byte for byte against their definition.

use crate::common::transposed::square;
use crate::common::{Data, isas};
use proptest::prelude::*;
use qkernels_x86::{Context, ConvShape, Error, TransposedShape};

fn check(data: &mut Data, shape: &TransposedShape) {
    shape.validate().unwrap();
    let taps: usize = shape.kernel.iter().product();
    let model = data.model(shape.out_channels, taps * shape.in_channels / shape.groups);
    let inputs: usize = shape.input.iter().product();
    let x = data.bytes(shape.batch * inputs * shape.in_channels);
    model.check_conv_transpose(&x, shape);
}

#[test]
fn the_layers_of_decoders_are_exact() {
    let mut data = Data::new(1);
    for sizes in [
        [4, 2, 1, 0],
        [2, 2, 0, 0],
        [3, 2, 1, 1],
        [5, 2, 2, 1],
        [3, 1, 1, 0],
        [8, 4, 2, 0],
    ] {
        for channels in [[1, 1], [3, 5], [16, 3], [33, 17], [64, 32]] {
            check(&mut data, &square(channels, 5, sizes));
        }
        let batch = TransposedShape {
            batch: 3,
            ..square([20, 12], 9, sizes)
        };
        check(&mut data, &batch);
    }
    // Enough bytes for several threads.
    check(&mut data, &square([16, 40], 24, [4, 2, 1, 0]));
    check(&mut data, &square([16, 40], 24, [3, 2, 1, 1]));
    // Audio: long kernels of long steps.
    let line = TransposedShape {
        input: [1, 1, 50],
        kernel: [1, 1, 16],
        stride: [1, 1, 8],
        padding: [0, 0, 4],
        ..square([24, 12], 1, [1, 1, 0, 0])
    };
    check(&mut data, &line);
    let volume = TransposedShape {
        input: [3, 4, 5],
        kernel: [2, 3, 4],
        stride: [2, 2, 2],
        padding: [0, 1, 1],
        ..square([8, 6], 1, [1, 1, 0, 0])
    };
    check(&mut data, &volume);
}

#[test]
fn every_small_geometry_is_exact_along_an_axis() {
    let mut data = Data::new(2);
    for kernel in 1..=4 {
        for stride in 1..=4 {
            for dilation in 1..=4 {
                for padding in 0..=3 {
                    for output_padding in [0, stride.max(dilation) - 1] {
                        for size in [1, 2, 5] {
                            let shape = TransposedShape {
                                input: [1, 1, size],
                                kernel: [1, 1, kernel],
                                stride: [1, 1, stride],
                                padding: [0, 0, padding],
                                output_padding: [0, 0, output_padding],
                                dilation: [1, 1, dilation],
                                ..square([3, 4], 1, [1, 1, 0, 0])
                            };
                            if shape.validate().is_ok() {
                                check(&mut data, &shape);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn groups_are_exact() {
    let mut data = Data::new(3);
    for (channels, groups) in [
        ([6, 4], 2),
        ([16, 16], 16),
        ([5, 10], 5),
        ([32, 64], 4),
        ([33, 33], 33),
    ] {
        for sizes in [[3, 1, 1, 0], [3, 2, 1, 1], [4, 2, 1, 0], [1, 2, 0, 1]] {
            let shape = TransposedShape {
                batch: 2,
                groups,
                ..square(channels, 6, sizes)
            };
            check(&mut data, &shape);
        }
    }
}

#[test]
fn no_product_is_made_with_a_zero_between_inputs() {
    // Without padding nothing is cut off, and the parts make as many products as the definition, beside those with
    // padding of their own.
    for sizes in [
        [4, 2, 0, 0],
        [3, 2, 0, 0],
        [2, 2, 0, 0],
        [5, 3, 0, 0],
        [3, 1, 0, 0],
    ] {
        let shape = square([8, 8], 64, sizes);
        let macs: u64 = shape
            .parts()
            .iter()
            .filter_map(|p| p.conv(&shape))
            .map(|c| c.macs())
            .sum();
        assert!(macs >= shape.macs(), "{sizes:?}");
        assert!(
            macs < shape.macs() * 108 / 100,
            "{sizes:?}: {macs} of {}",
            shape.macs()
        );
    }
    // Phases of equally many taps share a convolution.
    let parts = |sizes| square([8, 8], 4, sizes).parts().len();
    assert_eq!(
        (
            parts([4, 2, 1, 0]),
            parts([3, 2, 1, 1]),
            parts([2, 2, 0, 0])
        ),
        (1, 4, 1)
    );
}

#[test]
fn mistakes_are_refused_with_both_numbers() {
    let plain = square([4, 6], 5, [3, 2, 1, 0]);
    assert_eq!(plain.validate(), Ok(()));
    let message = |shape: TransposedShape| shape.validate().unwrap_err().to_string();
    let refused = [
        (square([4, 6], 5, [3, 2, 1, 2]), ["2 along", "less than 2"]),
        (
            square([4, 6], 1, [3, 2, 2, 0]),
            ["padding 2", "output of 3"],
        ),
        (
            TransposedShape { groups: 4, ..plain },
            ["out_channels 6", "by 4"],
        ),
        (TransposedShape { groups: 0, ..plain }, ["groups", "0"]),
        (square([4, 6], 0, [3, 2, 1, 0]), ["input size", "0"]),
        (square([4, 6], 5, [0, 2, 0, 0]), ["kernel size", "0"]),
    ];
    for (shape, parts) in refused {
        let message = message(shape);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let huge = TransposedShape {
        stride: [1, 1 << 40, 1],
        ..plain
    };
    assert_eq!(
        huge.validate(),
        Err(Error::TooLarge {
            operation: "conv_transpose"
        })
    );
    let context = Context::with(isas()[0], 1);
    let part = &plain.parts()[0];
    assert!(matches!(
        part.weights(&plain, &[0i8; 5]),
        Err(Error::Length { actual: 5, .. })
    ));
    let geometry: ConvShape = part.conv(&plain).unwrap();
    let sums = vec![0u8; geometry.output().iter().product::<usize>() * geometry.out_channels];
    let mut out = vec![0; 3];
    assert!(part.place(&context, &plain, &sums, &mut out).is_err());
    assert!(
        plain
            .fill_bare_outputs(&context, &[0; 5], &mut out)
            .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_layers_are_exact(
        seed in any::<u64>(),
        channels in (1usize..=20, 1usize..=20),
        groups in 1usize..=3,
        input in prop::array::uniform3(1usize..=4),
        kernel in prop::array::uniform3(1usize..=4),
        stride in prop::array::uniform3(1usize..=3),
        dilation in prop::array::uniform3(1usize..=3),
        padding in prop::array::uniform3(0usize..=2),
        more in prop::array::uniform3(0usize..=2),
    ) {
        let shape = TransposedShape {
            batch: 1 + seed as usize % 2,
            in_channels: channels.0 * groups,
            out_channels: channels.1 * groups,
            groups,
            input,
            kernel,
            stride,
            padding,
            output_padding: [0, 1, 2].map(|a| more[a].min(stride[a].max(dilation[a]) - 1)),
            dilation,
        };
        prop_assume!(shape.validate().is_ok());
        check(&mut Data::new(seed), &shape);
    }
}
