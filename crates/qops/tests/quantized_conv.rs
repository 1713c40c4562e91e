//! Convolutions against the formula, byte for byte: one to three dimensions, groups, strides, dilation, layouts.

use crate::common::*;
use qops::quantized::{Activation, OutQParams, PackedConv, add, add_relu, conv1d, conv2d, conv3d};
use qops::{ConvSpec, Error};
use qtensor_core::{DType, IntTensor, MemoryFormat, QTensor, Tensor};

/// The formula over logical indices; one and two dimensions as three.
fn expected(
    x: &QTensor,
    w: &QTensor,
    bias: Option<&[f32]>,
    spec: &ConvSpec,
    out: OutQParams,
    activation: Activation,
) -> (Vec<usize>, Vec<i32>) {
    let three = |s: &[usize]| [vec![1; 5 - s.len()], s[2..].to_vec()].concat();
    let (input, kernel) = (three(x.shape()), three(w.shape()));
    let size: Vec<usize> = (0..3)
        .map(|a| {
            let window = spec.dilation[a] * (kernel[a] - 1) + 1;
            (input[a] + 2 * spec.padding[a] - window) / spec.stride[a] + 1
        })
        .collect();
    let (batch, channels) = (x.shape()[0], w.shape()[0]);
    let (group_in, group_out) = (w.shape()[1], channels / spec.groups);
    let (scale, z) = map(x);
    let (q, weight) = (ints(x), ints(w));
    let mut y = Vec::new();
    for position in 0..batch * channels * size.iter().product::<usize>() {
        let (rest, ow) = (position / size[2], position % size[2]);
        let (rest, oh) = (rest / size[1], rest % size[1]);
        let (rest, od) = (rest / size[0], rest % size[0]);
        let (n, c) = (rest / channels, rest % channels);
        let mut sum = 0i64;
        for ci in 0..group_in {
            let plane = n * x.shape()[1] + c / group_out * group_in + ci;
            for (tap, at) in taps(&kernel).enumerate() {
                let source: Option<Vec<usize>> = [od, oh, ow]
                    .iter()
                    .enumerate()
                    .map(|(a, o)| {
                        let p = o * spec.stride[a] + at[a] * spec.dilation[a];
                        p.checked_sub(spec.padding[a]).filter(|p| *p < input[a])
                    })
                    .collect();
                let Some(p) = source else { continue };
                let index = ((plane * input[0] + p[0]) * input[1] + p[1]) * input[2] + p[2];
                let taps: usize = kernel.iter().product();
                let w = weight[(c * group_in + ci) * taps + tap];
                sum += i64::from(q[index] - z) * i64::from(w);
            }
        }
        let scales = (scale, w.quantizer().channel(c).unwrap().0);
        let bias = bias.map_or(0.0, |b| b[c]);
        y.push(requantized(sum, bias, scales, out, x.dtype(), activation));
    }
    let mut shape = vec![batch, channels];
    shape.extend(&size[5 - x.rank()..]);
    (shape, y)
}

fn taps(kernel: &[usize]) -> impl Iterator<Item = [usize; 3]> {
    let [d, h, w] = [kernel[0], kernel[1], kernel[2]];
    (0..d * h * w).map(move |i| [i / (h * w), i / w % h, i % w])
}

struct Case {
    x: &'static [usize],
    w: &'static [usize],
    stride: &'static [usize],
    padding: &'static [usize],
    dilation: &'static [usize],
    groups: usize,
}

const CASES: &[Case] = &[
    Case {
        x: &[1, 1, 1, 1],
        w: &[1, 1, 1, 1],
        stride: &[1, 1],
        padding: &[0, 0],
        dilation: &[1, 1],
        groups: 1,
    },
    Case {
        x: &[2, 3, 9, 8],
        w: &[8, 3, 3, 3],
        stride: &[2, 1],
        padding: &[1, 0],
        dilation: &[1, 1],
        groups: 1,
    },
    Case {
        x: &[1, 20, 6, 7],
        w: &[17, 20, 1, 1],
        stride: &[1, 1],
        padding: &[0, 0],
        dilation: &[1, 1],
        groups: 1,
    },
    Case {
        x: &[1, 5, 9, 9],
        w: &[4, 5, 3, 2],
        stride: &[1, 2],
        padding: &[2, 1],
        dilation: &[2, 3],
        groups: 1,
    },
    Case {
        x: &[2, 16, 7, 7],
        w: &[16, 1, 3, 3],
        stride: &[1, 1],
        padding: &[1, 1],
        dilation: &[1, 1],
        groups: 16,
    },
    Case {
        x: &[1, 33, 8, 8],
        w: &[33, 1, 5, 5],
        stride: &[2, 2],
        padding: &[2, 2],
        dilation: &[1, 1],
        groups: 33,
    },
    Case {
        x: &[1, 6, 5, 5],
        w: &[9, 2, 3, 3],
        stride: &[1, 1],
        padding: &[1, 1],
        dilation: &[1, 1],
        groups: 3,
    },
    Case {
        x: &[1, 8, 6, 6],
        w: &[16, 1, 3, 3],
        stride: &[1, 1],
        padding: &[1, 1],
        dilation: &[1, 1],
        groups: 8,
    },
    Case {
        x: &[2, 3, 17],
        w: &[8, 3, 3],
        stride: &[2],
        padding: &[1],
        dilation: &[1],
        groups: 1,
    },
    Case {
        x: &[1, 8, 20],
        w: &[8, 1, 3],
        stride: &[1],
        padding: &[0],
        dilation: &[3],
        groups: 8,
    },
    Case {
        x: &[1, 3, 5, 6, 7],
        w: &[4, 3, 3, 3, 3],
        stride: &[1, 1, 2],
        padding: &[1, 0, 1],
        dilation: &[1, 2, 1],
        groups: 1,
    },
    Case {
        x: &[1, 4, 4, 5, 5],
        w: &[4, 1, 2, 3, 3],
        stride: &[1, 2, 2],
        padding: &[0, 1, 1],
        dilation: &[1, 1, 1],
        groups: 4,
    },
];

/// A convolution with an addition has the integers of `y`, its own result, and of an addition after it.
fn check_added(rng: &mut Rng, conv: &PackedConv, x: &QTensor, y: &QTensor, activation: Activation) {
    let inner = (OutQParams::of(y).unwrap(), activation);
    let out = out_params(rng, y.dtype(), 0.05, 0.4);
    // The last one broadcasts.
    let others = [y.shape().to_vec(), y.shape()[1..].to_vec()];
    for other in others.map(|shape| self::activation(rng, &shape, y.dtype())) {
        for other in layouts(&other) {
            let want = add_relu(y, &other, out).unwrap();
            let got = conv
                .run_add(x, inner, &other, (out, Activation::Relu))
                .unwrap();
            assert_eq!((got.shape(), ints(&got)), (want.shape(), ints(&want)));
            assert_eq!(OutQParams::of(&got).unwrap(), out);
            let want = add(y, &other, out).unwrap();
            // Shared memory is left alone; what nobody else holds becomes the sum.
            let (mut sum, before) = (other.clone(), ints(&other));
            let plain = (out, Activation::None);
            conv.run_add_assign(x, inner, &mut sum, plain).unwrap();
            assert_eq!(ints(&sum), ints(&want));
            assert_eq!(ints(&other), before);
            let own = IntTensor::from_i32(&before, other.shape(), other.dtype()).unwrap();
            let mut own = QTensor::from_parts(own, other.quantizer().clone()).unwrap();
            if own.rank() >= 3 {
                own = own.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
            }
            let at = |own: &mut QTensor| {
                let bytes = own.dense_bytes_mut(MemoryFormat::ChannelsLast);
                bytes.map(|bytes| bytes.as_ptr())
            };
            let memory = at(&mut own);
            conv.run_add_assign(x, inner, &mut own, plain).unwrap();
            assert_eq!(own, sum);
            if own.dtype() == DType::QUInt8 && other.shape() == y.shape() {
                assert!(memory.is_some() && at(&mut own) == memory);
            }
        }
    }
}

#[test]
fn results_follow_the_formula_for_every_geometry_type_and_layout() {
    let mut rng = Rng::new(1);
    for (index, case) in CASES.iter().enumerate() {
        let spec = ConvSpec::new(case.stride, case.padding, case.dilation, case.groups).unwrap();
        for dtype in EIGHT_BIT {
            for per_channel in [false, true] {
                let x = activation(&mut rng, case.x, dtype);
                let w = weights(&mut rng, case.w, per_channel);
                let values = rng.reals(case.w[0], -2.0, 2.0);
                let bias = per_channel.then(|| Tensor::from_slice(&values, &case.w[..1]).unwrap());
                let conv = PackedConv::new(&w, bias.as_ref(), &spec).unwrap();
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
                        check_added(&mut rng, &conv, &x, &y, activation);
                    }
                }
                assert_eq!((conv.weight(), conv.spec()), (&w, &spec));
            }
        }
    }
}

#[test]
fn one_packed_convolution_takes_other_batches_and_sizes() {
    let mut rng = Rng::new(2);
    let w = weights(&mut rng, &[6, 4, 3, 3], true);
    let spec = ConvSpec::new(&[2, 2], &[1, 1], &[1, 1], 1).unwrap();
    let conv = PackedConv::new(&w, None, &spec).unwrap();
    let out = OutQParams::new(0.2, 100);
    for shape in [[1, 4, 1, 1], [3, 4, 2, 9], [2, 4, 12, 5]] {
        let x = activation(&mut rng, &shape, DType::QUInt8);
        let (size, want) = expected(&x, &w, None, &spec, out, Activation::None);
        let y = conv.run(&x, out, Activation::None).unwrap();
        assert_eq!((y.shape(), ints(&y)), (&size[..], want));
    }
    let none = quantized(&[], &[0, 4, 8, 8], DType::QUInt8, 0.1, 3);
    let y = conv.run(&none, out, Activation::None).unwrap();
    assert_eq!(y.shape(), [0, 6, 4, 4]);
}

#[test]
fn the_functions_want_their_own_rank() {
    let mut rng = Rng::new(3);
    let out = OutQParams::new(0.2, 100);
    let run = [conv1d, conv2d, conv3d];
    for spatial in 1..=3 {
        let spec =
            ConvSpec::new(&vec![1; spatial], &vec![0; spatial], &vec![1; spatial], 1).unwrap();
        let w = weights(&mut rng, &[&[2, 3][..], &vec![2; spatial]].concat(), true);
        let x = activation(
            &mut rng,
            &[&[1, 3][..], &vec![4; spatial]].concat(),
            DType::QUInt8,
        );
        let (_, want) = expected(&x, &w, None, &spec, out, Activation::Relu);
        for (index, conv) in run.iter().enumerate() {
            let y = conv(&x, &w, None, &spec, out, Activation::Relu);
            if index + 1 == spatial {
                assert_eq!(ints(&y.unwrap()), want);
            } else {
                let message = y.unwrap_err().to_string();
                let got = format!("got {}", spatial + 2);
                assert!(message.contains(&got), "{message}");
            }
        }
    }
}

#[test]
fn mistakes_are_refused_with_both_numbers() {
    let mut rng = Rng::new(4);
    let out = OutQParams::new(0.2, 100);
    let plain = ConvSpec::new(&[1, 1], &[0, 0], &[1, 1], 1).unwrap();
    let w = weights(&mut rng, &[4, 3, 3, 3], false);
    let conv = PackedConv::new(&w, None, &plain).unwrap();
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
    assert!(matches!(
        error(&[1, 3, 8]),
        Error::Tensor(qtensor_core::Error::Rank { actual: 3, .. })
    ));
    assert!(matches!(
        error(&[3, 3]),
        Error::Tensor(qtensor_core::Error::Rank { actual: 2, .. })
    ));
    let message = error(&[1, 3, 2, 8]).to_string();
    assert!(message.contains('3') && message.contains('2'), "{message}");

    let refused = |w: &QTensor, spec: &ConvSpec| PackedConv::new(w, None, spec).unwrap_err();
    let three = ConvSpec::new(&[2, 1, 1], &[0; 3], &[1; 3], 1).unwrap();
    assert!(matches!(
        refused(&w, &three),
        Error::Argument {
            argument: "stride",
            ..
        }
    ));
    let uneven = ConvSpec::new(&[1, 1], &[0, 0], &[1, 1], 3).unwrap();
    assert!(matches!(refused(&w, &uneven), Error::Kernel(_)));
    let flat = w.reshape(&[4, 27]).unwrap();
    assert!(matches!(
        refused(&flat, &plain),
        Error::Tensor(qtensor_core::Error::Rank { actual: 2, .. })
    ));
    let across = w.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
    assert!(PackedConv::new(&across, None, &plain).is_ok());
    let zero = ConvSpec { groups: 0, ..plain };
    assert!(matches!(
        refused(&w, &zero),
        Error::Argument {
            argument: "groups",
            ..
        }
    ));
}
