//! Conversion into a second model, which leaves the trained one as it is.

use std::collections::BTreeMap;

use qnn::{Erased, Identity, Node, State, erase, is_leaf, name_places, walk, walk_mut};

use crate::error::{Error, Result};
use crate::passes::convert::{ConvertOptions, Plan};
use crate::passes::prepare::is_below;
use crate::passes::swap::put_all;
use crate::report::Report;

/// Converts a calibrated or trained model into `fresh`, a newly made model of the same structure; `model` stays as it
/// is and can be trained on.
///
/// Places that are not converted get the numbers of `model`.
///
/// # Errors
/// As [`convert`](crate::convert), and [`Error::OtherStructure`] for a place that neither is converted nor holds the same
/// module in both. Nothing has changed then.
///
/// ```
/// use qflow::{QConfig, calibrate, convert_into, prepare};
/// use qnn::{DeQuantStub, Linear, Module, QuantStub, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let make = || Ok::<_, qnn::Error>(Sequential::new().push(QuantStub).push(Linear::new(4, 2)?).push(DeQuantStub));
/// let mut net = make()?;
/// prepare(&mut net, QConfig::minmax())?;
/// let x: Value = Tensor::ones(&[1, 4])?.into();
/// calibrate(&net, [x.clone()])?;
/// let mut int8 = make()?;
/// convert_into(&net, &mut int8)?;
/// let (a, b) = (net.forward(&x)?.to_tensor(), int8.forward(&x)?.to_tensor());
/// assert!((a.get(&[0, 0])? - b.get(&[0, 0])?).abs() < 0.02);
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn convert_into(model: &dyn Node, fresh: &mut dyn Node) -> Result<Report> {
    name_places(fresh);
    let options = ConvertOptions::default();
    let plan = Plan::make(model, &options, true)?;
    let (mut swaps, composites) = (plan.swaps, plan.composites);
    let converted = |path: &str| composites.iter().any(|c| is_below(path, c));
    let (mut states, structure) = rest(model, fresh, &mut swaps, &converted);
    structure?;
    put_all(fresh, swaps)?;
    let mut result = Ok(());
    walk_mut(fresh, &mut |path, node| {
        if let (Some(mut state), true) = (states.remove(path), result.is_ok()) {
            result = node
                .load_state(&mut state)
                .map_err(|e| Error::from(e).at(path, node.kind()));
        }
    });
    result?;
    qnn::eval(fresh);
    let mut rows = plan.rows;
    walk(&*fresh, &mut |path, node| {
        if let Some(row) = rows.iter_mut().find(|r| r.path == path) {
            row.after = node.kind().to_string();
            row.bytes_after = node.state().bytes();
        }
    });
    Ok(Report::new(rows))
}

/// The states of what is not converted. Places that fusion left empty are added to the swaps.
fn rest(
    model: &dyn Node,
    fresh: &dyn Node,
    swaps: &mut BTreeMap<String, Erased>,
    converted: &dyn Fn(&str) -> bool,
) -> (BTreeMap<String, State>, Result<()>) {
    let mut kinds = BTreeMap::new();
    walk(fresh, &mut |path, node| {
        kinds.insert(path.to_string(), node.kind());
    });
    let (mut states, mut result) = (BTreeMap::new(), Ok(()));
    walk(model, &mut |path, node| {
        if converted(path) || swaps.contains_key(path) || result.is_err() {
            return;
        }
        if node.kind() == "Identity" && node.as_place().is_some() && is_leaf(node) {
            swaps.insert(path.to_string(), erase(Identity));
            return;
        }
        let actual = kinds.get(path).copied().unwrap_or("nothing");
        if actual != node.kind() {
            result = Err(Error::OtherStructure {
                path: path.to_string(),
                expected: node.kind().to_string(),
                actual: actual.to_string(),
            });
        } else if !node.state().is_empty() {
            states.insert(path.to_string(), node.state());
        }
    });
    (states, result)
}
