//! Saved states: name, settings and statistics in postcard, sealed as a file of kind "observer".
//!
//! Name and settings are compared before the statistics are decoded, and every observer checks its
//! statistics before it takes them over.

use qtensor_core::container::{self, Kind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::settings::Settings;

pub(crate) fn save<S: Serialize>(
    name: &'static str,
    settings: &Settings,
    statistics: &S,
) -> Result<Vec<u8>> {
    let content = postcard::to_stdvec(&(name, settings, statistics)).map_err(malformed(name))?;
    Ok(container::seal(Kind::Observer, &content))
}

/// The statistics of a state that was saved by an observer of this name and these settings.
pub(crate) fn load<S: DeserializeOwned>(
    name: &'static str,
    settings: &Settings,
    bytes: &[u8],
) -> Result<S> {
    let content = container::open(Kind::Observer, bytes)?;
    let (found, content) = take::<&str>(name, content)?;
    if found != name {
        return Err(Error::KindMismatch {
            operation: "restore",
            expected: name,
            actual: found.to_string(),
        });
    }
    let (saved, content) = take::<Settings>(name, content)?;
    settings.check_equal("restore", name, &saved)?;
    let (statistics, rest) = take::<S>(name, content)?;
    if !rest.is_empty() {
        return Err(Error::Malformed {
            observer: name,
            why: format!("{} bytes are left over behind the content", rest.len()),
        });
    }
    Ok(statistics)
}

fn take<'a, T: Deserialize<'a>>(name: &'static str, bytes: &'a [u8]) -> Result<(T, &'a [u8])> {
    postcard::take_from_bytes(bytes).map_err(malformed(name))
}

fn malformed(observer: &'static str) -> impl Fn(postcard::Error) -> Error {
    move |e| Error::Malformed {
        observer,
        why: e.to_string(),
    }
}

/// Refuses ranges that no data could have left: not finite, or upside down.
pub(crate) fn check_range(observer: &'static str, min: f32, max: f32) -> Result<()> {
    if min.is_finite() && max.is_finite() && min <= max {
        return Ok(());
    }
    Err(Error::Malformed {
        observer,
        why: format!("[{min}, {max}] is not the range of finite data"),
    })
}
