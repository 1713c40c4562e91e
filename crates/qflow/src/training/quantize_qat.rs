//! Quantization-aware training in one line.

use qgrad::Var;
use qgrad::optim::{CosineLr, Sgd};
use qnn::{Module, Value};
use qobserve::QConfig;

use crate::error::{Error, Result};
use crate::passes::convert::convert;
use crate::passes::fuse::fuse_watched;
use crate::report::Report;
use crate::spec::QConfigSpec;
use crate::tables::patterns::Purpose;
use crate::training::prepare_qat::prepare_qat;
use crate::training::train::{TrainOptions, epochs};

/// How [`quantize_qat_with`] quantizes and trains.
pub struct QatOptions {
    /// Which places are trained with which fake-quants.
    pub qconfig: QConfigSpec,
    /// The training.
    pub train: TrainOptions,
}

impl QatOptions {
    /// What [`quantize_qat`] does with so many batches an epoch: [`QConfig::x86_qat`], 6 epochs of gradient descent with
    /// momentum 0.9 from a rate of 0.01 down a cosine, batch norms frozen from the fourth epoch, qparams from the fifth.
    ///
    /// # Errors
    /// None: the settings are sound.
    pub fn defaults(batches: usize) -> Result<QatOptions> {
        let (epochs, rate) = (6, 0.01);
        let optimizer = Sgd::config(rate).momentum(0.9).nesterov(true).build()?;
        let train = TrainOptions::new(epochs, optimizer)
            .schedule(CosineLr {
                start: rate,
                least: rate / 100.0,
                steps: epochs * batches,
            })
            .clip_norm(5.0)
            .freeze_bn(3)
            .freeze_observers(4);
        Ok(QatOptions {
            qconfig: QConfig::x86_qat().into(),
            train,
        })
    }
}

/// Quantization-aware training in one line: fuses what the first batch shows to be fusable, prepares, trains, converts.
///
/// `train_fn(model, batch)` computes the loss of a batch; every batch is one step. See [`QatOptions::defaults`] for the
/// settings, and [`quantize_qat_with`] for others. If a step fails, the earlier ones have been done.
///
/// # Errors
/// [`Error::NoData`] without a batch, [`Error::LossNotFinite`] for a loss that is NaN or infinite, and those of
/// the steps.
///
/// ```
/// use qflow::quantize_qat;
/// use qgrad::ops;
/// use qnn::{DeQuantStub, Linear, Module, QuantStub, ReLU, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new()
///     .push(QuantStub)
///     .push(Linear::new(2, 8)?)
///     .push(ReLU)
///     .push(Linear::new(8, 2)?)
///     .push(DeQuantStub);
/// let x: Value = Tensor::from_vec(vec![1.0, 0.0, 0.0, 1.0], &[2, 2])?.into();
/// let data = vec![(x, vec![0, 1]); 10];
/// let report = quantize_qat(&mut net, |net, (x, labels)| {
///     Ok(ops::cross_entropy(net.forward(x)?.float("loss")?, labels, 0.0)?)
/// }, &data)?;
/// assert_eq!(report.row("1").map(|r| r.after.as_str()), Some("QuantizedLinearReLU"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn quantize_qat<M: Module, B>(
    model: &mut M,
    train_fn: impl FnMut(&M, &B) -> qnn::Result<Var>,
    data: &[B],
) -> Result<Report> {
    quantize_qat_with(model, QatOptions::defaults(data.len())?, train_fn, data)
}

/// As [`quantize_qat`], with other settings.
///
/// # Errors
/// As [`quantize_qat`].
pub fn quantize_qat_with<M: Module, B>(
    model: &mut M,
    options: QatOptions,
    mut train_fn: impl FnMut(&M, &B) -> qnn::Result<Var>,
    data: &[B],
) -> Result<Report> {
    let first = data.first().ok_or(Error::NoData("quantize_qat"))?;
    let watched = |model: &M| train_fn(model, first).map(Value::from);
    fuse_watched(model, watched, Purpose::Training)?;
    prepare_qat(model, options.qconfig)?;
    let trained = epochs("quantize_qat", model, options.train, |_| data, train_fn);
    qnn::eval(model);
    trained?;
    convert(model)
}
