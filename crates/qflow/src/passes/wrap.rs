//! `add_quant_dequant`: borders of their own for the modules that a configuration names.

use std::collections::BTreeMap;

use qnn::{
    DeQuantStub, Identity, Layer, Node, Place, QuantStub, QuantWrapper, erase, is_leaf,
    name_places, walk, walk_mut,
};
use qobserve::QuantType;

use crate::error::{Error, Result};
use crate::spec::{QConfigSpec, propagate_qconfig};
use crate::tables::mapping::Mapping;

/// Puts a [`QuantWrapper`] around each module that static quantization will convert; returns the places.
///
/// The module moves to the place `module` below its own, and takes float values in the converted model too. A place counts if
/// it is a leaf with a static configuration, its module goes from a [`Value`](qnn::Value) to a [`Value`](qnn::Value), and the table of conversions
/// observes it; stubs are left alone. Call it before [`prepare`](crate::prepare), with the same rules.
///
/// # Errors
/// Names in the rules that the model does not have.
///
/// ```
/// use qflow::{QConfig, QConfigSpec, add_quant_dequant, calibrate, convert, prepare};
/// use qnn::{Conv2d, Flatten, Linear, Module, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// // A model without stubs, of which the convolution alone is to be int8.
/// let mut net = Sequential::new().push(Conv2d::config(1, 2, 3).build()?).push(Flatten::new()).push(Linear::new(2, 2)?);
/// let spec = QConfigSpec::float().with_name("0", Some(QConfig::minmax()));
/// assert_eq!(add_quant_dequant(&mut net, &spec)?, ["0"]);
/// prepare(&mut net, &spec)?;
/// let x: Value = Tensor::ones(&[1, 1, 3, 3])?.into();
/// calibrate(&net, [x.clone()])?;
/// let report = convert(&mut net)?;
/// assert_eq!(report.row("0.module").map(|r| r.after.as_str()), Some("QuantizedConv2d"));
/// assert_eq!(net.forward(&x)?.shape(), [1, 2]);
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn add_quant_dequant(
    model: &mut dyn Node,
    qconfig: impl Into<QConfigSpec>,
) -> Result<Vec<String>> {
    name_places(model);
    let mapping = Mapping::default();
    let chosen: BTreeMap<_, _> = propagate_qconfig(model, &qconfig.into())?
        .into_iter()
        .collect();
    let mut wrapped = Vec::new();
    walk(model, &mut |path, node| {
        let (Some(place), Some(Some(qconfig))) = (node.as_place(), chosen.get(path)) else {
            return;
        };
        let observed = mapping.observes(place.held(), QuantType::Static) == Some(true);
        let is_static = qconfig.quant_type() == QuantType::Static;
        if is_leaf(node) && observed && is_static && !is_stub(place) && takes_values(place) {
            wrapped.push(path.to_string());
        }
    });
    let mut result = Ok(());
    walk_mut(model, &mut |path, node| {
        if let Some(place) = node.as_place_mut().filter(|_| result.is_ok())
            && wrapped.iter().any(|w| w == path)
        {
            result = wrap(place);
        }
    });
    result?;
    name_places(model);
    Ok(wrapped)
}

fn is_stub(place: &dyn Place) -> bool {
    let kind = place.held().kind();
    kind == QuantStub.kind() || kind == DeQuantStub.kind()
}

/// Whether the place's modules go from a value to a value.
fn takes_values(place: &dyn Place) -> bool {
    place.accepts(&erase(Identity)).is_ok()
}

fn wrap(place: &mut dyn Place) -> Result<()> {
    let mut inside: Layer<Identity> = Identity.into();
    let module = place.replace(erase(Identity))?;
    inside.put(module)?;
    let wrapper = QuantWrapper::new(inside);
    place.put(erase(wrapper)).map_err(Error::from)
}
