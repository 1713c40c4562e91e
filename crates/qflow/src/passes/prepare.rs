//! The second pass: observers go to the outputs of the places that will be converted.

use std::collections::BTreeMap;

use qnn::{Erased, Node, Prepared, is_leaf, name_places, walk, walk_mut};
use qobserve::QConfig;

use crate::error::Result;
use crate::passes::swap::put_all;
use crate::spec::{QConfigSpec, propagate_qconfig, resolve_qconfig};
use crate::tables::mapping::Mapping;

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

/// As [`prepare`], with a table of one's own, which may put modules that observe themselves in place of float ones
/// ([`Mapping::with_custom`]).
///
/// # Errors
/// As [`prepare`], and those of making such modules; nothing has changed then.
pub fn prepare_with(
    model: &mut dyn Node,
    qconfig: impl Into<QConfigSpec>,
    mapping: &Mapping,
) -> Result<()> {
    name_places(model);
    let spec = qconfig.into();
    put_customs(model, &spec, mapping)?;
    let chosen: BTreeMap<String, Option<QConfig>> =
        resolve_qconfig(model, &spec).into_iter().collect();
    // A composite with a row of its own is converted as one, so nothing below it is prepared.
    let mut composites: Vec<String> = Vec::new();
    walk_mut(model, &mut |path, node| {
        let below = composites.iter().any(|c| is_below(path, c));
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
        if prepared.is_some() && !leaf && !mapping.observes_within(place.held()) {
            composites.push(path.to_string());
        }
        place.set_prepared(prepared);
    });
    Ok(())
}

/// Puts the modules that observe themselves into their places.
///
/// Rules by type are for the modules that were declared, so a spec means the same places afterwards; places that it names
/// may be gone, and others have come.
///
/// # Errors
/// Names in the rules that the model does not have, and those of making such modules; nothing has changed then.
pub(crate) fn put_customs(
    model: &mut dyn Node,
    spec: &QConfigSpec,
    mapping: &Mapping,
) -> Result<()> {
    let chosen = propagate_qconfig(model, spec)?.into_iter().collect();
    let swaps = customs(model, &chosen, mapping)?;
    put_all(model, swaps)?;
    name_places(model);
    Ok(())
}

/// Whether a place lies below another.
pub(crate) fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// The modules that observe themselves, by the places that they will be in.
fn customs(
    model: &dyn Node,
    chosen: &BTreeMap<String, Option<QConfig>>,
    mapping: &Mapping,
) -> Result<BTreeMap<String, Erased>> {
    let (mut swaps, mut result) = (BTreeMap::new(), Ok(()));
    walk(model, &mut |path, node| {
        let (Some(place), Some(Some(qconfig)), true) =
            (node.as_place(), chosen.get(path), result.is_ok())
        else {
            return;
        };
        match mapping.custom(place.held(), qconfig) {
            Ok(Some(module)) => drop(swaps.insert(path.to_string(), module)),
            Ok(None) => {}
            Err(error) => result = Err(error.at(path, node.kind())),
        }
    });
    result.map(|()| swaps)
}
