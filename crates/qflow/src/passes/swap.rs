//! Putting modules into places by name: all of them, or none.

use std::collections::BTreeMap;

use qnn::{Erased, Node, walk, walk_mut};

use crate::error::{Error, Result};

/// Refuses swaps that some place would not take, or that name no place.
fn check_swaps(model: &dyn Node, swaps: &BTreeMap<String, Erased>) -> Result<()> {
    let mut result = Ok(());
    let mut found = 0;
    walk(model, &mut |path, node| {
        if let (Some(place), Some(module)) = (node.as_place(), swaps.get(path)) {
            found += 1;
            if result.is_ok() {
                result = place.accepts(module).map_err(Error::from);
            }
        }
    });
    result?;
    if found == swaps.len() {
        return Ok(());
    }
    let known = qnn::paths(model);
    let names = swaps
        .keys()
        .filter(|name| !known.contains(name))
        .cloned()
        .collect();
    Err(Error::UnknownPlaces {
        operation: "swap",
        names,
        known,
    })
}

/// Puts modules into places by name. Nothing changes unless every place takes its module.
pub(crate) fn put_all(model: &mut dyn Node, mut swaps: BTreeMap<String, Erased>) -> Result<()> {
    check_swaps(model, &swaps)?;
    let mut result = Ok(());
    walk_mut(model, &mut |path, node| {
        if let Some(place) = node.as_place_mut()
            && let Some(module) = swaps.remove(path)
            && result.is_ok()
        {
            result = place.put(module).map_err(Error::from);
        }
    });
    result
}
