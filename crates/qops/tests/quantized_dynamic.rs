//! Layers on float inputs that are quantized as they come, bit for bit against their formula.

use crate::common::{self, Rng, weights};
use qops::quantized::{Activation, DynamicQuant, Granularity, PackedConv, PackedLinear};
use qops::{ConvSpec, Error, float};
use qtensor_core::affine::{inverse_scale, quantize_value};
use qtensor_core::choose_qparams::{ChooseOptions, choose_quantization_params};
use qtensor_core::{DType, MemoryFormat, QTensor, Tensor};

const QUANTS: [DynamicQuant; 4] = [
    quant(Granularity::PerRow, false),
    quant(Granularity::PerRow, true),
    quant(Granularity::PerTensor, false),
    quant(Granularity::PerTensor, true),
];

const fn quant(granularity: Granularity, reduce_range: bool) -> DynamicQuant {
    DynamicQuant {
        granularity,
        reduce_range,
    }
}

/// The differences `q - z` of `parts` equal parts of a row-major `x`, as floats, and the scale of each part.
fn differences(x: &Tensor, parts: usize, reduce_range: bool) -> (Tensor, Vec<f32>) {
    let values = x.contiguous().to_vec();
    let (mut ints, mut scales) = (Vec::new(), Vec::new());
    for part in values.chunks((values.len() / parts).max(1)) {
        let least = part.iter().fold(f32::INFINITY, |a, &b| a.min(b));
        let greatest = part.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        let options = ChooseOptions {
            qmin: 0,
            qmax: 255,
            preserve_sparsity: false,
            reduce_range,
        };
        let (scale, z) = choose_quantization_params(least, greatest, options).unwrap();
        let inverse = inverse_scale(scale as f32);
        let difference = |&v| (quantize_value(v, inverse, z, DType::QUInt8) - z) as f32;
        ints.extend(part.iter().map(difference));
        scales.push(scale as f32);
    }
    (Tensor::from_vec(ints, x.shape()).unwrap(), scales)
}

fn integers(w: &QTensor) -> Tensor {
    let ints = w.int_repr().to_i32_vec();
    Tensor::from_vec(ints.iter().map(|&q| q as f32).collect(), w.shape()).unwrap()
}

/// Scales exact sums `[parts][channels][positions]` and applies bias and activation.
fn scaled(
    sums: &[f32],
    [channels, positions]: [usize; 2],
    scales: &[f32],
    w: &QTensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Vec<f32> {
    let part = sums.len() / scales.len();
    let value = |(i, &sum): (usize, &f32)| {
        let channel = i / positions % channels;
        let column = w.quantizer().channel(channel).unwrap().0;
        let mut y = sum * (scales[i / part] * column);
        if let Some(bias) = bias {
            y += bias.get(&[channel]).unwrap();
        }
        match activation {
            Activation::None => y,
            Activation::Relu => y.max(0.0),
            Activation::Relu6 => y.clamp(0.0, 6.0),
        }
    };
    sums.iter().enumerate().map(value).collect()
}

fn parts(quant: DynamicQuant, rows: usize) -> usize {
    match quant.granularity {
        Granularity::PerRow => rows,
        Granularity::PerTensor => 1,
    }
}

#[test]
fn linear_layers_follow_the_formula() {
    let mut rng = Rng::new(1);
    for shape in [&[7][..], &[1, 16], &[3, 33], &[2, 3, 40], &[5, 1]] {
        let (k, n) = (shape[shape.len() - 1], 18);
        let rows: usize = shape[..shape.len() - 1].iter().product();
        let values = rng.reals(rows * k, -1.0, 3.0);
        let x = Tensor::from_vec(values, shape).unwrap();
        let bias = Tensor::from_vec(rng.reals(n, -2.0, 2.0), &[n]).unwrap();
        for (per_channel, bias) in [(true, Some(&bias)), (false, None)] {
            let w = weights(&mut rng, &[n, k], per_channel);
            let layer = PackedLinear::new(&w, bias).unwrap();
            for quant in QUANTS {
                for activation in common::ACTIVATIONS {
                    let (q, scales) = differences(&x, parts(quant, rows), quant.reduce_range);
                    // All partial sums are integers below 2^24, so the float product is exact.
                    let q = q.reshape(&[rows, k]).unwrap();
                    let sums = float::linear(&q, &integers(&w), None).unwrap().to_vec();
                    let want = scaled(&sums, [n, 1], &scales, &w, bias, activation);
                    let turned: Vec<usize> = (0..shape.len()).rev().collect();
                    let strided = x.permute(&turned).unwrap().contiguous();
                    let strided = strided.permute(&turned).unwrap();
                    for x in [&x, &strided] {
                        let y = layer.run_dynamic(x, quant, activation).unwrap();
                        assert_eq!(y.to_vec(), want, "{shape:?} {quant:?} {activation:?}");
                        assert_eq!(y.shape()[..shape.len() - 1], shape[..shape.len() - 1]);
                        assert_eq!(y.shape().last(), Some(&n));
                    }
                }
            }
        }
    }
}

#[test]
fn convolutions_follow_the_formula() {
    let mut rng = Rng::new(2);
    let cases: [(&[usize], &[usize], usize); 5] = [
        (&[3, 4, 9], &[6, 4, 3], 1),
        (&[2, 3, 8, 7], &[5, 3, 3, 3], 1),
        (&[2, 6, 5, 5], &[6, 1, 3, 3], 6),
        (&[1, 4, 5, 6], &[8, 4, 1, 1], 1),
        (&[2, 4, 3, 4, 5], &[6, 2, 2, 2, 2], 2),
    ];
    for (shape, kernel, groups) in cases {
        let spatial = shape.len() - 2;
        let (batch, n) = (shape[0], kernel[0]);
        let (one, two) = (vec![1; spatial], vec![2; spatial]);
        let spec = ConvSpec::new(&two, &one, &one, groups).unwrap();
        let values = rng.reals(shape.iter().product(), -2.0, 1.0);
        let x = Tensor::from_vec(values, shape).unwrap();
        let bias = Tensor::from_vec(rng.reals(n, -2.0, 2.0), &[n]).unwrap();
        for (per_channel, bias) in [(true, Some(&bias)), (false, None)] {
            let w = weights(&mut rng, kernel, per_channel);
            let layer = PackedConv::new(&w, bias, &spec).unwrap();
            for quant in QUANTS {
                let (q, scales) = differences(&x, parts(quant, batch), quant.reduce_range);
                let sums = float::conv(&q, &integers(&w), None, &spec).unwrap();
                let positions = sums.shape()[2..].iter().product();
                for activation in common::ACTIVATIONS {
                    let sizes = [n, positions];
                    let want = scaled(&sums.to_vec(), sizes, &scales, &w, bias, activation);
                    let moved = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
                    for x in [&x, &moved] {
                        let y = layer.run_dynamic(x, quant, activation).unwrap();
                        assert_eq!(y.shape(), sums.shape());
                        assert_eq!(y.to_vec(), want, "{shape:?} {quant:?} {activation:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_others_unless_all_share_a_scale() {
    let mut rng = Rng::new(3);
    let layer = PackedLinear::new(&weights(&mut rng, &[4, 20], true), None).unwrap();
    let small = rng.reals(20, -0.1, 0.1);
    let large: Vec<f32> = small.iter().map(|x| x * 1000.0).collect();
    let alone = Tensor::from_slice(&small, &[1, 20]).unwrap();
    let both = Tensor::from_vec([small, large].concat(), &[2, 20]).unwrap();
    let run = |x: &Tensor, granularity| {
        let y = layer.run_dynamic(x, quant(granularity, false), Activation::None);
        y.unwrap().to_vec()[..4].to_vec()
    };
    let want = run(&alone, Granularity::PerTensor);
    assert_eq!(run(&both, Granularity::PerRow), want);
    assert_ne!(run(&both, Granularity::PerTensor), want);
}

#[test]
fn empty_inputs_give_empty_outputs() {
    let mut rng = Rng::new(4);
    let linear = PackedLinear::new(&weights(&mut rng, &[4, 6], true), None).unwrap();
    let w = weights(&mut rng, &[4, 2, 3], true);
    let conv = PackedConv::new(&w, None, &ConvSpec::default()).unwrap();
    for quant in QUANTS {
        let none = Tensor::zeros(&[2, 0, 6]).unwrap();
        let y = linear.run_dynamic(&none, quant, Activation::Relu).unwrap();
        assert_eq!(y.shape(), [2, 0, 4]);
        let none = Tensor::zeros(&[0, 2, 5]).unwrap();
        let y = conv.run_dynamic(&none, quant, Activation::Relu6).unwrap();
        assert_eq!(y.shape(), [0, 4, 3]);
    }
}

#[test]
fn unusable_inputs_are_refused_with_their_numbers() {
    let mut rng = Rng::new(5);
    let linear = PackedLinear::new(&weights(&mut rng, &[4, 6], true), None).unwrap();
    let w = weights(&mut rng, &[4, 2, 3], true);
    let conv = PackedConv::new(&w, None, &ConvSpec::default()).unwrap();
    for quant in QUANTS {
        let run = |x: &Tensor| linear.run_dynamic(x, quant, Activation::None).unwrap_err();
        let mut x = Tensor::ones(&[2, 3, 6]).unwrap();
        x.set(&[1, 2, 5], f32::INFINITY).unwrap();
        x.set(&[1, 0, 4], f32::NAN).unwrap();
        assert!(matches!(
            run(&x),
            Error::NotFinite { operation: "linear", index, value } if index == [1, 0, 4] && value.is_nan()
        ));
        let wide = run(&Tensor::ones(&[2, 5]).unwrap());
        assert!(matches!(
            wide,
            Error::Operands {
                expected: 6,
                actual: 5,
                ..
            }
        ));
        let mut x = Tensor::ones(&[2, 2, 5]).unwrap();
        x.set(&[1, 1, 2], f32::NEG_INFINITY).unwrap();
        x.set(&[1, 0, 3], f32::INFINITY).unwrap();
        let moved = x.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
        for x in [x, moved] {
            let error = conv.run_dynamic(&x, quant, Activation::None).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("[1, 0, 3] is inf"), "{message}");
        }
        let flat = conv.run_dynamic(&Tensor::ones(&[2, 5]).unwrap(), quant, Activation::None);
        assert!(matches!(
            flat,
            Err(Error::Tensor(qtensor_core::Error::Rank { actual: 2, .. }))
        ));
    }
}
