//! The second pass: observers go to the outputs of the places that will be converted.

use std::collections::BTreeMap;

use qnn::{Node, Prepared, name_places, walk_mut};
use qobserve::QConfig;

use crate::error::Result;
use crate::mapping::Mapping;
use crate::spec::{QConfigSpec, propagate_qconfig};

/// Attaches observers, so that the forward passes that follow are calibration.
///
/// A place is observed if its configuration is not `None` and the static table has a row for its module;
/// activations, pools and the like work on integers as they are and need none.
///
/// # Errors
/// Names in the rules that the model does not have.
pub fn prepare(model: &mut dyn Node, qconfig: impl Into<QConfigSpec>) -> Result<()> {
    prepare_with(model, qconfig, &Mapping::default())
}

/// As [`prepare`], with a table of one's own.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_with(
    model: &mut dyn Node,
    qconfig: impl Into<QConfigSpec>,
    mapping: &Mapping,
) -> Result<()> {
    name_places(model);
    let chosen: BTreeMap<String, Option<QConfig>> = propagate_qconfig(model, &qconfig.into())?
        .into_iter()
        .collect();
    walk_mut(model, &mut |path, node| {
        let Some(place) = node.as_place_mut() else {
            return;
        };
        let qconfig = chosen.get(path).cloned().flatten();
        let prepared = qconfig.and_then(|qconfig| match mapping.observes(place.held()) {
            Some(true) => Some(Prepared::observed(qconfig)),
            Some(false) => Some(Prepared::unobserved(qconfig)),
            None => None,
        });
        place.set_prepared(prepared);
    });
    Ok(())
}
