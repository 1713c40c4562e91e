//! Concatenation, batch normalization, conversions and matrix products against their formulas, in every layout.

use crate::common::*;
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
    assert!(cat(&[&channels], 0, Some(OutQParams::new(1.0, 0))).is_err());
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

/// The exact sums are zero, and so the results are the roundings alone, which show the order of the terms.
#[test]
fn a_matrix_product_does_not_depend_on_the_layout() {
    let mut rng = Rng::new(13);
    for (m, half, n) in [(1, 17, 1), (3, 5, 6), (1, 20, 5), (17, 33, 9), (40, 65, 50)] {
        // The second half of each sum is the first one with the sign of `b` turned.
        let mut a: Vec<i32> = (0..half * m).map(|_| rng.int(0, 255)).collect();
        let mut b: Vec<i32> = (0..half * n).map(|_| rng.int(1, 255)).collect();
        a.extend_from_within(..);
        b.extend(b.clone().iter().map(|q| 256 - q));
        let a = quantized(&a, &[1, 2 * half, m], DType::QUInt8, 0.1, 77)
            .transpose(1, 2)
            .unwrap();
        let b = quantized(&b, &[1, 2 * half, n], DType::QUInt8, 0.1, 128);
        let out = OutQParams::new(1e-5, 128);
        let want = matmul(&a.contiguous(), &b, out).unwrap();
        for (a, b) in layouts(&a).iter().zip(layouts(&b)) {
            assert_eq!(matmul(a, &b, out).unwrap(), want, "{m}x{half}x{n}");
        }
        for b in layouts(&b) {
            assert_eq!(
                matmul(&a.contiguous(), &b, out).unwrap(),
                want,
                "{m}x{half}x{n}"
            );
        }
    }
}
