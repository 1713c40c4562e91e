//! The third pass: calibrated places get their int8 modules.

use std::collections::BTreeMap;

use qnn::quantized::QParams;
use qnn::{Erased, Node, Place, Prepared, is_leaf, name_places, walk, walk_mut};
use qtensor_core::Quantizer;

use crate::error::{Error, Result};
use crate::hooks;
use crate::passes::prepare::is_below;
use crate::passes::swap::put_all;
use crate::report::{Outcome, Report, Row};
use crate::tables::mapping::{Mapping, Target};

/// What [`convert_with`] does besides the default.
#[derive(Default)]
pub struct ConvertOptions {
    /// Places that stay float, with all below them, although they are prepared, calibrated or not.
    pub leave_float: Vec<String>,
    /// The table of conversions.
    pub mapping: Mapping,
}

impl ConvertOptions {
    /// Converts to reference modules ([`qnn::reference`]): places with weights compute in float with what their integers stand
    /// for, and activations are not rounded. The model needs no calibration if it was prepared with
    /// [`Mapping::reference`] too.
    ///
    /// ```
    /// use qflow::{ConvertOptions, Mapping, QConfig, convert_with, prepare_with};
    /// use qnn::{DeQuantStub, Linear, Module, QuantStub, Sequential};
    /// use qtensor_core::Tensor;
    ///
    /// let mut net = Sequential::new().push(QuantStub).push(Linear::new(4, 2)?).push(DeQuantStub);
    /// prepare_with(&mut net, QConfig::x86(), &Mapping::reference())?;
    /// let report = convert_with(&mut net, &ConvertOptions::reference())?;
    /// assert_eq!(report.row("1").map(|r| r.after.as_str()), Some("ReferenceLinear"));
    /// assert_eq!(net.forward(&Tensor::ones(&[3, 4])?.into())?.shape(), [3, 2]);
    /// # Ok::<(), qflow::Error>(())
    /// ```
    #[doc(alias = "is_reference")]
    pub fn reference() -> ConvertOptions {
        ConvertOptions {
            leave_float: Vec::new(),
            mapping: Mapping::reference(),
        }
    }

    /// Whether a place stays float as asked.
    fn leaves(&self, path: &str) -> bool {
        let names = &mut self.leave_float.iter();
        names.any(|name| name == path || is_below(path, name))
    }
}

/// Replaces every calibrated place's module by its int8 counterpart and reports what became of each place.
///
/// Nothing changes unless everything can be converted.
///
/// # Errors
/// [`Error::NotPrepared`]; [`Error::Uncalibrated`] with the places that no calibration batch reached; the
/// error of a module that cannot be converted, with its place; [`Error::ConvertHooked`] for hooks within a module that is
/// converted as one.
pub fn convert(model: &mut dyn Node) -> Result<Report> {
    convert_with(model, &ConvertOptions::default())
}

/// As [`convert`], with options.
///
/// # Errors
/// As [`convert`], and [`Error::UnknownPlaces`] for names in `leave_float` that the model does not have.
pub fn convert_with(model: &mut dyn Node, options: &ConvertOptions) -> Result<Report> {
    name_places(model);
    let known = qnn::paths(model);
    let unknown: Vec<String> = options
        .leave_float
        .iter()
        .filter(|n| !known.contains(n))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Err(Error::UnknownPlaces {
            operation: "convert",
            names: unknown,
            known,
        });
    }
    let plan = Plan::make(&*model, options, true)?;
    carry_out(model, plan)
}

/// As [`convert`], for a model without places that wait for calibration; it may have none to convert at all.
pub(crate) fn convert_dynamic(model: &mut dyn Node) -> Result<Report> {
    let plan = Plan::make(&*model, &ConvertOptions::default(), false)?;
    carry_out(model, plan)
}

/// Swaps the modules and completes the report.
fn carry_out(model: &mut dyn Node, plan: Plan) -> Result<Report> {
    put_all(model, plan.swaps)?;
    Ok(settle(model, plan.rows))
}

/// Ends preparation, and completes the rows of the report with what the places hold now.
pub(crate) fn settle(model: &mut dyn Node, mut rows: Vec<Row>) -> Report {
    // An int8 model is not trained: what stayed float computes as in evaluation.
    qnn::eval(model);
    walk_mut(model, &mut |path, node| {
        let Some(place) = node.as_place_mut() else {
            return;
        };
        place.set_prepared(None);
        if let Some(row) = rows.iter_mut().find(|r| r.path == path) {
            row.after = place.held().kind().to_string();
            row.bytes_after = place.held().state().bytes();
        }
    });
    Report::new(rows)
}

/// All new modules and the report's rows, made before anything changes.
pub(crate) struct Plan {
    pub(crate) swaps: BTreeMap<String, Erased>,
    pub(crate) rows: Vec<Row>,
    /// Places with children that are converted as one.
    pub(crate) composites: Vec<String>,
}

impl Plan {
    pub(crate) fn make(
        model: &dyn Node,
        options: &ConvertOptions,
        must_convert: bool,
    ) -> Result<Plan> {
        let mut uncalibrated = Vec::new();
        let mut any_prepared = false;
        walk(model, &mut |path, node| {
            let Some(prepared) = node.as_place().and_then(Place::prepared) else {
                return;
            };
            any_prepared = true;
            if !options.leaves(path) && !is_calibrated(prepared) {
                uncalibrated.push(path.to_string());
            }
        });
        if must_convert && !any_prepared {
            return Err(Error::NotPrepared);
        }
        if !uncalibrated.is_empty() {
            return Err(Error::Uncalibrated(uncalibrated));
        }
        let mut plan = Plan {
            swaps: BTreeMap::new(),
            rows: Vec::new(),
            composites: Vec::new(),
        };
        let mut result = Ok(());
        walk(model, &mut |path, node| {
            if let (Some(place), true) = (node.as_place(), result.is_ok()) {
                result = plan
                    .add(path, place, options)
                    .map_err(|e| e.at(path, node.kind()));
            }
        });
        result?;
        plan.refuse_hooked(model)?;
        Ok(plan)
    }

    /// Hooks on places within a module that is converted as one would have nothing to see.
    fn refuse_hooked(&self, model: &dyn Node) -> Result<()> {
        let (before, after) = hooks::watched(model);
        for path in &self.composites {
            let hooked = before.union(&after).filter(|name| is_below(name, path));
            let hooked: Vec<String> = hooked.cloned().collect();
            if !hooked.is_empty() {
                let path = path.clone();
                return Err(Error::ConvertHooked { path, hooked });
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, place: &dyn Place, options: &ConvertOptions) -> Result<()> {
        let held = place.held();
        let converts = options.mapping.converts(held);
        let below_converted = self.composites.iter().any(|c| is_below(path, c));
        if below_converted || (!is_leaf(held) && !converts) {
            return Ok(());
        }
        let mut row = Row {
            path: path.to_string(),
            before: held.kind().to_string(),
            after: String::new(),
            outcome: Outcome::Unchanged(why_unchanged(held, converts)),
            bytes_before: held.state().bytes(),
            bytes_after: 0,
        };
        if let Some(prepared) = place.prepared() {
            if options.leaves(path) {
                row.outcome = Outcome::Unchanged("left in float as asked".into());
            } else {
                if let Some((module, output)) = converted(held, prepared, &options.mapping)? {
                    if !is_leaf(held) {
                        self.composites.push(path.to_string());
                    }
                    row.outcome = Outcome::Converted(output);
                    self.swaps.insert(path.to_string(), module);
                }
            }
        }
        self.rows.push(row);
        Ok(())
    }
}

/// Converts the module of one prepared and calibrated place; false if the table has no row for it.
///
/// A module that stays float in a place between int8 ones needs stubs around it, which is for the caller to see to.
///
/// # Errors
/// [`Error::NotPrepared`], [`Error::Uncalibrated`], and those of the conversion, with the place; it is as before then.
///
/// ```
/// use qflow::{Mapping, QConfig, calibrate, prepare, swap_module};
/// use qnn::{Linear, QuantWrapper, Layer, Node, Value};
/// use qtensor_core::Tensor;
///
/// let mut net = QuantWrapper::new(Layer::new(Linear::new(2, 2)?));
/// prepare(&mut net, QConfig::minmax())?;
/// calibrate(&net, [Value::from(Tensor::ones(&[1, 2])?)])?;
/// assert!(swap_module(net.module_mut(), &Mapping::default())?);
/// assert_eq!(net.module().kind(), "QuantizedLinear");
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn swap_module(place: &mut dyn Place, mapping: &Mapping) -> Result<bool> {
    let prepared = place.prepared().ok_or(Error::NotPrepared)?;
    if !is_calibrated(prepared) {
        return Err(Error::Uncalibrated(vec![place.path().to_string()]));
    }
    let module = converted(place.held(), prepared, mapping);
    let module = module.map_err(|e| e.at(place.path(), place.held().kind()))?;
    let Some((module, _)) = module else {
        return Ok(false);
    };
    place.put(module)?;
    place.held_mut().set_training(false);
    place.set_prepared(None);
    Ok(true)
}

/// The module that a calibrated one becomes, and the qparams of its output.
fn converted(
    held: &dyn Node,
    prepared: &Prepared,
    mapping: &Mapping,
) -> Result<Option<(Erased, Option<QParams>)>> {
    let output = output_qparams(held, prepared)?;
    let target = output.map(|output| Target {
        weight: &prepared.qconfig().weight,
        output,
    });
    let module = mapping.convert(held, prepared.qconfig(), target.as_ref())?;
    Ok(module.map(|module| (module, output)))
}

/// An observer has seen data, or there is none, or only unobserved operations (scalar forms) passed.
fn is_calibrated(prepared: &Prepared) -> bool {
    prepared
        .observer()
        .is_none_or(|observer| observer.has_observed())
        || prepared.passed_by()
}

/// The qparams that calibration found for a place's output.
fn output_qparams(held: &dyn Node, prepared: &Prepared) -> Result<Option<QParams>> {
    let Some(observer) = prepared.observer() else {
        return Ok(None);
    };
    // A functional that only ran scalar operations has no range of its own; 1 and 0 are never used then.
    let quantizer = if observer.has_observed() {
        observer.calculate_qparams()?
    } else {
        Quantizer::per_tensor(1.0, 0)
    };
    Ok(Some(QParams::from_quantizer(
        held.kind(),
        &quantizer,
        observer.dtype(),
    )?))
}

fn why_unchanged(held: &dyn Node, converts: bool) -> String {
    match held.kind() {
        "Identity" => "fused, or an identity".into(),
        _ if converts => "no qconfig that converts it".into(),
        _ if held.state().is_empty() => "works on integers as it is".into(),
        kind => format!("there is no int8 {kind}"),
    }
}
