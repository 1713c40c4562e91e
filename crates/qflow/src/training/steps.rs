//! How far an int8 model is from the model that was trained for it, place by place, in quantization steps.

use qnn::{Module, Value, tap};
use qtensor_core::quantize_with;

use crate::error::{Error, Result};

/// The difference at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceSteps {
    /// The dotted name.
    pub path: String,
    /// The greatest difference of an output's element, in integers of the int8 model's grid there. Values of the
    /// trained model that lie off the grid, as behind an average, are rounded to it.
    pub steps: u32,
    /// How many elements differ.
    pub unequal: usize,
    /// The output's number of elements.
    pub elements: usize,
}

/// Compares a fake-quantized model with its int8 counterpart at every place whose int8 output is quantized.
///
/// Both models run the same sample, and each place of the fake-quantized one gets the inputs that the int8 one had
/// there; so every difference is one place's own. Observers of `trained` should not be observing
/// ([`qnn::set_observing`]) and it should be in evaluation mode, or the comparison would change it.
///
/// With fake-quants over a part of the type's integers (`reduce_range`) differences can be large where training clamped:
/// int8 modules use all integers of their type, here as in PyTorch.
///
/// # Errors
/// Those of the forward passes; [`Error::OtherStructure`] if the models do not pass the same places.
pub fn step_differences<M: Module>(
    trained: &M,
    int8: &M,
    sample: &M::Input,
) -> Result<Vec<PlaceSteps>> {
    let (output, theirs) = tap::record(|| int8.forward(sample));
    output?;
    let (output, ours) = tap::replay(theirs.clone(), || {
        qgrad::no_grad(|| trained.forward(sample))
    });
    output?;
    // Places within a module that is int8 as a whole have no counterpart.
    let ours: tap::Outputs = ours
        .into_iter()
        .filter(|(own, _)| theirs.iter().any(|(name, _)| name == own))
        .collect();
    compare(&ours, &theirs)
}

fn compare(ours: &tap::Outputs, theirs: &tap::Outputs) -> Result<Vec<PlaceSteps>> {
    let mut rows = Vec::new();
    for (i, (path, value)) in theirs.iter().enumerate() {
        let own = ours.get(i).filter(|(name, _)| name == path);
        let Some((_, own)) = own.filter(|(_, own)| own.shape() == value.shape()) else {
            return Err(Error::OtherStructure {
                path: path.clone(),
                expected: format!("value of shape {:?}", value.shape()),
                actual: ours.get(i).map_or("missing value".into(), |(name, own)| {
                    format!("value of shape {:?} at {name:?}", own.shape())
                }),
            });
        };
        let Value::Quantized(q) = value else {
            continue;
        };
        let own = quantize_with(&own.to_tensor(), q.quantizer().clone(), q.dtype())?;
        let (a, b) = (own.int_repr().to_i32_vec(), q.int_repr().to_i32_vec());
        let steps = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max();
        rows.push(PlaceSteps {
            path: path.clone(),
            steps: steps.unwrap_or(0),
            unequal: a.iter().zip(&b).filter(|(a, b)| a != b).count(),
            elements: b.len(),
        });
    }
    Ok(rows)
}
