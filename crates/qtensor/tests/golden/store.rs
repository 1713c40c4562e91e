//! Reads a golden file: its tensors, and the cases that its metadata describes.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use qtensor_core::{DType, IntTensor, QTensor, Quantizer, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Map, Value};

/// Any complaint: of a malformed file, of an operation under test, of a comparison.
pub type Fallible<T> = Result<T, Box<dyn Error>>;

/// The numbers of a stored tensor, in row-major order.
#[derive(Clone, Debug)]
enum Numbers {
    F32(Vec<f32>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// One stored tensor.
#[derive(Clone, Debug)]
struct Raw {
    shape: Vec<usize>,
    numbers: Numbers,
}

/// One case: its parameters and its tensors.
#[derive(Clone, Debug)]
pub struct Case {
    /// `c000`, `c001`, …
    pub name: String,
    parameters: Map<String, Value>,
    tensors: BTreeMap<String, Raw>,
}

/// The cases of a group's file, in order.
pub fn read(path: &Path) -> Fallible<Vec<Case>> {
    let bytes = std::fs::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let metadata = header.metadata().as_ref();
    let cases = metadata
        .and_then(|m| m.get("cases"))
        .ok_or("the metadata has no key `cases`")?;
    let parsed: Map<String, Value> = serde_json::from_str(cases)?;
    let mut cases = BTreeMap::new();
    for (name, parameters) in parsed {
        let Value::Object(parameters) = parameters else {
            return Err(format!("the parameters of {name} are not a JSON object").into());
        };
        let case = Case {
            name: name.clone(),
            parameters,
            tensors: BTreeMap::new(),
        };
        cases.insert(name, case);
    }
    if cases.is_empty() {
        return Err("the file has no cases".into());
    }
    for (key, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        let (case, name) = key
            .split_once('.')
            .ok_or_else(|| format!("the tensor {key} is not named CASE.NAME"))?;
        let case = cases
            .get_mut(case)
            .ok_or_else(|| format!("the tensor {key} belongs to no case"))?;
        let raw = raw(&view).map_err(|e| format!("{key}: {e}"))?;
        case.tensors.insert(name.to_string(), raw);
    }
    Ok(cases.into_values().collect())
}

fn raw(view: &TensorView<'_>) -> Fallible<Raw> {
    let data = view.data();
    let numbers = match view.dtype() {
        Dtype::F32 => Numbers::F32(words(data).map(f32::from_le_bytes).collect()),
        Dtype::U8 => Numbers::U8(data.to_vec()),
        Dtype::I8 => Numbers::I8(data.iter().map(|&b| b as i8).collect()),
        Dtype::I32 => Numbers::I32(words(data).map(i32::from_le_bytes).collect()),
        Dtype::I64 => Numbers::I64(words(data).map(i64::from_le_bytes).collect()),
        other => return Err(format!("no case holds {other:?}").into()),
    };
    Ok(Raw {
        shape: view.shape().to_vec(),
        numbers,
    })
}

/// The words of a tensor; its length was checked against its type when the file was parsed.
fn words<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

impl Case {
    /// The parameters as compact JSON.
    pub fn parameters(&self) -> String {
        Value::Object(self.parameters.clone()).to_string()
    }

    /// The operation, module or observer of the case, if its parameters name one.
    pub fn subject(&self) -> Option<&str> {
        ["op", "module", "observer"]
            .iter()
            .find_map(|key| self.parameters.get(*key)?.as_str())
    }

    /// A parameter.
    pub fn value(&self, key: &str) -> Fallible<&Value> {
        let missing = || format!("malformed case: no parameter {key}").into();
        self.parameters.get(key).ok_or_else(missing)
    }

    /// A parameter that `read` understands.
    pub fn parameter<'a, T>(
        &'a self,
        key: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Fallible<T> {
        let value = self.value(key)?;
        let kind = std::any::type_name::<T>();
        read(value).ok_or_else(|| format!("malformed case: {key} = {value} is not a {kind}").into())
    }

    /// A parameter that is a text.
    pub fn text(&self, key: &str) -> Fallible<&str> {
        self.parameter(key, Value::as_str)
    }

    /// A parameter that is a truth value.
    pub fn flag(&self, key: &str) -> Fallible<bool> {
        self.parameter(key, Value::as_bool)
    }

    /// A parameter that is a number.
    pub fn real(&self, key: &str) -> Fallible<f64> {
        self.parameter(key, Value::as_f64)
    }

    /// A parameter that is a size.
    pub fn size(&self, key: &str) -> Fallible<usize> {
        self.parameter(key, |v| usize::try_from(v.as_u64()?).ok())
    }

    /// A parameter that is a list of sizes.
    pub fn sizes(&self, key: &str) -> Fallible<Vec<usize>> {
        self.parameter(key, |v| {
            let sizes = v.as_array()?.iter();
            sizes
                .map(|s| usize::try_from(s.as_u64()?).ok())
                .collect::<Option<_>>()
        })
    }

    fn raw(&self, name: &str) -> Fallible<&Raw> {
        let missing = || format!("malformed case: no tensor {name}").into();
        self.tensors.get(name).ok_or_else(missing)
    }

    /// Whether the case has a tensor of this name; biases are optional.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A float tensor.
    pub fn float(&self, name: &str) -> Fallible<Tensor> {
        let raw = self.raw(name)?;
        match &raw.numbers {
            Numbers::F32(values) => Ok(Tensor::from_slice(values, &raw.shape)?),
            _ => Err(format!("malformed case: {name} is not float").into()),
        }
    }

    /// A float tensor that may be absent.
    pub fn optional_float(&self, name: &str) -> Fallible<Option<Tensor>> {
        self.has(name).then(|| self.float(name)).transpose()
    }

    /// The float tensors whose names begin with `prefix`, without it.
    pub fn floats_below(&self, prefix: &str) -> Fallible<BTreeMap<String, Tensor>> {
        let names = self.tensors.keys().filter_map(|n| n.strip_prefix(prefix));
        names
            .map(|name| Ok((name.to_string(), self.float(&format!("{prefix}{name}"))?)))
            .collect()
    }

    /// An integer tensor of any width: its shape and its values.
    pub fn ints(&self, name: &str) -> Fallible<(&[usize], Vec<i64>)> {
        let raw = self.raw(name)?;
        let values = match &raw.numbers {
            Numbers::U8(v) => v.iter().map(|&q| q.into()).collect(),
            Numbers::I8(v) => v.iter().map(|&q| q.into()).collect(),
            Numbers::I32(v) => v.iter().map(|&q| q.into()).collect(),
            Numbers::I64(v) => v.clone(),
            Numbers::F32(_) => return Err(format!("malformed case: {name} is float").into()),
        };
        Ok((&raw.shape, values))
    }

    /// A quantized tensor: the stored integers with the qparams of `q.NAME`, or per channel with
    /// those of `NAME.scales` and `NAME.zero_points`.
    pub fn quantized(&self, name: &str) -> Fallible<QTensor> {
        let raw = self.raw(name)?;
        let ints = match &raw.numbers {
            Numbers::U8(v) => IntTensor::U8(Tensor::from_slice(v, &raw.shape)?),
            Numbers::I8(v) => IntTensor::I8(Tensor::from_slice(v, &raw.shape)?),
            Numbers::I32(v) => IntTensor::I32(Tensor::from_slice(v, &raw.shape)?),
            _ => return Err(format!("malformed case: {name} holds no raw integers").into()),
        };
        let q = &self.value("q")?[name];
        let lacks = |key: &str| format!("malformed case: q.{name} has no {key}");
        let dtype = q["dtype"].as_str().ok_or_else(|| lacks("dtype"))?;
        if DType::from_name(dtype) != Some(ints.dtype()) {
            let stored = ints.dtype();
            return Err(format!("malformed case: {name} is {dtype}, stored as {stored}").into());
        }
        let quantizer = if let Some(axis) = q["axis"].as_u64() {
            let scales = self.float(&format!("{name}.scales"))?.to_vec();
            let scales: Vec<f64> = scales.into_iter().map(f64::from).collect();
            let (_, zero_points) = self.ints(&format!("{name}.zero_points"))?;
            let zero_points: Vec<i32> = zero_points.into_iter().map(|z| z as i32).collect();
            Quantizer::per_channel(&scales, &zero_points, axis as usize)
        } else {
            let scale = q["scale"].as_f64().ok_or_else(|| lacks("scale"))?;
            let zero_point = q["zero_point"]
                .as_i64()
                .ok_or_else(|| lacks("zero_point"))?;
            Quantizer::per_tensor(scale, i32::try_from(zero_point)?)
        };
        Ok(QTensor::from_parts(ints, quantizer)?)
    }
}
