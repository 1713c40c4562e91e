//! The range with the least squared error of quantization, for the values of a histogram.
//!
//! Values are taken to lie evenly in their bin. A range leads to qparams, and these to levels; between two levels the
//! squared error is a parabola, so its integral over a bin needs the distances of the bin's edges to their levels alone.

use crate::settings::Settings;

/// How many widths are tried before the ends are moved one by one.
const WIDTHS: usize = 128;

/// The ends of the range with the least error.
pub(super) fn clip(counts: &[f64], range: (f32, f32), settings: &Settings) -> (f32, f32) {
    let (min, max) = range;
    if min == max || !(max - min).is_finite() {
        return range;
    }
    let error = |ends: (f32, f32)| error(counts, range, ends, settings);
    let mut best = range;
    let mut least = error(best);
    let mut consider = |ends: (f32, f32), best: &mut (f32, f32)| {
        let now = error(ends);
        let better = ends.0 < ends.1 && now < least;
        if better {
            (least, *best) = (now, ends);
        }
        better
    };
    for width in 1..WIDTHS {
        let share = width as f32 / WIDTHS as f32;
        // Around zero, which every range includes.
        consider((min.min(0.0) * share, max.max(0.0) * share), &mut best);
    }
    let mut step = (max - min) / WIDTHS as f32;
    for _ in 0..8 {
        let mut moved = true;
        while moved {
            let (lo, hi) = best;
            let neighbours = [
                (lo + step, hi),
                (lo - step, hi),
                (lo, hi + step),
                (lo, hi - step),
            ];
            // An end outside the data gains nothing.
            let inside = |ends: &(f32, f32)| ends.0 >= min.min(0.0) && ends.1 <= max.max(0.0);
            moved = false;
            for ends in neighbours.into_iter().filter(inside) {
                moved |= consider(ends, &mut best);
            }
        }
        step /= 2.0;
    }
    best
}

/// The squared error of all values if the range `ends` is quantized, infinite for ends without qparams.
fn error(counts: &[f64], (min, max): (f32, f32), ends: (f32, f32), settings: &Settings) -> f64 {
    let Ok((scale, zero_point)) = settings.qparams(ends.0, ends.1) else {
        return f64::INFINITY;
    };
    let range = settings.quant_range();
    let first = (f64::from(range.min) - f64::from(zero_point)) * scale;
    let levels = f64::from(range.max) - f64::from(range.min) + 1.0;
    let width = (f64::from(max) - f64::from(min)) / counts.len() as f64;
    // The integral of the squared error from `−∞` to `x`, up to a constant.
    let whole = scale * scale * scale / 12.0;
    let integral = |x: f64| {
        let k = ((x - first) / scale + 0.5).floor().clamp(0.0, levels - 1.0);
        let r = x - (first + k * scale);
        k * whole + r * r * r / 3.0
    };
    let mut before = integral(f64::from(min));
    let mut sum = 0.0;
    for (i, &count) in counts.iter().enumerate() {
        let after = integral(f64::from(min) + (i + 1) as f64 * width);
        sum += count * (after - before);
        before = after;
    }
    sum / width
}

#[cfg(test)]
mod tests {
    use super::*;
    use qtensor_core::QScheme;

    /// The error by adding up many thin slices.
    fn by_slices(counts: &[f64], (min, max): (f32, f32), ends: (f32, f32), s: &Settings) -> f64 {
        let (scale, zero_point) = s.qparams(ends.0, ends.1).unwrap();
        let width = f64::from(max - min) / counts.len() as f64;
        let (lo, hi) = (
            f64::from(s.quant_range().min),
            f64::from(s.quant_range().max),
        );
        let mut sum = 0.0;
        for (i, count) in counts.iter().enumerate() {
            for slice in 0..2000 {
                let x = f64::from(min) + width * (i as f64 + (slice as f64 + 0.5) / 2000.0);
                let z = f64::from(zero_point);
                let q = ((x / scale + 0.5).floor() + z).clamp(lo, hi);
                sum += count / 2000.0 * (x - (q - z) * scale).powi(2);
            }
        }
        sum
    }

    #[test]
    fn the_error_is_the_mean_of_squared_distances() {
        let counts = [1.0, 5.0, 0.0, 3.0, 2.0];
        let weights = Settings::weights(QScheme::PerTensorSymmetric);
        for settings in [
            Settings::activations(false),
            Settings::activations(true),
            weights,
        ] {
            for ends in [(-1.0, 1.5), (-0.4, 0.7), (0.0, 1.0), (-0.01, 0.02)] {
                let got = error(&counts, (-1.0, 1.5), ends, &settings);
                let want = by_slices(&counts, (-1.0, 1.5), ends, &settings);
                assert!((got - want).abs() < 1e-3 * want + 1e-9, "{got} and {want}");
            }
        }
    }

    #[test]
    fn no_other_range_of_a_fine_mesh_is_much_better() {
        // A bell with a far outlier.
        let bins = 512;
        let mut counts: Vec<f64> = (0..bins)
            .map(|i| 1e4 * (-((i as f64 - 60.0) / 15.0).powi(2)).exp())
            .collect();
        counts[bins - 1] = 1.0;
        let (range, settings) = ((-1.0, 9.0), Settings::activations(false));
        let best = clip(&counts, range, &settings);
        let least = error(&counts, range, best, &settings);
        for i in 0..=40 {
            for j in 0..=40 {
                let ends = (-1.0 + i as f32 / 40.0, 9.0 * j as f32 / 40.0);
                assert!(
                    least <= 1.02 * error(&counts, range, ends, &settings),
                    "{best:?}, {ends:?}"
                );
            }
        }
        assert!(best.1 < 8.0, "{best:?}");
    }
}
