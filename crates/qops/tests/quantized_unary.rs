//! Activation functions: all 256 bytes against the formulas, in every layout, and what is refused.

use crate::common::*;
use qops::Error;
use qops::quantized::*;
use qtensor_core::{DType, QTensor};

type Unary = fn(&QTensor, OutQParams) -> qops::Result<QTensor>;
type Into = fn(&QTensor, &mut QTensor) -> qops::Result<()>;

/// A function with the formula in `f64` of the dequantized number, the explicit form, and the one with a destination.
struct Function {
    name: &'static str,
    formula: fn(f64) -> f64,
    explicit: Unary,
    into: Into,
}

fn expm1_of_negatives(x: f64, alpha: f64, inner: f64) -> f64 {
    if x > 0.0 {
        x
    } else {
        alpha * (x / inner).exp_m1()
    }
}

const FUNCTIONS: [Function; 8] = [
    Function {
        name: "requantize",
        formula: |x| x,
        explicit: requantize,
        into: requantize_out,
    },
    Function {
        name: "sigmoid",
        formula: |x| 1.0 / (1.0 + (-x).exp()),
        explicit: |x, out| sigmoid(x, Some(out)),
        into: sigmoid_out,
    },
    Function {
        name: "tanh",
        formula: f64::tanh,
        explicit: |x, out| tanh(x, Some(out)),
        into: tanh_out,
    },
    Function {
        name: "hardsigmoid",
        formula: |x| f64::from((x as f32 + 3.0).clamp(0.0, 6.0) / 6.0),
        explicit: |x, out| hardsigmoid(x, Some(out)),
        into: hardsigmoid_out,
    },
    Function {
        name: "hardswish",
        formula: |x| {
            let x = (x as f32).max(f32::MIN);
            f64::from(x * (x + 3.0).clamp(0.0, 6.0) / 6.0)
        },
        explicit: hardswish,
        into: hardswish_out,
    },
    Function {
        name: "elu",
        formula: |x| expm1_of_negatives(x, f64::from(0.7f32), 1.0),
        explicit: |x, out| elu(x, 0.7, out),
        into: |x, out| elu_out(x, 0.7, out),
    },
    Function {
        name: "celu",
        formula: |x| expm1_of_negatives(x, f64::from(1.3f32), f64::from(1.3f32)),
        explicit: |x, out| celu(x, 1.3, out),
        into: |x, out| celu_out(x, 1.3, out),
    },
    Function {
        name: "leaky_relu",
        formula: |x| {
            let x = (x as f32).max(f32::MIN);
            f64::from(if x > 0.0 { x } else { x * 0.1 })
        },
        explicit: |x, out| leaky_relu(x, 0.1, Some(out)),
        into: |x, out| leaky_relu_out(x, 0.1, out),
    },
];

/// Every integer of a type, in a shape with channels.
fn all_bytes(dtype: DType, scale: f64, z: i32) -> QTensor {
    let (lo, hi) = dtype.range();
    quantized(
        &(lo..=hi).collect::<Vec<_>>(),
        &[2, 4, 8, 4],
        dtype,
        scale,
        z,
    )
}

/// The formula for all elements: in `f64` of the dequantized `f32`, rounded to `f32`, quantized.
fn wanted(x: &QTensor, out: OutQParams, formula: impl Fn(f64) -> f64) -> Vec<i32> {
    let (scale, z) = map(x);
    let inverse = 1.0 / out.scale as f32;
    let one = |q: i32| {
        let real = scale * (q - z) as f32;
        let value = formula(f64::from(real)) as f32;
        stored(value * inverse, out, x.dtype(), Activation::None)
    };
    ints(x).into_iter().map(one).collect()
}

/// Zero points at and near the ends and in the middle of a type.
fn zero_points(dtype: DType) -> [i32; 4] {
    let (lo, hi) = dtype.range();
    [lo, lo + 1, lo + 127, hi]
}

#[test]
fn every_byte_follows_the_formula() {
    for dtype in EIGHT_BIT {
        for z in zero_points(dtype) {
            for (scale, out_scale) in [(0.05, 0.04), (0.001, 0.003), (1.7, 0.5), (0.5, 0.25)] {
                let x = all_bytes(dtype, scale, z);
                for out_z in zero_points(dtype) {
                    let out = OutQParams::new(out_scale, out_z);
                    for f in &FUNCTIONS {
                        let y = (f.explicit)(&x, out).unwrap();
                        let want = wanted(&x, out, f.formula);
                        assert_eq!(ints(&y), want, "{} {dtype} {z} {scale} {out:?}", f.name);
                        assert_eq!((OutQParams::of(&y).unwrap(), y.dtype()), (out, dtype));
                    }
                }
            }
        }
    }
}

#[test]
fn extreme_scales_saturate_and_never_make_a_nan() {
    for dtype in EIGHT_BIT {
        for z in zero_points(dtype) {
            for (scale, out_scale) in [(3e38, 0.5), (1e-37, 0.01), (3e38, 3e38), (1.0, 1e-37)] {
                let (x, out) = (all_bytes(dtype, scale, z), OutQParams::new(out_scale, z));
                for f in &FUNCTIONS {
                    // To its own map nothing is computed, so nothing overflows.
                    if f.name == "requantize" && scale == out_scale {
                        continue;
                    }
                    let y = (f.explicit)(&x, out).unwrap();
                    let want = wanted(&x, out, f.formula);
                    assert_eq!(ints(&y), want, "{} {dtype} {z} {scale} {out:?}", f.name);
                }
                assert!(ints(&leaky_relu(&x, 0.0, None).unwrap())[0] <= z);
                let x = all_bytes(dtype, scale, z);
                for kind in [Gelu::Exact, Gelu::Tanh] {
                    let least = ints(&gelu(&x, kind).unwrap())[0];
                    assert!(
                        least <= z,
                        "{kind:?} of the least number is at most 0: {least}"
                    );
                }
            }
        }
    }
}

#[test]
fn functions_that_keep_the_map_follow_the_formula() {
    for dtype in EIGHT_BIT {
        for z in zero_points(dtype) {
            for scale in [0.05, 0.003, 1.7, 0.5] {
                let x = all_bytes(dtype, scale, z);
                let own = OutQParams::of(&x).unwrap();
                let check = |y: QTensor, formula: &dyn Fn(f64) -> f64| {
                    assert_eq!(ints(&y), wanted(&x, own, formula), "{dtype} {z} {scale}");
                    assert_eq!((OutQParams::of(&y).unwrap(), y.dtype()), (own, dtype));
                };
                check(leaky_relu(&x, 0.1, None).unwrap(), &FUNCTIONS[7].formula);
                check(threshold(&x, 0.5, -2.0).unwrap(), &|v| {
                    if v > 0.5 { v } else { -2.0 }
                });
                check(
                    threshold(&x, f32::INFINITY, f32::INFINITY).unwrap(),
                    &|_| f64::INFINITY,
                );
                check(gelu(&x, Gelu::Exact).unwrap(), &|v| v * normal(v));
                check(gelu(&x, Gelu::Tanh).unwrap(), &|v| {
                    let inner = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3));
                    0.5 * v * (1.0 + inner.tanh())
                });
            }
        }
    }
}

/// The distribution function of a normal variable, by Simpson's rule from 0; `std` has no error function.
fn normal(x: f64) -> f64 {
    const STEPS: usize = 2000;
    let end = x.clamp(-10.0, 10.0);
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let h = end / STEPS as f64;
    let inner: f64 = (1..STEPS)
        .map(|i| density(i as f64 * h) * if i % 2 == 1 { 4.0 } else { 2.0 })
        .sum();
    0.5 + (density(0.0) + inner + density(end)) * h / 3.0
}

#[test]
fn the_default_maps_are_those_of_the_functions_range() {
    for dtype in EIGHT_BIT {
        let x = all_bytes(dtype, 0.05, 3);
        let unit = OutQParams::new(1.0 / 256.0, dtype.range().0);
        let symmetric = OutQParams::new(1.0 / 128.0, dtype.range().0 + 128);
        for (default, explicit, out) in [
            (sigmoid(&x, None), sigmoid(&x, Some(unit)), unit),
            (hardsigmoid(&x, None), hardsigmoid(&x, Some(unit)), unit),
            (tanh(&x, None), tanh(&x, Some(symmetric)), symmetric),
        ] {
            let default = default.unwrap();
            assert_eq!(default, explicit.unwrap());
            assert_eq!(OutQParams::of(&default).unwrap(), out);
        }
    }
}

#[test]
fn layouts_sizes_and_destinations_do_not_change_a_result() {
    let mut rng = Rng::new(11);
    for dtype in EIGHT_BIT {
        // Below and above the size from which on a table is made.
        for shape in [
            &[][..],
            &[0, 3],
            &[5],
            &[7, 9],
            &[2, 3, 4, 5],
            &[2, 5, 9, 11],
        ] {
            let x = activation(&mut rng, shape, dtype);
            let out = out_params(&mut rng, dtype, 0.01, 0.1);
            for f in &FUNCTIONS {
                let want = wanted(&x, out, f.formula);
                for x in layouts(&x) {
                    assert_eq!(ints(&(f.explicit)(&x, out).unwrap()), want, "{}", f.name);
                }
                for mut y in layouts(&activation(&mut rng, shape, dtype)) {
                    (f.into)(&x, &mut y).unwrap();
                    let want = (f.explicit)(&x, OutQParams::of(&y).unwrap()).unwrap();
                    assert_eq!(y, want, "{}", f.name);
                }
            }
        }
    }
}

#[test]
fn requantizing_to_the_same_map_copies_nothing() {
    let x = all_bytes(DType::QUInt8, 0.05, 3);
    let y = requantize(&x, OutQParams::of(&x).unwrap()).unwrap();
    assert!(y.shares_storage_with(&x));
    assert_eq!(y, x);
}

#[test]
fn mistakes_are_errors_with_both_numbers() {
    let mut rng = Rng::new(12);
    let x = activation(&mut rng, &[2, 3], DType::QUInt8);
    let words = quantized(&[0; 6], &[2, 3], DType::QInt32, 0.1, 0);
    let channels = weights(&mut rng, &[2, 3], true);
    let out = OutQParams::new(0.1, 0);
    for f in &FUNCTIONS {
        assert!(matches!(
            (f.explicit)(&words, out),
            Err(Error::UnsupportedDType { .. })
        ));
        assert!(matches!(
            (f.explicit)(&channels, out),
            Err(Error::Tensor(_))
        ));
        let bad = OutQParams::new(0.1, 256);
        let message = (f.explicit)(&x, bad).unwrap_err().to_string();
        assert!(
            message.contains("256") && message.contains("255"),
            "{message}"
        );
        assert!((f.explicit)(&x, OutQParams::new(-1.0, 0)).is_err());

        let mut other = activation(&mut rng, &[3, 2], DType::QUInt8);
        let before = other.clone();
        let message = (f.into)(&x, &mut other).unwrap_err().to_string();
        assert!(
            message.contains("[2, 3]") && message.contains("[3, 2]") && message.contains(f.name),
            "{message}"
        );
        assert_eq!(other, before);
        let mut signed = activation(&mut rng, &[2, 3], DType::QInt8);
        assert!(matches!(
            (f.into)(&x, &mut signed),
            Err(Error::DTypesDiffer { .. })
        ));
    }
    for (result, number) in [
        (elu(&x, f32::NAN, out), "NaN"),
        (elu(&x, f32::INFINITY, out), "inf"),
        (celu(&x, 0.0, out), "0"),
        (celu(&x, -0.5, out), "-0.5"),
        (leaky_relu(&x, f32::NEG_INFINITY, None), "-inf"),
        (threshold(&x, f32::NAN, 0.0), "NaN"),
        (threshold(&x, 0.0, f32::NAN), "NaN"),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(number), "{message}");
    }
    for result in [
        sigmoid(&words, None),
        tanh(&words, None),
        hardsigmoid(&words, None),
        leaky_relu(&words, 0.1, None),
        threshold(&words, 0.0, 0.0),
        gelu(&words, Gelu::Exact),
    ] {
        assert!(matches!(result, Err(Error::UnsupportedDType { .. })));
    }
}
