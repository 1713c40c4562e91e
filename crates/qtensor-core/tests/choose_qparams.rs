//! Scales and zero points from ranges: examples by hand and PyTorch's, and ranges that are refused.

use qtensor_core::choose_qparams::{
    ChooseOptions, DEFAULT_EPS, QuantRange, calculate_qparams, choose_qparams_optimized,
    choose_quantization_params,
};
use qtensor_core::{DType, Error, Tensor};

fn plain(min: f32, max: f32, dtype: DType, symmetric: bool) -> (f32, i32) {
    calculate_qparams(
        min,
        max,
        dtype,
        QuantRange::of(dtype, false),
        symmetric,
        DEFAULT_EPS,
    )
    .unwrap()
}

#[test]
fn constants_and_zeros_are_not_special() {
    assert_eq!(plain(5.0, 5.0, DType::QUInt8, false), (5.0 / 255.0, 0));
    assert_eq!(plain(0.0, 0.0, DType::QUInt8, false), (DEFAULT_EPS, 0));
}

#[test]
fn symmetric_divisors_are_half_the_width() {
    assert_eq!(plain(-1.0, 0.5, DType::QInt8, true), (1.0 / 127.5, 0));
    assert_eq!(plain(-1.0, 0.5, DType::QUInt8, true).1, 128);
    let custom = QuantRange::custom(DType::QUInt8, 0, 255, false).unwrap();
    assert_eq!(
        calculate_qparams(-1.0, 1.0, DType::QUInt8, custom, true, DEFAULT_EPS)
            .unwrap()
            .1,
        127
    );
    let narrow = QuantRange::custom(DType::QInt8, -127, 127, false).unwrap();
    assert_eq!(
        calculate_qparams(-1.0, 1.0, DType::QInt8, narrow, true, DEFAULT_EPS)
            .unwrap()
            .0,
        1.0 / 127.0
    );
}

#[test]
fn custom_ranges_must_hold_zero_and_fit() {
    assert!(QuantRange::custom(DType::QUInt8, 1, 255, false).is_err());
    assert!(QuantRange::custom(DType::QUInt8, 0, 256, false).is_err());
    assert!(QuantRange::custom(DType::QInt8, 5, 5, false).is_err());
    let halved = QuantRange::custom(DType::QUInt8, 0, 255, true).unwrap();
    assert_eq!((halved.min, halved.max), (0, 127));
}

#[test]
fn unusable_ranges_are_errors() {
    for (min, max) in [
        (1.0, 0.0),
        (f32::NAN, 1.0),
        (0.0, f32::NAN),
        (0.0, f32::INFINITY),
    ] {
        let range = QuantRange::of(DType::QUInt8, false);
        assert!(calculate_qparams(min, max, DType::QUInt8, range, false, DEFAULT_EPS).is_err());
        let options = ChooseOptions {
            qmin: 0,
            qmax: 255,
            preserve_sparsity: false,
            reduce_range: false,
        };
        assert!(choose_quantization_params(min, max, options).is_err());
    }
}

#[test]
fn empty_integer_ranges_and_vanishing_scales_are_errors() {
    let of = |min, max, eps, dtype, ends: (i32, i32), symmetric| {
        let range = QuantRange {
            min: ends.0,
            max: ends.1,
            custom: true,
        };
        calculate_qparams(min, max, dtype, range, symmetric, eps)
    };
    let (u8, i32) = (DType::QUInt8, DType::QInt32);
    for ends in [(1, 0), (7, 7), (i32::MAX, i32::MIN)] {
        let message = of(-1.0, 1.0, 1e-7, u8, ends, false)
            .unwrap_err()
            .to_string();
        let (min, max) = (ends.0.to_string(), ends.1.to_string());
        assert!(
            message.contains(&min) && message.contains(&max),
            "{message}"
        );
    }
    // The least positive number, 255 of which would be one step.
    for eps in [0.0, -1.0, f32::NAN] {
        for symmetric in [false, true] {
            assert!(of(-1e-45, 0.0, eps, u8, (0, 255), symmetric).is_err());
            assert!(of(0.0, 0.0, eps, u8, (0, 255), symmetric).is_err());
        }
        assert!(of(-1.0, 0.0, eps, u8, (0, 255), false).is_ok());
    }
    let far = (i32::MAX - 1, i32::MAX);
    assert_eq!(of(-1.0, 1.0, 1e-7, u8, far, true), Ok((2.0, i32::MAX - 1)));
    let widest = (i32::MIN, i32::MAX);
    assert!(of(-1.0, 1.0, 1e-7, i32, widest, false).is_ok());
}

#[test]
fn a_width_that_overflows_is_an_error() {
    for symmetric in [false, true] {
        let range = QuantRange::of(DType::QInt8, false);
        let (min, max) = (f32::MIN, f32::MAX);
        let qparams = calculate_qparams(min, max, DType::QInt8, range, symmetric, DEFAULT_EPS);
        assert!(matches!(qparams, Err(Error::InvalidRange { .. })));
    }
}

#[test]
fn dynamic_routine_refuses_empty_integer_ranges_and_takes_the_widest() {
    let options = |qmin, qmax, preserve_sparsity, reduce_range| ChooseOptions {
        qmin,
        qmax,
        preserve_sparsity,
        reduce_range,
    };
    for bad in [
        options(255, 0, false, false),
        options(7, 7, false, false),
        // Halving leaves nothing of this one, and half of the other's width is no divisor.
        options(0, 1, false, true),
        options(0, 1, true, false),
        options(i32::MAX, i32::MIN, true, false),
    ] {
        let refused = choose_quantization_params(-1.0, 1.0, bad);
        let Err(Error::InvalidRange { min, max, .. }) = refused else {
            panic!("{bad:?} gave {refused:?}");
        };
        assert!(min >= max || max - min < 2.0, "{bad:?}");
    }
    let (scale, zero_point) =
        choose_quantization_params(0.0, 1e6, options(i32::MIN, i32::MAX, false, false)).unwrap();
    assert_eq!((scale, zero_point), (1e6 / 4_294_967_295.0, i32::MIN));
    for reduce_range in [false, true] {
        let widest = options(i32::MIN, i32::MAX, true, reduce_range);
        let (scale, zero_point) = choose_quantization_params(-1e6, 1e6, widest).unwrap();
        let half = if reduce_range {
            2f64.powi(30)
        } else {
            2f64.powi(31)
        };
        assert_eq!((scale, zero_point), (1e6 / (half - 1.0), 0));
    }
}

#[test]
fn dynamic_routine_handles_zero_tiny_and_symmetric_ranges() {
    let unsigned = ChooseOptions {
        qmin: 0,
        qmax: 255,
        preserve_sparsity: false,
        reduce_range: false,
    };
    assert_eq!(
        choose_quantization_params(0.0, 0.0, unsigned).unwrap(),
        (0.1, 0)
    );
    let (scale, zero_point) = choose_quantization_params(0.0, 1e-6, unsigned).unwrap();
    assert_eq!((scale as f32, zero_point), (6.1e-5, 0));
    let signed = ChooseOptions {
        qmin: -128,
        qmax: 127,
        preserve_sparsity: true,
        reduce_range: false,
    };
    let (scale, zero_point) = choose_quantization_params(-1.0, 3.0, signed).unwrap();
    assert_eq!((scale, zero_point), (3.0 / 127.0, 0));
    let (scale, _) = choose_quantization_params(-128.0, 3.0, signed).unwrap();
    assert_eq!(scale, 1.0);
}

fn row(n: i32, f: impl Fn(f32) -> f32) -> Vec<f32> {
    (0..n)
        .map(|i| f((i * 7919 % 1000) as f32 / 500.0 - 1.0))
        .collect()
}

/// Recorded from PyTorch 2.6.
#[test]
fn ranges_are_those_of_pytorch() {
    let mut outlier = row(64, |v| v);
    outlier[3] = 3.0;
    let x = Tensor::from_vec(outlier, &[64]).unwrap();
    let cubes = Tensor::from_vec(row(1000, |v| v * v * v), &[10, 100]).unwrap();
    for (x, ratio, bits, (min, max)) in [
        (&x, 0.16, 8, (-1.0, 3.0)),
        (&x, 0.16, 4, (-0.92, 2.94)),
        (&x, 0.16, 2, (-1.0, 3.0)),
        (&cubes, 0.5, 8, (-1.0, 0.9940)),
        (&cubes, 0.5, 4, (-0.9900, 0.8744)),
        (&cubes, 0.5, 2, (-0.8704, 0.5154)),
    ] {
        let got = choose_qparams_optimized(x, 200, ratio, bits).unwrap();
        let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
        assert!(near(got.0, min) && near(got.1, max), "{bits} bits: {got:?}");
    }
}

#[test]
fn mistakes_are_refused_and_the_search_ends() {
    let x = Tensor::from_vec(vec![1.0, f32::NAN], &[2]).unwrap();
    assert!(choose_qparams_optimized(&x, 200, 0.16, 4).is_err());
    let x = Tensor::from_vec(vec![1.0, 2.0], &[2]).unwrap();
    assert!(choose_qparams_optimized(&x, 0, 0.16, 4).is_err());
    assert!(choose_qparams_optimized(&x, 9, 1.5, 4).is_err());
    assert!(choose_qparams_optimized(&x, 9, 0.5, 9).is_err());
    assert!(choose_qparams_optimized(&Tensor::zeros(&[0]).unwrap(), 9, 0.5, 4).is_err());
    let near = Tensor::from_vec(vec![1e8, 1e8 + 8.0], &[2]).unwrap();
    let (min, max) = choose_qparams_optimized(&near, 1000, 1.0, 8).unwrap();
    assert!(1e8 <= min && min <= max && max <= 1e8 + 8.0);
}
