//! Float weights in and out as safetensors, under the names of a PyTorch `state_dict`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qnn::{Entry, Node, State, join, name_places, walk, walk_mut};
use qtensor_core::{Tensor, container};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};

/// Entries that PyTorch writes and evaluation does not need.
const IGNORED_SUFFIXES: [&str; 2] = ["num_batches_tracked", "position_ids"];

pub(crate) fn is_ignored(key: &str) -> bool {
    IGNORED_SUFFIXES.iter().any(|suffix| key.ends_with(suffix))
}

/// All float parameters and buffers under their dotted names.
pub fn state_dict(model: &dyn Node) -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    let mut add = |path: &str, node: &dyn Node| {
        for (key, entry) in node.state().iter() {
            if let Entry::Tensor(t) = entry {
                tensors.insert(join(path, key), t.clone());
            }
        }
    };
    walk(model, &mut |path, node| add(path, node));
    tensors
}

/// Loads weights that PyTorch (or [`save_safetensors`]) wrote; every name and shape must match.
///
/// Nothing changes unless everything fits.
///
/// # Errors
/// [`Error::StateDict`] with all missing and unexpected keys, [`Error::WeightShape`] with both shapes,
/// [`Error::WeightType`], [`Error::Weights`] for a file that does not parse.
pub fn load_safetensors(model: &mut dyn Node, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes = container::read_file(path)?;
    load_safetensors_bytes(model, &bytes).map_err(|e| of_file(path, e))
}

/// The error with the file's name, if it is about the file.
pub(crate) fn of_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Weights { message, .. } => Error::Weights {
            path: path.display().to_string(),
            message,
        },
        other => other,
    }
}

/// As [`load_safetensors`], from bytes.
///
/// # Errors
/// As [`load_safetensors`].
pub fn load_safetensors_bytes(model: &mut dyn Node, bytes: &[u8]) -> Result<()> {
    let tensors = read_safetensors(bytes)?;
    load_state_dict(model, tensors)
}

/// The float tensors of a safetensors file.
///
/// # Errors
/// [`Error::Weights`], [`Error::WeightType`].
pub fn read_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let parsed = SafeTensors::deserialize(bytes).map_err(|e| weights_error(&e))?;
    let mut tensors = BTreeMap::new();
    for (key, view) in parsed.tensors() {
        if !is_ignored(&key) {
            let tensor = to_tensor(&key, &view)?;
            tensors.insert(key, tensor);
        }
    }
    Ok(tensors)
}

/// Loads float tensors by name; every name and shape must match.
///
/// # Errors
/// [`Error::StateDict`], [`Error::WeightShape`].
pub fn load_state_dict(model: &mut dyn Node, mut tensors: BTreeMap<String, Tensor>) -> Result<()> {
    tensors.retain(|key, _| !is_ignored(key));
    let expected = state_dict(model);
    let (have, want): (BTreeSet<&String>, BTreeSet<&String>) =
        (tensors.keys().collect(), expected.keys().collect());
    let missing: Vec<String> = want.difference(&have).map(|k| k.to_string()).collect();
    let unexpected: Vec<String> = have.difference(&want).map(|k| k.to_string()).collect();
    if !missing.is_empty() || !unexpected.is_empty() {
        return Err(Error::StateDict {
            missing,
            unexpected,
        });
    }
    for (key, tensor) in &tensors {
        if tensor.shape() != expected[key].shape() {
            return Err(Error::WeightShape {
                key: key.clone(),
                expected: expected[key].shape().to_vec(),
                actual: tensor.shape().to_vec(),
            });
        }
    }
    name_places(model);
    let mut result = Ok(());
    let mut give = |path: &str, node: &mut dyn Node| {
        let mut state = State::default();
        for (key, entry) in node.state().iter() {
            if let (Entry::Tensor(_), Some(tensor)) = (entry, tensors.get(&join(path, key))) {
                state.insert(key, Entry::Tensor(tensor.clone()));
            }
        }
        if result.is_ok() && !state.is_empty() {
            result = node.load_state(&mut state).map_err(Error::from);
        }
    };
    walk_mut(model, &mut |path, node| give(path, node));
    result
}

/// Writes all float parameters and buffers as safetensors, atomically.
///
/// # Errors
/// [`Error::Weights`], or that of the file system.
pub fn save_safetensors(model: &dyn Node, path: impl AsRef<Path>) -> Result<()> {
    let tensors = state_dict(model);
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(key, t)| {
            (
                key,
                t.shape().to_vec(),
                t.to_vec().into_iter().flat_map(f32::to_le_bytes).collect(),
            )
        })
        .collect();
    let mut views = Vec::new();
    for (key, shape, bytes) in &data {
        let view =
            TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| weights_error(&e))?;
        views.push((key.as_str(), view));
    }
    let bytes = safetensors::serialize(views, None).map_err(|e| weights_error(&e))?;
    Ok(container::write_file(path.as_ref(), &bytes)?)
}

pub(crate) fn to_tensor(key: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let data = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|w| f32::from_le_bytes(*w))
            .collect(),
        Dtype::F64 => data
            .as_chunks::<8>()
            .0
            .iter()
            .map(|w| f64::from_le_bytes(*w) as f32)
            .collect(),
        other => {
            return Err(Error::WeightType {
                key: key.into(),
                actual: format!("{other:?}"),
            });
        }
    };
    Ok(Tensor::from_vec(values, view.shape())?)
}

pub(crate) fn weights_error(error: &safetensors::SafeTensorError) -> Error {
    Error::Weights {
        path: "safetensors".into(),
        message: error.to_string(),
    }
}
