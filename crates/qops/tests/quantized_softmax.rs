//! Softmax and PReLU against their formulas, along every dimension and in every layout.

use crate::common::*;
use qops::Error;
use qops::quantized::*;
use qtensor_core::{DType, QTensor};

/// The integers of a row-major tensor along `dim`: for each slice the positions of its elements.
fn slices(shape: &[usize], dim: usize) -> Vec<Vec<usize>> {
    let stride: usize = shape[dim + 1..].iter().product();
    let total: usize = shape.iter().product();
    let starts = (0..total).filter(|i| (i / stride).is_multiple_of(shape[dim]));
    starts
        .map(|start| (0..shape[dim]).map(|i| start + i * stride).collect())
        .collect()
}

/// The definition, in `f64`, without tables.
fn softmax_wanted(x: &QTensor, dim: usize, out: OutQParams) -> Vec<i32> {
    let (scale, _) = map(x);
    let q = ints(x);
    let mut want = vec![0; q.len()];
    for slice in slices(x.shape(), dim) {
        let greatest = slice.iter().map(|&i| q[i]).max().unwrap();
        let power = |i: usize| (f64::from(scale) * f64::from(q[i] - greatest)).exp();
        let sum: f64 = slice.iter().map(|&i| power(i)).sum();
        for &i in &slice {
            let share = (power(i) / sum) as f32 * (1.0 / out.scale as f32);
            want[i] = stored(share, out, x.dtype(), Activation::None);
        }
    }
    want
}

#[test]
fn softmax_follows_the_definition_along_every_dimension() {
    let mut rng = Rng::new(21);
    for dtype in EIGHT_BIT {
        for shape in [
            &[1][..],
            &[300],
            &[5, 7],
            &[2, 3, 4],
            &[2, 3, 4, 5],
            // Large enough to be shared out among threads.
            &[3, 16, 40, 40],
        ] {
            for scale in [0.1, 0.0101, 1.0, 3e38] {
                let x = activation(&mut rng, shape, dtype);
                let x = quantized(&ints(&x), shape, dtype, scale, 1);
                for dim in 0..shape.len() {
                    for out in [
                        OutQParams::new(1.0 / 256.0, dtype.range().0),
                        OutQParams::new(0.003, 5),
                    ] {
                        let want = softmax_wanted(&x, dim, out);
                        for x in layouts(&x) {
                            let y = softmax(&x, dim, out).unwrap();
                            assert_eq!(ints(&y), want, "{shape:?} {dim} {dtype} {scale}");
                            assert_eq!((OutQParams::of(&y).unwrap(), y.dtype()), (out, dtype));
                        }
                    }
                    let mut y = activation(&mut rng, shape, dtype);
                    softmax_out(&x, dim, &mut y).unwrap();
                    let want = softmax_wanted(&x, dim, OutQParams::of(&y).unwrap());
                    assert_eq!(ints(&y), want);
                }
            }
        }
    }
}

#[test]
fn equal_numbers_get_equal_shares_whatever_their_map() {
    let out = OutQParams::new(1.0 / 256.0, 0);
    for (z, scale) in [(0, 1e-30), (255, 3e38), (127, 0.5)] {
        let x = quantized(&[9; 8], &[2, 4], DType::QUInt8, scale, z);
        assert_eq!(ints(&softmax(&x, 1, out).unwrap()), [64; 8]);
    }
    let empty = quantized(&[], &[0, 4], DType::QUInt8, 0.1, 0);
    assert_eq!(softmax(&empty, 0, out).unwrap().shape(), [0, 4]);
    assert_eq!(softmax(&empty, 1, out).unwrap().shape(), [0, 4]);
}

#[test]
fn softmax_refuses_what_it_cannot_do() {
    let mut rng = Rng::new(22);
    let out = OutQParams::new(1.0 / 256.0, 0);
    let x = activation(&mut rng, &[2, 3], DType::QUInt8);
    let message = softmax(&x, 2, out).unwrap_err().to_string();
    assert!(
        message.contains('2') && message.contains("[2, 3]"),
        "{message}"
    );
    assert!(softmax(&x, 1, OutQParams::new(0.0, 0)).is_err());
    let words = quantized(&[0; 6], &[2, 3], DType::QInt32, 0.1, 0);
    assert!(matches!(
        softmax(&words, 1, out),
        Err(Error::UnsupportedDType { .. })
    ));
    let mut other = activation(&mut rng, &[3, 2], DType::QUInt8);
    let before = other.clone();
    let message = softmax_out(&x, 1, &mut other).unwrap_err().to_string();
    assert!(
        message.contains("[2, 3]") && message.contains("[3, 2]"),
        "{message}"
    );
    assert_eq!(other, before);
}

/// The definition, element by element.
fn prelu_wanted(x: &QTensor, weight: &QTensor, out: OutQParams) -> Vec<i32> {
    let ((sx, zx), (sw, zw)) = (map(x), map(weight));
    let (lo, hi) = x.dtype().range();
    let unit = (1.0 * (1.0 / sw)).round_ties_even() as i32;
    let one = unit.saturating_add(zw).clamp(lo, hi) - zw;
    let multiplier = sx * sw * (1.0 / out.scale as f32);
    let weights = ints(weight);
    let channels = if x.rank() > 1 { x.shape()[1] } else { 1 };
    let inner: usize = x.shape().iter().skip(2).product();
    let value = |(i, q): (usize, i32)| {
        let w = weights[(i / inner % channels).min(weights.len() - 1)] - zw;
        let scaled = if q > zx { (q - zx) * one } else { (q - zx) * w };
        stored(scaled as f32 * multiplier, out, x.dtype(), Activation::None)
    };
    ints(x).into_iter().enumerate().map(value).collect()
}

#[test]
fn prelu_follows_the_formula_in_every_layout() {
    let mut rng = Rng::new(23);
    for dtype in EIGHT_BIT {
        for shape in [
            &[9][..],
            &[300],
            &[3, 5],
            &[2, 64, 3],
            &[2, 3, 4, 5],
            &[1, 33, 7, 7],
        ] {
            let channels = shape.get(1).copied().unwrap_or(1);
            for count in [1, channels] {
                for weight_scale in [0.01, 0.1, 0.0005, 7.0] {
                    let x = activation(&mut rng, shape, dtype);
                    let weight = activation(&mut rng, &[count], dtype);
                    let z = rng.int(dtype.range().0, dtype.range().1);
                    let weight = quantized(&ints(&weight), &[count], dtype, weight_scale, z);
                    let out = out_params(&mut rng, dtype, 0.02, 0.2);
                    let want = prelu_wanted(&x, &weight, out);
                    for x in layouts(&x) {
                        let y = prelu(&x, &weight, out).unwrap();
                        assert_eq!(ints(&y), want, "{shape:?} {count} {dtype} {weight_scale}");
                        assert_eq!((OutQParams::of(&y).unwrap(), y.dtype()), (out, dtype));
                    }
                }
            }
        }
    }
}

#[test]
fn every_byte_and_zero_point_of_prelu() {
    for dtype in EIGHT_BIT {
        let (lo, hi) = dtype.range();
        let all: Vec<i32> = (lo..=hi).collect();
        for z in [lo, lo + 1, lo + 127, hi] {
            for slope in [lo, -3, hi] {
                let slope = slope.max(lo);
                let x = quantized(&all, &[256], dtype, 0.05, z);
                let weight = quantized(&[slope], &[1], dtype, 0.0078125, lo + 127);
                let out = OutQParams::new(0.06, z);
                let y = prelu(&x, &weight, out).unwrap();
                assert_eq!(
                    ints(&y),
                    prelu_wanted(&x, &weight, out),
                    "{dtype} {z} {slope}"
                );
            }
        }
    }
}

#[test]
fn prelu_refuses_what_it_cannot_do() {
    let mut rng = Rng::new(24);
    let out = OutQParams::new(0.1, 0);
    let x = activation(&mut rng, &[2, 3], DType::QUInt8);
    let w = activation(&mut rng, &[2], DType::QUInt8);
    let message = prelu(&x, &w, out).unwrap_err().to_string();
    assert!(message.contains('3') && message.contains('2'), "{message}");
    let signed = activation(&mut rng, &[3], DType::QInt8);
    assert!(matches!(
        prelu(&x, &signed, out),
        Err(Error::DTypesDiffer { .. })
    ));
    let square = activation(&mut rng, &[3, 1], DType::QUInt8);
    assert!(matches!(prelu(&x, &square, out), Err(Error::Tensor(_))));
    let scalar = activation(&mut rng, &[], DType::QUInt8);
    assert!(matches!(
        prelu(&scalar, &scalar, out),
        Err(Error::Tensor(_))
    ));
    let tiny = quantized(&[1], &[1], DType::QUInt8, 1e-30, 0);
    let small = quantized(&[1, 2], &[2], DType::QUInt8, 1e-30, 0);
    assert!(matches!(
        prelu(&small, &tiny, out),
        Err(Error::Multiplier { .. })
    ));
    assert!(prelu(&x, &tiny, OutQParams::new(0.1, -1)).is_err());
}
