//! `Ranges`: the statistics of the four min/max observers. A tensor is one channel.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::check_range;

/// Extremes of each channel; empty until data came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ranges {
    #[serde(deserialize_with = "qtensor_core::grown::vec")]
    pub mins: Vec<f32>,
    #[serde(deserialize_with = "qtensor_core::grown::vec")]
    pub maxs: Vec<f32>,
    /// How many batches came, the weight of a moving average in a merge.
    pub batches: u64,
}

impl Ranges {
    pub fn of_batch(mins: Vec<f32>, maxs: Vec<f32>) -> Ranges {
        Ranges {
            mins,
            maxs,
            batches: 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.mins.is_empty()
    }

    /// Least and greatest over all channels.
    pub fn overall(&self) -> Option<(f32, f32)> {
        let min = self.mins.iter().copied().reduce(f32::min)?;
        let max = self.maxs.iter().copied().reduce(f32::max)?;
        Some((min, max))
    }

    /// Refuses another number of channels than the present one.
    pub fn check_channels(
        &self,
        observer: &'static str,
        axis: usize,
        channels: usize,
    ) -> Result<()> {
        if self.is_empty() || self.mins.len() == channels {
            return Ok(());
        }
        Err(Error::ChannelCount {
            observer,
            axis,
            expected: self.mins.len(),
            actual: channels,
        })
    }

    /// Combines each end with another's. `bring` gets this end, the other's, and which of both
    /// functions of extremes applies.
    fn combine(&mut self, other: &Ranges, bring: impl Fn(f32, f32, fn(f32, f32) -> f32) -> f32) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        for (v, &o) in self.mins.iter_mut().zip(&other.mins) {
            *v = bring(*v, o, f32::min);
        }
        for (v, &o) in self.maxs.iter_mut().zip(&other.maxs) {
            *v = bring(*v, o, f32::max);
        }
        self.batches = self.batches.saturating_add(other.batches);
    }

    /// Widens to cover the other's extremes.
    pub fn widen(&mut self, other: &Ranges) {
        self.combine(other, |v, o, extreme| extreme(v, o));
    }

    /// `v += c · (other − v)` in `f32`; the first batch sets.
    pub fn average(&mut self, batch: &Ranges, c: f32) {
        self.combine(batch, |v, o, _| {
            let distance = o - v;
            if distance.is_finite() {
                v + c * distance
            } else {
                // The ends are so far apart that their distance has no f32; the average has.
                let (v, o) = (f64::from(v), f64::from(o));
                (v + f64::from(c) * (o - v)) as f32
            }
        });
    }

    /// The mean of both averages, weighted by their numbers of batches.
    pub fn average_with(&mut self, other: &Ranges) {
        let (a, b) = (self.batches as f64, other.batches as f64);
        self.combine(other, |v, o, _| {
            ((f64::from(v) * a + f64::from(o) * b) / (a + b)) as f32
        });
    }

    /// Checks what a file held.
    pub fn check(&self, observer: &'static str, per_channel: bool) -> Result<()> {
        let refuse = |why| Err(Error::Malformed { observer, why });
        let (mins, maxs) = (self.mins.len(), self.maxs.len());
        if mins != maxs {
            return refuse(format!("{mins} lower ends and {maxs} upper ends"));
        }
        if !per_channel && mins > 1 {
            return refuse(format!("{mins} ranges for one tensor"));
        }
        if (mins == 0) != (self.batches == 0) {
            return refuse(format!("{mins} ranges from {} batches", self.batches));
        }
        self.mins
            .iter()
            .zip(&self.maxs)
            .try_for_each(|(&min, &max)| check_range(observer, min, max))
    }
}
