//! Transposed convolutions against the formula, byte for byte: one to three dimensions, groups, strides, dilation, layouts.

use crate::common::*;
use qops::quantized::{
    Activation, DynamicQuant, Granularity, OutQParams, PackedConvTranspose, by_output_channel,
    conv_transpose1d, conv_transpose2d, conv_transpose3d,
};
use qops::{ConvTransposeSpec, Error};
use qtensor_core::choose_qparams::{ChooseOptions, choose_quantization_params};
use qtensor_core::{DType, IntTensor, MemoryFormat, QTensor, Quantizer, Tensor};

/// Exact sums without the bias, over logical indices, by the definition; weights `[out, in / groups, kernel…]`.
fn sums(x: &QTensor, w: &QTensor, spec: &ConvTransposeSpec) -> (Vec<usize>, Vec<i64>) {
    let three = |s: &[usize]| [vec![1; 5 - s.len()], s[2..].to_vec()].concat();
    let (input, kernel) = (three(x.shape()), three(w.shape()));
    let size: Vec<usize> = (0..3)
        .map(|a| {
            let reach = (input[a] - 1) * spec.stride[a] + spec.dilation[a] * (kernel[a] - 1);
            reach + spec.output_padding[a] + 1 - 2 * spec.padding[a]
        })
        .collect();
    let (batch, inputs, channels) = (x.shape()[0], x.shape()[1], w.shape()[0]);
    let (group_in, group_out) = (w.shape()[1], channels / spec.groups);
    let (_, z) = map(x);
    let (q, weight) = (ints(x), ints(w));
    let plane: usize = size.iter().product();
    let mut sums = vec![0i64; batch * channels * plane];
    let points = |size: &[usize]| {
        let [d, h, w] = [size[0], size[1], size[2]];
        (0..d * h * w).map(move |i| [i / (h * w), i / w % h, i % w])
    };
    for row in 0..batch * inputs {
        let (n, ci) = (row / inputs, row % inputs);
        for (at, from) in points(&input).enumerate() {
            let difference = i64::from(q[row * input.iter().product::<usize>() + at] - z);
            for (tap, k) in points(&kernel).enumerate() {
                let place: Option<Vec<usize>> = (0..3)
                    .map(|a| {
                        let p = from[a] * spec.stride[a] + k[a] * spec.dilation[a];
                        p.checked_sub(spec.padding[a]).filter(|p| *p < size[a])
                    })
                    .collect();
                let Some(p) = place else { continue };
                for j in 0..group_out {
                    let c = ci / group_in * group_out + j;
                    let taps: usize = kernel.iter().product();
                    let w = weight[(c * group_in + ci % group_in) * taps + tap];
                    let to = (n * channels + c) * plane + (p[0] * size[1] + p[1]) * size[2] + p[2];
                    sums[to] += difference * i64::from(w);
                }
            }
        }
    }
    let mut shape = vec![batch, channels];
    shape.extend(&size[5 - x.rank()..]);
    (shape, sums)
}

fn expected(
    x: &QTensor,
    w: &QTensor,
    bias: Option<&[f32]>,
    spec: &ConvTransposeSpec,
    out: OutQParams,
    activation: Activation,
) -> (Vec<usize>, Vec<i32>) {
    let (shape, sums) = sums(x, w, spec);
    let plane: usize = shape[2..].iter().product();
    let y = sums.iter().enumerate().map(|(at, &sum)| {
        let c = at / plane % shape[1];
        let scales = (map(x).0, w.quantizer().channel(c).unwrap().0);
        let bias = bias.map_or(0.0, |b| b[c]);
        requantized(sum, bias, scales, out, x.dtype(), activation)
    });
    let y = y.collect();
    (shape, y)
}

/// Input, weights with output channels first, then stride, padding, output padding, dilation and groups.
type Case = (
    &'static [usize],
    &'static [usize],
    [&'static [usize]; 4],
    usize,
);

const CASES: &[Case] = &[
    (
        &[1, 1, 1, 1],
        &[1, 1, 1, 1],
        [&[1, 1], &[0, 0], &[0, 0], &[1, 1]],
        1,
    ),
    (
        &[2, 8, 5, 4],
        &[6, 8, 4, 4],
        [&[2, 2], &[1, 1], &[0, 0], &[1, 1]],
        1,
    ),
    (
        &[1, 20, 5, 6],
        &[17, 20, 3, 3],
        [&[2, 2], &[1, 1], &[1, 1], &[1, 1]],
        1,
    ),
    (
        &[2, 6, 3, 5],
        &[5, 6, 2, 2],
        [&[2, 2], &[0, 0], &[0, 0], &[1, 1]],
        1,
    ),
    (
        &[1, 16, 6, 6],
        &[16, 16, 3, 3],
        [&[1, 1], &[1, 1], &[0, 0], &[1, 1]],
        1,
    ),
    (
        &[1, 3, 4, 5],
        &[4, 3, 3, 2],
        [&[3, 1], &[0, 1], &[2, 0], &[1, 2]],
        1,
    ),
    (
        &[1, 3, 4, 3],
        &[4, 3, 1, 2],
        [&[2, 4], &[0, 1], &[1, 3], &[3, 2]],
        1,
    ),
    (
        &[1, 4, 6, 7],
        &[3, 4, 1, 1],
        [&[1, 2], &[2, 1], &[0, 0], &[1, 1]],
        1,
    ),
    (
        &[1, 6, 4, 4],
        &[9, 2, 3, 3],
        [&[2, 2], &[1, 1], &[1, 1], &[1, 1]],
        3,
    ),
    (
        &[2, 16, 5, 5],
        &[16, 1, 3, 3],
        [&[1, 1], &[1, 1], &[0, 0], &[1, 1]],
        16,
    ),
    (
        &[1, 8, 4, 4],
        &[16, 1, 4, 4],
        [&[2, 2], &[1, 1], &[0, 0], &[1, 1]],
        8,
    ),
    (&[2, 8, 9], &[4, 8, 16], [&[8], &[4], &[0], &[1]], 1),
    (
        &[1, 3, 3, 4, 3],
        &[4, 3, 2, 3, 3],
        [&[1, 2, 2], &[0, 1, 1], &[0, 1, 0], &[2, 1, 1]],
        1,
    ),
];

fn spec_of(case: &Case) -> ConvTransposeSpec {
    let [stride, padding, output_padding, dilation] = case.2;
    ConvTransposeSpec::new(stride, padding, output_padding, dilation, case.3).unwrap()
}

/// An activation whose zero point is given.
fn with_zero_point(rng: &mut Rng, shape: &[usize], dtype: DType, z: i32) -> QTensor {
    let x = activation(rng, shape, dtype);
    quantized(&ints(&x), shape, dtype, map(&x).0.into(), z)
}

#[test]
fn results_follow_the_formula_for_every_geometry_type_and_layout() {
    let mut rng = Rng::new(1);
    for (index, case) in CASES.iter().enumerate() {
        let (shape, size, ..) = *case;
        let spec = spec_of(case);
        for dtype in EIGHT_BIT {
            for (per_channel, z) in [(false, dtype.range().0), (true, dtype.range().1)] {
                let x = with_zero_point(&mut rng, shape, dtype, z);
                let w = weights(&mut rng, size, per_channel);
                let values = rng.reals(size[0], -2.0, 2.0);
                let bias = per_channel.then(|| Tensor::from_slice(&values, &size[..1]).unwrap());
                let conv = PackedConvTranspose::by_channel(&w, bias.as_ref(), &spec).unwrap();
                for activation in ACTIVATIONS {
                    let out = out_params(&mut rng, dtype, 0.05, 0.4);
                    let values = per_channel.then_some(&values[..]);
                    let (shape, want) = expected(&x, &w, values, &spec, out, activation);
                    for x in layouts(&x) {
                        let y = conv.run(&x, out, activation).unwrap();
                        assert_eq!((y.shape(), y.dtype()), (&shape[..], dtype));
                        assert_eq!(ints(&y), want, "case {index} {dtype} {activation:?}");
                        assert!(y.layout().is_dense_in(MemoryFormat::ChannelsLast));
                        assert_eq!(OutQParams::of(&y).unwrap(), out);
                    }
                }
                assert_eq!((conv.weight(), conv.spec()), (&w, &spec));
            }
        }
    }
}

#[test]
fn a_small_case_by_hand() {
    // Steps of 1 everywhere: 3 and 5 become two copies of the kernel 1, 2, 3 that overlap in one output.
    let x = quantized(&[13, 15], &[1, 1, 2], DType::QUInt8, 1.0, 10);
    let w = quantized(&[1, 2, 3], &[1, 1, 3], DType::QInt8, 1.0, 0);
    let bias = Tensor::from_slice(&[7.0], &[1]).unwrap();
    let spec = ConvTransposeSpec::new(&[2], &[0], &[1], &[1], 1).unwrap();
    let (out, plain) = (OutQParams::new(1.0, 100), Activation::None);
    let y = conv_transpose1d(&x, &w, Some(&bias), &spec, out, plain).unwrap();
    assert_eq!(ints(&y), [110, 113, 121, 117, 122, 107]);
    // Per-channel scales along axis 1 are those of the outputs: halves in the second channel.
    let w = IntTensor::from_i32(&[1, 4, 2, 6], &[1, 2, 2], DType::QInt8).unwrap();
    let w = QTensor::from_parts(w, Quantizer::per_channel(&[1.0, 0.5], &[0, 0], 1)).unwrap();
    let spec = ConvTransposeSpec::new(&[2], &[0], &[0], &[1], 1).unwrap();
    let y = conv_transpose1d(&x, &w, None, &spec, out, plain).unwrap();
    assert_eq!(ints(&y), [103, 112, 105, 120, 103, 109, 105, 115]);
}

/// `i·step + start` modulo `size` for each element, around 0, in steps of `1 / unit`.
fn sequence(shape: &[usize], [step, start, size]: [usize; 3], unit: f32) -> Tensor {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * step + start) % size) as f32 - (size / 2) as f32;
    Tensor::from_vec((0..n).map(|i| value(i) / unit).collect(), shape).unwrap()
}

#[test]
fn integers_are_those_of_pytorch() {
    // `torch.ops.quantized.conv_transpose2d` on the same operands, per-tensor weights.
    type Recorded = ([[usize; 2]; 3], usize, [usize; 4], [i32; 16], [i64; 2]);
    let recorded: [Recorded; 2] = [
        (
            [[2, 2], [1, 1], [1, 1]],
            1,
            [2, 4, 6, 8],
            [
                56, 71, 88, 71, 56, 71, 88, 60, 93, 61, 56, 61, 93, 79, 52, 91,
            ],
            [25882, 1226318],
        ),
        (
            [[2, 1], [1, 0], [1, 0]],
            2,
            [2, 4, 6, 6],
            [
                72, 58, 86, 57, 83, 67, 58, 80, 53, 85, 63, 82, 73, 60, 88, 59,
            ],
            [19314, 916808],
        ),
    ];
    let x = sequence(&[2, 4, 3, 4], [7, 3, 13], 4.0);
    let x = qtensor_core::quantize_per_tensor(&x, 0.025, 117, DType::QUInt8).unwrap();
    let bias = Tensor::from_slice(&[0.5, -0.25, 0.125, 0.75], &[4]).unwrap();
    for ([stride, padding, output_padding], groups, shape, first, sums) in recorded {
        let w = sequence(&[4, 4 / groups, 3, 3], [5, 1, 11], 8.0);
        let w = qtensor_core::quantize_per_tensor(&w, 0.006, 0, DType::QInt8).unwrap();
        let spec = ConvTransposeSpec::new(&stride, &padding, &output_padding, &[1, 1], groups);
        let out = OutQParams::new(0.09, 64);
        let (spec, plain) = (spec.unwrap(), Activation::None);
        let y = conv_transpose2d(&x, &w, Some(&bias), &spec, out, plain).unwrap();
        assert_eq!(y.shape(), shape);
        let y = ints(&y);
        assert_eq!(y[..16], first);
        let values = y.iter().map(|&v| i64::from(v));
        let weighted = values.clone().enumerate().map(|(i, v)| (i % 97) as i64 * v);
        assert_eq!([values.sum::<i64>(), weighted.sum()], sums);
    }
}

#[test]
fn both_orders_of_weights_are_one_layer() {
    let mut rng = Rng::new(2);
    let out = OutQParams::new(0.3, 90);
    let spec = ConvTransposeSpec::new(&[2, 2], &[1, 1], &[0, 0], &[1, 1], 2).unwrap();
    let x = activation(&mut rng, &[1, 6, 4, 5], DType::QUInt8);
    let ours = weights(&mut rng, &[8, 3, 3, 3], false);
    let theirs = by_output_channel(&ours.dequantize(), 2).unwrap();
    assert_eq!(theirs.shape(), [6, 4, 3, 3]);
    let scale = ours.q_scale().unwrap();
    let theirs = qtensor_core::quantize_per_tensor(&theirs, scale, 0, DType::QInt8).unwrap();
    let (_, want) = expected(&x, &ours, None, &spec, out, Activation::Relu);
    let got = conv_transpose2d(&x, &theirs, None, &spec, out, Activation::Relu).unwrap();
    assert_eq!(ints(&got), want);
    // Along axis 1 the groups share their scales.
    let scales: Vec<f64> = (1..=4).map(|c| f64::from(c) * 0.01).collect();
    let axis = QTensor::from_parts(
        theirs.int_repr().clone(),
        Quantizer::per_channel(&scales, &[0; 4], 1),
    )
    .unwrap();
    let conv = PackedConvTranspose::new(&axis, None, &spec).unwrap();
    assert_eq!(
        conv.weight().q_per_channel_scales().unwrap(),
        scales.repeat(2)
    );
    let (_, want) = expected(&x, conv.weight(), None, &spec, out, Activation::None);
    assert_eq!(ints(&conv.run(&x, out, Activation::None).unwrap()), want);
}

#[test]
fn one_packed_layer_takes_other_batches_and_sizes() {
    let mut rng = Rng::new(3);
    let w = weights(&mut rng, &[6, 4, 3, 3], true);
    let spec = ConvTransposeSpec::new(&[2, 3], &[1, 0], &[1, 2], &[1, 1], 1).unwrap();
    let conv = PackedConvTranspose::by_channel(&w, None, &spec).unwrap();
    let out = OutQParams::new(0.2, 100);
    for shape in [[1, 4, 1, 1], [3, 4, 2, 9], [2, 4, 12, 5]] {
        let x = activation(&mut rng, &shape, DType::QUInt8);
        let (size, want) = expected(&x, &w, None, &spec, out, Activation::None);
        let y = conv.run(&x, out, Activation::None).unwrap();
        assert_eq!((y.shape(), ints(&y)), (&size[..], want));
    }
    let none = quantized(&[], &[0, 4, 8, 8], DType::QUInt8, 0.1, 3);
    let y = conv.run(&none, out, Activation::None).unwrap();
    assert_eq!(y.shape(), [0, 6, 16, 26]);
}

/// The integers that a dynamic layer chooses: by the least and the greatest element.
fn as_it_comes(x: &Tensor) -> QTensor {
    let values = x.to_vec();
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let options = ChooseOptions {
        qmin: 0,
        qmax: 255,
        preserve_sparsity: false,
        reduce_range: false,
    };
    let (scale, z) = choose_quantization_params(least, greatest, options).unwrap();
    qtensor_core::quantize_per_tensor(x, scale, z, DType::QUInt8).unwrap()
}

#[test]
fn dynamic_results_are_the_floats_of_the_exact_sums() {
    let mut rng = Rng::new(4);
    for case in CASES {
        let (shape, size, ..) = *case;
        let spec = spec_of(case);
        let w = weights(&mut rng, size, true);
        let values = rng.reals(size[0], -2.0, 2.0);
        let bias = Tensor::from_slice(&values, &size[..1]).unwrap();
        let conv = PackedConvTranspose::by_channel(&w, Some(&bias), &spec).unwrap();
        let numbers = rng.reals(shape.iter().product(), -3.0, 5.0);
        let x = Tensor::from_slice(&numbers, shape).unwrap();
        for granularity in [Granularity::PerRow, Granularity::PerTensor] {
            let quant = DynamicQuant {
                granularity,
                reduce_range: false,
            };
            let y = conv.run_dynamic(&x, quant, Activation::Relu).unwrap();
            let rows = if granularity == Granularity::PerRow {
                shape[0]
            } else {
                1
            };
            let length = shape[0] / rows;
            for row in 0..rows {
                // The range of the image, or of all of them, chooses the integers.
                let part = x.slice(0, row * length, (row + 1) * length, 1).unwrap();
                let q = as_it_comes(&part);
                let (_, sums) = sums(&q, &w, &spec);
                let got = y.slice(0, row * length, (row + 1) * length, 1).unwrap();
                let plane: usize = got.shape()[2..].iter().product();
                for (at, (got, sum)) in got.to_vec().iter().zip(sums).enumerate() {
                    let c = at / plane % size[0];
                    let scale = map(&q).0 * w.quantizer().channel(c).unwrap().0;
                    let want = (sum as f32 * scale + values[c]).max(0.0);
                    assert_eq!(got.to_bits(), want.to_bits(), "{case:?} at {at}");
                }
            }
        }
    }
}

#[test]
fn mistakes_are_refused_with_both_numbers() {
    let mut rng = Rng::new(5);
    let out = OutQParams::new(0.2, 100);
    let plain = ConvTransposeSpec::new(&[2, 2], &[1, 1], &[0, 0], &[1, 1], 1).unwrap();
    let w = weights(&mut rng, &[4, 3, 3, 3], false);
    let conv = PackedConvTranspose::by_channel(&w, None, &plain).unwrap();
    let mut error = |shape: &[usize]| {
        let x = activation(&mut rng, shape, DType::QUInt8);
        conv.run(&x, out, Activation::None).unwrap_err()
    };
    assert!(matches!(
        error(&[1, 5, 8, 8]),
        Error::Operands {
            expected: 3,
            actual: 5,
            ..
        }
    ));
    for shape in [&[1, 5, 8, 8][..], &[1, 3, 8]] {
        let message = error(shape).to_string();
        assert!(
            message.contains("[4, 3, 3, 3]") && message.contains(&format!("{shape:?}")),
            "{message}"
        );
    }
    assert!(matches!(error(&[3, 3]), Error::Tensor(_)));
    assert!(matches!(error(&[1, 3, 0, 4]), Error::Argument { .. }));
    let refused = |w: &QTensor, spec: &ConvTransposeSpec| {
        PackedConvTranspose::by_channel(w, None, spec).unwrap_err()
    };
    let of = |error: Error, name: &str| matches!(error, Error::Argument { argument, .. } if argument == name);
    let wide = ConvTransposeSpec {
        output_padding: [0, 0, 2],
        ..plain
    };
    assert!(of(refused(&w, &wide), "output_padding"));
    let three = ConvTransposeSpec {
        stride: [2, 1, 1],
        ..plain
    };
    assert!(of(refused(&w, &three), "stride"));
    let zero = ConvTransposeSpec { groups: 0, ..plain };
    assert!(of(refused(&w, &zero), "groups"));
    let uneven = ConvTransposeSpec { groups: 3, ..plain };
    assert!(matches!(refused(&w, &uneven), Error::Kernel(_)));
    let message = PackedConvTranspose::new(&w, None, &uneven)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("4 channels") && message.contains("got 3"),
        "{message}"
    );
    assert!(matches!(
        refused(&w.reshape(&[4, 27]).unwrap(), &plain),
        Error::Tensor(qtensor_core::Error::Rank { actual: 2, .. })
    ));
    // The padding of the specification leaves nothing of a single element.
    let cut = ConvTransposeSpec {
        padding: [0, 2, 2],
        ..plain
    };
    let conv = PackedConvTranspose::by_channel(&w, None, &cut).unwrap();
    let x = activation(&mut Rng::new(6), &[1, 3, 1, 1], DType::QUInt8);
    let message = conv.run(&x, out, Activation::None).unwrap_err().to_string();
    assert!(
        message.contains("at most 1") && message.contains("got 2"),
        "{message}"
    );
    let bias = Tensor::zeros(&[3]).unwrap();
    let message = PackedConvTranspose::by_channel(&w, Some(&bias), &plain)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[4]") && message.contains("[3]"),
        "{message}"
    );
    let across = weights(&mut Rng::new(7), &[3, 4, 3, 3], true);
    let message = PackedConvTranspose::new(&across, None, &plain)
        .unwrap_err()
        .to_string();
    assert!(message.contains("axis 1"), "{message}");
    // A bias that fits beside no sum is named by the channel of the layer, whichever part finds it.
    let x = quantized(&[9; 3], &[1, 3, 1, 1], DType::QUInt8, 1e-9, 3);
    let conv = PackedConvTranspose::by_channel(&w, Some(&Tensor::ones(&[4]).unwrap()), &plain);
    let error = conv
        .unwrap()
        .run(&x, OutQParams::new(1e-12, 0), Activation::None);
    if let Err(Error::BiasTooLarge { channel, .. } | Error::Multiplier { channel, .. }) = error {
        assert!(channel < 4);
    }
}

#[test]
fn the_functions_want_their_own_rank() {
    let mut rng = Rng::new(8);
    let out = OutQParams::new(0.2, 100);
    let run = [conv_transpose1d, conv_transpose2d, conv_transpose3d];
    for spatial in 1..=3 {
        let all = |n: usize| vec![n; spatial];
        let spec = ConvTransposeSpec::new(&all(2), &all(0), &all(1), &all(1), 1).unwrap();
        let w = weights(&mut rng, &[&[3, 2][..], &all(2)].concat(), false);
        let x = activation(&mut rng, &[&[1, 3][..], &all(3)].concat(), DType::QUInt8);
        for (index, conv) in run.iter().enumerate() {
            let y = conv(&x, &w, None, &spec, out, Activation::Relu);
            if index + 1 == spatial {
                assert_eq!(y.unwrap().shape(), [&[1, 2][..], &all(7)].concat());
            } else {
                let message = y.unwrap_err().to_string();
                assert!(
                    message.contains(&format!("got {}", spatial + 2)),
                    "{message}"
                );
            }
        }
    }
}
