//! `RunningStats`: the averages that a batch norm gathers in training, although `forward` takes `&self`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use qgrad::ops::BatchStatistics;
use qtensor_core::Tensor;

use crate::error::Result;

/// Mean and variance of each channel, replaced as a whole by each batch.
#[derive(Debug)]
pub(crate) struct RunningStats(Mutex<(Tensor, Tensor)>);

impl RunningStats {
    pub fn new(mean: Tensor, var: Tensor) -> RunningStats {
        RunningStats(Mutex::new((mean, var)))
    }

    /// Mean and variance.
    pub fn get(&self) -> (Tensor, Tensor) {
        self.lock().clone()
    }

    /// `r ← (1 − momentum) · r + momentum · batch`, the batch's variance being the unbiased one.
    pub fn update(&self, batch: &BatchStatistics, momentum: f32) -> Result<()> {
        let unbias = batch.count as f64 / (batch.count as f64 - 1.0);
        let mut stats = self.lock();
        let mean = average(&stats.0, &batch.mean, momentum, 1.0)?;
        let var = average(&stats.1, &batch.var, momentum, unbias)?;
        *stats = (mean, var);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, (Tensor, Tensor)> {
        // Both tensors are replaced together, so a panic elsewhere cannot have left them half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for RunningStats {
    fn clone(&self) -> RunningStats {
        RunningStats(Mutex::new(self.get()))
    }
}

fn average(running: &Tensor, batch: &Tensor, momentum: f32, factor: f64) -> Result<Tensor> {
    let (keep, take) = (1.0 - f64::from(momentum), f64::from(momentum));
    let values = running
        .to_vec()
        .into_iter()
        .zip(batch.to_vec())
        .map(|(r, b)| (keep * f64::from(r) + take * factor * f64::from(b)) as f32)
        .collect();
    Ok(Tensor::from_vec(values, running.shape())?)
}
