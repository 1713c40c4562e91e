//! What a model file holds of a prepared model besides its modules: the places' configurations and the states of all observers.
//!
//! Configurations are made of functions, which no file can hold; a file holds their names, and the model that it is loaded
//! into has been prepared with the same ones.

use std::collections::BTreeMap;

use qnn::{Node, Place, Prepared, walk, walk_mut};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::observers::{
    check_observer_states, get_observer_state_dict, load_observer_state_dict,
};

/// One prepared place.
#[derive(PartialEq, Serialize, Deserialize)]
struct PlaceRecord {
    activation: String,
    weight: String,
    /// A pass came by that was not to be observed.
    passed_by: bool,
}

/// All that calibration has gathered so far.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Calibration {
    places: BTreeMap<String, PlaceRecord>,
    #[serde(deserialize_with = "qtensor_core::grown::named")]
    observers: BTreeMap<String, Vec<u8>>,
}

impl Calibration {
    /// Of a model; `None` if nothing in it is prepared or observed.
    ///
    /// # Errors
    /// An observer that does not save its state.
    pub(crate) fn of(model: &dyn Node) -> Result<Option<Calibration>> {
        let mut places = BTreeMap::new();
        walk(model, &mut |path, node| {
            if let Some(prepared) = node.as_place().and_then(Place::prepared) {
                places.insert(path.to_string(), record(prepared));
            }
        });
        let observers = get_observer_state_dict(model)?;
        let empty = places.is_empty() && observers.is_empty();
        Ok((!empty).then_some(Calibration { places, observers }))
    }

    /// Refuses a model that was not prepared as the saved one.
    ///
    /// # Errors
    /// [`Error::OtherPreparation`], [`Error::OtherConfig`], and those of
    /// [`load_observer_state_dict`](crate::load_observer_state_dict).
    pub(crate) fn check(&self, model: &dyn Node) -> Result<()> {
        let mut here: BTreeMap<String, PlaceRecord> = BTreeMap::new();
        walk(model, &mut |path, node| {
            if let Some(prepared) = node.as_place().and_then(Place::prepared) {
                here.insert(path.to_string(), record(prepared));
            }
        });
        let only = |a: &BTreeMap<String, PlaceRecord>, b: &BTreeMap<String, PlaceRecord>| {
            let keys = a.keys().filter(|k| !b.contains_key(*k));
            keys.cloned().collect::<Vec<String>>()
        };
        let (unprepared, uncalibrated) = (only(&self.places, &here), only(&here, &self.places));
        if !unprepared.is_empty() || !uncalibrated.is_empty() {
            return Err(Error::OtherPreparation {
                unprepared,
                uncalibrated,
            });
        }
        for (path, saved) in &self.places {
            let own = &here[path];
            for (key, expected, actual) in [
                ("qconfig.activation", &own.activation, &saved.activation),
                ("qconfig.weight", &own.weight, &saved.weight),
            ] {
                if expected != actual {
                    return Err(Error::OtherConfig {
                        key: qnn::join(path, key),
                        expected: expected.clone(),
                        actual: actual.clone(),
                    });
                }
            }
        }
        check_observer_states(model, &self.observers)
    }

    /// Gives a model that passed [`check`](Self::check) what calibration had gathered.
    ///
    /// # Errors
    /// None after that check.
    pub(crate) fn give(&self, model: &mut dyn Node) -> Result<()> {
        walk_mut(model, &mut |path, node| {
            let place = node.as_place_mut().and_then(|p| p.prepared_mut());
            if let (Some(prepared), Some(saved)) = (place, self.places.get(path)) {
                prepared.set_passed_by(saved.passed_by);
            }
        });
        load_observer_state_dict(model, &self.observers)
    }
}

fn record(prepared: &Prepared) -> PlaceRecord {
    let qconfig = prepared.qconfig();
    PlaceRecord {
        activation: qconfig.activation.name().to_string(),
        weight: qconfig.weight.name().to_string(),
        passed_by: prepared.passed_by(),
    }
}
