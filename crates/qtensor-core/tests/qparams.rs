//! Checks of scales, zero points and ranges: what is refused, and that the message has both numbers.

use qtensor_core::choose_qparams::{
    ChooseOptions, DEFAULT_EPS, QuantRange, calculate_qparams, choose_quantization_params,
};
use qtensor_core::{DType, Error, Quantizer, Tensor, quantize_per_channel, quantize_per_tensor};

#[test]
fn scales_must_be_positive_finite_and_invertible() {
    let x = Tensor::ones(&[2]).unwrap();
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60, 1e-39, 1e60] {
        let result = quantize_per_tensor(&x, scale, 0, DType::QInt8);
        assert!(
            matches!(result, Err(Error::InvalidScale { channel: None, .. })),
            "{scale}: {result:?}"
        );
        let result = quantize_per_channel(&x, &[1.0, scale], &[0, 0], 0, DType::QInt8);
        assert!(matches!(
            result,
            Err(Error::InvalidScale {
                channel: Some(1),
                ..
            })
        ));
    }
    for scale in [
        f64::from(f32::MIN_POSITIVE),
        1e-30,
        1.0,
        f64::from(f32::MAX),
    ] {
        assert!(
            quantize_per_tensor(&x, scale, 0, DType::QInt8).is_ok(),
            "{scale}"
        );
    }
}

#[test]
fn zero_points_must_fit_the_type() {
    let x = Tensor::ones(&[2]).unwrap();
    for (dtype, good, bad) in [
        (DType::QUInt8, [0, 255], [-1, 256]),
        (DType::QInt8, [-128, 127], [-129, 128]),
    ] {
        for z in good {
            assert!(quantize_per_tensor(&x, 1.0, z, dtype).is_ok());
        }
        for z in bad {
            let (lo, hi) = dtype.range();
            assert_eq!(
                quantize_per_channel(&x, &[1.0; 2], &[0, z], 0, dtype).err(),
                Some(Error::InvalidZeroPoint {
                    operation: "quantize_per_channel",
                    zero_point: z.into(),
                    dtype,
                    lo: lo.into(),
                    hi: hi.into(),
                    channel: Some(1)
                })
            );
        }
    }
}

#[test]
fn messages_name_both_numbers() {
    let x = Tensor::ones(&[2, 3]).unwrap();
    let message = |result: Result<_, Error>| result.err().map(|e| e.to_string());
    let says = |text: Option<String>, parts: &[&str]| {
        let text = text.expect("an error");
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing from {text:?}");
        }
    };
    says(
        message(quantize_per_channel(&x, &[1.0; 2], &[0; 3], 1, DType::QInt8).map(drop)),
        &["axis 1", "3 channels", "2 scales", "3 zero points"],
    );
    says(
        message(quantize_per_channel(&x, &[1.0; 2], &[0; 2], 2, DType::QInt8).map(drop)),
        &["dimension 2", "2 dimensions"],
    );
    says(
        message(Tensor::from_vec(vec![1.0; 5], &[2, 3]).map(drop)),
        &["6 values", "5 were given"],
    );
    says(
        message(x.get(&[1, 3]).map(drop)),
        &["index 3", "length 3", "dimension 1"],
    );
    says(message(x.view(&[4, 2]).map(drop)), &["[4, 2]", "[2, 3]"]);
    let q = quantize_per_channel(&x, &[1.0; 2], &[0; 2], 0, DType::QInt8).unwrap();
    says(
        message(q.q_scale().map(drop)),
        &["q_scale", "per-tensor", "per-channel"],
    );
    let t = quantize_per_tensor(&x, 1.0, 0, DType::QInt8).unwrap();
    says(
        message(t.q_per_channel_axis().map(drop)),
        &["per-channel", "per-tensor"],
    );
    says(
        message(QuantRange::custom(DType::QUInt8, -3, 300, false).map(drop)),
        &["-3", "300", "storage type"],
    );
}

#[test]
fn quantizers_answer_for_their_channels() {
    let per_channel = Quantizer::per_channel(&[0.5, 0.25], &[1, 2], 0);
    assert_eq!(per_channel.channel(1), Some((0.25, 2)));
    assert_eq!(per_channel.channel(2), None);
    assert_eq!(per_channel.kind(), "per-channel");
    assert_eq!(Quantizer::per_tensor(0.5, 3).channel(9), Some((0.5, 3)));
}

#[test]
fn chosen_qparams_are_always_valid_and_represent_zero() {
    let ends = [0.0f32, 1e-30, 1e-9, 1e-3, 0.7, 1.0, 127.5, 1e6, 1e30];
    for lo in ends {
        for hi in ends {
            for (min, max) in [
                (-lo, hi),
                (lo.min(hi), lo.max(hi)),
                (-lo.max(hi), -lo.min(hi)),
            ] {
                for dtype in DType::ALL {
                    for (reduce, symmetric) in [(false, false), (true, false), (false, true)] {
                        let range = QuantRange::of(dtype, reduce);
                        let (scale, z) =
                            calculate_qparams(min, max, dtype, range, symmetric, DEFAULT_EPS)
                                .unwrap();
                        Quantizer::per_tensor(scale.into(), z)
                            .validate("test", dtype, &[])
                            .unwrap();
                        assert!(scale >= DEFAULT_EPS);
                        assert!(symmetric || (range.min..=range.max).contains(&z));
                    }
                }
                for (qmin, qmax, dtype) in [(0, 255, DType::QUInt8), (-128, 127, DType::QInt8)] {
                    for preserve_sparsity in [false, true] {
                        let options = ChooseOptions {
                            qmin,
                            qmax,
                            preserve_sparsity,
                            reduce_range: false,
                        };
                        let (scale, z) = choose_quantization_params(min, max, options).unwrap();
                        Quantizer::per_tensor(scale, z)
                            .validate("test", dtype, &[])
                            .unwrap();
                    }
                }
            }
        }
    }
}
