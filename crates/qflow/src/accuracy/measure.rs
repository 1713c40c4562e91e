//! `Measure`: what "good" means for a model, as a user says it or as the distance of its outputs from the float model's.

use std::cmp::Ordering;

use qnn::{Flow, Module};
use qtensor_core::Tensor;

use crate::error::{Error, Result};

/// How good a model is: the greater, the better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The user's metric, where there is one.
    pub metric: Option<f64>,
    /// The signal-to-quantization-noise ratio of the outputs in decibels; infinite where they equal the float model's.
    pub sqnr_db: f64,
}

impl Score {
    /// Compares by the metric, then by the SQNR. NaN is worse than everything.
    pub fn compare(&self, other: &Score) -> Ordering {
        let by = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (false, false) => a.total_cmp(&b),
            (a, b) => b.cmp(&a),
        };
        let metric = self.metric.zip(other.metric);
        metric
            .map_or(Ordering::Equal, |(a, b)| by(a, b))
            .then(by(self.sqnr_db, other.sqnr_db))
    }

    /// The metric, or the SQNR where there is none.
    pub fn value(&self) -> f64 {
        self.metric.unwrap_or(self.sqnr_db)
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Metric<'a, M> = Box<dyn FnMut(&M) -> Result<f64, Failure> + 'a>;

/// Samples, and optionally a metric: what [`rank_sensitivity`](super::rank_sensitivity) and
/// [`quantize_within`](super::quantize_within) judge models by.
///
/// ```
/// use qflow::accuracy::Measure;
/// use qnn::{Module, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let samples: Vec<Value> = vec![Tensor::ones(&[1, 4])?.into()];
/// // The outputs' distance from the float model's alone, or with a metric of one's own:
/// let plain = Measure::<Sequential>::new(&samples);
/// let with_metric = Measure::new(&samples).with_metric(|model: &Sequential| {
///     let y = model.forward(&samples[0])?.to_tensor();
///     Ok::<f64, qnn::Error>(-f64::from(y.get(&[0, 0])?).abs())
/// });
/// # let _ = (plain, with_metric);
/// # Ok::<(), qflow::Error>(())
/// ```
pub struct Measure<'a, M: Module> {
    samples: &'a [M::Input],
    metric: Option<Metric<'a, M>>,
    /// The float model's outputs of each sample.
    reference: Vec<Vec<Tensor>>,
}

impl<'a, M: Module> Measure<'a, M> {
    /// Judges by the SQNR of the outputs for these samples. The first sample also shows where float and int8 values
    /// meet, so it must pass all places.
    pub fn new(samples: &'a [M::Input]) -> Measure<'a, M> {
        Measure {
            samples,
            metric: None,
            reference: Vec::new(),
        }
    }

    /// Judges by a metric first, such as the accuracy on test data: the greater, the better.
    ///
    /// It is called once for each combination of int8 and float places that is tried.
    pub fn with_metric<E: Into<Failure>>(
        mut self,
        mut metric: impl FnMut(&M) -> Result<f64, E> + 'a,
    ) -> Measure<'a, M> {
        self.metric = Some(Box::new(move |model| metric(model).map_err(Into::into)));
        self
    }

    /// The sample that shows the way of values through the model.
    pub(crate) fn sample(&self, operation: &'static str) -> Result<&'a M::Input> {
        self.samples.first().ok_or(Error::NoData(operation))
    }

    /// The score of the float model, whose outputs all others are compared with from now on.
    pub(crate) fn float(&mut self, model: &M) -> Result<Score> {
        self.reference = outputs(model, self.samples)?;
        self.score(model)
    }

    /// The score of a model.
    pub(crate) fn score(&mut self, model: &M) -> Result<Score> {
        let own = outputs(model, self.samples)?;
        let (mut signal, mut noise) = (0f64, 0f64);
        for (reference, own) in self.reference.iter().flatten().zip(own.iter().flatten()) {
            let (s, n) = energies(reference, own)?;
            signal += s;
            noise += n;
        }
        let metric = match &mut self.metric {
            Some(metric) => Some(qgrad::no_grad(|| metric(model)).map_err(Error::Metric)?),
            None => None,
        };
        Ok(Score {
            metric,
            sqnr_db: decibels(signal, noise),
        })
    }
}

/// All values of a model's output for each sample, as float tensors.
fn outputs<M: Module>(model: &M, samples: &[M::Input]) -> Result<Vec<Vec<Tensor>>> {
    let run = |sample: &M::Input| {
        let output = qgrad::no_grad(|| model.forward(sample))?;
        let mut tensors = Vec::new();
        output.values(&mut |value| tensors.push(value.to_tensor()));
        Ok(tensors)
    };
    samples.iter().map(run).collect()
}

/// The sums of `r²` and of `(r − y)²`.
pub(crate) fn energies(reference: &Tensor, other: &Tensor) -> Result<(f64, f64)> {
    if reference.shape() != other.shape() {
        return Err(qtensor_core::Error::ShapeMismatch {
            operation: "sqnr_db",
            expected: reference.shape().to_vec(),
            actual: other.shape().to_vec(),
        }
        .into());
    }
    let pairs = reference.to_vec().into_iter().zip(other.to_vec());
    Ok(pairs.fold((0.0, 0.0), |(signal, noise), (r, y)| {
        let (r, y) = (f64::from(r), f64::from(y));
        (signal + r * r, noise + (r - y).powi(2))
    }))
}

/// `10 · log10(signal / noise)`; infinite without noise.
pub(crate) fn decibels(signal: f64, noise: f64) -> f64 {
    if noise == 0.0 {
        f64::INFINITY
    } else {
        10.0 * (signal / noise).log10()
    }
}
