//! Rounding, requantization and the affine map: ties, ends and special values.

use qtensor_core::DType;
use qtensor_core::affine::quantize_value;
use qtensor_core::requant::{OutputRange, requantize, requantize_f32};
use qtensor_core::rounding::{round_half_even, round_half_even_small};

#[test]
fn small_form_agrees_with_the_general_one_on_every_half_and_its_neighbours() {
    for twice in -4096i32..=4096 {
        let half = twice as f32 / 2.0;
        for x in [half, half.next_up(), half.next_down()] {
            assert_eq!(round_half_even_small(x) as f32, round_half_even(x), "{x}");
        }
    }
    for x in [4_194_303.5f32, -4_194_303.5, 2_097_151.3, 1e-45, -0.0] {
        assert_eq!(round_half_even_small(x) as f32, round_half_even(x), "{x}");
    }
}

#[test]
fn ties_go_to_even() {
    let cases = [
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (127.5, 128),
    ];
    for (x, want) in cases {
        assert_eq!(round_half_even_small(x), want, "{x}");
    }
}

#[test]
fn clamping_before_rounding_equals_clamping_after() {
    let multipliers = [0.5f32, 0.25, 0.001, 1.0, 3.7, 1e-9, 1e9];
    let ranges = [
        (0, 0, 255),
        (128, 0, 255),
        (255, 0, 255),
        (7, 7, 255),
        (3, 3, 60),
        (-5, -128, 127),
    ];
    for acc in (-2000..2000).chain([i32::MIN, i32::MAX, 1 << 24, -(1 << 24) - 1]) {
        for m in multipliers {
            for (zero_point, lo, hi) in ranges {
                let plain = round_half_even(acc as f32 * m) as f64 + zero_point as f64;
                let want = plain.clamp(lo as f64, hi as f64) as i32;
                let range = OutputRange { zero_point, lo, hi };
                assert_eq!(requantize(acc, m, range), want, "{acc} * {m} in {range:?}");
            }
        }
    }
}

#[test]
fn nan_gives_the_upper_bound_and_infinities_saturate() {
    let range = OutputRange {
        zero_point: 4,
        lo: 0,
        hi: 255,
    };
    assert_eq!(requantize_f32(f32::NAN, range), 255);
    assert_eq!(requantize_f32(f32::INFINITY, range), 255);
    assert_eq!(requantize_f32(f32::NEG_INFINITY, range), 0);
}

#[test]
fn special_values_are_defined() {
    for dtype in DType::ALL {
        let (lo, hi) = dtype.range();
        let q = |x| quantize_value(x, 10.0, 5, dtype);
        assert_eq!(
            (q(f32::NAN), q(f32::INFINITY), q(f32::NEG_INFINITY)),
            (hi, hi, lo),
            "{dtype}"
        );
        assert_eq!(
            (q(f32::MAX), q(f32::MIN), q(0.0), q(-0.0)),
            (hi, lo, 5, 5),
            "{dtype}"
        );
    }
}

#[test]
fn ties_do_not_depend_on_the_zero_points_parity() {
    for z in 0..4 {
        let q: Vec<i32> = [0.5, 1.5, 2.5]
            .map(|x| quantize_value(x, 1.0, z, DType::QUInt8) - z)
            .to_vec();
        assert_eq!(q, [0, 2, 2], "zero point {z}");
    }
}
