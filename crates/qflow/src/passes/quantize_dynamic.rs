//! Dynamic quantization in one line: no calibration, so no data.

use qnn::{Node, walk_mut};
use qobserve::QuantType;

use crate::error::{Error, Result};
use crate::passes::convert::convert_dynamic;
use crate::passes::prepare::prepare;
use crate::report::Report;
use crate::spec::{QConfigSpec, propagate_qconfig};

/// Replaces every place that has a dynamic or weight-only configuration, and whose module has such a counterpart.
///
/// `spec` is one configuration for the whole model, or rules by type and by name; see [`QConfigSpec`]. Everything else
/// stays float. The model is changed whole or not at all.
///
/// # Errors
/// [`Error::NotDynamic`] with the places whose configuration is static, names that the model does not have, and the
/// error of a module that cannot be converted, with its place.
///
/// ```
/// use qflow::{QConfig, QConfigSpec, quantize_dynamic};
/// use qnn::{Linear, ReLU, Sequential};
///
/// let build = || Ok::<_, qnn::Error>(Sequential::new().push(Linear::new(8, 8)?).push(ReLU).push(Linear::new(8, 2)?));
/// let mut net = build()?;
/// let report = quantize_dynamic(&mut net, QConfig::dynamic())?;
/// assert_eq!(report.converted().count(), 2);
///
/// let mut net = build()?;
/// let spec = QConfigSpec::from(QConfig::dynamic()).with_name("2", Some(QConfig::float16_dynamic_qconfig()));
/// quantize_dynamic(&mut net, spec)?;
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn quantize_dynamic(model: &mut dyn Node, spec: impl Into<QConfigSpec>) -> Result<Report> {
    let spec = spec.into();
    let chosen = propagate_qconfig(model, &spec)?;
    let is_static = |q: &Option<qobserve::QConfig>| {
        q.as_ref()
            .is_some_and(|q| q.quant_type() == QuantType::Static)
    };
    let wrong: Vec<String> = chosen
        .into_iter()
        .filter(|(_, qconfig)| is_static(qconfig))
        .map(|(path, _)| path)
        .collect();
    if !wrong.is_empty() {
        return Err(Error::NotDynamic(wrong));
    }
    prepare(model, spec)?;
    let report = convert_dynamic(model);
    // Whatever became of it, no place waits for calibration afterwards.
    walk_mut(model, &mut |_, node| {
        if let Some(place) = node.as_place_mut() {
            place.set_prepared(None);
        }
    });
    report
}
