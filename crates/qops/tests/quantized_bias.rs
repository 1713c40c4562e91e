//! Biases at and beyond the room that sums leave in the accumulator.

use crate::common::*;
use qops::quantized::{Activation, OutQParams, PackedConv, PackedLinear, max_bias_magnitude};
use qops::{ConvSpec, Error};
use qtensor_core::{DType, IntTensor, QTensor, Quantizer, Tensor};

/// Weights `[rows, depth]` of given integers under one scale.
fn weight(rows: &[Vec<i32>], scale: f64) -> QTensor {
    let shape = [rows.len(), rows[0].len()];
    quantized(&rows.concat(), &shape, DType::QInt8, scale, 0)
}

/// Weights of one row each of +127 and −128, and a bias for both.
fn extreme_layer(depth: usize, scale: f64, bias: f32) -> PackedLinear {
    let w = weight(&[vec![127; depth], vec![-128; depth]], scale);
    PackedLinear::new(&w, Some(&Tensor::full(&[2], bias).unwrap())).unwrap()
}

/// `(b + S · s_x · s_w) / s_y + z` with the exact sum, before rounding and clamping.
fn real(sum: i64, bias: f32, step: f32, out: OutQParams) -> f64 {
    let real = f64::from(bias) + sum as f64 * f64::from(step);
    real / f64::from(out.scale as f32) + f64::from(out.zero_point)
}

/// Rounds and clamps the exact result of one output.
fn rounded(real: f64, out: OutQParams, dtype: DType, activation: Activation) -> i32 {
    let z = f64::from(out.zero_point);
    let (mut lo, mut hi) = (f64::from(dtype.range().0), f64::from(dtype.range().1));
    if activation != Activation::None {
        lo = z;
    }
    if activation == Activation::Relu6 {
        hi = hi.min((6.0 / f64::from(out.scale as f32)).round_ties_even() + z);
    }
    // Rounded before the zero point is added, which decides ties.
    ((real - z).round_ties_even() + z).clamp(lo, hi) as i32
}

/// Random activations, and each row's exact sums with the weights.
fn exact_sums(
    rng: &mut Rng,
    m: usize,
    w: &QTensor,
    map: (f64, i32),
    dtype: DType,
) -> (QTensor, Vec<i64>) {
    let (n, k) = (w.shape()[0], w.shape()[1]);
    let (lo, hi) = dtype.range();
    let mut values: Vec<i32> = (0..m * k).map(|_| rng.int(lo, hi)).collect();
    // The first two rows are the extremes of the type.
    values[..k].fill(lo);
    values[k..2 * k].fill(hi);
    let (scale, z) = map;
    let x = quantized(&values, &[m, k], dtype, scale, z);
    let weights = ints(w);
    let sums = values.chunks(k).flat_map(|row| {
        let one = |c: usize| row.iter().zip(&weights[c * k..][..k]);
        let sum = |c| one(c).map(|(&q, &w)| i64::from(q - z) * i64::from(w)).sum();
        (0..n).map(sum).collect::<Vec<i64>>()
    });
    let sums = sums.collect();
    (x, sums)
}

#[test]
fn an_input_that_was_only_zeros_in_calibration_leaves_the_bias_exact() {
    // `bias 1` is 3.6e9 steps of 2^-23 · 0.3 / 127, and the sums of 64 products reach half a step of the output.
    let mut rng = Rng::new(1);
    let (input_scale, weight_scale) = (f64::from(f32::EPSILON), f64::from(0.3f32 / 127.0));
    let step = input_scale as f32 * weight_scale as f32;
    for (k, n) in [(1, 3), (64, 21), (576, 33)] {
        let rows: Vec<Vec<i32>> = (0..n)
            .map(|_| (0..k).map(|_| rng.int(-128, 127)).collect())
            .collect();
        let w = weight(&rows, weight_scale);
        let mut biases = rng.reals(n, -3.0, 3.0);
        biases[..3].copy_from_slice(&[1.0, -1.0, 0.25]);
        let bias = Tensor::from_slice(&biases, &[n]).unwrap();
        let layer = PackedLinear::new(&w, Some(&bias)).unwrap();
        for dtype in EIGHT_BIT {
            let z = rng.int(dtype.range().0, dtype.range().1);
            let (x, sums) = exact_sums(&mut rng, 6, &w, (input_scale, z), dtype);
            for activation in ACTIVATIONS {
                let out = OutQParams::new(0.013, dtype.range().0 + 100);
                let y = ints(&layer.run(&x, out, activation).unwrap());
                for (i, (&q, &sum)) in y.iter().zip(&sums).enumerate() {
                    let real = real(sum, biases[i % n], step, out);
                    // 576 weights that are halved three times move a result by at most 0.013 steps.
                    let allowed = [real - 0.013, real + 0.013]
                        .map(|real| rounded(real, out, dtype, activation));
                    assert!(
                        (allowed[0]..=allowed[1]).contains(&q),
                        "{k} {dtype} {activation:?}: {q}, not {real}"
                    );
                }
            }
        }
    }
}

#[test]
fn channels_without_weights_give_their_rounded_bias() {
    let mut rng = Rng::new(2);
    for dtype in EIGHT_BIT {
        for (scale, weight_scale) in [
            (f64::from(f32::EPSILON), 1e-7),
            (0.02, 1e-12),
            (1e-20, 1e-12),
        ] {
            let mut biases = rng.reals(16, -4.0, 4.0);
            biases.extend([0.0, 1.0, 1e30, -1e30, f32::MAX, 0.125, 0.375]);
            let n = biases.len();
            let w = weight(&vec![vec![0; 9]; n], weight_scale);
            let bias = Tensor::from_slice(&biases, &[n]).unwrap();
            let layer = PackedLinear::new(&w, Some(&bias)).unwrap();
            let (x, _) = exact_sums(&mut rng, 3, &w, (scale, 3), dtype);
            for activation in ACTIVATIONS {
                let out = OutQParams::new(0.25, dtype.range().0 + 77);
                let y = ints(&layer.run(&x, out, activation).unwrap());
                for (i, &q) in y.iter().enumerate() {
                    let real = real(0, biases[i % n], 0.0, out);
                    let want = rounded(real, out, dtype, activation);
                    assert_eq!(q, want, "{dtype} {activation:?} {}", biases[i % n]);
                }
            }
        }
    }
}

#[test]
fn dead_channels_of_convolutions_leave_their_neighbours_alone() {
    let mut rng = Rng::new(3);
    let out = OutQParams::new(0.02, 9);
    for groups in [1, 4] {
        let (channels, group) = (4, 4 / groups);
        let mut w: Vec<i32> = (0..channels * group * 9)
            .map(|_| rng.int(-128, 127))
            .collect();
        w[group * 9..2 * group * 9].fill(0);
        let shape = [channels, group, 3, 3];
        let ints_of = IntTensor::from_i32(&w, &shape, DType::QInt8).unwrap();
        let dead = [0.01, 1e-12, 0.01, 0.01];
        let w = |scales: &[f64]| {
            let map = Quantizer::per_channel(scales, &[0; 4], 0);
            QTensor::from_parts(ints_of.clone(), map).unwrap()
        };
        let bias = Tensor::from_slice(&[0.5, 1.3, -0.5, 2.0], &[4]).unwrap();
        let spec = ConvSpec::new(&[1, 1], &[1, 1], &[1, 1], groups).unwrap();
        let x = activation(&mut rng, &[2, 4, 5, 5], DType::QUInt8);
        let run = |w: &QTensor| {
            let conv = PackedConv::new(w, Some(&bias), &spec).unwrap();
            conv.run(&x, out, Activation::None).unwrap()
        };
        let (fitted, plain) = (run(&w(&dead)), run(&w(&[0.01; 4])));
        // 1.3 is 65 steps of 0.02, on either grid.
        let channel = fitted.select(1, 1).unwrap();
        assert!(ints(&channel).iter().all(|&q| q == 65 + 9));
        assert_eq!(ints(&fitted), ints(&plain));
    }
}

#[test]
fn a_bias_that_no_exact_grid_holds_names_channel_and_numbers() {
    // Sums reach about ±127 · 127 · 60 000 steps, so that coarser weights would move them visibly.
    let depth = 60_000;
    let w = weight(&[vec![127; depth]], 1.0);
    let x = quantized(&vec![128; depth], &[1, depth], DType::QUInt8, 1.0, 128);
    let run = |steps: f32, out: OutQParams| {
        let bias = Tensor::full(&[1], steps).unwrap();
        let layer = PackedLinear::new(&w, Some(&bias)).unwrap();
        layer.run(&x, out, Activation::None)
    };
    let out = OutQParams::new(4e6, 0);
    let highest = i32::MAX - 127 * 127 * depth as i32;
    assert_eq!(ints(&run(1.1e9, out).unwrap()), [255]);
    let fits = OutQParams::new(1e7, 0);
    assert_eq!(ints(&run(1.1e9, fits).unwrap()), [110]);

    let error = run(1.3e9, out).unwrap_err();
    let Error::BiasTooLarge {
        channel,
        bias,
        steps,
        step,
        highest: limit,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((channel, bias, steps, step), (0, 1.3e9, 1.3e9, 1.0));
    assert_eq!(limit, highest);
    let message = error.to_string();
    assert!(
        message.contains("channel 0") && message.contains("steps"),
        "{message}"
    );
    // Far beyond the output's range the sums do not matter, on either side.
    for (bias, want) in [(1e30, 255), (f32::MAX, 255), (-1e30, 0), (4e9, 255)] {
        assert_eq!(ints(&run(bias, out).unwrap()), [want], "{bias}");
    }
}

#[test]
fn the_bias_limit_always_fits_and_a_larger_weight_scale_makes_room() {
    let out = OutQParams::new(1e5, 0);
    for depth in [1, 7, 576, 4608, 65_000] {
        for (input_scale, weight_scale) in [(0.5, 0.5), (0.0123, 3.7e-5), (0.9, 1e-7)] {
            let limit = max_bias_magnitude(depth, input_scale, weight_scale);
            assert!(limit > 0.0);
            for (z, sign) in [(0, 1.0), (255, 1.0), (0, -1.0), (255, -1.0), (77, -1.0)] {
                let x = quantized(&vec![z; depth], &[1, depth], DType::QUInt8, input_scale, z);
                let layer = extreme_layer(depth, weight_scale, sign * limit);
                layer.run(&x, out, Activation::None).unwrap();
                // A hundred times the bias fits a hundred times larger weight scale.
                let bias = sign * limit * 100.0;
                let enlarged = weight_scale * f64::from(bias.abs() / limit);
                let layer = extreme_layer(depth, enlarged, bias);
                layer.run(&x, out, Activation::None).unwrap();
            }
        }
    }
    assert_eq!(max_bias_magnitude(1 << 20, 1.0, 1.0), 0.0);
}
