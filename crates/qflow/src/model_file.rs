//! Model files: every place's module with its state, in one checksummed file.
//!
//! A file holds canonical weights, never packed ones, so it is the same bytes on every CPU. To load it, make the
//! model as for training and call [`load`]: places whose modules were swapped before saving are swapped
//! again by the kind that the file names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qnn::{Erased, Node, State, name_places, walk, walk_mut};
use qtensor_core::container::{self, Kind};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fuse::put_all;
use crate::loaders::restore;

/// One node of a saved model.
#[derive(Serialize, Deserialize)]
struct Record {
    path: String,
    kind: String,
    state: State,
}

/// The file's bytes.
///
/// # Errors
/// [`qtensor_core::Error::Malformed`] if a state cannot be encoded.
pub fn to_bytes(model: &dyn Node) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    walk(model, &mut |path, node| {
        let state = node.state();
        if is_recorded(node, &state) {
            records.push(Record {
                path: path.into(),
                kind: node.kind().into(),
                state,
            });
        }
    });
    let content =
        postcard::to_stdvec(&records).map_err(|e| qtensor_core::Error::Malformed(e.to_string()))?;
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
/// Those of [`container::open`] for a damaged file; [`Error::OtherModel`] with the keys that differ;
/// [`Error::UnknownKind`], and errors of single modules with their key.
pub fn load(model: &mut dyn Node, path: impl AsRef<Path>) -> Result<()> {
    from_bytes(model, &container::read_file(path.as_ref())?)
}

/// As [`load`], from bytes.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(model: &mut dyn Node, bytes: &[u8]) -> Result<()> {
    let content = container::open(Kind::Model, bytes)?;
    let malformed = |what: String| Error::from(qtensor_core::Error::Malformed(what));
    let (records, rest): (Vec<Record>, _) =
        postcard::take_from_bytes(content).map_err(|e| malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed(format!(
            "{} bytes are left over behind the content",
            rest.len()
        )));
    }
    name_places(model);
    check_keys(model, &records)?;

    let mut swaps: BTreeMap<String, Erased> = BTreeMap::new();
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    for Record { path, kind, state } in records {
        let actual = kind_at(model, &path);
        if actual == kind && restore(&kind, &mut state.clone()).is_none() {
            states.insert(path, state);
            continue;
        }
        let mut left = state;
        let restored = restore(&kind, &mut left).ok_or_else(|| Error::UnknownKind {
            key: path.clone(),
            kind: kind.clone(),
            actual: actual.clone(),
        })?;
        let module = restored.map_err(|e| Error::from(e).at(&path, &kind))?;
        refuse_leftovers(&path, &left)?;
        swaps.insert(path, module);
    }
    check_shapes(model, &states)?;
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

/// Places are recorded even without state, because their kind may have changed; their inner nodes too, if they hold numbers.
fn is_recorded(node: &dyn Node, state: &State) -> bool {
    let mut children = 0;
    node.children(&mut |_, _| children += 1);
    children == 0 && (node.as_place().is_some() || !state.is_empty()) || !state.is_empty()
}

fn kind_at(model: &dyn Node, wanted: &str) -> String {
    let mut kind = String::new();
    walk(model, &mut |path, node| {
        if path == wanted {
            kind = node.kind().to_string();
        }
    });
    kind
}

/// The file's keys and the model's must be the same, each once.
fn check_keys(model: &dyn Node, records: &[Record]) -> Result<()> {
    let mut want = BTreeSet::new();
    walk(model, &mut |path, node| {
        if is_recorded(node, &node.state()) {
            want.insert(path.to_string());
        }
    });
    let have: BTreeSet<String> = records.iter().map(|r| r.path.clone()).collect();
    if have.len() != records.len() {
        return Err(qtensor_core::Error::Malformed("a place occurs twice".into()).into());
    }
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

/// Entries that go into modules as they are must be the ones that the modules have, with the same shapes.
fn check_shapes(model: &dyn Node, states: &BTreeMap<String, State>) -> Result<()> {
    let mut result = Ok(());
    walk(model, &mut |path, node| {
        let (Some(state), true) = (states.get(path), result.is_ok()) else {
            return;
        };
        let own = node.state();
        let keys = |s: &State| {
            s.iter()
                .map(|(k, _)| qnn::join(path, k))
                .collect::<BTreeSet<_>>()
        };
        let (want, have) = (keys(&own), keys(state));
        if want != have {
            result = Err(Error::OtherModel {
                missing: want.difference(&have).cloned().collect(),
                unexpected: have.difference(&want).cloned().collect(),
            });
            return;
        }
        for ((key, a), (_, b)) in own.iter().zip(state.iter()) {
            if let (qnn::Entry::Tensor(a), qnn::Entry::Tensor(b)) = (a, b)
                && a.shape() != b.shape()
            {
                result = Err(Error::WeightShape {
                    key: qnn::join(path, key),
                    expected: a.shape().to_vec(),
                    actual: b.shape().to_vec(),
                });
                return;
            }
        }
    });
    result
}

fn refuse_leftovers(path: &str, state: &State) -> Result<()> {
    let unexpected: Vec<String> = state.iter().map(|(k, _)| qnn::join(path, k)).collect();
    if unexpected.is_empty() {
        Ok(())
    } else {
        Err(Error::OtherModel {
            missing: Vec::new(),
            unexpected,
        })
    }
}
