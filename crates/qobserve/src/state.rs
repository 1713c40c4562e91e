//! Saved states: name, settings and statistics in postcard, sealed as a file of kind "observer".
//!
//! Name and settings are compared before the statistics are decoded, and every observer checks its
//! statistics before it takes them over.

use qtensor_core::container::{self, Kind};
use qtensor_core::{DType, Quantizer};
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
    let content = check_name(name, content)?;
    let (saved, content) = take::<Settings>(name, content)?;
    settings.check_equal("restore", name, &saved)?;
    let (statistics, rest) = take::<S>(name, content)?;
    check_end(name, rest)?;
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

/// As [`save`], for those without [`Settings`].
pub(crate) fn save_plain<S: Serialize>(name: &'static str, content: &S) -> Result<Vec<u8>> {
    let content = postcard::to_stdvec(&(name, content)).map_err(malformed(name))?;
    Ok(container::seal(Kind::Observer, &content))
}

/// What one of this name saved with [`save_plain`].
pub(crate) fn load_plain<S: DeserializeOwned>(name: &'static str, bytes: &[u8]) -> Result<S> {
    let content = container::open(Kind::Observer, bytes)?;
    let content = check_name(name, content)?;
    let (content, rest) = take::<S>(name, content)?;
    check_end(name, rest)?;
    Ok(content)
}

/// The content behind the name, which must be this one.
fn check_name<'a>(name: &'static str, content: &'a [u8]) -> Result<&'a [u8]> {
    let (found, content) = take::<&str>(name, content)?;
    if found == name {
        return Ok(content);
    }
    Err(Error::KindMismatch {
        operation: "restore",
        expected: name,
        actual: found.to_string(),
    })
}

fn check_end(name: &'static str, rest: &[u8]) -> Result<()> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(Error::Malformed {
        observer: name,
        why: format!("{} bytes are left over behind the content", rest.len()),
    })
}

/// Refuses qparams that nothing could have found.
pub(crate) fn check_quantizer(
    observer: &'static str,
    quantizer: &Option<Quantizer>,
    dtype: DType,
) -> Result<()> {
    let shape = match quantizer {
        None => return Ok(()),
        Some(Quantizer::PerTensor { .. }) => Vec::new(),
        Some(Quantizer::PerChannel { scales, axis, .. }) => {
            // Of the shape only the length along the axis matters; no tensor has as many as 64 dimensions.
            let mut shape = vec![1; (*axis).min(64) + 1];
            shape[(*axis).min(64)] = scales.len();
            shape
        }
    };
    let checked = quantizer
        .as_ref()
        .map_or(Ok(()), |q| q.validate("restore", dtype, &shape));
    checked.map_err(|e| Error::Malformed {
        observer,
        why: e.to_string(),
    })
}
