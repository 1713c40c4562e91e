//! `Histogram`: counts in bins of equal width over a closed range, which can grow.
//!
//! All positions are computed in `f32` in the order of `torch.histc`
//! (`aten/src/ATen/native/cpu/HistogramKernel.cpp`), `(v − min) · bins / (max − min)` truncated, so that a
//! value on an edge falls to the same side as there.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::check_range;

/// Into how many parts a bin is split when it is spread over a wider range.
const UPSAMPLE: usize = 16;
/// Values whose bins are computed together: one loop of arithmetic, then one of counting.
const BLOCK: usize = 256;
/// Values after which the `u32` counts of a batch are emptied; far below their limit.
const FLUSH: usize = 1 << 30;

/// Counts over `[min, max]`. If both are equal, everything lies in the middle bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Histogram {
    pub min: f32,
    pub max: f32,
    #[serde(deserialize_with = "qtensor_core::grown::vec")]
    pub counts: Vec<f64>,
}

impl Histogram {
    pub fn empty(min: f32, max: f32, bins: usize) -> Histogram {
        Histogram {
            min,
            max,
            counts: vec![0.0; bins],
        }
    }

    /// A power of two that keeps `(max − min) · bins` finite; 1 for all but absurd ranges. Bin positions
    /// do not depend on it.
    fn unit(&self) -> f32 {
        let reach = (self.max - self.min) * self.counts.len() as f32;
        if reach.is_finite() {
            1.0
        } else {
            2.0f32.powi(-24)
        }
    }

    /// Counts values that all lie in the range.
    pub fn count(&mut self, values: &[f32]) {
        let bins = self.counts.len();
        if self.min == self.max {
            self.counts[bins / 2] += values.len() as f64;
            return;
        }
        let unit = self.unit();
        let (min, width) = (self.min * unit, self.max * unit - self.min * unit);
        let (factor, last) = (bins as f32, (bins - 1) as f32);
        // Runs of equal values (zeros after a ReLU) would wait for their own last increment; two tables
        // taken in turn halve that wait.
        let mut tables = vec![0u32; 2 * bins];
        let mut positions = [0u32; BLOCK];
        for part in values.chunks(FLUSH) {
            let (even, odd) = tables.split_at_mut(bins);
            for block in part.chunks(BLOCK) {
                for (position, &v) in positions.iter_mut().zip(block) {
                    let exact = (v * unit - min) * factor / width;
                    *position = exact.min(last) as i32 as u32;
                }
                let (pairs, rest) = positions[..block.len()].as_chunks::<2>();
                for &[a, b] in pairs {
                    even[a as usize] += 1;
                    odd[b as usize] += 1;
                }
                for &a in rest {
                    even[a as usize] += 1;
                }
            }
            for ((count, e), o) in self.counts.iter_mut().zip(even).zip(odd) {
                *count += f64::from(*e) + f64::from(*o);
                (*e, *o) = (0, 0);
            }
        }
    }

    /// Makes the range cover `[min, max]` and spreads the present counts over it.
    ///
    /// Each bin becomes 16 parts at the middle of which a sixteenth of its count is placed.
    pub fn widen(&mut self, min: f32, max: f32) {
        let (min, max) = (self.min.min(min), self.max.max(max));
        if (min, max) == (self.min, self.max) {
            return;
        }
        let bins = self.counts.len();
        let mut wide = Histogram::empty(min, max, bins);
        if self.min == self.max {
            let total: f64 = self.counts.iter().sum();
            wide.count(&[self.min]);
            wide.counts.iter_mut().for_each(|c| *c *= total);
            *self = wide;
            return;
        }
        let unit = wide.unit();
        let parts = bins * UPSAMPLE;
        let (old_min, old_max) = (self.min * unit, self.max * unit);
        let half = 0.5 * ((old_max - old_min) / parts as f32);
        let middles = Ticks::new(old_min, old_max, parts);
        let edges = Ticks::new(min * unit, max * unit, bins);
        let edges: Vec<f32> = (0..bins).map(|i| edges.at(i)).collect();
        // Middles ascend (up to rounding), so the bin moves along instead of being searched.
        let mut bin = 0;
        for part in 0..parts {
            let middle = middles.at(part) + half;
            while bin + 1 < bins && edges[bin + 1] <= middle {
                bin += 1;
            }
            while bin > 0 && edges[bin] > middle {
                bin -= 1;
            }
            wide.counts[bin] += self.counts[part / UPSAMPLE] / UPSAMPLE as f64;
        }
        *self = wide;
    }

    /// Adds counts over the same range.
    pub fn add(&mut self, other: &Histogram) {
        assert_eq!(
            (self.min, self.max, self.counts.len()),
            (other.min, other.max, other.counts.len()),
            "both histograms were widened to their common range"
        );
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    /// Checks what a file held.
    pub fn check(&self, observer: &'static str, bins: usize) -> Result<()> {
        let refuse = |why| Err(Error::Malformed { observer, why });
        check_range(observer, self.min, self.max)?;
        if self.counts.len() != bins {
            return refuse(format!("{} bins instead of {bins}", self.counts.len()));
        }
        if let Some(bad) = self.counts.iter().find(|c| !(c.is_finite() && **c >= 0.0)) {
            return refuse(format!("a bin holds {bad} values"));
        }
        let total: f64 = self.counts.iter().sum();
        if !(total > 0.0 && total.is_finite()) {
            return refuse(format!("the bins hold {total} values together"));
        }
        if self.min == self.max && self.counts[bins / 2] != total {
            return refuse(format!("values beside the only one, {}", self.min));
        }
        Ok(())
    }
}

/// The ticks of `torch.linspace(first, last, steps + 1)`, counted from whichever end is nearer
/// (`aten/src/ATen/native/cpu/RangeFactoriesKernel.cpp`). PyTorch's AVX2 build fuses the product and the
/// sum, so both are taken in `f64` and rounded once.
struct Ticks {
    first: f32,
    last: f32,
    step: f32,
    steps: usize,
}

impl Ticks {
    fn new(first: f32, last: f32, steps: usize) -> Ticks {
        let step = (last - first) / steps as f32;
        Ticks {
            first,
            last,
            step,
            steps,
        }
    }

    fn at(&self, i: usize) -> f32 {
        let (step, steps) = (f64::from(self.step), self.steps);
        if i < steps.div_ceil(2) {
            (f64::from(self.first) + step * i as f64) as f32
        } else {
            (f64::from(self.last) - step * (steps - i) as f64) as f32
        }
    }
}
