//! The greedy search for the range with the least squared quantization error
//! (`_non_linear_param_search` in `torch/ao/quantization/observer.py`, after Caffe2's
//! `NormMinimization::NonlinearQuantizationParamsSearch`).

/// How far one move goes, in quantiles.
const STEP: f64 = 1e-5;

/// The ends of the kept range.
pub(super) fn clip(counts: &[f64], (min, max): (f32, f32), levels: f64) -> (f32, f32) {
    let bin_width = (max - min) / counts.len() as f32;
    // A range wider than f32 has no scale; whoever computes one from it reports that.
    if min == max || !bin_width.is_finite() {
        return (min, max);
    }
    let (start, end) = search(counts, levels);
    (
        min + bin_width * start as f32,
        min + bin_width * (end + 1) as f32,
    )
}

/// The first and the last bin to keep.
///
/// Quantile bounds `alpha` and `beta` close in from both sides. Each turn moves the bound that would
/// skip more bins, and accepts the move unless the error rises; the first rise ends the search. The first
/// move is compared with nothing and always accepted.
/// Sums are compared in `f32`, as PyTorch compares them.
fn search(counts: &[f64], levels: f64) -> (usize, usize) {
    let mut sum = 0.0;
    let cumulated: Vec<f32> = counts
        .iter()
        .map(|c| {
            sum += c;
            sum as f32
        })
        .collect();
    let total = f64::from(sum as f32);
    let (mut alpha, mut beta) = (0.0, 1.0);
    let (mut start, mut end) = (0, counts.len() - 1);
    // Both only ever move inwards, because the bounds do.
    let (mut left, mut right) = (start, end);
    let mut least = f64::INFINITY;
    let mut error = Error::new(counts, levels);
    while alpha < beta {
        let (next_alpha, next_beta) = (alpha + STEP, beta - STEP);
        left = left.clamp(start, end);
        while left < end && cumulated[left] < (next_alpha * total) as f32 {
            left += 1;
        }
        right = right.clamp(start, end);
        while right > start && cumulated[right] > (next_beta * total) as f32 {
            right -= 1;
        }
        let (mut next_start, mut next_end) = (start, end);
        if left - start > end - right {
            next_start = left;
            alpha = next_alpha;
        } else {
            next_end = right;
            beta = next_beta;
        }
        if (next_start, next_end) == (start, end) {
            continue;
        }
        let now = error.of(next_start, next_end);
        if now > least {
            break;
        }
        least = now;
        (start, end) = (next_start, next_end);
    }
    (start, end)
}

/// The squared error of quantizing a histogram, in units of one bin.
struct Error<'a> {
    counts: &'a [f64],
    levels: f64,
    /// The integral of the squared error from bin `start` to each edge, up to a constant.
    integral: Vec<f64>,
}

impl Error<'_> {
    fn new(counts: &[f64], levels: f64) -> Error<'_> {
        Error {
            counts,
            levels,
            integral: vec![0.0; counts.len() + 1],
        }
    }

    /// The error if bins `start..=end` are quantized to the levels, values being even within a bin.
    ///
    /// A level takes `d` bins. The edge `j` lies `r` from the middle of its level `k`; below it lie `k`
    /// whole levels, each with an error of `∫ x² dx` over `[−d/2, d/2]`, and a part of one up to `r`. The
    /// first and the last level stand for everything beyond them. The error of a bin is the integral
    /// between its edges.
    fn of(&mut self, start: usize, end: usize) -> f64 {
        let d = (end - start + 1) as f64 / self.levels;
        let inverse = self.levels / (end - start + 1) as f64;
        let (half, last) = (d / 2.0, self.levels - 1.0);
        let level = 2.0 * (half * half * half) / 3.0;
        let start = start as f64;
        for (j, integral) in self.integral.iter_mut().enumerate() {
            let edge = j as f64 - start;
            let k = f64::from((edge * inverse).max(0.0).min(last) as i32);
            let r = edge - (k + 0.5) * d;
            *integral = r * r * r / 3.0 + k * level;
        }
        self.integral
            .iter()
            .zip(&self.integral[1..])
            .zip(self.counts)
            .map(|((a, b), count)| count * (b - a))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of one bin by adding up many thin slices.
    fn by_slices(counts: &[f64], levels: f64, start: usize, end: usize) -> f64 {
        const SLICES: usize = 20_000;
        let d = (end - start + 1) as f64 / levels;
        let mut sum = 0.0;
        for (i, count) in counts.iter().enumerate() {
            for s in 0..SLICES {
                let x = i as f64 - start as f64 + (s as f64 + 0.5) / SLICES as f64;
                let k = (x / d).floor().clamp(0.0, levels - 1.0);
                let distance = x - (k + 0.5) * d;
                sum += count / SLICES as f64 * distance * distance;
            }
        }
        sum
    }

    #[test]
    fn the_error_is_the_integral_of_squared_distances() {
        let counts = [1.0, 4.0, 0.0, 2.5, 7.0, 3.0];
        for levels in [2.0, 4.0, 5.0, 16.0] {
            for (start, end) in [(0, 5), (1, 4), (2, 2), (0, 3), (3, 5)] {
                let got = Error::new(&counts, levels).of(start, end);
                let want = by_slices(&counts, levels, start, end);
                assert!((got - want).abs() < 1e-4 * want, "{got} and {want}");
            }
        }
    }

    #[test]
    fn a_thin_tail_is_cut_off_and_a_far_outlier_is_not() {
        let mut counts = vec![1000.0; 2048];
        counts[1024..].fill(0.01);
        let (start, end) = search(&counts, 256.0);
        assert!(start < 4 && (1023..1100).contains(&end), "{start}..={end}");
        // The first move is compared with nothing; the second one raises the error.
        let mut counts = vec![0.0; 2048];
        counts[..8].fill(1000.0);
        counts[2047] = 1.0;
        assert_eq!(search(&counts, 256.0), (0, 2046));
    }
}
