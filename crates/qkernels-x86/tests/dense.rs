//! Linear layers on every instruction set of this CPU, byte for byte against naive loops.

use crate::common::{Data, Model, check_linear, isas, range};
use proptest::prelude::*;
use qkernels_x86::{Context, Error, OutputRange, PackedWeights, Requant, linear};

#[test]
fn every_height_of_tile_is_exact() {
    let mut data = Data::new(1);
    for m in (1..=13).chain(47..=50) {
        for (n, k) in [(1, 1), (16, 4), (17, 5), (33, 64), (49, 19), (80, 70)] {
            check_linear(&mut data, m, n, k);
        }
    }
}

#[test]
fn every_width_and_depth_of_panel_is_exact() {
    let mut data = Data::new(2);
    for n in 1..=80 {
        for k in (1..=70).chain([147]) {
            check_linear(&mut data, 1 + (n + k) % 9, n, k);
        }
    }
}

#[test]
fn deep_products_and_several_blocks_are_exact() {
    let mut data = Data::new(3);
    for (m, n, k) in [
        (1, 70, 147),
        (50, 20, 147),
        (3, 40, 4096),
        (13, 18, 4096),
        (400, 3, 9),
        (130, 5, 2000),
    ] {
        check_linear(&mut data, m, n, k);
    }
}

#[test]
fn extreme_values_never_saturate() {
    for k in [1, 2, 3, 4, 64, 4096] {
        for (x, w) in [(255, -128), (255, 127), (0, -128), (1, 1)] {
            for zero_point in [0, 1, 127, 255] {
                for m in [1, 7] {
                    let mut model = Model::constant(w, 18, k, zero_point);
                    // The extremes land near both ends of the output range.
                    model.multipliers.fill(1.0 / (k as f32 * 250.0));
                    model.range = range(100);
                    model.check_linear(&vec![x; m * k], m, k);
                }
            }
        }
    }
}

#[test]
fn alternating_extremes_are_exact() {
    let (m, n, k) = (9, 33, 130);
    let mut model = Model::constant(0, n, k, 127);
    for (i, w) in model.weight.iter_mut().enumerate() {
        *w = if (i + i / k) % 2 == 0 { 127 } else { -128 };
    }
    let x: Vec<u8> = (0..m * k)
        .map(|i| if i % 3 == 0 { 0 } else { 255 })
        .collect();
    for multiplier in [1e-3, 1e-4, 3e-5] {
        model.multipliers.fill(multiplier);
        model.check_linear(&x, m, k);
    }
}

#[test]
fn ties_round_to_even_and_ranges_clamp() {
    // Accumulators -300..300 by halves, quarters and eighths: every second, fourth, eighth one is a tie.
    let (n, k) = (16, 2);
    for zero_point in [0, 1, 127, 255] {
        for (lo, hi) in [(0, 255), (zero_point, 255), (0, zero_point), (3, 200)] {
            for multiplier in [0.5, 0.25, 0.125, -0.5, 1.0, 1.5] {
                let mut model = Model::constant(1, n, k, 0);
                for (column, w) in model.weight.chunks_exact_mut(k).enumerate() {
                    w.fill(if column % 2 == 0 { 1 } else { -1 });
                }
                model.bias = (0..n as i32).map(|column| column * 7 - 50).collect();
                model.multipliers.fill(multiplier);
                model.range = OutputRange { zero_point, lo, hi };
                let x: Vec<u8> = (0..64u8).flat_map(|i| [i * 4, i]).collect();
                model.check_linear(&x, 64, k);
            }
        }
    }
}

#[test]
fn products_beyond_every_integer_saturate() {
    let mut data = Data::new(5);
    let (m, n, k) = (7, 20, 30);
    let mut model = data.model(n, k);
    let x = data.bytes(m * k);
    for multiplier in [1e6, 1e12, -1e12, 3e38, 1e-38, 1e-45, 0.0] {
        model.multipliers.fill(multiplier);
        model.check_linear(&x, m, k);
    }
}

#[test]
fn thread_counts_agree() {
    // Above the size from which calls are forked: many rows, few rows (shared out by columns), one row.
    let mut data = Data::new(6);
    for (m, n, k) in [(131, 300, 128), (5, 3000, 300), (1, 4100, 1100)] {
        let model = data.model(n, k);
        let x = data.bytes(m * k);
        for isa in isas() {
            let run = |threads| model.linear(&Context::with(isa, threads), &x, m, k);
            let one = run(1);
            for threads in [2, 3, 7] {
                assert!(
                    run(threads) == one,
                    "{m}x{n}x{k} on {} with {threads} threads",
                    isa.name()
                );
            }
            assert!(
                model.reference_rows(&x, k, &one),
                "{m}x{n}x{k} on {}",
                isa.name()
            );
        }
    }
}

#[test]
fn no_rows_are_legal() -> Result<(), Error> {
    let weights = PackedWeights::linear(&[1, 2], 1, 2)?;
    let requant = Requant::new(&weights, &[0], &[1.0], 0, range(0))?;
    linear(&Context::new()?, &[], 0, &weights, &requant, &mut [])
}

#[test]
fn mistakes_are_named() -> Result<(), Error> {
    let context = Context::new()?;
    let weights = PackedWeights::linear(&[1, 2, 3, 4], 2, 2)?;
    let requant = Requant::new(&weights, &[0; 2], &[1.0; 2], 0, range(0))?;
    let run = |x: &[u8], out: &mut [u8]| linear(&context, x, 3, &weights, &requant, out);
    let short = Error::Length {
        operation: "linear",
        buffer: "input",
        expected: 6,
        actual: 5,
    };
    assert_eq!(run(&[0; 5], &mut [0; 6]), Err(short));
    let long = Error::Length {
        operation: "linear",
        buffer: "output",
        expected: 6,
        actual: 7,
    };
    assert_eq!(run(&[0; 9], &mut [0; 7]), Err(long));
    assert_eq!(
        linear(&context, &[], usize::MAX, &weights, &requant, &mut []),
        Err(Error::TooLarge {
            operation: "linear"
        })
    );

    let other = PackedWeights::linear(&[1], 1, 1)?;
    let what = "number of outputs the requantization was built for";
    let mismatch = Error::Mismatch {
        operation: "linear",
        what,
        expected: 1,
        actual: 2,
    };
    assert_eq!(
        linear(&context, &[0], 1, &other, &requant, &mut [0]),
        Err(mismatch)
    );

    assert_eq!(
        PackedWeights::linear(&[1], 0, 1).map(|w| w.outputs()),
        Err(Error::Zero {
            operation: "linear weights",
            what: "number of outputs"
        })
    );
    let bad = Requant::new(&weights, &[0; 2], &[1.0, f32::INFINITY], 0, range(0)).map(|_| ());
    let message = bad.map_err(|error| error.to_string());
    assert_eq!(
        message,
        Err("requant: multiplier must be finite, got inf (index 1)".to_owned())
    );
    for (zero_point, lo, hi) in [
        (-1, 0, 255),
        (256, 0, 255),
        (0, -1, 255),
        (0, 0, 256),
        (0, 9, 8),
    ] {
        let range = OutputRange { zero_point, lo, hi };
        let error = Error::Range {
            operation: "requant",
            lo,
            hi,
            zero_point,
            allowed: "0..=255",
        };
        assert_eq!(
            Requant::new(&weights, &[0; 2], &[1.0; 2], 0, range).map(|_| ()),
            Err(error)
        );
    }
    Ok(())
}

#[test]
fn a_bias_at_its_limits_is_exact_and_one_beyond_is_refused() -> Result<(), Error> {
    let w = [127i8, -128, 100, -3, 5, 6];
    let weights = PackedWeights::linear(&w, 2, 3)?;
    for zero_point in [0u8, 1, 255] {
        let limits = [0, 1].map(|channel| weights.bias_limits(channel, zero_point));
        let [Some((least, most)), Some(other)] = limits else {
            unreachable!("both channels exist")
        };
        for (bias, beyond) in [(least, -1i64), (most, 1)] {
            let mut model = Model::constant(0, 2, 3, zero_point);
            model.weight = w.to_vec();
            model.bias = vec![bias, other.0];
            model.multipliers = vec![1e-8; 2];
            model.range = range(128);
            for x in [[255, 0, 255], [0, 255, 0], [0, 0, 0], [255, 255, 255]] {
                model.check_linear(&x, 1, 3);
            }
            if let Ok(bias) = i32::try_from(i64::from(bias) + beyond) {
                let refused = Requant::new(&weights, &[bias, 0], &[1.0; 2], zero_point, range(0));
                assert!(
                    matches!(refused, Err(Error::Accumulator { channel: 0, .. })),
                    "{refused:?}"
                );
            }
        }
    }
    assert_eq!(weights.bias_limits(2, 0), None);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_layers_are_exact(m in 1usize..40, n in 1usize..70, k in 1usize..150, seed: u64) {
        check_linear(&mut Data::new(seed), m, n, k);
    }

    #[test]
    fn rows_are_independent(m in 2usize..30, n in 1usize..40, k in 1usize..60, seed: u64) {
        // A batch gives the bytes of its rows computed one by one, on whatever tiles.
        let mut data = Data::new(seed);
        let model = data.model(n, k);
        let x = data.bytes(m * k);
        for isa in isas() {
            let context = Context::with(isa, 1);
            let all = model.linear(&context, &x, m, k);
            for (row, want) in x.chunks_exact(k).zip(all.chunks_exact(n)) {
                prop_assert_eq!(model.linear(&context, row, 1, k), want);
            }
        }
    }
}
