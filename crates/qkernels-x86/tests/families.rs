//! Families of hard data on every kind of layer, tier by tier, byte for byte against naive loops.

use crate::common::cases::{convolutions, linear_layers, narrow_groups, square};
use crate::common::families::{Scaling, Values, model};
use crate::common::{Data, Model, isas, range};
use qkernels_x86::{Context, ConvShape, MAX_REDUCTION};

const ZERO_POINTS: [u8; 4] = [0, 1, 127, 255];

/// Calls the test with every combination of values, multipliers and input zero points, and the sum of their places.
fn combinations(mut test: impl FnMut(usize, Values, Scaling, u8)) {
    for (v, values) in Values::ALL.into_iter().enumerate() {
        for (s, scaling) in Scaling::ALL.into_iter().enumerate() {
            for (z, zero_point) in ZERO_POINTS.into_iter().enumerate() {
                test(v + s + z, values, scaling, zero_point);
            }
        }
    }
}

fn reduction(shape: &ConvShape) -> usize {
    shape.kernel.iter().product::<usize>() * shape.in_channels / shape.groups
}

/// Rows of activations of one pixel each.
fn image(values: Values, data: &mut Data, shape: &ConvShape) -> Vec<u8> {
    let pixels = shape.batch * shape.input.iter().product::<usize>();
    values.activations(data, pixels, shape.in_channels)
}

#[test]
fn linear_layers_are_exact_on_every_family() {
    let mut data = Data::new(21);
    combinations(|_, values, scaling, zero_point| {
        for [m, n, k] in linear_layers() {
            let model = model(&mut data, values, scaling, zero_point, [n, k]);
            let x = values.activations(&mut data, m, k);
            model.check_linear(&x, m, k);
        }
    });
}

/// Checks every second of the shapes with each combination, in turn: any three of shape, values, multipliers and zero point
/// meet, in half the time that all four would take.
fn check_convolutions(seed: u64, shapes: &[ConvShape]) {
    let mut data = Data::new(seed);
    combinations(|turn, values, scaling, zero_point| {
        for shape in shapes.iter().skip(turn % 2).step_by(2) {
            let sizes = [shape.out_channels, reduction(shape)];
            let model = model(&mut data, values, scaling, zero_point, sizes);
            let x = image(values, &mut data, shape);
            model.check_conv(&x, shape);
        }
    });
}

#[test]
fn convolutions_are_exact_on_every_family() {
    check_convolutions(22, &convolutions());
}

#[test]
fn narrow_groups_are_exact_on_every_family() {
    check_convolutions(24, &narrow_groups());
}

/// Two neighbouring products stay below, reach and exceed what 16 bits hold, in rows of one block whose
/// greatest bytes differ.
#[test]
fn pairs_at_the_edge_of_16_bits_are_exact() {
    let pairs = [
        [127, 1],
        [127, 2],
        [127, 127],
        [-128, 0],
        [-128, -1],
        [-128, -128],
        [127, -128],
    ];
    for (m, k) in [(1, 64), (4, 8), (6, 30), (24, 64), (49, 520)] {
        let n = 16 * pairs.len();
        let mut model = Model::constant(0, n, k, 0);
        for (column, weights) in model.weight.chunks_exact_mut(k).enumerate() {
            // A panel of each kind, so that some fit and others do not.
            for (c, w) in weights.iter_mut().enumerate() {
                *w = pairs[column / 16][c % 2];
            }
        }
        model.multipliers.fill(1.0 / (k as f32 * 140.0));
        model.range = range(128);
        for greatest in [
            [127; 4],
            [128; 4],
            [255; 4],
            [127, 128, 254, 255],
            [0, 255, 127, 1],
        ] {
            let x: Vec<u8> = (0..m * k).map(|i| greatest[i / k / 6 % 4]).collect();
            model.check_linear(&x, m, k);
        }
    }
}

#[test]
fn the_longest_sums_are_exact() {
    for (w, m) in [(-128, 1), (127, 7)] {
        let mut model = Model::constant(w, 2, MAX_REDUCTION, 0);
        model.multipliers.fill(1e-7);
        model.range = range(200);
        model.check_linear(&vec![255; m * MAX_REDUCTION], m, MAX_REDUCTION);
    }
}

/// Around the depth at which four times a sum no longer fits 32 bits.
#[test]
fn deep_convolutions_of_extremes_are_exact() {
    for channels in [16, 1808, 1824, 1840, 2048] {
        for (w, zero_point) in [(-128, 0), (127, 0), (-128, 255), (127, 128)] {
            let shape = square([channels, 3], 1, [3, 4], [3, 3]);
            let mut model = Model::constant(w, 3, 9 * channels, zero_point);
            model.multipliers.fill(1.0 / (channels as f32 * 2000.0));
            model.range = range(128);
            model.check_conv(&vec![255; 12 * channels], &shape);
            let x: Vec<u8> = (0..12 * channels)
                .map(|i| if i / channels % 2 == 0 { 255 } else { 0 })
                .collect();
            model.check_conv(&x, &shape);
        }
    }
}

#[test]
fn empty_batches_are_legal_on_every_tier() {
    let mut data = Data::new(23);
    for isa in isas() {
        for threads in [1, 3] {
            let context = Context::with(isa, threads);
            assert!(data.model(17, 9).linear(&context, &[], 0, 9).is_empty());
            for shape in convolutions().into_iter().chain(narrow_groups()) {
                let empty = ConvShape { batch: 0, ..shape };
                let model = data.model(shape.out_channels, reduction(&shape));
                assert!(model.conv(&context, &[], &empty).is_empty(), "{shape:?}");
            }
        }
    }
}
