//! `State`: a module's named tensors and numbers, for weight files and model files.

use std::collections::BTreeMap;

use qtensor_core::{QTensor, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::module::join;

/// One entry of a [`State`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// A float parameter or buffer.
    Tensor(Tensor),
    /// Quantized weights.
    QTensor(QTensor),
    /// A real number, such as a scale.
    Real(f64),
    /// Whole numbers, such as a stride or a zero point.
    Ints(#[serde(deserialize_with = "qtensor_core::grown::vec")] Vec<i64>),
    /// A name, such as a storage type.
    Text(String),
    /// Weights of another width, such as 16-bit floats.
    Packed(PackedTensor),
}

/// Numbers of `bits` bits each, without gaps within a row: the bytes as a module's own code knows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackedTensor {
    /// The lengths of the dimensions.
    #[serde(deserialize_with = "qtensor_core::grown::vec")]
    pub shape: Vec<usize>,
    /// The width of a number.
    pub bits: u8,
    /// The numbers.
    #[serde(deserialize_with = "qtensor_core::grown::vec")]
    pub bytes: Vec<u8>,
}

impl Entry {
    fn type_name(&self) -> &'static str {
        match self {
            Entry::Tensor(_) => "float tensor",
            Entry::QTensor(_) => "quantized tensor",
            Entry::Real(_) => "real number",
            Entry::Ints(_) => "list of integers",
            Entry::Text(_) => "text",
            Entry::Packed(_) => "packed tensor",
        }
    }

    /// The shape of a tensor, float, quantized or packed.
    pub fn shape(&self) -> Option<&[usize]> {
        match self {
            Entry::Tensor(t) => Some(t.shape()),
            Entry::QTensor(q) => Some(q.shape()),
            Entry::Packed(p) => Some(&p.shape),
            Entry::Real(_) | Entry::Ints(_) | Entry::Text(_) => None,
        }
    }

    /// Bytes that the entry's numbers take.
    pub fn bytes(&self) -> usize {
        match self {
            Entry::Tensor(t) => t.numel() * 4,
            Entry::QTensor(q) => q.bytes(),
            Entry::Real(_) => 8,
            Entry::Ints(v) => v.len() * 8,
            Entry::Text(t) => t.len(),
            Entry::Packed(p) => p.bytes.len(),
        }
    }
}

/// Named entries, sorted by name so that files are the same bytes everywhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State(BTreeMap<String, Entry>);

impl State {
    /// Adds an entry, replacing one of the same name.
    pub fn with(mut self, key: &str, entry: Entry) -> State {
        self.0.insert(key.to_string(), entry);
        self
    }

    /// Adds a float tensor, if there is one.
    pub fn with_tensor(self, key: &str, tensor: Option<&Tensor>) -> State {
        match tensor {
            Some(t) => self.with(key, Entry::Tensor(t.clone())),
            None => self,
        }
    }

    /// Adds whole numbers.
    pub fn with_sizes(self, key: &str, sizes: &[usize]) -> State {
        self.with(key, Entry::Ints(sizes.iter().map(|&s| s as i64).collect()))
    }

    /// Adds an entry in place.
    pub fn insert(&mut self, key: &str, entry: Entry) {
        self.0.insert(key.to_string(), entry);
    }

    /// The entry of that name.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// This state with the entries of another, which win.
    pub fn merged(mut self, other: State) -> State {
        self.0.extend(other.0);
        self
    }

    /// Adds the entries of another state, their names behind `prefix` and a dot.
    pub fn with_below(self, prefix: &str, other: &State) -> State {
        other.iter().fold(self, |state, (key, entry)| {
            state.with(&join(prefix, key), entry.clone())
        })
    }

    /// Takes the entries whose names begin with `prefix` and a dot, gives them to `take` without that, and puts back
    /// what it leaves.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn take_below<R>(
        &mut self,
        prefix: &str,
        take: impl FnOnce(&mut State) -> Result<R>,
    ) -> Result<R> {
        let below = |key: &str| Some(key.strip_prefix(prefix)?.strip_prefix('.')?.to_string());
        let names: Vec<(String, String)> = self
            .0
            .keys()
            .filter_map(|key| Some((key.clone(), below(key)?)))
            .collect();
        let mut inner = State::default();
        for (key, name) in names {
            if let Some(entry) = self.0.remove(&key) {
                inner.0.insert(name, entry);
            }
        }
        let result = take(&mut inner)?;
        for (name, entry) in inner.0 {
            self.0.insert(join(prefix, &name), entry);
        }
        Ok(result)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// True if an entry of that name is there.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that all entries take.
    pub fn bytes(&self) -> usize {
        self.0.values().map(Entry::bytes).sum()
    }

    /// Takes an entry of any type.
    ///
    /// # Errors
    /// [`Error::MissingState`].
    pub fn take_entry(&mut self, module: &'static str, key: &str) -> Result<Entry> {
        self.take(module, key)
    }

    fn take(&mut self, module: &'static str, key: &str) -> Result<Entry> {
        self.0.remove(key).ok_or_else(|| Error::MissingState {
            module,
            key: key.to_string(),
        })
    }

    /// Takes a float tensor.
    ///
    /// # Errors
    /// [`Error::MissingState`], [`Error::StateType`].
    pub fn take_tensor(&mut self, module: &'static str, key: &str) -> Result<Tensor> {
        match self.take(module, key)? {
            Entry::Tensor(t) => Ok(t),
            other => Err(wrong_type(module, key, "float tensor", &other)),
        }
    }

    /// Takes a float tensor that must have the shape of `like`.
    ///
    /// # Errors
    /// [`Error::MissingState`], [`Error::StateType`], [`Error::StateShape`] with both shapes.
    pub fn take_shaped(
        &mut self,
        module: &'static str,
        key: &str,
        like: &Tensor,
    ) -> Result<Tensor> {
        let tensor = self.take_tensor(module, key)?;
        if tensor.shape() != like.shape() {
            return Err(Error::StateShape {
                module,
                key: key.to_string(),
                expected: like.shape().to_vec(),
                actual: tensor.shape().to_vec(),
            });
        }
        Ok(tensor)
    }

    /// Takes a quantized tensor.
    ///
    /// # Errors
    /// [`Error::MissingState`], [`Error::StateType`].
    pub fn take_qtensor(&mut self, module: &'static str, key: &str) -> Result<QTensor> {
        match self.take(module, key)? {
            Entry::QTensor(q) => Ok(q),
            other => Err(wrong_type(module, key, "quantized tensor", &other)),
        }
    }

    /// Takes a packed tensor of `rank` dimensions.
    ///
    /// # Errors
    /// [`Error::MissingState`], [`Error::StateType`], [`Error::Config`] for another rank.
    pub fn take_packed<const RANK: usize>(
        &mut self,
        module: &'static str,
        key: &str,
    ) -> Result<([usize; RANK], PackedTensor)> {
        match self.take(module, key)? {
            Entry::Packed(p) => match <[usize; RANK]>::try_from(p.shape.as_slice()) {
                Ok(shape) => Ok((shape, p)),
                Err(_) => Err(Error::Config {
                    module,
                    what: format!(
                        "the state entry {key:?} has shape {:?}, expected {RANK} dimensions",
                        p.shape
                    ),
                }),
            },
            other => Err(wrong_type(module, key, "packed tensor", &other)),
        }
    }

    /// Takes a float tensor if it is there.
    ///
    /// # Errors
    /// [`Error::StateType`].
    pub fn take_optional(&mut self, module: &'static str, key: &str) -> Result<Option<Tensor>> {
        if self.contains(key) {
            self.take_tensor(module, key).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Takes a real number.
    ///
    /// # Errors
    /// [`Error::MissingState`], [`Error::StateType`].
    pub fn take_real(&mut self, module: &'static str, key: &str) -> Result<f64> {
        match self.take(module, key)? {
            Entry::Real(v) => Ok(v),
            other => Err(wrong_type(module, key, "real number", &other)),
        }
    }

    /// Takes a text.
    ///
    /// # Errors
    /// [`Error::MissingState`], [`Error::StateType`].
    pub fn take_text(&mut self, module: &'static str, key: &str) -> Result<String> {
        match self.take(module, key)? {
            Entry::Text(v) => Ok(v),
            other => Err(wrong_type(module, key, "text", &other)),
        }
    }

    /// Takes `N` whole numbers.
    ///
    /// # Errors
    /// [`Error::MissingState`], [`Error::StateType`], [`Error::Config`] for another count.
    pub fn take_ints<const N: usize>(
        &mut self,
        module: &'static str,
        key: &str,
    ) -> Result<[i64; N]> {
        match self.take(module, key)? {
            Entry::Ints(v) => <[i64; N]>::try_from(v).map_err(|v| Error::Config {
                module,
                what: format!(
                    "the state entry {key:?} has {} numbers, expected {N}",
                    v.len()
                ),
            }),
            other => Err(wrong_type(module, key, "list of integers", &other)),
        }
    }

    /// Takes `N` sizes: whole numbers that are not negative.
    ///
    /// # Errors
    /// As [`take_ints`](Self::take_ints).
    pub fn take_sizes<const N: usize>(
        &mut self,
        module: &'static str,
        key: &str,
    ) -> Result<[usize; N]> {
        let ints = self.take_ints::<N>(module, key)?;
        let mut sizes = [0; N];
        for (size, int) in sizes.iter_mut().zip(ints) {
            *size = usize::try_from(int).map_err(|_| Error::Config {
                module,
                what: format!("the state entry {key:?} holds the negative size {int}"),
            })?;
        }
        Ok(sizes)
    }

    /// Takes a zero point or another 32-bit number.
    ///
    /// # Errors
    /// As [`take_ints`](Self::take_ints).
    pub fn take_i32(&mut self, module: &'static str, key: &str) -> Result<i32> {
        let [v] = self.take_ints::<1>(module, key)?;
        i32::try_from(v).map_err(|_| Error::Config {
            module,
            what: format!("the state entry {key:?} is {v}, which does not fit 32 bits"),
        })
    }
}

fn wrong_type(module: &'static str, key: &str, expected: &'static str, entry: &Entry) -> Error {
    Error::StateType {
        module,
        key: key.to_string(),
        expected,
        actual: entry.type_name(),
    }
}
