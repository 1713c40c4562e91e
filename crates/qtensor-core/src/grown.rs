//! Sequences from files that grow as their elements turn up.
//!
//! The length in front of a sequence is a claim. serde reserves up to a megabyte on its word, for a file of a few bytes;
//! the functions here reserve nothing, so memory is taken for elements that are there. They are for
//! `#[serde(deserialize_with = "qtensor_core::grown::vec")]`, and change nothing in the encoding.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

struct Growing<T>(PhantomData<fn() -> T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Growing<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            all.push(element);
        }
        Ok(all)
    }
}

/// A vector.
///
/// # Errors
/// Those of the format, such as an end before the claimed length.
pub fn vec<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Growing(PhantomData))
}

/// A vector inside of tuples and options, which have no attributes.
pub struct Grown<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Grown<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Grown<T>, D::Error> {
        vec(deserializer).map(Grown)
    }
}

/// A shared slice.
///
/// # Errors
/// As [`vec()`].
pub fn shared<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Arc<[T]>, D::Error> {
    vec(deserializer).map(Arc::from)
}

/// A vector that may be absent.
///
/// # Errors
/// As [`vec()`].
pub fn option<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    Ok(Option::<Grown<T>>::deserialize(deserializer)?.map(|grown| grown.0))
}

/// Named vectors.
///
/// # Errors
/// As [`vec()`].
pub fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Vec<T>>, D::Error> {
    let all = BTreeMap::<String, Grown<T>>::deserialize(deserializer)?;
    Ok(all
        .into_iter()
        .map(|(name, grown)| (name, grown.0))
        .collect())
}
