//! The observers of a whole model: their states in and out by name.

use std::collections::BTreeMap;

use qnn::{Node, join, walk, walk_mut};

use crate::error::{Error, Result};

/// The states of all observers and fake-quants under their dotted names, as [`Observer::to_bytes`](qobserve::Observer::to_bytes)
/// writes them.
///
/// The observer of a place's output is `activation_post_process` below the place, the fake-quant of its weight
/// `weight_fake_quant`.
///
/// # Errors
/// An observer of one's own that does not save its state, with its name.
///
/// ```
/// use qflow::{QConfig, calibrate, convert, get_observer_state_dict, load_observer_state_dict, prepare};
/// use qnn::{DeQuantStub, Linear, QuantStub, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let make = || Ok::<_, qnn::Error>(Sequential::new().push(QuantStub).push(Linear::new(2, 2)?).push(DeQuantStub));
/// let (mut one, mut two) = (make()?, make()?);
/// prepare(&mut one, QConfig::x86())?;
/// prepare(&mut two, QConfig::x86())?;
/// calibrate(&one, [Value::from(Tensor::ones(&[1, 2])?)])?;
/// let states = get_observer_state_dict(&one)?;
/// assert!(states.contains_key("1.activation_post_process"));
/// load_observer_state_dict(&mut two, &states)?;
/// convert(&mut two)?; // without calibration of its own
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn get_observer_state_dict(model: &dyn Node) -> Result<BTreeMap<String, Vec<u8>>> {
    let (mut states, mut result) = (BTreeMap::new(), Ok(()));
    walk(model, &mut |path, node| {
        node.observers(&mut |name, observer| {
            let name = join(path, name);
            match observer.to_bytes() {
                Ok(bytes) => drop(states.insert(name, bytes)),
                Err(e) if result.is_ok() => {
                    result = Err(Error::from(e).at(&name, observer.name()));
                }
                Err(_) => {}
            }
        });
    });
    result.map(|()| states)
}

/// Gives observers and fake-quants the states of those of the same names. Nothing changes unless everything fits.
///
/// # Errors
/// [`Error::ObserverStates`] with the missing and the unexpected names; damage, another type or other settings of an
/// observer, with its name.
pub fn load_observer_state_dict(
    model: &mut dyn Node,
    states: &BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    check_observer_states(model, states)?;
    let mut result = Ok(());
    walk_mut(model, &mut |path, node| {
        node.observers_mut(&mut |name, observer| {
            let name = join(path, name);
            if let Some(bytes) = states.get(&name).filter(|_| result.is_ok()) {
                let restored = observer.restore(bytes);
                result = restored.map_err(|e| Error::from(e).at(&name, observer.name()));
            }
        });
    });
    result
}

/// Refuses states that do not fit, without changing anything.
pub(crate) fn check_observer_states(
    model: &dyn Node,
    states: &BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    let (mut missing, mut known, mut result) = (Vec::new(), Vec::new(), Ok(()));
    walk(model, &mut |path, node| {
        node.observers(&mut |name, observer| {
            let name = join(path, name);
            match states.get(&name) {
                // A copy tells whether the state fits; the observer itself stays as it is.
                Some(bytes) if result.is_ok() => {
                    let restored = observer.clone_box().restore(bytes);
                    result = restored.map_err(|e| Error::from(e).at(&name, observer.name()));
                }
                Some(_) => {}
                None => missing.push(name.clone()),
            }
            known.push(name);
        });
    });
    let unexpected = states.keys().filter(|k| !known.contains(k)).cloned();
    let unexpected: Vec<String> = unexpected.collect();
    if !missing.is_empty() || !unexpected.is_empty() {
        return Err(Error::ObserverStates {
            missing,
            unexpected,
        });
    }
    result
}
