//! Running calibration data, with progress, and the whole flow in one line.

use indicatif::{ProgressBar, ProgressStyle};
use qnn::Module;

use crate::error::{Error, Result};
use crate::passes::convert::convert;
use crate::passes::fuse::fuse_all;
use crate::passes::prepare::prepare;
use crate::report::Report;
use crate::spec::QConfigSpec;

/// Runs batches through a prepared model, with a progress bar where there is a terminal.
///
/// Returns the number of batches.
///
/// # Errors
/// The first error of a forward pass; NaN or infinity in an observed value names the place.
pub fn calibrate<M: Module>(
    model: &M,
    batches: impl IntoIterator<Item = M::Input>,
) -> Result<usize> {
    let batches = batches.into_iter();
    let bar = match batches.size_hint() {
        (least, Some(most)) if least == most => ProgressBar::new(most as u64),
        _ => ProgressBar::no_length(),
    };
    let style =
        ProgressStyle::with_template("calibrating {wide_bar} {pos}/{len} batches, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut count = 0;
    for batch in batches {
        qgrad::no_grad(|| model.forward(&batch))?;
        count += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(count)
}

/// The whole flow in one line: fuse what the first batch shows to be fusable, prepare, calibrate, convert.
///
/// Each step changes the model whole or not at all; if a later one fails, the earlier ones have been done.
///
/// # Errors
/// [`Error::NoData`] without a batch, and those of the steps.
///
/// ```
/// use qflow::{QConfig, quantize};
/// use qnn::{Conv2d, DeQuantStub, QuantStub, ReLU, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new()
///     .push(QuantStub)
///     .push(Conv2d::config(1, 4, 3).build()?)
///     .push(ReLU)
///     .push(DeQuantStub);
/// let batches: Vec<Value> = vec![Tensor::ones(&[2, 1, 8, 8])?.into()];
/// let report = quantize(&mut net, QConfig::x86(), batches)?;
/// assert_eq!(report.row("1").map(|r| r.after.as_str()), Some("QuantizedConvReLU2d"));
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn quantize<M: Module>(
    model: &mut M,
    qconfig: impl Into<QConfigSpec>,
    batches: impl IntoIterator<Item = M::Input>,
) -> Result<Report> {
    let mut batches = batches.into_iter();
    let first = batches.next().ok_or(Error::NoData("quantize"))?;
    fuse_all(model, &first)?;
    prepare(model, qconfig)?;
    calibrate(model, std::iter::once(first))?;
    calibrate(model, batches)?;
    convert(model)
}
