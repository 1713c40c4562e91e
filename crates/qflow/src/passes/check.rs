//! Checking a model for missing stubs before it is used.

use qnn::probe::{self, Misfit};
use qnn::{Module, name_places};

use crate::error::Result;

/// Runs a sample and reports every place that gets a value of the wrong kind, all at once.
///
/// An empty list means that the model runs. Values of the wrong kind are converted on the spot, so that one
/// missing stub does not hide the next.
///
/// # Errors
/// Errors of other kinds, such as a shape that does not fit.
pub fn check<M: Module>(model: &mut M, sample: &M::Input) -> Result<Vec<Misfit>> {
    name_places(model);
    let (output, misfits) = probe::collect(|| qgrad::no_grad(|| model.forward(sample)));
    output?;
    Ok(misfits)
}
