//! The linear layer against its formula, byte for byte, and every mistake with its numbers.

use crate::common::*;
use qops::Error;
use qops::quantized::{Activation, OutQParams, PackedConv, PackedLinear, linear};
use qtensor_core::{DType, QTensor, Tensor, quantize_per_channel, quantize_per_tensor};

/// The formula, row by row.
fn expected(
    x: &QTensor,
    w: &QTensor,
    bias: Option<&[f32]>,
    out: OutQParams,
    activation: Activation,
) -> Vec<i32> {
    let (n, k) = (w.shape()[0], w.shape()[1]);
    let (scale, z) = map(x);
    let (q, weight) = (ints(x), ints(w));
    let mut y = Vec::new();
    for row in q.chunks(k) {
        for c in 0..n {
            let products = row.iter().zip(&weight[c * k..][..k]);
            let sum = products
                .map(|(&q, &w)| i64::from(q - z) * i64::from(w))
                .sum();
            let bias = bias.map_or(0.0, |b| b[c]);
            let scales = (scale, w.quantizer().channel(c).unwrap().0);
            y.push(requantized(sum, bias, scales, out, x.dtype(), activation));
        }
    }
    y
}

#[test]
fn results_follow_the_formula_for_every_type_scheme_and_activation() {
    let mut rng = Rng::new(1);
    for (m, k, n) in [(1, 1, 1), (1, 5, 3), (3, 33, 17), (5, 64, 65), (2, 257, 48)] {
        for dtype in EIGHT_BIT {
            for per_channel in [false, true] {
                let x = activation(&mut rng, &[m, k], dtype);
                let w = weights(&mut rng, &[n, k], per_channel);
                let values = rng.reals(n, -3.0, 3.0);
                let bias = Tensor::from_slice(&values, &[n]).unwrap();
                let layer = PackedLinear::new(&w, Some(&bias)).unwrap();
                let bare = PackedLinear::new(&w, None).unwrap();
                for activation in ACTIVATIONS {
                    let out = out_params(&mut rng, dtype, 0.05, 0.4);
                    let want = expected(&x, &w, Some(&values), out, activation);
                    for x in layouts(&x) {
                        let y = layer.run(&x, out, activation).unwrap();
                        assert_eq!(ints(&y), want, "{m} {k} {n} {dtype} {activation:?}");
                        assert_eq!((y.shape(), y.dtype()), (&[m, n][..], dtype));
                        assert_eq!(OutQParams::of(&y).unwrap(), out);
                    }
                    let want = expected(&x, &w, None, out, activation);
                    assert_eq!(ints(&bare.run(&x, out, activation).unwrap()), want);
                    assert_eq!(ints(&linear(&x, &w, None, out, activation).unwrap()), want);
                }
            }
        }
    }
}

#[test]
fn leading_dimensions_are_rows_and_may_be_absent_or_empty() {
    let mut rng = Rng::new(2);
    let w = weights(&mut rng, &[4, 6], true);
    let layer = PackedLinear::new(&w, None).unwrap();
    let out = OutQParams::new(0.1, 30);
    for shape in [&[6][..], &[2, 3, 6], &[2, 1, 2, 6]] {
        let x = activation(&mut rng, shape, DType::QUInt8);
        let want = expected(&x, &w, None, out, Activation::None);
        for x in layouts(&x) {
            let y = layer.run(&x, out, Activation::None).unwrap();
            assert_eq!(ints(&y), want);
            assert_eq!(y.shape()[..shape.len() - 1], shape[..shape.len() - 1]);
            assert_eq!(y.shape().last(), Some(&4));
        }
    }
    let none = quantized(&[], &[0, 6], DType::QInt8, 0.1, 0);
    let y = layer.run(&none, out, Activation::Relu).unwrap();
    assert_eq!((y.shape(), y.dtype()), (&[0, 4][..], DType::QInt8));
}

#[test]
fn a_layer_follows_changing_qparams_on_several_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<PackedLinear>();
    shared::<PackedConv>();
    let mut rng = Rng::new(3);
    let w = weights(&mut rng, &[9, 20], true);
    let values = rng.reals(9, -1.0, 1.0);
    let layer = PackedLinear::new(&w, Some(&Tensor::from_slice(&values, &[9]).unwrap())).unwrap();
    let cases: Vec<_> = (0..4)
        .map(|i| {
            let dtype = EIGHT_BIT[i % 2];
            let x = activation(&mut rng, &[2, 20], dtype);
            let out = out_params(&mut rng, dtype, 0.05, 0.2);
            let want = expected(&x, &w, Some(&values), out, ACTIVATIONS[i % 3]);
            (x, out, ACTIVATIONS[i % 3], want)
        })
        .collect();
    std::thread::scope(|scope| {
        for start in 0..2 {
            let (layer, cases) = (&layer, &cases);
            scope.spawn(move || {
                for round in 0..40 {
                    let (x, out, activation, want) = &cases[(start + round / 2) % cases.len()];
                    assert_eq!(&ints(&layer.run(x, *out, *activation).unwrap()), want);
                }
            });
        }
    });
    let (x, out, activation, want) = &cases[0];
    assert_eq!(
        &ints(&layer.clone().run(x, *out, *activation).unwrap()),
        want
    );
    assert_eq!(layer.weight(), &w);
    assert_eq!(layer.bias().unwrap().to_vec(), values);
    assert_eq!((layer.in_features(), layer.out_features()), (20, 9));
}

#[test]
fn unusable_weights_and_biases_are_refused_with_what_is_wrong() {
    let weight = Tensor::from_vec(vec![0.5; 6], &[2, 3]).unwrap();
    let good = quantize_per_tensor(&weight, 0.01, 0, DType::QInt8).unwrap();
    let error = |w: &QTensor, b: Option<&Tensor>| PackedLinear::new(w, b).unwrap_err();

    let unsigned = quantize_per_tensor(&weight, 0.01, 0, DType::QUInt8).unwrap();
    assert!(matches!(
        error(&unsigned, None),
        Error::UnsupportedDType {
            actual: DType::QUInt8,
            ..
        }
    ),);
    let across = quantize_per_channel(&weight, &[0.1; 3], &[0; 3], 1, DType::QInt8).unwrap();
    assert!(matches!(
        error(&across, None),
        Error::WeightAxis { axis: 1, .. }
    ));
    let shifted = quantize_per_channel(&weight, &[0.1; 2], &[0, 7], 0, DType::QInt8).unwrap();
    assert!(matches!(
        error(&shifted, None),
        Error::WeightZeroPoint {
            channel: 1,
            zero_point: 7,
            ..
        }
    ));
    let message = error(&good, Some(&Tensor::zeros(&[3]).unwrap())).to_string();
    assert!(
        message.contains("[2]") && message.contains("[3]"),
        "{message}"
    );
    let nan = Tensor::from_vec(vec![0.0, f32::NAN], &[2]).unwrap();
    let message = error(&good, Some(&nan)).to_string();
    assert!(
        message.contains("NaN") && message.contains("channel 1"),
        "{message}"
    );
    let flat = good.reshape(&[6]).unwrap();
    assert!(matches!(
        error(&flat, None),
        Error::Tensor(qtensor_core::Error::Rank { actual: 1, .. })
    ));
    let empty = quantized(&[], &[2, 0], DType::QInt8, 0.1, 0);
    assert!(matches!(error(&empty, None), Error::Kernel(_)));
}

#[test]
fn unusable_inputs_are_refused_with_both_numbers() {
    let mut rng = Rng::new(4);
    let layer = PackedLinear::new(&weights(&mut rng, &[2, 3], false), None).unwrap();
    let out = OutQParams::new(0.1, 0);
    let error = |x: &QTensor, out| layer.run(x, out, Activation::None).unwrap_err();

    let wide = activation(&mut rng, &[2, 5], DType::QUInt8);
    assert!(matches!(
        error(&wide, out),
        Error::Operands {
            expected: 3,
            actual: 5,
            ..
        }
    ));
    let message = error(&wide, out).to_string();
    assert!(
        message.contains("[2, 3]") && message.contains("[2, 5]"),
        "{message}"
    );
    let scalar = quantized(&[1], &[], DType::QUInt8, 0.1, 0);
    assert!(matches!(error(&scalar, out), Error::Tensor(_)));
    let message = error(&scalar, out).to_string();
    assert!(
        message.contains("[2, 3]") && message.contains("[]"),
        "{message}"
    );
    let words = quantized(&[1, 2, 3], &[1, 3], DType::QInt32, 0.1, 0);
    assert!(matches!(
        error(&words, out),
        Error::UnsupportedDType {
            actual: DType::QInt32,
            ..
        }
    ));
    let channels = weights(&mut rng, &[1, 3], true);
    let message = error(&channels, out).to_string();
    assert!(
        message.contains("per-tensor") && message.contains("per-channel"),
        "{message}"
    );
    let x = activation(&mut rng, &[1, 3], DType::QUInt8);
    let message = error(&x, OutQParams::new(0.1, 256)).to_string();
    assert!(
        message.contains("256") && message.contains("255"),
        "{message}"
    );
    assert!(
        error(&x, OutQParams::new(0.0, 0))
            .to_string()
            .contains("scale")
    );
    let tiny = quantized(&[1, 2, 3], &[1, 3], DType::QUInt8, 1e-38, 0);
    assert!(matches!(
        error(&tiny, out),
        Error::Multiplier { channel: 0, .. }
    ));
}

/// An activation on the exact sum, scaled and with its bias, then one rounding.
fn curved(
    x: &QTensor,
    w: &QTensor,
    bias: Option<&[f32]>,
    out: OutQParams,
    curve: impl Fn(f32) -> f32,
) -> Vec<i32> {
    let (n, k) = (w.shape()[0], w.shape()[1]);
    let (scale, z) = map(x);
    let (q, weight) = (ints(x), ints(w));
    let mut y = Vec::new();
    for row in q.chunks(k) {
        for c in 0..n {
            let products = row.iter().zip(&weight[c * k..][..k]);
            let sum: i32 = products.map(|(&q, &w)| (q - z) * w).sum();
            let step = scale * w.quantizer().channel(c).unwrap().0;
            let value = sum as f32 * step + bias.map_or(0.0, |b| b[c]);
            let value = curve(value) * (1.0 / out.scale as f32);
            y.push(stored(value, out, x.dtype(), Activation::None));
        }
    }
    y
}

#[test]
fn curves_are_applied_to_sums_and_rounded_once() {
    let tanh = |v: f32| {
        qops::float::tanh(&Tensor::full(&[1], v).unwrap())
            .unwrap()
            .to_vec()[0]
    };
    let mut rng = Rng::new(5);
    for (m, k, n) in [(1, 1, 1), (3, 33, 17), (5, 64, 65), (2, 257, 48)] {
        for dtype in EIGHT_BIT {
            for per_channel in [false, true] {
                let x = activation(&mut rng, &[m, k], dtype);
                let w = weights(&mut rng, &[n, k], per_channel);
                let values = rng.reals(n, -3.0, 3.0);
                let bias = Tensor::from_slice(&values, &[n]).unwrap();
                let layer = PackedLinear::new(&w, Some(&bias)).unwrap();
                let bare = PackedLinear::new(&w, None).unwrap();
                let out = out_params(&mut rng, dtype, 0.05, 0.4);
                let fine = OutQParams::new(1.0 / 128.0, out.zero_point);
                for slope in [0.01, -0.5, 0.0] {
                    let leaky = |v: f32| if v > 0.0 { v } else { v * slope };
                    let want = curved(&x, &w, Some(&values), out, leaky);
                    for x in layouts(&x) {
                        let y = layer.run_leaky_relu(&x, slope, out).unwrap();
                        assert_eq!(ints(&y), want, "{m} {k} {n} {dtype} {slope}");
                        assert_eq!((y.shape(), y.dtype()), (&[m, n][..], dtype));
                        assert_eq!(OutQParams::of(&y).unwrap(), out);
                    }
                    let want = curved(&x, &w, None, out, leaky);
                    assert_eq!(ints(&bare.run_leaky_relu(&x, slope, out).unwrap()), want);
                }
                let want = curved(&x, &w, Some(&values), fine, tanh);
                assert_eq!(ints(&layer.run_tanh(&x, fine).unwrap()), want);
                let want = curved(&x, &w, None, fine, tanh);
                assert_eq!(ints(&bare.run_tanh(&x, fine).unwrap()), want);
            }
        }
    }
}

#[test]
fn curved_layers_refuse_what_plain_ones_refuse() {
    let mut rng = Rng::new(6);
    let layer = PackedLinear::new(&weights(&mut rng, &[2, 3], false), None).unwrap();
    let out = OutQParams::new(0.1, 0);
    let x = activation(&mut rng, &[1, 3], DType::QUInt8);
    let message = layer
        .run_leaky_relu(&x, f32::NAN, out)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("linear_leaky_relu") && message.contains("NaN"),
        "{message}"
    );
    let wide = activation(&mut rng, &[1, 4], DType::QUInt8);
    assert!(matches!(
        layer.run_tanh(&wide, out).unwrap_err(),
        Error::Operands {
            expected: 3,
            actual: 4,
            ..
        }
    ));
    let huge = quantized(&[1, 2, 3], &[1, 3], DType::QUInt8, 3e38, 0);
    for scale in [1e-3, 1e-38] {
        let out = OutQParams::new(scale, 0);
        assert!(matches!(
            layer.run_leaky_relu(&huge, 0.0, out).unwrap_err(),
            Error::Multiplier { channel: 0, .. }
        ));
    }
    assert!(layer.run_tanh(&x, OutQParams::new(0.1, 256)).is_err());
    let none = quantized(&[], &[0, 3], DType::QInt8, 0.1, 0);
    assert_eq!(layer.run_tanh(&none, out).unwrap().shape(), [0, 2]);
}
