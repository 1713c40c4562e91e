//! The second pass: observers go to the outputs of the places that will be converted.

use std::collections::BTreeMap;

use qnn::{Node, Prepared, is_leaf, name_places, walk_mut};
use qobserve::QConfig;

use crate::error::Result;
use crate::mapping::Mapping;
use crate::spec::{QConfigSpec, propagate_qconfig};

/// Attaches observers, so that the forward passes that follow are calibration.
///
/// A place is observed if its configuration is static and the table has a row for its module; activations, pools and
/// the like work on integers as they are and need none. A place whose configuration is dynamic or weight-only, and
/// whose module has a row for that, is converted without having been observed.
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
    // A composite with a row of its own is converted as one, so nothing below it is prepared.
    let mut composites: Vec<String> = Vec::new();
    walk_mut(model, &mut |path, node| {
        let below = composites
            .iter()
            .any(|c| path.strip_prefix(c).is_some_and(|r| r.starts_with('.')));
        let leaf = is_leaf(node);
        let Some(place) = node.as_place_mut() else {
            return;
        };
        let qconfig = chosen.get(path).cloned().flatten().filter(|_| !below);
        let prepared = qconfig.and_then(|qconfig| {
            match mapping.observes(place.held(), qconfig.quant_type()) {
                Some(true) => Some(Prepared::observed(qconfig)),
                Some(false) => Some(Prepared::unobserved(qconfig)),
                None => None,
            }
        });
        if prepared.is_some() && !leaf {
            composites.push(path.to_string());
        }
        place.set_prepared(prepared);
    });
    Ok(())
}
