//! Quantized weights beside the float ones that they stand for.

use std::collections::BTreeMap;

use qnn::{Entry, Node, State, walk};
use qtensor_core::{QTensor, Tensor};

use super::measure::{decibels, energies};
use crate::error::{Error, Result};

/// How far one quantized weight is from its float original.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightError {
    /// The dotted name of the place.
    pub path: String,
    /// The weight's name in the place, such as `weight`.
    pub name: String,
    /// The kind of the int8 module.
    pub kind: String,
    /// `10 · log10(Σ w² / Σ (w − ŵ)²)` over all elements.
    pub sqnr_db: f64,
    /// The greatest `|w − ŵ|`.
    pub max_error: f64,
    /// The index along dimension 0 (an output channel) with the least SQNR, and that SQNR.
    pub worst_channel: (usize, f64),
    /// The share of elements that are not 0 but became 0.
    pub vanished: f64,
}

/// Compares every quantized weight with the float one of the same place and name.
///
/// `float` is the model after fusion: a weight before its batch norm is folded into it is another weight. Worst first.
///
/// # Errors
/// [`Error::OtherStructure`] for a quantized weight whose place in `float` has none of that name and shape.
///
/// ```
/// use qflow::{QConfig, accuracy::compare_weights, quantize};
/// use qnn::{DeQuantStub, Linear, QuantStub, Sequential, Value, manual_seed};
/// use qtensor_core::Tensor;
///
/// let make = || {
///     manual_seed(1);
///     Ok::<_, qnn::Error>(Sequential::new().push(QuantStub).push(Linear::new(4, 2)?).push(DeQuantStub))
/// };
/// let (float, mut int8) = (make()?, make()?);
/// quantize(&mut int8, QConfig::x86(), [Value::from(Tensor::ones(&[1, 4])?)])?;
/// let errors = compare_weights(&float, &int8)?;
/// assert_eq!((errors[0].path.as_str(), errors[0].name.as_str()), ("1", "weight"));
/// assert!(errors[0].sqnr_db > 35.0);
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn compare_weights(float: &dyn Node, quantized: &dyn Node) -> Result<Vec<WeightError>> {
    let mut states: BTreeMap<String, (State, &'static str)> = BTreeMap::new();
    walk(float, &mut |path, node| {
        states.insert(path.to_string(), (node.state(), node.kind()));
    });
    let (mut rows, mut result) = (Vec::new(), Ok(()));
    walk(quantized, &mut |path, node| {
        for (name, entry) in node.state().iter() {
            let (Entry::QTensor(q), true) = (entry, result.is_ok()) else {
                continue;
            };
            let row = original(states.get(path), path, name, q)
                .and_then(|w| compare(path, name, node.kind(), &w, q));
            match row {
                Ok(row) => rows.push(row),
                Err(error) => result = Err(error),
            }
        }
    });
    result?;
    rows.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
    Ok(rows)
}

/// The float weight that a quantized one stands for.
fn original(
    found: Option<&(State, &'static str)>,
    path: &str,
    name: &str,
    q: &QTensor,
) -> Result<Tensor> {
    let entry = found.and_then(|(state, _)| state.get(name));
    if let Some(Entry::Tensor(weight)) = entry
        && weight.shape() == q.shape()
    {
        return Ok(weight.clone());
    }
    let shape = entry.and_then(Entry::shape);
    Err(Error::OtherStructure {
        path: qnn::join(path, name),
        expected: format!("quantized weight of shape {:?}", q.shape()),
        actual: match (found, shape) {
            (Some((_, kind)), Some(shape)) => format!("{kind} with one of shape {shape:?}"),
            (Some((_, kind)), None) => format!("{kind} without one"),
            (None, _) => "model without that place".into(),
        },
    })
}

fn compare(
    path: &str,
    name: &str,
    kind: &str,
    weight: &Tensor,
    q: &QTensor,
) -> Result<WeightError> {
    let back = q.dequantize();
    let (signal, noise) = energies(weight, &back)?;
    let (w, b) = (weight.to_vec(), back.to_vec());
    let row = (w.len() / weight.shape().first().copied().unwrap_or(1).max(1)).max(1);
    let channel = |(i, (w, b)): (usize, (&[f32], &[f32]))| {
        let sums = w.iter().zip(b).fold((0.0, 0.0), |(s, n), (w, b)| {
            let (w, b) = (f64::from(*w), f64::from(*b));
            (s + w * w, n + (w - b).powi(2))
        });
        (i, decibels(sums.0, sums.1))
    };
    let channels = w.chunks(row).zip(b.chunks(row)).enumerate().map(channel);
    let worst = channels.min_by(|a, b| a.1.total_cmp(&b.1));
    let differences = w
        .iter()
        .zip(&b)
        .map(|(w, b)| (f64::from(*w) - f64::from(*b)).abs());
    let vanished = w
        .iter()
        .zip(&b)
        .filter(|(w, b)| **w != 0.0 && **b == 0.0)
        .count();
    Ok(WeightError {
        path: path.into(),
        name: name.into(),
        kind: kind.into(),
        sqnr_db: decibels(signal, noise),
        max_error: differences.fold(0.0, f64::max),
        worst_channel: worst.unwrap_or((0, f64::INFINITY)),
        vanished: vanished as f64 / w.len().max(1) as f64,
    })
}
