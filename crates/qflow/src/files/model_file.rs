//! Model files: every place's module with its state, in one checksummed file.
//!
//! A file holds canonical weights, never packed ones, so it is the same bytes on every CPU. To load it, make the
//! model as for training and call [`load`]: places whose modules were swapped before saving are swapped
//! again by the kind that the file names. A model that is prepared and not converted is saved with the states of its observers;
//! it is loaded into one that was fused and prepared in the same way, and goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qnn::{Bridge, Erased, Node, Place, State, is_leaf, name_places, walk, walk_mut};
use qtensor_core::container::{self, Kind};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::calibration::Calibration;
use crate::files::fit::check_fit;
use crate::passes::prepare::is_below;
use crate::passes::swap::put_all;
use crate::tables::loaders::{restore, restores};

/// One node of a saved model.
#[derive(Serialize)]
struct Record {
    path: String,
    kind: String,
    state: State,
    config: State,
}

/// Decodes the next value; errors name what it was to be, and where in the file's content it begins.
fn take<'a, T: Deserialize<'a>>(content: &[u8], rest: &mut &'a [u8], what: &str) -> Result<T> {
    let at = content.len() - rest.len();
    let (value, behind) = postcard::take_from_bytes(rest)
        .map_err(|e| malformed(format!("{what}, at byte {at} of {}: {e}", content.len())))?;
    *rest = behind;
    Ok(value)
}

/// All nodes of a saved model, decoded one by one so that errors can name the place, and what is behind them.
fn records(content: &[u8]) -> Result<(Vec<Record>, &[u8])> {
    let mut rest = content;
    let count: usize = take(content, &mut rest, "the number of places")?;
    // The number is a claim: the vector grows with the records that are there.
    let mut all = Vec::new();
    for number in 1..=count {
        let path: String = take(content, &mut rest, &format!("place {number} of {count}"))?;
        let kind: String = take(content, &mut rest, &format!("the kind of {path:?}"))?;
        let state: State = take(content, &mut rest, &format!("{path:?} ({kind})"))?;
        let config: State = take(
            content,
            &mut rest,
            &format!("the settings of {path:?} ({kind})"),
        )?;
        all.push(Record {
            path,
            kind,
            state,
            config,
        });
    }
    Ok((all, rest))
}

/// The file's bytes.
///
/// # Errors
/// [`qtensor_core::Error::Malformed`] if a state cannot be encoded or two places have the same name; an observer of one's own
/// that does not save its state.
pub fn to_bytes(model: &dyn Node) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    walk(model, &mut |path, node| {
        if is_recorded(node) {
            let (mut state, config) = (node.state(), node.config());
            if let Some(bridge) = node.as_place().and_then(Place::bridge) {
                state = bridge.save(state);
            }
            records.push(Record {
                path: path.into(),
                kind: node.kind().into(),
                state,
                config,
            });
        }
    });
    unique(&records)?;
    let mut content = postcard::to_stdvec(&records).map_err(|e| malformed(e.to_string()))?;
    if let Some(calibration) = Calibration::of(model)? {
        let more = postcard::to_stdvec(&calibration).map_err(|e| malformed(e.to_string()))?;
        content.extend(more);
    }
    Ok(container::seal(Kind::Model, &content))
}

/// Saves a model to one file, atomically: float, prepared, in training, or converted.
///
/// Of a prepared model all observers and fake-quants are saved, so that calibration or training can go on after loading as if
/// it had not been interrupted. An optimizer's state is not part of a model.
///
/// # Errors
/// Those of the file system, with the path; an observer of one's own that does not save its state.
///
/// ```
/// use qflow::{QConfig, calibrate, convert, load, prepare, save};
/// use qnn::{DeQuantStub, Linear, QuantStub, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let prepared = || -> qflow::Result<Sequential> {
///     let mut net = Sequential::new().push(QuantStub).push(Linear::new(2, 2)?).push(DeQuantStub);
///     prepare(&mut net, QConfig::x86())?;
///     Ok(net)
/// };
/// let net = prepared()?;
/// calibrate(&net, [Value::from(Tensor::ones(&[1, 2])?)])?;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("calibrated.qt");
/// save(&net, &path)?;
///
/// // Later, elsewhere:
/// let mut resumed = prepared()?;
/// load(&mut resumed, &path)?;
/// calibrate(&resumed, [Value::from(Tensor::zeros(&[1, 2])?)])?;
/// convert(&mut resumed)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save(model: &dyn Node, path: impl AsRef<Path>) -> Result<()> {
    Ok(container::write_file(path.as_ref(), &to_bytes(model)?)?)
}

/// Loads a saved model into one of the same structure, float as it was declared, already converted, or, for the file of a
/// prepared model, prepared with the same configurations.
///
/// Nothing changes unless everything fits.
///
/// # Errors
/// Those of [`container::open`] for a damaged file; [`Error::OtherModel`] with the keys that differ,
/// [`Error::OtherKind`], [`Error::WeightShape`] and [`Error::OtherConfig`] with the key and both values;
/// [`Error::UnknownKind`], [`Error::OtherPreparation`] and [`Error::ObserverStates`] with the places, and errors of single
/// modules and observers with their place.
pub fn load(model: &mut dyn Node, path: impl AsRef<Path>) -> Result<()> {
    from_bytes(model, &container::read_file(path.as_ref())?)
}

/// As [`load`], from bytes.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(model: &mut dyn Node, bytes: &[u8]) -> Result<()> {
    let content = container::open(Kind::Model, bytes)?;
    let (records, rest) = records(content)?;
    let calibration = calibration(rest)?;
    name_places(model);
    unique(&records)?;
    check_keys(model, &records)?;

    let mut swaps: BTreeMap<String, Erased> = BTreeMap::new();
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    let mut bridges: BTreeMap<String, Bridge> = BTreeMap::new();
    {
        let mut nodes: BTreeMap<String, &dyn Node> = BTreeMap::new();
        walk(&*model, &mut |path, node| {
            nodes.insert(path.to_string(), node);
        });
        for mut record in records {
            let node = nodes[&record.path];
            let bridge = Bridge::take(&mut record.state);
            if let Some(bridge) =
                bridge.map_err(|e| Error::from(e).at(&record.path, &record.kind))?
            {
                bridges.insert(record.path.clone(), bridge);
            }
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
    if let Some(calibration) = &calibration {
        calibration.check(model)?;
    }
    put_all(model, swaps)?;
    let mut result = Ok(());
    walk_mut(model, &mut |path, node| {
        if let Some(place) = node.as_place_mut() {
            place.set_bridge(bridges.remove(path));
        }
        if let (Some(mut state), true) = (states.remove(path), result.is_ok()) {
            result = node
                .load_state(&mut state)
                .map_err(|e| Error::from(e).at(path, node.kind()));
        }
    });
    result?;
    calibration.map_or(Ok(()), |calibration| calibration.give(model))
}

/// What is behind the records: nothing, or the calibration of a prepared model.
fn calibration(rest: &[u8]) -> Result<Option<Calibration>> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (calibration, rest): (Calibration, _) =
        postcard::take_from_bytes(rest).map_err(|e| malformed(e.to_string()))?;
    if rest.is_empty() {
        return Ok(Some(calibration));
    }
    Err(malformed(format!(
        "{} bytes are left over behind the content",
        rest.len()
    )))
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
///
/// A file of a converted model has one record for a place where the model holds a module of several places, such as
/// attention; what lies below that place is not in the file then.
fn check_keys(model: &dyn Node, records: &[Record]) -> Result<()> {
    let mut want = BTreeSet::new();
    let mut whole: Vec<String> = Vec::new();
    walk(model, &mut |path, node| {
        if whole.iter().any(|w| is_below(path, w)) {
            return;
        }
        let at_once = node.as_place().is_some()
            && !is_leaf(node)
            && records
                .iter()
                .any(|r| r.path == path && restores(&r.kind) && r.kind != "Identity");
        if at_once {
            whole.push(path.to_string());
        }
        if at_once || is_recorded(node) {
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
