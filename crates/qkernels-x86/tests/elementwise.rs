//! Every elementwise kernel, on every tier and thread count, against the scalar formula.

use crate::common::{contexts, isas};
use qkernels_x86::{
    Context, Error, MinMax, OutputRange, add, clamp, dequantize_i8, dequantize_u8, flip_sign,
    lookup, min_max, mul, quantize_i8, quantize_u8, to_channels_first, to_channels_last,
};

/// Lengths around the widths of vectors and blocks, and one that is cut for several threads.
const LENGTHS: [usize; 16] = [
    0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000, 300_001,
];

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn round(x: f32) -> f64 {
    f64::from(x).round_ties_even()
}

/// The textbook order: round, add the zero point, clamp; NaN gives the upper bound.
fn finish(scaled: f32, range: OutputRange) -> i32 {
    if scaled.is_nan() {
        return range.hi;
    }
    (round(scaled) + f64::from(range.zero_point)).clamp(f64::from(range.lo), f64::from(range.hi))
        as i32
}

const RANGES: [OutputRange; 5] = [
    OutputRange {
        zero_point: 0,
        lo: 0,
        hi: 255,
    },
    OutputRange {
        zero_point: 1,
        lo: 0,
        hi: 255,
    },
    OutputRange {
        zero_point: 127,
        lo: 127,
        hi: 255,
    },
    OutputRange {
        zero_point: 255,
        lo: 0,
        hi: 255,
    },
    OutputRange {
        zero_point: 10,
        lo: 10,
        hi: 60,
    },
];

#[test]
fn add_equals_dequantize_add_quantize() {
    for len in LENGTHS {
        let (a, b) = (bytes(1, len), bytes(2, len));
        for (i, range) in RANGES.into_iter().enumerate() {
            // Powers of two make ties; the others are ordinary scales.
            let scales = [(0.5, 0.25, 1.0), (0.1, 0.0173, 7.3), (3.0, 2.0, 0.25)];
            let (sa, sb, inv) = scales[i % scales.len()];
            let (za, zb) = ([0, 127, 255, 1, 128][i], [255, 0, 1, 127, 128][i]);
            let want: Vec<u8> = (a.iter().zip(&b))
                .map(|(&a, &b)| {
                    let a = sa * (i32::from(a) - za) as f32;
                    let b = sb * (i32::from(b) - zb) as f32;
                    finish((a + b) * inv, range) as u8
                })
                .collect();
            contexts(|ctx| {
                let mut out = vec![0; len];
                let added = add(ctx, &a, (sa, za), &b, (sb, zb), inv, range, &mut out);
                assert_eq!(added, Ok(()));
                assert!(out == want, "{ctx:?}, length {len}, {range:?}");
            });
        }
    }
}

#[test]
fn mul_equals_the_integer_product_times_the_multiplier() {
    for len in LENGTHS {
        let (a, b) = (bytes(3, len), bytes(4, len));
        for (i, range) in RANGES.into_iter().enumerate() {
            let multiplier = [0.5, 0.003_921_6, 0.25, 1.0 / 64.0, 1e9][i];
            let (za, zb) = ([0, 127, 255, 1, 128][i], [255, 0, 1, 127, 128][i]);
            let want: Vec<u8> = (a.iter().zip(&b))
                .map(|(&a, &b)| {
                    let product = (i32::from(a) - za) * (i32::from(b) - zb);
                    finish(product as f32 * multiplier, range) as u8
                })
                .collect();
            contexts(|ctx| {
                let mut out = vec![0; len];
                assert_eq!(
                    mul(ctx, &a, za, &b, zb, multiplier, range, &mut out),
                    Ok(())
                );
                assert!(out == want, "{ctx:?}, length {len}, {range:?}");
            });
        }
    }
}

#[test]
fn bytewise_operations_equal_their_formulas() {
    let table: [u8; 256] = std::array::from_fn(|i| (i * 37 % 251) as u8);
    for len in LENGTHS {
        let x = bytes(5, len);
        contexts(|ctx| {
            let mut out = vec![0; len];
            assert_eq!(lookup(ctx, &x, &table, &mut out), Ok(()));
            assert!(out.iter().zip(&x).all(|(&o, &x)| o == table[x as usize]));
            assert_eq!(clamp(ctx, &x, 17, 200, &mut out), Ok(()));
            assert!(out.iter().zip(&x).all(|(&o, &x)| o == x.clamp(17, 200)));
            let mut signed = vec![0i8; len];
            assert_eq!(flip_sign(ctx, &x, &mut signed), Ok(()));
            assert!(
                signed
                    .iter()
                    .zip(&x)
                    .all(|(&s, &x)| i32::from(s) == i32::from(x) - 128)
            );
            assert_eq!(flip_sign(ctx, &signed, &mut out), Ok(()));
            assert!(out == x, "{ctx:?}, length {len}");
        });
    }
}

/// Ordinary values, ties, values far outside, and everything that is not a number.
fn floats(len: usize) -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        0.25,
        0.75,
        -0.25,
        -0.75,
        1.25,
        63.75,
        64.25,
        -64.25,
        1e30,
        -1e30,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        -f32::NAN,
        1e-45,
    ];
    let ordinary = bytes(6, 2 * len);
    (0..len)
        .map(|i| match i % 3 {
            0 => special[i / 3 % special.len()],
            1 => f32::from(i16::from_le_bytes([ordinary[2 * i], ordinary[2 * i + 1]])) * 0.25,
            _ => (f32::from(ordinary[i]) - 128.0) * 0.731,
        })
        .collect()
}

#[test]
fn quantize_rounds_half_to_even_saturates_and_maps_nan_to_the_greatest() {
    for len in LENGTHS {
        let x = floats(len);
        for inv in [2.0f32, 1.0, 0.371] {
            for zero_point in [0, 1, 127, 255] {
                let range = OutputRange {
                    zero_point,
                    lo: 0,
                    hi: 255,
                };
                let want: Vec<u8> = x.iter().map(|&x| finish(x * inv, range) as u8).collect();
                let signed = OutputRange {
                    zero_point: zero_point - 128,
                    lo: -128,
                    hi: 127,
                };
                let want_signed: Vec<i8> =
                    x.iter().map(|&x| finish(x * inv, signed) as i8).collect();
                contexts(|ctx| {
                    let mut out = vec![0u8; len];
                    assert_eq!(quantize_u8(ctx, &x, inv, zero_point, &mut out), Ok(()));
                    assert!(
                        out == want,
                        "{ctx:?}, length {len}, zero point {zero_point}"
                    );
                    let mut out = vec![0i8; len];
                    assert_eq!(
                        quantize_i8(ctx, &x, inv, zero_point - 128, &mut out),
                        Ok(())
                    );
                    assert!(
                        out == want_signed,
                        "{ctx:?}, length {len}, zero point {zero_point}"
                    );
                });
            }
        }
    }
    let ctx = Context::with(isas()[0], 1);
    let mut out = [0u8; 3];
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    assert_eq!(quantize_u8(&ctx, &x, 1.0, 9, &mut out), Ok(()));
    assert_eq!(out, [255, 255, 0]);
}

#[test]
fn the_reciprocal_multiplies_instead_of_dividing() {
    let ctx = Context::with(isas()[0], 1);
    let mut out = [0u8];
    let inv = 1.0 / 0.002_148_548_6_f32;
    assert_eq!(quantize_u8(&ctx, &[0.273_939_94], inv, 0, &mut out), Ok(()));
    assert_eq!(out, [128]);
}

#[test]
fn dequantize_equals_its_formula_bit_for_bit() {
    for len in LENGTHS {
        let q = bytes(7, len);
        let signed: Vec<i8> = q.iter().map(|&q| q as i8).collect();
        for (scale, zero_point) in [
            (0.1f32, 0),
            (0.037, 127),
            (1.5, 255),
            (f32::MIN_POSITIVE, 1),
        ] {
            contexts(|ctx| {
                let mut out = vec![0.0f32; len];
                assert_eq!(dequantize_u8(ctx, &q, scale, zero_point, &mut out), Ok(()));
                let want = |q: i32, z: i32| (scale * (q - z) as f32).to_bits();
                let same =
                    (out.iter().zip(&q)).all(|(o, &q)| o.to_bits() == want(q.into(), zero_point));
                assert!(same, "{ctx:?}, length {len}");
                let z = zero_point - 128;
                assert_eq!(dequantize_i8(ctx, &signed, scale, z, &mut out), Ok(()));
                let same =
                    (out.iter().zip(&signed)).all(|(o, &q)| o.to_bits() == want(q.into(), z));
                assert!(same, "{ctx:?}, length {len}");
            });
        }
    }
}

#[test]
fn min_max_ignores_order_and_reports_nan() {
    for len in LENGTHS {
        let mut x = floats(len);
        for keep_nan in [true, false] {
            if !keep_nan {
                x.retain(|x| !x.is_nan());
            }
            let numbers = x.iter().copied().filter(|x| !x.is_nan());
            let want = (!x.is_empty()).then(|| MinMax {
                min: numbers.clone().fold(f32::INFINITY, f32::min),
                max: numbers.fold(f32::NEG_INFINITY, f32::max),
                nan: x.iter().any(|x| x.is_nan()),
            });
            contexts(|ctx| assert_eq!(min_max(ctx, &x), want, "{ctx:?}, length {len}"));
        }
    }
    // The sign of a zero must not depend on which one a lane meets first.
    for len in [2, 31, 64, 65, 200_000] {
        let x: Vec<f32> = (0..len)
            .map(|i| if i % 3 == 0 { 0.0 } else { -0.0 })
            .collect();
        contexts(|ctx| {
            let seen = min_max(ctx, &x).map(|seen| (seen.min.to_bits(), seen.max.to_bits()));
            assert_eq!(seen, Some((0, 0)), "{ctx:?}, length {len}");
        });
    }
    // Every position of an extreme is seen.
    for len in [1, 32, 33, 100] {
        for at in 0..len {
            let mut x = vec![1.0f32; len];
            x[at] = -3.0;
            contexts(|ctx| assert_eq!(min_max(ctx, &x).map(|seen| seen.min), Some(-3.0)));
        }
    }
    let nothing = MinMax {
        min: f32::INFINITY,
        max: f32::NEG_INFINITY,
        nan: true,
    };
    contexts(|ctx| assert_eq!(min_max(ctx, &[f32::NAN; 40]), Some(nothing)));
}

#[test]
fn layouts_are_transposes_and_inverses() {
    let shapes = [
        (1, 1, 1),
        (2, 3, 5),
        (1, 3, 3000),
        (3, 2, 33),
        (1, 4, 40),
        (1, 7, 31),
        (2, 8, 32),
        (1, 9, 65),
        (1, 15, 63),
        (2, 16, 64),
        (1, 17, 49),
        (1, 33, 1),
        (2, 64, 49),
        (1, 65, 100),
        (1, 3, 60_000),
        (16, 33, 300),
        (1, 100, 2500),
        (0, 3, 5),
        (2, 0, 5),
        (2, 5, 0),
    ];
    for (batch, channels, spatial) in shapes {
        let x = bytes(8, batch * channels * spatial);
        let wide: Vec<f32> = x.iter().map(|&x| f32::from(x)).collect();
        let mut want = vec![0; x.len()];
        for image in 0..batch {
            for c in 0..channels {
                for s in 0..spatial {
                    want[(image * spatial + s) * channels + c] =
                        x[(image * channels + c) * spatial + s];
                }
            }
        }
        let want_wide: Vec<f32> = want.iter().map(|&x| f32::from(x)).collect();
        contexts(|ctx| {
            let what = format!("{ctx:?}, {batch} x {channels} x {spatial}");
            let mut out = vec![0; x.len()];
            assert_eq!(
                to_channels_last(ctx, &x, batch, channels, spatial, &mut out),
                Ok(())
            );
            assert!(out == want, "{what}");
            assert_eq!(
                to_channels_first(ctx, &want, batch, channels, spatial, &mut out),
                Ok(())
            );
            assert!(out == x, "{what}");
            let mut out = vec![0.0; x.len()];
            assert_eq!(
                to_channels_last(ctx, &wide, batch, channels, spatial, &mut out),
                Ok(())
            );
            assert!(out == want_wide, "{what}");
            assert_eq!(
                to_channels_first(ctx, &want_wide, batch, channels, spatial, &mut out),
                Ok(())
            );
            assert!(out == wide, "{what}");
        });
    }
}

#[test]
fn inputs_may_carry_slack() {
    contexts(|ctx| {
        let mut out = [0u8; 3];
        assert_eq!(clamp(ctx, &[1, 2, 3, 99, 99], 2, 255, &mut out), Ok(()));
        assert_eq!(out, [2, 2, 3]);
    });
}

#[test]
fn mistakes_are_errors_with_both_numbers() {
    let ctx = &Context::with(isas()[0], 1);
    let mut out = [0u8; 4];
    let short = |operation, buffer, expected, actual| {
        Err(Error::Length {
            operation,
            buffer,
            expected,
            actual,
        })
    };
    let range = RANGES[0];
    let params = (1.0, 0);
    let result = add(ctx, &[0; 3], params, &[0; 4], params, 1.0, range, &mut out);
    assert_eq!(result, short("add", "a", 4, 3));
    let result = mul(ctx, &[0; 4], 0, &[0; 2], 0, 1.0, range, &mut out);
    assert_eq!(result, short("mul", "b", 4, 2));
    assert_eq!(
        quantize_u8(ctx, &[0.0], 1.0, 0, &mut out),
        short("quantize_u8", "x", 4, 1)
    );
    let result = to_channels_last(ctx, &[0; 8], 1, 2, 4, &mut out);
    assert_eq!(result, short("to_channels_last", "out", 8, 4));
    let huge = usize::MAX / 2;
    let result = to_channels_first(ctx, &[0; 8], huge, 2, 4, &mut out);
    assert_eq!(
        result,
        Err(Error::TooLarge {
            operation: "to_channels_first"
        })
    );

    let outside = |operation, zero_point, lo, hi, allowed| {
        Err(Error::Range {
            operation,
            lo,
            hi,
            zero_point,
            allowed,
        })
    };
    let result = quantize_u8(ctx, &[0.0; 4], 1.0, 256, &mut out);
    assert_eq!(result, outside("quantize_u8", 256, 0, 255, "0..=255"));
    let result = quantize_i8(ctx, &[0.0; 4], 1.0, 128, &mut [0i8; 4]);
    assert_eq!(result, outside("quantize_i8", 128, -128, 127, "-128..=127"));
    let range = OutputRange {
        zero_point: 0,
        lo: 9,
        hi: 8,
    };
    let result = add(ctx, &[0; 4], params, &[0; 4], params, 1.0, range, &mut out);
    assert_eq!(result, outside("add", 0, 9, 8, "0..=255"));
    let result = mul(ctx, &[0; 4], -1, &[0; 4], 0, 1.0, RANGES[0], &mut out);
    assert_eq!(result, outside("mul", -1, 0, 255, "0..=255"));
    assert_eq!(
        clamp(ctx, &[0; 4], 2, 1, &mut out),
        outside("clamp", 2, 2, 1, "0..=255")
    );
    assert_eq!(out, [0; 4]);
}
