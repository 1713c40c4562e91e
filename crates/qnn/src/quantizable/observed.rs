//! From an observed place within a quantizable module to its int8 module.

use std::any::Any;

use crate::error::{Error, Result};
use crate::float;
use crate::functional::{FloatFunctional, QFunctional};
use crate::layer::Layer;
use crate::module::Module;
use crate::place::Place;
use crate::prepared::Prepared;
use crate::qat;
use crate::quantized::{self, QParams};
use crate::recurrent::Arithmetic;
use crate::value::Value;

/// The configuration of a place and the qparams that calibration found for its output.
fn observed<M: Module>(place: &Layer<M>) -> Result<(&Prepared, QParams)> {
    let kind = place.held().kind();
    let refuse = |what: &str| {
        let what = what.to_string();
        Error::Config { module: kind, what }.at(place.path(), kind)
    };
    let Some(prepared) = place.prepared() else {
        return Err(refuse(
            "it is not prepared, so nothing is known of its output",
        ));
    };
    let Some(observer) = prepared.observer() else {
        return Err(refuse("its configuration does not observe the output"));
    };
    if !observer.has_observed() {
        return Err(refuse("no calibration batch reached it"));
    }
    let quantizer = observer.calculate_qparams()?;
    let output = QParams::from_quantizer(kind, &quantizer, observer.dtype())?;
    Ok((prepared, output))
}

/// The int8 layer of an observed one, float or trained.
pub(crate) fn observed_linear(place: &Layer<float::Linear>) -> Result<quantized::Linear> {
    let (prepared, output) = observed(place)?;
    let held: &dyn Any = place.held();
    let linear = if let Some(linear) = held.downcast_ref::<float::Linear>() {
        quantized::Linear::from_float(linear, &prepared.qconfig().weight, output)
    } else if let Some(linear) = held.downcast_ref::<qat::Linear>() {
        linear.to_quantized(output)
    } else {
        Err(Error::Config {
            module: "QuantizedLinear",
            what: "it is made of a Linear or a QatLinear".into(),
        })
    };
    linear.map_err(|e| e.at(place.path(), place.held().kind()))
}

/// The int8 convolution of an observed one, float or trained.
pub(crate) fn observed_conv<const D: usize>(
    place: &Layer<float::Conv<D>>,
) -> Result<quantized::Conv<D>> {
    let (prepared, output) = observed(place)?;
    let held: &dyn Any = place.held();
    let conv = if let Some(conv) = held.downcast_ref::<float::Conv<D>>() {
        quantized::Conv::from_float(conv, &prepared.qconfig().weight, output)
    } else if let Some(conv) = held.downcast_ref::<qat::Conv<D>>() {
        conv.to_quantized(output)
    } else {
        Err(Error::Config {
            module: "QuantizedConv",
            what: "it is made of a Conv or a QatConv".into(),
        })
    };
    conv.map_err(|e| e.at(place.path(), place.held().kind()))
}

/// The int8 functional of an observed one.
pub(crate) fn observed_functional(place: &Layer<FloatFunctional>) -> Result<QFunctional> {
    Ok(QFunctional::new(observed(place)?.1))
}

/// The map that calibration found for the output of a place.
pub(crate) fn observed_output<M: Module>(place: &Layer<M>) -> Result<QParams> {
    Ok(observed(place)?.1)
}

impl Arithmetic for Layer<FloatFunctional> {
    fn adopt(&self, module: &'static str, state: &Value) -> Result<Value> {
        state.float(module)?;
        Ok(state.clone())
    }
}
