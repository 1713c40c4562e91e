//! Learning-rate schedules: functions from the number of a step (or epoch) to a rate.
//!
//! ```
//! use qgrad::optim::{CosineLr, Optimizer, Schedule, Sgd};
//! let schedule = CosineLr { start: 0.1, least: 0.0, steps: 100 };
//! let mut optimizer = Sgd::config(0.1).build()?;
//! for step in 0..100 {
//!     optimizer.set_learning_rate(schedule.learning_rate(step));
//!     // forward, backward, optimizer.step(…)
//! }
//! assert!(optimizer.learning_rate() < 1e-4);
//! # Ok::<(), qgrad::Error>(())
//! ```

use std::f64::consts::PI;

/// The learning rate of each step, counted from 0. What a step is (a batch, an epoch) is the caller's choice.
pub trait Schedule {
    /// The rate of a step.
    fn learning_rate(&self, step: usize) -> f64;
}

/// `start · factor^⌊step / every⌋`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepLr {
    /// The first rate.
    pub start: f64,
    /// Steps of one rate; 0 is taken as 1.
    pub every: usize,
    /// What the rate is multiplied by.
    pub factor: f64,
}

/// `least + (start − least) · (1 + cos(π · step / steps)) / 2`, and `least` from step `steps` on.
#[doc(alias = "CosineAnnealingLR")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineLr {
    /// The first rate.
    pub start: f64,
    /// The last rate.
    pub least: f64,
    /// Steps until the last rate.
    pub steps: usize,
}

/// Up along a cosine from `most / div` to `most` in the first `rise` of all steps, then down to
/// `most / div / final_div`: PyTorch's `OneCycleLR`. Behind the last step the rate stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycleLr {
    /// The greatest rate.
    pub most: f64,
    /// All steps.
    pub steps: usize,
    /// The share of steps in which the rate rises.
    pub rise: f64,
    /// The greatest rate over the first one.
    pub div: f64,
    /// The first rate over the last one.
    pub final_div: f64,
}

impl OneCycleLr {
    /// PyTorch's defaults: rising for 30 % of the steps, from a 25th, and ending at a 10,000th of that.
    pub fn new(most: f64, steps: usize) -> OneCycleLr {
        OneCycleLr {
            most,
            steps,
            rise: 0.3,
            div: 25.0,
            final_div: 1e4,
        }
    }
}

impl Schedule for StepLr {
    fn learning_rate(&self, step: usize) -> f64 {
        self.start * self.factor.powf((step / self.every.max(1)) as f64)
    }
}

impl Schedule for CosineLr {
    fn learning_rate(&self, step: usize) -> f64 {
        let share = step as f64 / self.steps.max(1) as f64;
        anneal(self.start, self.least, share)
    }
}

impl Schedule for OneCycleLr {
    fn learning_rate(&self, step: usize) -> f64 {
        let first = self.most / self.div;
        let last = first / self.final_div;
        let top = self.rise * self.steps as f64 - 1.0;
        let end = self.steps as f64 - 1.0;
        let step = step as f64;
        if step < top {
            anneal(first, self.most, step / top)
        } else {
            let share = (step - top) / (end - top);
            // Without steps to fall in, the fall is over.
            let share = if share.is_nan() { 1.0 } else { share };
            anneal(self.most, last, share)
        }
    }
}

/// Half a cosine wave from `start` to `end`.
fn anneal(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * share.clamp(0.0, 1.0)).cos()) / 2.0
}
