//! Cutting a share off both ends of a histogram.

/// The ends between which all but a share of `1 − keep` at each end lies.
pub(super) fn clip(counts: &[f64], (min, max): (f32, f32), keep: f64) -> (f32, f32) {
    let total: f64 = counts.iter().sum();
    let width = (f64::from(max) - f64::from(min)) / counts.len() as f64;
    if min == max || total <= 0.0 || !width.is_finite() {
        return (min, max);
    }
    let off = (1.0 - keep) * total;
    let low = reach(counts.iter(), off) * width;
    let high = reach(counts.iter().rev(), off) * width;
    let (low, high) = (f64::from(min) + low, f64::from(max) - high);
    // With less than half kept, the ends would pass each other.
    if low <= high {
        (low as f32, high as f32)
    } else {
        let middle = ((low + high) / 2.0) as f32;
        (middle, middle)
    }
}

/// How many bins, and parts of one, hold so many values.
fn reach<'a>(counts: impl Iterator<Item = &'a f64>, mut values: f64) -> f64 {
    let mut bins = 0.0;
    for &count in counts {
        if values < count {
            return bins + values / count;
        }
        values -= count;
        bins += 1.0;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_cut_off_with_parts_of_bins() {
        let counts = [1.0, 2.0, 4.0, 2.0, 1.0];
        assert_eq!(clip(&counts, (0.0, 5.0), 1.0), (0.0, 5.0));
        assert_eq!(clip(&counts, (0.0, 5.0), 0.9), (1.0, 4.0));
        assert_eq!(clip(&counts, (0.0, 5.0), 0.8), (1.5, 3.5));
        assert_eq!(clip(&counts, (-5.0, 0.0), 0.95), (-4.5, -0.5));
        assert_eq!(clip(&counts, (0.0, 5.0), 0.3), (2.5, 2.5));
        assert_eq!(clip(&[0.0, 7.0], (3.0, 3.0), 0.5), (3.0, 3.0));
    }
}
