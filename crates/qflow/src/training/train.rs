//! The training loop: batches, loss, backward, step, with progress and with switches by epoch.

use std::borrow::Borrow;

use indicatif::{ProgressBar, ProgressStyle};
use qgrad::Var;
use qgrad::optim::{Optimizer, Schedule, clip_grad_norm};
use qnn::{Node, parameters};

use crate::error::{Error, Result};

/// How [`fit`] trains.
pub struct TrainOptions {
    /// How often all batches are gone through.
    pub epochs: usize,
    /// What takes the steps.
    pub optimizer: Box<dyn Optimizer>,
    /// The learning rate of each step, counted over all epochs; without one, the optimizer's stays.
    pub schedule: Option<Box<dyn Schedule>>,
    /// The greatest norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// The epoch from which fake-quants keep their qparams.
    pub freeze_observers: Option<usize>,
    /// The epoch from which batch norms keep their running statistics and normalize with them.
    pub freeze_bn: Option<usize>,
}

impl TrainOptions {
    /// So many epochs with an optimizer, and nothing else.
    pub fn new(epochs: usize, optimizer: impl Optimizer + 'static) -> TrainOptions {
        TrainOptions {
            epochs,
            optimizer: Box::new(optimizer),
            schedule: None,
            clip_norm: None,
            freeze_observers: None,
            freeze_bn: None,
        }
    }

    /// With a learning rate for each step.
    pub fn schedule(mut self, schedule: impl Schedule + 'static) -> TrainOptions {
        self.schedule = Some(Box::new(schedule));
        self
    }

    /// With clipped gradients.
    pub fn clip_norm(mut self, most: f64) -> TrainOptions {
        self.clip_norm = Some(most);
        self
    }

    /// With fake-quants that keep their qparams from an epoch on.
    pub fn freeze_observers(mut self, epoch: usize) -> TrainOptions {
        self.freeze_observers = Some(epoch);
        self
    }

    /// With batch norms that keep their statistics from an epoch on.
    pub fn freeze_bn(mut self, epoch: usize) -> TrainOptions {
        self.freeze_bn = Some(epoch);
        self
    }
}

/// Trains a model: for each epoch the batches that `batches(epoch)` gives, for each batch one step down the gradient of
/// `loss(model, batch)`; returns the mean loss of each epoch.
///
/// The model is switched to training first and to evaluation at the end; a progress bar shows where there is a
/// terminal.
///
/// # Errors
/// [`Error::NoData`] for an epoch without batches; [`Error::LossNotFinite`] with the epoch and the batch, before the step
/// is taken; those of the loss, and of the optimizer, such as a model without parameters.
///
/// ```
/// use qflow::{TrainOptions, fit};
/// use qgrad::{ops, optim::Sgd};
/// use qnn::{Linear, Module, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new().push(Linear::new(2, 1)?);
/// let x: Value = Tensor::from_vec(vec![1.0, 0.0, 0.0, 1.0], &[2, 2])?.into();
/// let data = [(x, Tensor::from_vec(vec![1.0, -1.0], &[2, 1])?)];
/// let options = TrainOptions::new(50, Sgd::config(0.5).build()?);
/// let losses = fit(&mut net, options, |_| &data, |net, (x, target)| {
///     Ok(ops::mse_loss(net.forward(x)?.float("loss")?, target)?)
/// })?;
/// assert!(losses[49] < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fit<M: Node, B, I>(
    model: &mut M,
    options: TrainOptions,
    batches: impl FnMut(usize) -> I,
    loss: impl FnMut(&M, &B) -> qnn::Result<Var>,
) -> Result<Vec<f64>>
where
    I: IntoIterator,
    I::Item: Borrow<B>,
{
    qnn::train(model);
    let result = epochs("fit", model, options, batches, loss);
    qnn::eval(model);
    result
}

/// The loop of [`fit`]; `operation` names it in errors.
pub(crate) fn epochs<M: Node, B, I>(
    operation: &'static str,
    model: &mut M,
    mut options: TrainOptions,
    mut batches: impl FnMut(usize) -> I,
    mut loss: impl FnMut(&M, &B) -> qnn::Result<Var>,
) -> Result<Vec<f64>>
where
    I: IntoIterator,
    I::Item: Borrow<B>,
{
    let mut means = Vec::with_capacity(options.epochs);
    let mut step = 0;
    for epoch in 0..options.epochs {
        if options.freeze_observers == Some(epoch) {
            qnn::set_observing(model, false);
        }
        if options.freeze_bn == Some(epoch) {
            qnn::freeze_bn_stats(model);
        }
        let batches = batches(epoch).into_iter();
        let bar = progress(batches.size_hint(), epoch, options.epochs);
        let (mut sum, mut count) = (0f64, 0usize);
        for batch in batches {
            if let Some(schedule) = &options.schedule {
                let rate = schedule.learning_rate(step);
                options.optimizer.set_learning_rate(rate);
            }
            let value = loss(model, batch.borrow())?;
            let now = value.untraced().item()?;
            if !now.is_finite() {
                return Err(Error::LossNotFinite {
                    operation,
                    loss: now,
                    epoch,
                    batch: count,
                });
            }
            value.backward()?;
            // The record of the pass is freed before the step, which may then write in place.
            drop(value);
            let mut parameters = parameters(model);
            if let Some(most) = options.clip_norm {
                clip_grad_norm(&mut parameters, most)?;
            }
            options.optimizer.step(&mut parameters)?;
            (sum, count, step) = (sum + f64::from(now), count + 1, step + 1);
            bar.set_message(format!("loss {:.4}", sum / count as f64));
            bar.inc(1);
        }
        bar.finish_and_clear();
        if count == 0 {
            return Err(Error::NoData(operation));
        }
        means.push(sum / count as f64);
    }
    Ok(means)
}

fn progress(hint: (usize, Option<usize>), epoch: usize, epochs: usize) -> ProgressBar {
    let bar = match hint {
        (least, Some(most)) if least == most => ProgressBar::new(most as u64),
        _ => ProgressBar::no_length(),
    };
    let template = "{prefix} {wide_bar} {pos}/{len} batches, {msg}, {eta} left";
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(format!("epoch {} of {epochs}", epoch + 1));
    bar
}
