//! Model files: every place's module with its state, in one checksummed file.
//!
//! A file holds canonical weights, never packed ones, so it is the same bytes on every CPU. To load it, make the
//! model as for training and call [`load`]: places whose modules were swapped before saving are swapped
//! again by the kind that the file names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qnn::{Erased, Node, State, is_leaf, name_places, walk, walk_mut};
use qtensor_core::container::{self, Kind};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fit::check_fit;
use crate::loaders::{restore, restores};
use crate::swap::put_all;

/// One node of a saved model.
#[derive(Serialize, Deserialize)]
struct Record {
    path: String,
    kind: String,
    state: State,
    config: State,
}

/// The file's bytes.
///
/// # Errors
/// [`qtensor_core::Error::Malformed`] if a state cannot be encoded or two places have the same name.
pub fn to_bytes(model: &dyn Node) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    walk(model, &mut |path, node| {
        if is_recorded(node) {
            let (state, config) = (node.state(), node.config());
            records.push(Record {
                path: path.into(),
                kind: node.kind().into(),
                state,
                config,
            });
        }
    });
    unique(&records)?;
    let content = postcard::to_stdvec(&records).map_err(|e| malformed(e.to_string()))?;
    Ok(container::seal(Kind::Model, &content))
}

/// Saves a model to one file, atomically.
///
/// # Errors
/// Those of the file system, with the path.
pub fn save(model: &dyn Node, path: impl AsRef<Path>) -> Result<()> {
    Ok(container::write_file(path.as_ref(), &to_bytes(model)?)?)
}

/// Loads a saved model into one of the same structure, float as it was declared or already converted.
///
/// Nothing changes unless everything fits.
///
/// # Errors
/// Those of [`container::open`] for a damaged file; [`Error::OtherModel`] with the keys that differ,
/// [`Error::OtherKind`], [`Error::WeightShape`] and [`Error::OtherConfig`] with the key and both values;
/// [`Error::UnknownKind`], and errors of single modules with their place.
pub fn load(model: &mut dyn Node, path: impl AsRef<Path>) -> Result<()> {
    from_bytes(model, &container::read_file(path.as_ref())?)
}

/// As [`load`], from bytes.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(model: &mut dyn Node, bytes: &[u8]) -> Result<()> {
    let content = container::open(Kind::Model, bytes)?;
    let (records, rest): (Vec<Record>, _) =
        postcard::take_from_bytes(content).map_err(|e| malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed(format!(
            "{} bytes are left over behind the content",
            rest.len()
        )));
    }
    name_places(model);
    unique(&records)?;
    check_keys(model, &records)?;

    let mut swaps: BTreeMap<String, Erased> = BTreeMap::new();
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    {
        let mut nodes: BTreeMap<String, &dyn Node> = BTreeMap::new();
        walk(&*model, &mut |path, node| {
            nodes.insert(path.to_string(), node);
        });
        for record in records {
            let node = nodes[&record.path];
            check_fit(
                &record.path,
                node,
                &record.kind,
                &record.state,
                &record.config,
            )?;
            if restores(&record.kind) {
                swaps.insert(record.path.clone(), restored(record)?);
            } else {
                states.insert(record.path, record.state);
            }
        }
    }
    put_all(model, swaps)?;
    let mut result = Ok(());
    walk_mut(model, &mut |path, node| {
        if let (Some(mut state), true) = (states.remove(path), result.is_ok()) {
            result = node
                .load_state(&mut state)
                .map_err(|e| Error::from(e).at(path, node.kind()));
        }
    });
    result
}

/// The module of a record; every entry must be used.
fn restored(record: Record) -> Result<Erased> {
    let Record {
        path,
        kind,
        state,
        config,
    } = record;
    let mut left = state.merged(config);
    let module = restore(&kind, &mut left).map_err(|e| Error::from(e).at(&path, &kind))?;
    let unexpected: Vec<String> = left.iter().map(|(k, _)| qnn::join(&path, k)).collect();
    if unexpected.is_empty() {
        Ok(module)
    } else {
        Err(Error::OtherModel {
            missing: Vec::new(),
            unexpected,
        })
    }
}

/// Leaf places are recorded even without state, because their kind may have changed; other nodes if they hold
/// numbers of their own.
fn is_recorded(node: &dyn Node) -> bool {
    (node.as_place().is_some() && is_leaf(node)) || !node.state().is_empty()
}

/// The file's keys and the model's must be the same.
fn check_keys(model: &dyn Node, records: &[Record]) -> Result<()> {
    let mut want = BTreeSet::new();
    walk(model, &mut |path, node| {
        if is_recorded(node) {
            want.insert(path.to_string());
        }
    });
    let have: BTreeSet<String> = records.iter().map(|r| r.path.clone()).collect();
    let missing: Vec<String> = want.difference(&have).cloned().collect();
    let unexpected: Vec<String> = have.difference(&want).cloned().collect();
    if missing.is_empty() && unexpected.is_empty() {
        Ok(())
    } else {
        Err(Error::OtherModel {
            missing,
            unexpected,
        })
    }
}

fn unique(records: &[Record]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match records.iter().find(|r| !seen.insert(&r.path)) {
        Some(twice) => Err(malformed(format!(
            "the place {:?} occurs twice",
            twice.path
        ))),
        None => Ok(()),
    }
}

fn malformed(what: String) -> Error {
    qtensor_core::Error::Malformed(what).into()
}
