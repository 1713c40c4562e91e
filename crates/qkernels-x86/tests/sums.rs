//! Layers that deliver sums or floats instead of bytes, on every tier and thread count.

use crate::common::{Data, isas};
use qkernels_x86::{
    Context, ConvShape, Error, FloatOutput, PackedWeights, RowParams, conv_f32, conv_i32,
    linear_f32, linear_i32,
};

/// The sums of a convolution by its definition; a linear layer is one of 1x1 images.
fn sums(x: &[u8], w: &[i8], shape: &ConvShape, zero_point: impl Fn(usize) -> i32) -> Vec<i32> {
    let [_, oh, ow] = shape.output();
    let [_, ih, iw] = shape.input;
    let [_, kh, kw] = shape.kernel;
    let (ic, oc) = (shape.in_channels / shape.groups, shape.out_channels);
    let mut sums = Vec::new();
    for row in 0..shape.batch * oh * ow {
        for n in 0..oc {
            let mut sum = 0;
            for c in 0..ic {
                for h in 0..kh {
                    for v in 0..kw {
                        let y = (row / ow % oh * shape.stride[1] + h * shape.dilation[1])
                            .wrapping_sub(shape.padding[1]);
                        let z = (row % ow * shape.stride[2] + v * shape.dilation[2])
                            .wrapping_sub(shape.padding[2]);
                        if y < ih && z < iw {
                            let pixel = (row / ow / oh * ih + y) * iw + z;
                            let channel = n / (oc / shape.groups) * ic + c;
                            let x = i32::from(x[pixel * shape.in_channels + channel]);
                            let w = i32::from(w[((n * ic + c) * kh + h) * kw + v]);
                            sum += (x - zero_point(row)) * w;
                        }
                    }
                }
            }
            sums.push(sum);
        }
    }
    sums
}

fn plain(batch: usize, k: usize, n: usize) -> ConvShape {
    ConvShape {
        batch,
        in_channels: k,
        out_channels: n,
        groups: 1,
        input: [1; 3],
        kernel: [1; 3],
        stride: [1; 3],
        padding: [0; 3],
        dilation: [1; 3],
    }
}

fn floats(sums: &[i32], n: usize, output: &FloatOutput) -> Vec<f32> {
    let value = |(i, &sum): (usize, &i32)| {
        let row = output.rows[(i / n).min(output.rows.len() - 1)];
        let y = sum as f32 * (row.scale * output.column_scales[i % n]);
        let y = y + output.bias.map_or(0.0, |bias| bias[i % n]);
        if output.relu { y.max(0.0) } else { y }
    };
    sums.iter().enumerate().map(value).collect()
}

#[test]
fn linear_sums_are_exact_for_rows_with_parameters_of_their_own() {
    let mut data = Data::new(5);
    for (m, k, n) in [
        (0, 3, 4),
        (1, 1, 1),
        (1, 768, 65),
        (2, 70, 16),
        (3, 4, 33),
        (5, 64, 17),
        (7, 31, 80),
        (13, 600, 40),
        (50, 147, 48),
        (70, 64, 40),
        (100, 256, 96),
    ] {
        let x = data.bytes(m * k);
        let w: Vec<i8> = data.bytes(n * k).into_iter().map(|b| b as i8).collect();
        let packed = PackedWeights::linear(&w, n, k).expect("valid sizes");
        let zero_points = data.bytes(m);
        let want = sums(&x, &w, &plain(m, k, n), |row| i32::from(zero_points[row]));
        let rows: Vec<_> = (zero_points.iter().enumerate())
            .map(|(i, &zero_point)| RowParams {
                scale: 0.01 * (i + 1) as f32,
                zero_point,
            })
            .collect();
        let scales: Vec<f32> = (0..n).map(|i| 0.001 * (i + 3) as f32).collect();
        let bias: Vec<f32> = (0..n).map(|i| i as f32 - 2.5).collect();
        for isa in isas() {
            for threads in [1, 2, 3, 7] {
                let ctx = Context::with(isa, threads);
                let mut out = vec![7; m * n];
                let done = linear_i32(&ctx, &x, m, &packed, &zero_points, &mut out);
                assert_eq!(done, Ok(()));
                assert!(out == want, "{m} x {k} x {n}, {ctx:?}");
                for (relu, bias) in [(false, None), (true, Some(&*bias))] {
                    if m == 0 {
                        continue;
                    }
                    let output = FloatOutput {
                        rows: &rows,
                        column_scales: &scales,
                        bias,
                        relu,
                    };
                    let mut out = vec![7.0; m * n];
                    let done = linear_f32(&ctx, &x, m, &packed, &output, &mut out);
                    assert_eq!(done, Ok(()));
                    assert_eq!(out, floats(&want, n, &output), "{m} x {k} x {n}, {ctx:?}");
                }
            }
        }
    }
}

#[test]
fn convolutions_of_every_class_deliver_sums() {
    let mut data = Data::new(6);
    let square = |side: usize, channels: [usize; 2], groups, kernel, stride, padding| ConvShape {
        batch: 2,
        in_channels: channels[0],
        out_channels: channels[1],
        groups,
        input: [1, side, side],
        kernel: [1, kernel, kernel],
        stride: [1, stride, stride],
        padding: [0, padding, padding],
        dilation: [1; 3],
    };
    for shape in [
        square(7, [16, 33], 1, 3, 1, 1),
        square(7, [64, 16], 1, 3, 1, 1),
        square(9, [3, 20], 1, 3, 2, 1),
        square(6, [24, 24], 6, 3, 1, 1),
        square(7, [20, 20], 20, 3, 1, 1),
        square(5, [12, 36], 2, 1, 1, 0),
        square(7, [6, 12], 6, 3, 2, 2),
    ] {
        let taps = shape.kernel[1] * shape.kernel[2];
        let x = data.bytes(shape.batch * shape.input[1] * shape.input[2] * shape.in_channels);
        let count = shape.out_channels * shape.in_channels / shape.groups * taps;
        let w: Vec<i8> = data.bytes(count).into_iter().map(|b| b as i8).collect();
        let packed = PackedWeights::conv(&w, &shape).expect("a valid shape");
        for zero_point in [0, 3, 255] {
            let want = sums(&x, &w, &shape, |_| i32::from(zero_point));
            let scales: Vec<f32> = (0..shape.out_channels).map(|i| i as f32 + 0.1).collect();
            let rows = [RowParams {
                scale: 0.3,
                zero_point,
            }];
            let output = FloatOutput {
                rows: &rows,
                column_scales: &scales,
                bias: Some(&scales),
                relu: false,
            };
            for isa in isas() {
                for threads in [1, 3] {
                    let ctx = Context::with(isa, threads);
                    let mut out = vec![7; want.len()];
                    let done = conv_i32(&ctx, &x, &shape, &packed, zero_point, &mut out);
                    assert_eq!(done, Ok(()));
                    assert!(out == want, "{shape:?}, {ctx:?}");
                    let mut out = vec![7.0; want.len()];
                    let done = conv_f32(&ctx, &x, &shape, &packed, &output, &mut out);
                    assert_eq!(done, Ok(()));
                    assert_eq!(out, floats(&want, shape.out_channels, &output), "{ctx:?}");
                }
            }
        }
    }
}

#[test]
fn mistakes_are_named() {
    let packed = PackedWeights::linear(&[1; 6], 2, 3).expect("valid sizes");
    let ctx = Context::with(isas()[0], 1);
    let rows = [RowParams {
        scale: 1.0,
        zero_point: 0,
    }; 2];
    let run = |rows: &[RowParams], scales: &[f32], bias: Option<&[f32]>| {
        let output = FloatOutput {
            rows,
            column_scales: scales,
            bias,
            relu: false,
        };
        linear_f32(&ctx, &[0; 9], 3, &packed, &output, &mut [0.0; 6])
    };
    let length = |buffer, expected, actual| {
        Err(Error::Length {
            operation: "linear to f32",
            buffer,
            expected,
            actual,
        })
    };
    assert_eq!(run(&rows[..1], &[1.0; 2], None), Ok(()));
    assert_eq!(run(&rows, &[1.0; 2], None), length("row parameter", 3, 2));
    assert_eq!(run(&rows[..1], &[1.0], None), length("column scale", 2, 1));
    assert_eq!(
        run(&rows[..1], &[1.0; 2], Some(&[0.0; 3])),
        length("bias", 2, 3)
    );
    let mut out = [0; 6];
    assert!(linear_i32(&ctx, &[0; 9], 3, &packed, &[0; 2], &mut out).is_err());
}
