//! Clamps, sums, products and scalars against their formulas, in every layout.

use crate::common::*;
use qops::Error;
use qops::quantized::*;
use qtensor_core::{DType, QTensor};

const SHAPES: [&[usize]; 5] = [&[], &[1], &[5, 7], &[2, 3, 4, 5], &[1, 64, 3, 3]];

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
