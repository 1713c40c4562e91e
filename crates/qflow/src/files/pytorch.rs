//! Quantized weights from PyTorch: a safetensors file into a converted model of the same architecture.
//!
//! The names are those of PyTorch's quantized `state_dict`; quantized tensors are taken apart into integers, scales and zero
//! points. `docs/file-format.md` has the schema and the lines of Python that write such a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qnn::{Entry, Node, PackedTensor, State, join, name_places, walk, walk_mut};
use qtensor_core::{DType, IntTensor, QTensor, Quantizer, Tensor, container};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::files::weights::{is_ignored, of_file, to_tensor, weights_error};
use crate::passes::swap::put_all;
use crate::tables::loaders::{restore, restores};

/// Loads the integers, scales and zero points of a model that PyTorch quantized into a converted one.
///
/// The model must have been fused and converted as PyTorch's was; the data of its own calibration do not matter, since every
/// number comes from the file. Every name and shape must match, and nothing changes unless everything fits.
///
/// | entry of a module | in the file |
/// |---|---|
/// | float tensor, such as `bias` | `<place>.bias`, F32 or F64 |
/// | quantized tensor `weight` | `<place>.weight.int_repr`, I8 or U8, and either `.weight.scale` and `.weight.zero_point` or, per channel of dimension 0, `.weight.scales` and `.weight.zero_points` |
/// | table of embeddings | as a tensor per channel, U8, with float zero points |
/// | `scale`, `zero_point` of the output | `<place>.scale`, `<place>.zero_point`, one number each |
///
/// # Errors
/// [`Error::StateDict`] with all missing and unexpected keys, [`Error::WeightShape`] with both shapes, [`Error::WeightType`]
/// and [`Error::QuantizedWeight`] with the key, [`Error::Weights`] for a file that does not parse, and errors of single modules
/// with their place.
#[doc(alias = "load_state_dict")]
pub fn load_quantized_safetensors(model: &mut dyn Node, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes = container::read_file(path)?;
    load_quantized_safetensors_bytes(model, &bytes).map_err(|e| of_file(path, e))
}

/// As [`load_quantized_safetensors`], from bytes.
///
/// # Errors
/// As [`load_quantized_safetensors`].
pub fn load_quantized_safetensors_bytes(model: &mut dyn Node, bytes: &[u8]) -> Result<()> {
    let parsed = SafeTensors::deserialize(bytes).map_err(|e| weights_error(&e))?;
    let mut file = File::default();
    for (key, view) in parsed.tensors() {
        if !is_ignored(&key) {
            file.views.insert(key, view);
        }
    }
    name_places(model);
    let (mut swaps, mut states, mut result) = (BTreeMap::new(), BTreeMap::new(), Ok(()));
    walk(&*model, &mut |path, node| {
        let own = node.state();
        let state = match file.state(path, &own) {
            Ok(Some(state)) if !own.is_empty() => state,
            Ok(_) => return,
            Err(error) => {
                if result.is_ok() {
                    result = Err(error);
                }
                return;
            }
        };
        if !restores(node.kind()) {
            states.insert(path.to_string(), state);
            return;
        }
        match restore(node.kind(), &mut state.merged(node.config())) {
            Ok(module) => drop(swaps.insert(path.to_string(), module)),
            Err(error) if result.is_ok() => result = Err(Error::from(error).at(path, node.kind())),
            Err(_) => {}
        }
    });
    file.check_names()?;
    result?;
    put_all(model, swaps)?;
    let mut result = Ok(());
    walk_mut(model, &mut |path, node| {
        if let (Some(mut state), true) = (states.remove(path), result.is_ok()) {
            let loaded = node.load_state(&mut state);
            result = loaded.map_err(|e| Error::from(e).at(path, node.kind()));
        }
    });
    result
}

/// The tensors of a file, and what became of their names.
#[derive(Default)]
struct File<'a> {
    views: BTreeMap<String, TensorView<'a>>,
    used: BTreeSet<String>,
    missing: Vec<String>,
}

impl<'a> File<'a> {
    /// The file's state for a module that has one like `own`; `None` if a name is missing.
    fn state(&mut self, path: &str, own: &State) -> Result<Option<State>> {
        let missing = self.missing.len();
        let (mut state, mut result) = (own.clone(), Ok(()));
        let is_table = own.iter().any(|(_, e)| matches!(e, Entry::Packed(_)));
        for (key, entry) in own.iter() {
            let name = match key {
                // The scales of a table belong to its integers.
                "scales" | "zero_points" if is_table => join(path, &format!("weight.{key}")),
                _ => join(path, key),
            };
            // After an error the other names are still looked up, so that none of them counts as unexpected.
            match self.entry(key, &name, entry) {
                Ok(Some(entry)) => state.insert(key, entry),
                Ok(None) => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        if is_quantized(own) && own.get("scale").is_none() {
            // PyTorch writes the qparams of an output for dynamic modules too, which have none.
            self.used.insert(join(path, "scale"));
            self.used.insert(join(path, "zero_point"));
        }
        result.map(|()| (self.missing.len() == missing).then_some(state))
    }

    /// The file's form of one entry; `None` if a name is missing.
    fn entry(&mut self, key: &str, name: &str, own: &Entry) -> Result<Option<Entry>> {
        Ok(match own {
            Entry::Tensor(own) => self.tensor(name, own.shape())?.map(Entry::Tensor),
            Entry::QTensor(own) => self.qtensor(name, own)?.map(Entry::QTensor),
            Entry::Packed(own) => self.packed(name, own)?.map(Entry::Packed),
            Entry::Real(_) if key == "scale" => {
                let view = self.take(name);
                view.map(|view| number(name, &view).map(Entry::Real))
                    .transpose()?
            }
            Entry::Ints(_) if key == "zero_point" => {
                let view = self.take(name);
                let integer = view
                    .map(|view| integer(name, number(name, &view)?))
                    .transpose()?;
                integer.map(|z| Entry::Ints(vec![z.into()]))
            }
            own => Some(own.clone()),
        })
    }

    /// The tensor of that name, which is noted as used or as missing.
    fn take(&mut self, name: &str) -> Option<TensorView<'a>> {
        match self.views.get(name) {
            Some(view) => {
                self.used.insert(name.to_string());
                Some(view.clone())
            }
            None => {
                self.missing.push(name.to_string());
                None
            }
        }
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        let Some(view) = self.take(name) else {
            return Ok(None);
        };
        check_shape(name, shape, view.shape())?;
        to_tensor(name, &view).map(Some)
    }

    fn qtensor(&mut self, name: &str, own: &QTensor) -> Result<Option<QTensor>> {
        let integers = format!("{name}.int_repr");
        let (view, quantizer) = (self.take(&integers), self.quantizer(name));
        let (Some(view), Some(quantizer)) = (view, quantizer?) else {
            return Ok(None);
        };
        check_shape(&integers, own.shape(), view.shape())?;
        let data = view.data();
        let (values, dtype): (Vec<i32>, DType) = match view.dtype() {
            Dtype::I8 => (
                data.iter().map(|&v| i32::from(v as i8)).collect(),
                DType::QInt8,
            ),
            Dtype::U8 => (data.iter().map(|&v| i32::from(v)).collect(), DType::QUInt8),
            other => {
                return Err(refuse(
                    &integers,
                    format!("has type {other:?}, expected I8 or U8"),
                ));
            }
        };
        let ints = IntTensor::from_i32(&values, own.shape(), dtype)?;
        let q = QTensor::from_parts(ints, quantizer);
        q.map(Some).map_err(|e| refuse(name, e.to_string()))
    }

    /// The map of a quantized tensor: per tensor, or per channel of dimension 0.
    fn quantizer(&mut self, name: &str) -> Result<Option<Quantizer>> {
        let scales = format!("{name}.scales");
        if !self.views.contains_key(&scales) {
            let (scale, zero_point) = (format!("{name}.scale"), format!("{name}.zero_point"));
            let views = (self.take(&scale), self.take(&zero_point));
            let (Some(s), Some(z)) = views else {
                return Ok(None);
            };
            let z = integer(&zero_point, number(&zero_point, &z)?)?;
            return Ok(Some(Quantizer::per_tensor(number(&scale, &s)?, z)));
        }
        let zero_points = format!("{name}.zero_points");
        let views = (self.take(&scales), self.take(&zero_points));
        let (Some(s), Some(z)) = views else {
            return Ok(None);
        };
        let (s, z) = (numbers(&scales, &s)?, numbers(&zero_points, &z)?);
        if s.len() != z.len() {
            let what = format!("has {} numbers, {zero_points} has {}", s.len(), z.len());
            return Err(refuse(&scales, what));
        }
        let z = z.into_iter().map(|z| integer(&zero_points, z));
        let z: Vec<i32> = z.collect::<Result<_>>()?;
        Ok(Some(Quantizer::per_channel(&s, &z, 0)))
    }

    fn packed(&mut self, name: &str, own: &PackedTensor) -> Result<Option<PackedTensor>> {
        let name = format!("{name}.int_repr");
        let Some(view) = self.take(&name) else {
            return Ok(None);
        };
        if view.dtype() != Dtype::U8 || view.data().len() != own.bytes.len() {
            let what = format!(
                "has {} bytes of type {:?}, expected {} of type U8 for a table of shape {:?} with {} bits",
                view.data().len(),
                view.dtype(),
                own.bytes.len(),
                own.shape,
                own.bits
            );
            return Err(refuse(&name, what));
        }
        Ok(Some(PackedTensor {
            bytes: view.data().to_vec(),
            ..own.clone()
        }))
    }

    /// Refuses names that the model or the file lacks.
    fn check_names(&self) -> Result<()> {
        let unused = self.views.keys().filter(|k| !self.used.contains(*k));
        let unexpected: Vec<String> = unused.cloned().collect();
        if self.missing.is_empty() && unexpected.is_empty() {
            return Ok(());
        }
        Err(Error::StateDict {
            missing: self.missing.clone(),
            unexpected,
        })
    }
}

fn number(key: &str, view: &TensorView<'_>) -> Result<f64> {
    match numbers(key, view)?.as_slice() {
        &[number] => Ok(number),
        numbers => Err(refuse(
            key,
            format!("has {} numbers, expected one", numbers.len()),
        )),
    }
}

/// The numbers of a tensor of any type that a scale or a zero point has.
fn numbers(key: &str, view: &TensorView<'_>) -> Result<Vec<f64>> {
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => words(data, |w| f64::from(f32::from_le_bytes(w))),
        Dtype::F64 => words(data, f64::from_le_bytes),
        Dtype::I32 => words(data, |w| f64::from(i32::from_le_bytes(w))),
        // Integers beyond 2^53 are no zero points, and are refused as such however they are rounded here.
        Dtype::I64 => words(data, |w| i64::from_le_bytes(w) as f64),
        other => {
            let what = format!("has type {other:?}, expected F32, F64, I32 or I64");
            return Err(refuse(key, what));
        }
    })
}

/// A zero point as the integer that it must be.
fn integer(key: &str, value: f64) -> Result<i32> {
    let integer = value as i32;
    if f64::from(integer) == value {
        return Ok(integer);
    }
    Err(refuse(
        key,
        format!("is {value}, expected a 32-bit integer"),
    ))
}

fn is_quantized(state: &State) -> bool {
    state.iter().any(|(_, e)| matches!(e, Entry::QTensor(_)))
}

fn words<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    data.as_chunks::<N>().0.iter().map(|w| number(*w)).collect()
}

fn check_shape(key: &str, expected: &[usize], actual: &[usize]) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::WeightShape {
        key: key.to_string(),
        expected: expected.to_vec(),
        actual: actual.to_vec(),
    })
}

fn refuse(key: &str, what: String) -> Error {
    Error::QuantizedWeight {
        key: key.to_string(),
        what,
    }
}
