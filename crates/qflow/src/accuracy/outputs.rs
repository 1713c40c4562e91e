//! The outputs of a float model and of its int8 twin, place by place.

use qnn::{Module, Value, tap};
use qtensor_core::Tensor;

use super::measure::{decibels, energies};
use crate::error::{Error, Result};

/// What one place gave in both models, sample by sample.
#[doc(alias = "OutputLogger")]
#[doc(alias = "ShadowLogger")]
#[derive(Clone, Debug)]
pub struct Logger {
    /// The dotted name of the place.
    pub path: String,
    /// The float model's outputs.
    pub float: Vec<Tensor>,
    /// The int8 model's outputs, dequantized.
    pub quantized: Vec<Tensor>,
}

/// How far the outputs of one place are apart.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceError {
    /// The dotted name of the place.
    pub path: String,
    /// `10 · log10(Σ r² / Σ (r − y)²)` over all samples.
    pub sqnr_db: f64,
    /// The greatest `|r − y|`.
    pub max_error: f64,
}

/// The outputs of every place in both models, each model running on its own.
///
/// `float` is the model after fusion, without observers or with ones that may see these samples. Places that hold nothing
/// since fusion are left out; a place that runs more than once gives several outputs for each sample.
///
/// # Errors
/// Those of the forward passes; [`Error::OtherStructure`] if the models do not pass the same places, as when
/// `float` is not fused.
pub fn get_matching_activations<M: Module>(
    float: &M,
    quantized: &M,
    samples: &[M::Input],
) -> Result<Vec<Logger>> {
    let mut loggers = Loggers::default();
    for sample in samples {
        let theirs = outputs(quantized, sample, None)?;
        loggers.add(&outputs(float, sample, None)?, &theirs)?;
    }
    Ok(loggers.0)
}

/// As [`get_matching_activations`], but every place of the int8 model gets what the float model's place got, rounded to
/// its grid: a difference is that place's own.
///
/// PyTorch puts a shadow module beside each int8 one (`prepare_model_with_stubs`); here one pass with exchanged
/// outputs does the same, and the models stay as they are.
///
/// # Errors
/// As [`get_matching_activations`].
#[doc(alias = "prepare_model_with_stubs")]
pub fn get_shadow_activations<M: Module>(
    float: &M,
    quantized: &M,
    samples: &[M::Input],
) -> Result<Vec<Logger>> {
    let mut loggers = Loggers::default();
    for sample in samples {
        let ours = outputs(float, sample, None)?;
        let theirs = outputs(quantized, sample, Some(ours.clone()))?;
        loggers.add(&ours, &theirs)?;
    }
    Ok(loggers.0)
}

/// How far each place's output is from the float model's, with the errors of all places before it.
///
/// # Errors
/// As [`get_matching_activations`].
///
/// ```
/// use qflow::accuracy::{compare_model_outputs, compare_model_stub};
/// use qflow::{QConfig, quantize};
/// use qnn::{DeQuantStub, Linear, QuantStub, Sequential, Value, manual_seed};
/// use qtensor_core::Tensor;
///
/// let make = || {
///     manual_seed(1);
///     Ok::<_, qnn::Error>(Sequential::new().push(QuantStub).push(Linear::new(4, 2)?).push(DeQuantStub))
/// };
/// let (float, mut int8) = (make()?, make()?);
/// let samples: Vec<Value> = vec![Tensor::from_vec(vec![0.3, -0.7, 0.9, 0.1], &[1, 4])?.into()];
/// quantize(&mut int8, QConfig::x86(), samples.clone())?;
/// let together = compare_model_outputs(&float, &int8, &samples)?;
/// let alone = compare_model_stub(&float, &int8, &samples)?;
/// assert_eq!((together[1].path.as_str(), alone[1].path.as_str()), ("1", "1"));
/// assert!(together[1].sqnr_db > 25.0 && alone[1].sqnr_db > 25.0);
/// # Ok::<(), qflow::Error>(())
/// ```
pub fn compare_model_outputs<M: Module>(
    float: &M,
    quantized: &M,
    samples: &[M::Input],
) -> Result<Vec<PlaceError>> {
    errors(&get_matching_activations(float, quantized, samples)?)
}

/// How far each place's output is from the float model's if its inputs are the float model's: the place's own error.
///
/// See [`get_shadow_activations`] for how.
///
/// # Errors
/// As [`get_matching_activations`].
pub fn compare_model_stub<M: Module>(
    float: &M,
    quantized: &M,
    samples: &[M::Input],
) -> Result<Vec<PlaceError>> {
    errors(&get_shadow_activations(float, quantized, samples)?)
}

fn errors(loggers: &[Logger]) -> Result<Vec<PlaceError>> {
    loggers.iter().map(Logger::error).collect()
}

impl Logger {
    /// How far both are apart.
    ///
    /// # Errors
    /// Tensors of different shapes, or more of one than of the other.
    pub fn error(&self) -> Result<PlaceError> {
        if self.float.len() != self.quantized.len() {
            return Err(Error::OtherStructure {
                path: self.path.clone(),
                expected: format!("number of {} outputs", self.float.len()),
                actual: format!("number of {}", self.quantized.len()),
            });
        }
        let (mut signal, mut noise, mut max_error) = (0.0, 0.0, 0f64);
        for (r, y) in self.float.iter().zip(&self.quantized) {
            let (s, n) = energies(r, y)?;
            signal += s;
            noise += n;
            let pairs = r.to_vec().into_iter().zip(y.to_vec());
            max_error = pairs.fold(max_error, |m, (r, y)| {
                m.max((f64::from(r) - f64::from(y)).abs())
            });
        }
        Ok(PlaceError {
            path: self.path.clone(),
            sqnr_db: decibels(signal, noise),
            max_error,
        })
    }
}

/// The outputs of all places for one sample, those of `given` in place of its own.
pub(crate) fn outputs<M: Module>(
    model: &M,
    sample: &M::Input,
    given: Option<tap::Outputs>,
) -> Result<tap::Outputs> {
    let run = || qgrad::no_grad(|| model.forward(sample));
    let (output, seen) = tap::replay(given.unwrap_or_default(), run);
    output?;
    Ok(seen)
}

/// Loggers in the order in which places end.
#[derive(Default)]
pub(crate) struct Loggers(pub(crate) Vec<Logger>);

impl Loggers {
    /// Adds the outputs of both models for one sample.
    pub(crate) fn add(&mut self, ours: &tap::Outputs, theirs: &tap::Outputs) -> Result<()> {
        let mut previous: Option<&Value> = None;
        for (i, (path, value)) in ours.iter().enumerate() {
            let other = theirs.get(i).filter(|(name, _)| name == path);
            let Some((_, other)) = other.filter(|(_, other)| other.shape() == value.shape()) else {
                return Err(other_structure(path, value, theirs.get(i)));
            };
            // A place that hands its input on, as one that fusion emptied, adds nothing of its own.
            let same = previous.is_some_and(|p| is_same(p, value));
            previous = Some(value);
            if same {
                continue;
            }
            let (float, quantized) = (value.to_tensor(), other.to_tensor());
            match self.0.iter_mut().find(|logger| &logger.path == path) {
                Some(logger) => {
                    logger.float.push(float);
                    logger.quantized.push(quantized);
                }
                None => self.0.push(Logger {
                    path: path.clone(),
                    float: vec![float],
                    quantized: vec![quantized],
                }),
            }
        }
        Ok(())
    }
}

/// Whether two values are one tensor.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.untraced().shares_storage_with(b.untraced()),
        _ => false,
    }
}

fn other_structure(path: &str, value: &Value, other: Option<&(String, Value)>) -> Error {
    Error::OtherStructure {
        path: path.into(),
        expected: format!("value of shape {:?}", value.shape()),
        actual: other.map_or("missing value".into(), |(name, other)| {
            format!("value of shape {:?} at {name:?}", other.shape())
        }),
    }
}
