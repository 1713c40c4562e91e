//! Convolutions in groups of four and of eight channels, on every tier, byte for byte against naive loops.

use crate::common::cases::square;
use crate::common::{Data, check_conv, contexts};
use qkernels_x86::{
    ConvShape, FloatOutput, PackedWeights, RowParams, conv_f32, conv_i32, reference,
};

/// A 3×3 convolution of `groups` groups of `group` channels.
fn narrow(group: usize, groups: usize, size: [usize; 2]) -> ConvShape {
    square([group * groups; 2], groups, size, [3, 3])
}

#[test]
fn every_width_padding_and_stride_is_exact() {
    let mut data = Data::new(71);
    for group in [4, 8] {
        for width in 1..=17 {
            for padding in 0..=3 {
                for stride in 1..=3 {
                    let shape = ConvShape {
                        stride: [1, stride, stride],
                        padding: [0, 1, padding],
                        ..narrow(group, 20 / group, [3, width])
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
fn every_number_of_groups_is_exact() {
    let mut data = Data::new(72);
    for group in [4, 8] {
        for groups in 2..=19 {
            for stride in [1, 2] {
                let shape = ConvShape {
                    stride: [1, stride, stride],
                    ..narrow(group, groups, [4, 9])
                };
                check_conv(&mut data, &shape);
            }
        }
    }
}

#[test]
fn every_dilation_is_exact() {
    let mut data = Data::new(73);
    for dilation in [[1, 2, 1], [1, 1, 2], [1, 3, 2]] {
        for (group, groups) in [(4, 8), (8, 5)] {
            let shape = ConvShape {
                dilation,
                padding: dilation.map(|step| step - 1),
                ..narrow(group, groups, [8, 11])
            };
            check_conv(&mut data, &shape);
        }
    }
}

/// As large as it takes for a call to be cut into pieces, which begin within a row of outputs.
#[test]
fn threads_and_outputs_of_other_types_agree() {
    let mut data = Data::new(74);
    for (group, groups) in [(4, 9), (8, 3), (8, 6)] {
        for stride in [1, 2] {
            let shape = ConvShape {
                batch: 2,
                stride: [1, stride, stride],
                ..narrow(group, groups, [31, 37])
            };
            let n = shape.out_channels;
            let model = data.model(n, 9 * group);
            let x = data.bytes(2 * 31 * 37 * n);
            let want = reference::conv(&model.layer(), &x, &shape);
            let weights = PackedWeights::conv(&model.weight, &shape).unwrap();
            let rows = [RowParams {
                scale: 0.25,
                zero_point: model.input_zero_point,
            }];
            let scales: Vec<f32> = (0..n).map(|i| (i + 1) as f32).collect();
            let output = FloatOutput {
                rows: &rows,
                column_scales: &scales,
                bias: None,
                relu: false,
            };
            contexts(|context| {
                assert!(
                    model.conv(context, &x, &shape) == want,
                    "{shape:?} {context:?}"
                );
                let mut sums = vec![0; want.len()];
                let zero_point = model.input_zero_point;
                conv_i32(context, &x, &shape, &weights, zero_point, &mut sums).unwrap();
                let mut floats = vec![0.0; want.len()];
                conv_f32(context, &x, &shape, &weights, &output, &mut floats).unwrap();
                for (i, (sum, value)) in sums.iter().zip(&floats).enumerate() {
                    let (c, multiplier) = (i % n, model.multipliers[i % n]);
                    let byte = qtensor_core::requant::requantize(
                        sum.wrapping_add(model.bias[c]),
                        multiplier,
                        model.range,
                    );
                    assert_eq!(byte as u8, want[i], "{shape:?} {context:?}");
                    assert_eq!(*value, *sum as f32 * (0.25 * scales[c]));
                }
            });
        }
    }
}
