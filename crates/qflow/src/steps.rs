//! How far an int8 model is from the model that was trained for it, place by place, in quantization steps.

use qnn::{Module, Value, tap};

use crate::error::{Error, Result};

/// The difference at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceSteps {
    /// The dotted name.
    pub path: String,
    /// The greatest difference of an output's element, in steps of the int8 model's scale there.
    pub steps: f64,
    /// The output's number of elements.
    pub elements: usize,
}

/// Compares a fake-quantized model with its int8 counterpart at every place whose int8 output is quantized.
///
/// Both models run the same sample, and each place of the fake-quantized one gets the inputs that the int8 one had
/// there; so every difference is one place's own. Observers of `trained` should not be observing
/// ([`qnn::set_observing`]) and it should be in evaluation mode, or the comparison would change it.
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
        let Some((scale, _)) = q.quantizer().channel(0) else {
            continue;
        };
        let (a, b) = (own.to_tensor().to_vec(), q.dequantize().to_vec());
        let distance = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
        // `max` would drop a NaN, which must not pass for agreement.
        let most = a.iter().zip(&b).map(distance).fold(
            0.0,
            |most: f64, d| {
                if d <= most { most } else { d }
            },
        );
        rows.push(PlaceSteps {
            path: path.clone(),
            steps: most / f64::from(scale),
            elements: b.len(),
        });
    }
    Ok(rows)
}
