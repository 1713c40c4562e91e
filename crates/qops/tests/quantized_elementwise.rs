//! Elementwise operations, scalars, concatenation, normalization and conversions against their formulas.

mod common;

use common::*;
use qops::Error;
use qops::quantized::*;
use qtensor_core::{DType, MemoryFormat, QTensor, Quantizer, Tensor, quantize_with};

const SHAPES: [&[usize]; 5] = [&[], &[1], &[5, 7], &[2, 3, 4, 5], &[1, 64, 3, 3]];

/// `(q − z) · s` in `f32`.
fn reals(x: &QTensor) -> Vec<f32> {
    let (scale, z) = map(x);
    ints(x).iter().map(|q| scale * (q - z) as f32).collect()
}

#[test]
fn clamps_bound_the_integers_and_keep_the_map() {
    let mut rng = Rng::new(1);
    for shape in SHAPES {
        for dtype in EIGHT_BIT {
            let x = activation(&mut rng, shape, dtype);
            let same = OutQParams::of(&x).unwrap();
            let (scale, z) = map(&x);
            let (least, greatest) = dtype.range();
            let bound = |v: f32| {
                (i64::from((v * (1.0 / scale)).round_ties_even() as i32) + i64::from(z))
                    .clamp(least.into(), greatest.into()) as i32
            };
            for x in layouts(&x) {
                let check = |y: QTensor, lo: i32, hi: i32| {
                    let want: Vec<i32> = ints(&x).iter().map(|&q| q.max(lo).min(hi)).collect();
                    assert_eq!(ints(&y), want, "{shape:?} {dtype} {lo} {hi}");
                    assert_eq!((OutQParams::of(&y).unwrap(), y.dtype()), (same, dtype));
                };
                check(relu(&x).unwrap(), z, greatest);
                check(relu6(&x).unwrap(), z, bound(6.0));
                for (lo, hi) in [
                    (-1.0, 1.0),
                    (0.3, 0.3),
                    (-1e9, 0.5),
                    (f32::NEG_INFINITY, f32::INFINITY),
                ] {
                    check(clamp(&x, lo, hi).unwrap(), bound(lo), bound(hi));
                }
            }
        }
    }
    let x = activation(&mut rng, &[3], DType::QUInt8);
    let message = clamp(&x, 2.0, 1.5).unwrap_err().to_string();
    assert!(
        message.contains('2') && message.contains("1.5"),
        "{message}"
    );
    assert!(clamp(&x, f32::NAN, 1.0).is_err());
    assert!(clamp(&x, 0.0, f32::NAN).is_err());
}

type Binary = fn(&QTensor, &QTensor, OutQParams) -> qops::Result<QTensor>;

/// The formulas of all four, from two integers that stand at the same place.
fn combined(a: &QTensor, qa: i32, b: &QTensor, qb: i32, out: OutQParams) -> [i32; 4] {
    let ((sa, za), (sb, zb)) = (map(a), map(b));
    let inverse = 1.0 / out.scale as f32;
    let sum = (sa * (qa - za) as f32 + sb * (qb - zb) as f32) * inverse;
    let product = ((qa - za) * (qb - zb)) as f32 * (sa * sb * inverse);
    let stored = |v, activation| stored(v, out, a.dtype(), activation);
    [
        stored(sum, Activation::None),
        stored(sum, Activation::Relu),
        stored(product, Activation::None),
        stored(product, Activation::Relu),
    ]
}

const BINARY: [Binary; 4] = [add, add_relu, mul, mul_relu];

#[test]
fn sums_and_products_follow_the_formula_in_every_pair_of_layouts() {
    let mut rng = Rng::new(2);
    for shape in SHAPES {
        for dtype in EIGHT_BIT {
            let (a, b) = (
                activation(&mut rng, shape, dtype),
                activation(&mut rng, shape, dtype),
            );
            let out = out_params(&mut rng, dtype, 0.02, 0.2);
            let pairs = ints(&a).into_iter().zip(ints(&b));
            let want: Vec<[i32; 4]> = pairs.map(|(x, y)| combined(&a, x, &b, y, out)).collect();
            for a in layouts(&a) {
                for b in layouts(&b) {
                    for (index, op) in BINARY.iter().enumerate() {
                        let y = op(&a, &b, out).unwrap();
                        let want: Vec<i32> = want.iter().map(|w| w[index]).collect();
                        assert_eq!(ints(&y), want, "{shape:?} {dtype} {index}");
                        assert_eq!((OutQParams::of(&y).unwrap(), y.dtype()), (out, dtype));
                    }
                }
            }
        }
    }
}

#[test]
fn operands_broadcast() {
    let mut rng = Rng::new(3);
    for (left, right, shape) in [
        (&[2, 3, 4, 5][..], &[2, 3, 1, 1][..], &[2, 3, 4, 5][..]),
        (&[4, 1], &[3, 1, 5], &[3, 4, 5]),
        (&[], &[2, 2], &[2, 2]),
        (&[2, 1, 3], &[1, 4, 1], &[2, 4, 3]),
        (&[0, 1], &[1, 3], &[0, 3]),
    ] {
        for dtype in EIGHT_BIT {
            let (a, b) = (
                activation(&mut rng, left, dtype),
                activation(&mut rng, right, dtype),
            );
            let out = out_params(&mut rng, dtype, 0.02, 0.2);
            let pairs = ints(&a.expand(shape).unwrap())
                .into_iter()
                .zip(ints(&b.expand(shape).unwrap()));
            let want: Vec<[i32; 4]> = pairs.map(|(x, y)| combined(&a, x, &b, y, out)).collect();
            for a in layouts(&a) {
                for (index, op) in BINARY.iter().enumerate() {
                    let y = op(&a, &b, out).unwrap();
                    let want: Vec<i32> = want.iter().map(|w| w[index]).collect();
                    assert_eq!((y.shape(), ints(&y)), (shape, want));
                }
            }
        }
    }
}

#[test]
fn unusable_pairs_are_refused() {
    let mut rng = Rng::new(4);
    let out = OutQParams::new(0.1, 0);
    let a = activation(&mut rng, &[2, 3], DType::QUInt8);
    let signed = activation(&mut rng, &[2, 3], DType::QInt8);
    let long = activation(&mut rng, &[2, 4], DType::QUInt8);
    let channels = weights(&mut rng, &[2, 3], true);
    let words = quantized(&[0; 6], &[2, 3], DType::QInt32, 0.1, 0);
    for op in BINARY {
        let message = op(&a, &signed, out).unwrap_err().to_string();
        assert!(
            message.contains("quint8") && message.contains("qint8"),
            "{message}"
        );
        let message = op(&a, &long, out).unwrap_err().to_string();
        assert!(
            message.contains("[2, 3]") && message.contains("[2, 4]"),
            "{message}"
        );
        assert!(matches!(op(&signed, &channels, out), Err(Error::Tensor(_))));
        assert!(matches!(
            op(&words, &words, out),
            Err(Error::UnsupportedDType { .. })
        ));
        let message = op(&a, &a, OutQParams::new(0.1, -1))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("-1") && message.contains("255"),
            "{message}"
        );
        assert!(op(&a, &a, OutQParams::new(f64::NAN, 0)).is_err());
    }
    let tiny = quantized(&[1, 2], &[2], DType::QUInt8, 1e-30, 0);
    assert!(matches!(
        mul(&tiny, &tiny, out),
        Err(Error::Multiplier { .. })
    ));
}

#[test]
fn a_scalar_sum_moves_the_zero_point_or_widens_the_scale() {
    let mut rng = Rng::new(5);
    for dtype in EIGHT_BIT {
        let (lo, hi) = dtype.range();
        for c in [0.0, 0.31, -0.77, 5.0, -5.0, 300.0, -1234.5] {
            let x = activation(&mut rng, &[2, 3, 4, 5], dtype);
            let (scale, z) = (x.q_scale().unwrap(), x.q_zero_point().unwrap());
            let steps = (c / scale).round_ties_even() as i32;
            for x in layouts(&x) {
                let y = add_scalar(&x, c).unwrap();
                let got = OutQParams::of(&y).unwrap();
                if (lo..=hi).contains(&(z - steps)) {
                    assert_eq!(
                        (ints(&y), got),
                        (ints(&x), OutQParams::new(scale, z - steps))
                    );
                    assert!(y.shares_storage_with(&x));
                    continue;
                }
                let (end, span) = if z - steps < lo {
                    (lo, hi - z + steps)
                } else {
                    (hi, z - steps - lo)
                };
                assert_eq!(got, OutQParams::new(f64::from(span) / 255.0 * scale, end));
                let multiplier = scale as f32 * (1.0 / got.scale as f32);
                let moved = ints(&x)
                    .into_iter()
                    .map(|q| (q - z + steps) as f32 * multiplier);
                let want: Vec<i32> = moved
                    .map(|v| stored(v, got, dtype, Activation::None))
                    .collect();
                assert_eq!(ints(&y), want, "{dtype} {c}");
            }
        }
        let x = activation(&mut rng, &[3], dtype);
        for c in [f64::NAN, f64::INFINITY, 1e30] {
            let message = add_scalar(&x, c).unwrap_err().to_string();
            assert!(message.contains(&c.to_string()), "{message}");
        }
    }
}

#[test]
fn a_scalar_product_scales_the_scale_and_mirrors_for_negatives() {
    let mut rng = Rng::new(6);
    for dtype in EIGHT_BIT {
        let (lo, hi) = dtype.range();
        let x = activation(&mut rng, &[2, 3, 4, 5], dtype);
        let (scale, z) = (x.q_scale().unwrap(), x.q_zero_point().unwrap());
        for x in layouts(&x) {
            let y = mul_scalar(&x, 2.5).unwrap();
            assert_eq!(
                (ints(&y), OutQParams::of(&y).unwrap()),
                (ints(&x), OutQParams::new(scale * 2.5, z))
            );
            let y = mul_scalar(&x, -0.61).unwrap();
            let want: Vec<i32> = ints(&x).iter().map(|q| lo + hi - q).collect();
            assert_eq!(
                (ints(&y), OutQParams::of(&y).unwrap()),
                (want, OutQParams::new(scale * 0.61, lo + hi - z))
            );
            let y = mul_scalar(&x, 0.0).unwrap();
            assert_eq!(
                (ints(&y), OutQParams::of(&y).unwrap()),
                (vec![0; 120], OutQParams::new(1.0, 0))
            );
        }
        assert!(matches!(
            mul_scalar(&x, f64::NAN),
            Err(Error::Argument { .. })
        ));
        assert!(matches!(mul_scalar(&x, 1e-300), Err(Error::Tensor(_))));
    }
}

#[test]
fn concatenation_requantizes_what_has_another_map() {
    let mut rng = Rng::new(7);
    for dtype in EIGHT_BIT {
        for dim in 0..4 {
            let mut parts: Vec<QTensor> = [3, 1, 0, 2]
                .iter()
                .map(|&n| {
                    let mut shape = [2, 4, 3, 5];
                    shape[dim] = n;
                    activation(&mut rng, &shape, dtype)
                })
                .collect();
            // One part has the map of the result.
            let out = OutQParams::of(&parts[0]).unwrap();
            for (part, stored_as) in [
                (1, MemoryFormat::ChannelsLast),
                (3, MemoryFormat::Contiguous),
            ] {
                parts[part] = parts[part].to_memory_format(stored_as).unwrap();
            }
            for first in layouts(&parts[0]) {
                parts[0] = first;
                let borrowed: Vec<&QTensor> = parts.iter().collect();
                for (relued, given) in [(false, Some(out)), (true, Some(out)), (false, None)] {
                    let op = if relued { cat_relu } else { cat };
                    let activation = if relued {
                        Activation::Relu
                    } else {
                        Activation::None
                    };
                    let y = op(&borrowed, dim, given).unwrap();
                    assert_eq!(y.shape()[dim], 6);
                    assert_eq!(OutQParams::of(&y).unwrap(), out);
                    let mut start = 0;
                    for part in &parts {
                        let n = part.shape()[dim];
                        let got = ints(&y.slice(dim, start, start + n, 1).unwrap());
                        let inverse = 1.0 / out.scale as f32;
                        let want: Vec<i32> = reals(part)
                            .iter()
                            .map(|v| stored(v * inverse, out, dtype, activation))
                            .collect();
                        assert_eq!(got, want, "{dtype} dim {dim}");
                        if !relued && part.quantizer() == &out.quantizer() {
                            assert_eq!(got, ints(part));
                        }
                        start += n;
                    }
                }
            }
        }
    }
}

#[test]
fn unusable_concatenations_are_refused() {
    let mut rng = Rng::new(8);
    let a = activation(&mut rng, &[2, 3], DType::QUInt8);
    assert!(matches!(cat(&[], 0, None), Err(Error::Empty { .. })));
    assert!(matches!(
        cat(&[&a], 2, None),
        Err(Error::Tensor(qtensor_core::Error::NoSuchDim { dim: 2, .. }))
    ));
    let signed = activation(&mut rng, &[2, 3], DType::QInt8);
    assert!(matches!(
        cat(&[&a, &signed], 0, None),
        Err(Error::DTypesDiffer { .. })
    ));
    for shape in [&[2, 4][..], &[2], &[2, 3, 1], &[]] {
        let other = activation(&mut rng, shape, DType::QUInt8);
        let message = cat(&[&a, &other], 0, None).unwrap_err().to_string();
        assert!(message.contains(&format!("{shape:?}")), "{message}");
    }
    let words = quantized(&[0], &[1], DType::QInt32, 0.1, 0);
    assert!(matches!(
        cat(&[&words], 0, None),
        Err(Error::UnsupportedDType { .. })
    ));
    let channels = weights(&mut rng, &[2, 3], true);
    assert!(cat(&[&channels], 0, None).is_err());
    assert!(cat(&[&a], 0, Some(OutQParams::new(0.1, 300))).is_err());
}

#[test]
fn batch_normalization_follows_the_folded_formula() {
    let mut rng = Rng::new(9);
    for shape in [
        &[5, 6][..],
        &[2, 6, 9],
        &[2, 6, 4, 5],
        &[1, 6, 2, 3, 4],
        &[0, 6, 3],
    ] {
        for dtype in EIGHT_BIT {
            let x = activation(&mut rng, shape, dtype);
            let out = out_params(&mut rng, dtype, 0.02, 0.1);
            let values = |v: Vec<f32>| Tensor::from_slice(&v, &[6]).unwrap();
            let [mean, var, gamma, beta] = [(-1.0, 1.0), (0.1, 2.0), (-1.5, 1.5), (-1.0, 1.0)]
                .map(|(lo, hi)| values(rng.reals(6, lo, hi)));
            let (scale, z) = (x.q_scale().unwrap(), x.q_zero_point().unwrap());
            let inner: usize = shape[2..].iter().product();
            for (gamma, beta) in [(Some(&gamma), Some(&beta)), (None, None)] {
                for activation in ACTIVATIONS {
                    let want: Vec<i32> = ints(&x)
                        .iter()
                        .enumerate()
                        .map(|(i, q)| {
                            let c = i / inner % 6;
                            let at = |t: &Tensor| t.get(&[c]).unwrap();
                            let inverse = 1.0 / (at(&var) + 1e-5).sqrt();
                            let (g, b) = (gamma.map_or(1.0, at), beta.map_or(0.0, at));
                            let slope = (f64::from(inverse * g) * (scale / out.scale)) as f32;
                            let shift = (f64::from(b - at(&mean) * inverse * g) / out.scale) as f32;
                            stored((q - z) as f32 * slope + shift, out, dtype, activation)
                        })
                        .collect();
                    for x in layouts(&x) {
                        let y = batch_norm(&x, &mean, &var, gamma, beta, 1e-5, out, activation)
                            .unwrap();
                        assert_eq!(ints(&y), want, "{shape:?} {dtype} {activation:?}");
                        assert_eq!((OutQParams::of(&y).unwrap(), y.dtype()), (out, dtype));
                    }
                }
            }
        }
    }
}

#[test]
fn unusable_statistics_are_refused() {
    let mut rng = Rng::new(10);
    let x = activation(&mut rng, &[2, 3, 4], DType::QUInt8);
    let out = OutQParams::new(0.1, 0);
    let run = |x: &QTensor, mean: &Tensor, var: &Tensor| {
        batch_norm(x, mean, var, None, None, 1e-5, out, Activation::None)
    };
    let (three, four) = (Tensor::ones(&[3]).unwrap(), Tensor::ones(&[4]).unwrap());
    let message = run(&x, &three, &four).unwrap_err().to_string();
    assert!(
        message.contains("[3]") && message.contains("[4]"),
        "{message}"
    );
    let negative = Tensor::from_vec(vec![1.0, -1.0, 1.0], &[3]).unwrap();
    let message = run(&x, &three, &negative).unwrap_err().to_string();
    assert!(message.contains("channel 1"), "{message}");
    let line = activation(&mut rng, &[3], DType::QUInt8);
    assert!(matches!(
        run(&line, &three, &three),
        Err(Error::Tensor(qtensor_core::Error::Rank { actual: 1, .. }))
    ));
    let words = quantized(&[0; 3], &[1, 3], DType::QInt32, 0.1, 0);
    assert!(matches!(
        run(&words, &three, &three),
        Err(Error::UnsupportedDType { .. })
    ));
}

#[test]
fn conversions_agree_with_the_tensor_crate_in_every_layout() {
    let mut rng = Rng::new(11);
    for shape in SHAPES.into_iter().chain([&[0, 3, 2][..], &[3, 100]]) {
        let mut values = rng.reals(shape.iter().product(), -4.0, 4.0);
        for (slot, special) in values
            .iter_mut()
            .zip([f32::NAN, f32::INFINITY, -1e30, -0.0, 0.25])
        {
            *slot = special;
        }
        let x = Tensor::from_slice(&values, shape).unwrap();
        let order: Vec<usize> = (0..shape.len()).rev().collect();
        let mut views = vec![
            x.clone(),
            x.permute(&order)
                .unwrap()
                .contiguous()
                .permute(&order)
                .unwrap(),
        ];
        if shape.len() >= 3 {
            views.push(x.to_memory_format(MemoryFormat::ChannelsLast).unwrap());
        }
        for (dtype, z) in [
            (DType::QUInt8, 131),
            (DType::QInt8, -3),
            (DType::QInt32, 17),
        ] {
            let out = OutQParams::new(0.031, z);
            for x in &views {
                let q = quantize(x, out, dtype).unwrap();
                assert_eq!(
                    q,
                    quantize_with(x, out.quantizer(), dtype).unwrap(),
                    "{shape:?} {dtype}"
                );
                if shape.len() >= 3 {
                    assert!(q.layout().is_dense_in(MemoryFormat::ChannelsLast));
                }
                for q in layouts(&q) {
                    let back = dequantize(&q).unwrap();
                    assert_eq!(back, q.dequantize());
                    assert_eq!(back.strides(), q.dequantize().strides());
                }
            }
        }
    }
    let w = weights(&mut rng, &[4, 3], true);
    assert_eq!(dequantize(&w).unwrap(), w.dequantize());
    let x = Tensor::ones(&[2]).unwrap();
    assert!(quantize(&x, OutQParams::new(0.1, 256), DType::QUInt8).is_err());
    assert!(quantize(&x, OutQParams::new(-0.1, 0), DType::QInt8).is_err());
}

#[test]
fn a_matrix_product_is_the_float_one_requantized() {
    let mut rng = Rng::new(12);
    for dtype in EIGHT_BIT {
        let (a, b) = (
            activation(&mut rng, &[3, 8], dtype),
            activation(&mut rng, &[8, 5], dtype),
        );
        let out = out_params(&mut rng, dtype, 0.05, 0.2);
        let y = matmul(&a, &b, out).unwrap();
        let product = qops::float::matmul(&a.dequantize(), &b.dequantize()).unwrap();
        let want = quantize_with(
            &product,
            Quantizer::per_tensor(out.scale, out.zero_point),
            dtype,
        );
        assert_eq!(y, want.unwrap());
    }
    let a = activation(&mut rng, &[2, 2], DType::QUInt8);
    let b = activation(&mut rng, &[2, 2], DType::QInt8);
    assert!(matches!(
        matmul(&a, &b, OutQParams::new(0.1, 0)),
        Err(Error::DTypesDiffer { .. })
    ));
}
