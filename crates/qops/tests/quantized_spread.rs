//! Means, deviations, scalar forms, stacking and per-channel concatenation: exact integers, by plain formulas and as
//! PyTorch 2.6 gave them.

use crate::common::*;
use qops::quantized::*;
use qtensor_core::{DType, IntTensor, QTensor, Quantizer, make_per_channel_quantized_tensor};

#[test]
fn means_round_ties_as_pytorch_does_for_row_major_tensors() {
    let x = quantized(&[1, 2, 2, 3, 3, 4, 10, 9], &[4, 2], DType::QUInt8, 0.5, 3);
    assert_eq!(ints(&mean(&x, &[1], false).unwrap()), [2, 2, 4, 10]);
    let turned = x.transpose(0, 1).unwrap().contiguous();
    assert_eq!(ints(&mean(&turned, &[0], false).unwrap()), [1, 3, 3, 9]);
    // A view has the integers of its copy.
    assert_eq!(
        ints(&mean(&x.transpose(0, 1).unwrap(), &[0], false).unwrap()),
        [1, 3, 3, 9]
    );
    assert_eq!(ints(&mean(&x, &[], false).unwrap()), [4]);
}

#[test]
fn means_and_deviations_are_those_of_the_formulas() {
    let mut rng = Rng::new(1);
    for dtype in DType::ALL {
        let base = activation(&mut rng, &[2, 3, 4, 5], DType::QInt8);
        let z = 7;
        let x = quantized(&ints(&base), &[2, 3, 4, 5], dtype, 0.1, z);
        for dims in [
            &[3][..],
            &[2, 3],
            &[1],
            &[0, 2],
            &[3, 1],
            &[],
            &[0, 1, 2, 3],
        ] {
            let reduced: Vec<usize> = if dims.is_empty() {
                vec![0, 1, 2, 3]
            } else {
                dims.to_vec()
            };
            let kept: Vec<usize> = (0..4).filter(|d| !reduced.contains(d)).collect();
            let shape: Vec<usize> = kept.iter().map(|&d| x.shape()[d]).collect();
            let mut groups = vec![Vec::new(); shape.iter().product()];
            for (flat, q) in ints(&x).into_iter().enumerate() {
                let at = [flat / 60, flat / 20 % 3, flat / 5 % 4, flat % 5];
                let to = kept.iter().fold(0, |to, &d| to * x.shape()[d] + at[d]);
                groups[to].push(f64::from(q));
            }
            let trailing = kept.iter().all(|&d| reduced.iter().all(|&r| d < r));
            let about = if trailing { 0.0 } else { f64::from(z) };
            let n = groups[0].len() as f64;
            let mean_of = |g: &Vec<f64>| g.iter().sum::<f64>() / n;
            let want: Vec<i32> = groups
                .iter()
                .map(|g| ((mean_of(g) - about).round_ties_even() + about) as i32)
                .collect();
            let unbiased = reduced.len() % 2 == 1;
            let deviation = |g: &Vec<f64>| {
                let squares: f64 = g.iter().map(|q| (q - mean_of(g)).powi(2)).sum();
                let real =
                    (squares / if unbiased { n - 1.0 } else { n }).sqrt() * f64::from(0.1f32);
                let (lo, hi) = dtype.range();
                ((real as f32 * (1.0 / 0.1f32)).round_ties_even() as i32 + z).clamp(lo, hi)
            };
            let wide: Vec<i32> = groups.iter().map(deviation).collect();
            for view in layouts(&x) {
                let y = mean(&view, dims, false).unwrap();
                assert_eq!(
                    (y.shape(), ints(&y)),
                    (&shape[..], want.clone()),
                    "{dims:?} {dtype}"
                );
                assert_eq!((y.quantizer(), y.dtype()), (x.quantizer(), dtype));
                let y = std(&view, dims, unbiased, true).unwrap();
                assert_eq!(ints(&y), wide, "{dims:?} {dtype}");
                let ones: Vec<usize> = (0..4)
                    .map(|d| {
                        if reduced.contains(&d) {
                            1
                        } else {
                            x.shape()[d]
                        }
                    })
                    .collect();
                assert_eq!(y.shape(), ones);
            }
        }
    }
}

#[test]
fn reductions_of_nothing_or_too_little_are_refused() {
    let x = quantized(&[1, 2], &[2, 1], DType::QUInt8, 0.5, 3);
    let none = quantized(&[], &[2, 0], DType::QUInt8, 0.5, 3);
    for (message, want) in [
        (
            mean(&none, &[1], false).unwrap_err(),
            "mean: needs at least one element",
        ),
        (
            mean(&x, &[2], false).unwrap_err(),
            "mean: dimension 2 does not exist in shape [2, 1] of 2 dimensions",
        ),
        (
            std(&x, &[0, 0], false, false).unwrap_err(),
            "std: dimension 0 comes twice in [0, 0]",
        ),
        (
            std(&x, &[1], true, false).unwrap_err(),
            "std: dims must be at least 2 elements for an unbiased deviation, got 1",
        ),
    ] {
        assert_eq!(message.to_string(), want);
    }
    assert_eq!(mean(&none, &[0], false).unwrap().shape(), [0]);
    assert_eq!(ints(&std(&x, &[1], false, false).unwrap()), [3, 3]);
}

/// Recorded from PyTorch 2.6, `out` forms included.
#[test]
fn scalars_with_a_relu_are_pytorchs() {
    let x = quantized(&[1, 2, 2, 3, 3, 4, 10, 9], &[4, 2], DType::QUInt8, 0.5, 3);
    type Form = fn(&QTensor, f64) -> qops::Result<QTensor>;
    type Into = fn(&QTensor, f64, &mut QTensor) -> qops::Result<()>;
    let sums: [(Form, Into); 2] = [
        (add_scalar, add_scalar_out),
        (add_scalar_relu, add_scalar_relu_out),
    ];
    let products: [(Form, Into); 2] = [
        (mul_scalar, mul_scalar_out),
        (mul_scalar_relu, mul_scalar_relu_out),
    ];
    for ((form, into), c, want, scale, z) in [
        (sums[0], -1.0, [1, 2, 2, 3, 3, 4, 10, 9], 0.5, 5),
        (sums[1], 0.0, [3, 3, 3, 3, 3, 4, 10, 9], 0.5, 3),
        (sums[1], -1.0, [5, 5, 5, 5, 5, 5, 10, 9], 0.5, 5),
        (
            sums[1],
            3.0,
            [4, 5, 5, 6, 6, 7, 13, 12],
            0.5058823529411764,
            0,
        ),
        (
            sums[1],
            300.0,
            [179, 179, 179, 180, 180, 180, 182, 181],
            1.6705882352941177,
            0,
        ),
        (
            sums[0],
            -300.0,
            [0, 1, 1, 1, 1, 2, 4, 4],
            1.1823529411764706,
            255,
        ),
        (sums[1], -300.0, [255; 8], 1.1823529411764706, 255),
        (
            products[0],
            -1.0,
            [254, 253, 253, 252, 252, 251, 245, 246],
            0.5,
            252,
        ),
        (products[1], 0.0, [0; 8], 1.0, 0),
        (
            products[1],
            -1.0,
            [254, 253, 253, 252, 252, 252, 252, 252],
            0.5,
            252,
        ),
        (products[1], 3.0, [3, 3, 3, 3, 3, 4, 10, 9], 1.5, 3),
        (products[0], 300.0, [1, 2, 2, 3, 3, 4, 10, 9], 150.0, 3),
    ] {
        let y = form(&x, c).unwrap();
        assert_eq!(ints(&y), want, "{c}");
        assert_eq!(OutQParams::of(&y).unwrap(), OutQParams::new(scale, z));
        let mut out = quantized(&[7; 8], &[4, 2], DType::QUInt8, 9.0, 7);
        into(&x, c, &mut out).unwrap();
        assert_eq!(out, y);
    }
    let mut narrow = quantized(&[7; 4], &[4], DType::QUInt8, 9.0, 7);
    let mut signed = quantized(&[7; 8], &[4, 2], DType::QInt8, 9.0, 7);
    for (_, into) in [sums, products].concat() {
        let message = into(&x, 1.0, &mut narrow).unwrap_err().to_string();
        assert!(
            message.contains("_out: expected shape [4, 2], got [4]"),
            "{message}"
        );
        assert!(
            into(&x, 1.0, &mut signed)
                .unwrap_err()
                .to_string()
                .contains("quint8 and qint8")
        );
        assert!(into(&x, f64::NAN, &mut x.clone()).is_err());
    }
    assert_eq!((ints(&narrow), ints(&signed)), (vec![7; 4], vec![7; 8]));
}

#[test]
fn products_have_the_map_of_the_first_operand_or_of_a_destination() {
    let mut rng = Rng::new(3);
    for dtype in EIGHT_BIT {
        let (a, b) = (
            activation(&mut rng, &[2, 3, 4], dtype),
            activation(&mut rng, &[2, 4, 5], dtype),
        );
        let own = OutQParams::of(&a).unwrap();
        assert_eq!(
            matmul_like_first(&a, &b).unwrap(),
            matmul(&a, &b, own).unwrap()
        );
        for mut out in layouts(&activation(&mut rng, &[2, 3, 5], dtype)) {
            let want = matmul(&a, &b, OutQParams::of(&out).unwrap()).unwrap();
            matmul_out(&a, &b, &mut out).unwrap();
            assert_eq!(out, want);
        }
        let weight = activation(&mut rng, &[3], dtype);
        assert_eq!(
            prelu_like_first(&a, &weight).unwrap(),
            prelu(&a, &weight, own).unwrap()
        );
        for mut out in layouts(&activation(&mut rng, &[2, 3, 4], dtype)) {
            let want = prelu(&a, &weight, OutQParams::of(&out).unwrap()).unwrap();
            prelu_out(&a, &weight, &mut out).unwrap();
            assert_eq!(out, want);
        }
        let message = prelu_out(&a, &weight, &mut b.clone())
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "prelu_out: expected shape [2, 3, 4], got [2, 4, 5]"
        );
        assert!(
            matmul_out(&a, &b, &mut b.clone())
                .unwrap_err()
                .to_string()
                .starts_with("matmul_out: expected shape [2, 3, 5]")
        );
    }
}

fn channels(
    values: std::ops::Range<i32>,
    shape: &[usize],
    dtype: DType,
    scales: &[f64],
    z: &[i32],
    axis: usize,
) -> QTensor {
    let ints = IntTensor::from_i32(&values.collect::<Vec<_>>(), shape, dtype).unwrap();
    make_per_channel_quantized_tensor(ints, scales, z, axis).unwrap()
}

#[test]
fn channels_are_joined_with_their_maps() {
    for dtype in DType::ALL {
        let a = channels(0..6, &[2, 3], dtype, &[0.5, 1.0], &[0, 1], 0);
        let b = channels(6..9, &[1, 3], dtype, &[2.0], &[2], 0);
        let both = cat(&[&a, &b, &a], 0, None).unwrap();
        assert_eq!(
            both.quantizer(),
            &Quantizer::per_channel(&[0.5, 1.0, 2.0, 0.5, 1.0], &[0, 1, 2, 0, 1], 0)
        );
        assert_eq!(ints(&both), [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5]);
        assert_eq!(both.narrow(0, 2, 1).unwrap(), b);
        let wide = cat(&[&a, &a.narrow(1, 0, 1).unwrap()], 1, None).unwrap();
        assert_eq!(
            (wide.quantizer(), ints(&wide)),
            (a.quantizer(), vec![0, 1, 2, 0, 3, 4, 5, 3])
        );
        // Transposed tensors have the other axis, in memory of the other order.
        let turned = cat(
            &[&a.transpose(0, 1).unwrap(), &b.transpose(0, 1).unwrap()],
            1,
            None,
        )
        .unwrap();
        assert_eq!(
            turned.transpose(0, 1).unwrap(),
            cat(&[&a, &b], 0, None).unwrap()
        );
        let stacked = stack(&[&a, &a], 1, None).unwrap();
        assert_eq!(
            (stacked.shape(), stacked.quantizer()),
            (&[2, 2, 3][..], a.quantizer())
        );
        assert_eq!(
            stack(&[&a, &a], 0, None)
                .unwrap()
                .q_per_channel_axis()
                .unwrap(),
            1
        );
        assert_eq!(stacked.unbind(1).unwrap(), [a.clone(), a.clone()]);
        let other = channels(0..6, &[2, 3], dtype, &[0.5, 4.0], &[0, 1], 0);
        let message = cat(&[&a, &a, &other], 1, None).unwrap_err().to_string();
        assert_eq!(
            message,
            "cat: channel 1 has scale and zero point (1.0, 1) in the first tensor, but (4.0, 1) in tensor 2"
        );
        let turned = a.transpose(0, 1).unwrap();
        let square = |x: &QTensor| {
            x.index_select(0, &[0, 0, 0])
                .unwrap()
                .index_select(1, &[0, 0, 0])
                .unwrap()
        };
        let message = cat(&[&square(&a), &square(&turned)], 0, None)
            .unwrap_err()
            .to_string();
        assert_eq!(message, "cat: the tensors' channel axes differ: 0 and 1");
        let message = cat(&[&a, &b], 1, None).unwrap_err().to_string();
        assert!(
            message.contains("is 2 in shape [2, 3], but 1 in shape [1, 3]"),
            "{message}"
        );
        assert!(
            stack(&[&a, &b], 0, None)
                .unwrap_err()
                .to_string()
                .contains("expected shape [2, 3], got [1, 3]")
        );
        assert!(
            stack(&[&a, &a], 3, None)
                .unwrap_err()
                .to_string()
                .contains("dimension 3")
        );
    }
    let a = channels(0..2, &[2], DType::QInt8, &[0.5, 1.0], &[0, 1], 0);
    let b = channels(0..2, &[2], DType::QUInt8, &[0.5, 1.0], &[0, 1], 0);
    assert!(
        cat(&[&a, &b], 0, None)
            .unwrap_err()
            .to_string()
            .contains("qint8 and quint8")
    );
    assert!(cat(&[], 0, None).is_err());
    let plain = quantized(&[1, 2], &[2], DType::QInt8, 0.5, 0);
    assert!(
        cat(&[&a, &plain], 0, None)
            .unwrap_err()
            .to_string()
            .contains("needs a per-channel")
    );
}

#[test]
fn stacked_activations_have_the_first_ones_map() {
    let mut rng = Rng::new(4);
    for dtype in EIGHT_BIT {
        let (a, b) = (
            activation(&mut rng, &[2, 3], dtype),
            activation(&mut rng, &[2, 3], dtype),
        );
        for dim in 0..3 {
            let both = stack(&[&a, &b], dim, None).unwrap();
            assert_eq!(both.select(dim, 0).unwrap(), a);
            let own = OutQParams::of(&a).unwrap();
            assert_eq!(both.select(dim, 1).unwrap(), requantize(&b, own).unwrap());
            let out = OutQParams::new(0.5, 3);
            let given = stack(&[&a, &b], dim, Some(out)).unwrap();
            assert_eq!(given.select(dim, 0).unwrap(), requantize(&a, out).unwrap());
        }
    }
    assert!(stack(&[], 0, None).is_err());
}
