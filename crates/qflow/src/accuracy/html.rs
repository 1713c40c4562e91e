//! `HtmlReport`: what int8 costs a model, on one page that needs nothing beside itself.

mod charts;
mod page;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use qnn::Module;
use qtensor_core::{Tensor, container};

use super::outputs::{Logger, Loggers, PlaceError, outputs};
use super::sensitivity::Sensitivity;
use super::switchboard::{Places, Switchboard};
use crate::error::{Error, Result};
use crate::report::{Outcome, Row};

const OPERATION: &str = "HtmlReport";

/// Bars of a histogram.
const BINS: usize = 64;

/// A page with charts of a model's activations, of the error of each place, of sizes and times, and with the table of
/// conversions.
///
/// ```
/// use qflow::accuracy::HtmlReport;
/// use qflow::{QConfig, calibrate, prepare};
/// use qnn::{DeQuantStub, Linear, QuantStub, Sequential, Value};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new().push(QuantStub).push(Linear::new(4, 2)?).push(DeQuantStub);
/// let samples: Vec<Value> = vec![Tensor::from_vec(vec![0.5, -1.0, 0.25, 1.0], &[1, 4])?.into()];
/// prepare(&mut net, QConfig::x86())?;
/// calibrate(&net, samples.clone())?;
/// let page = HtmlReport::gather(&mut net, &samples, "two layers")?.html()?;
/// assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
/// # Ok::<(), qflow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HtmlReport {
    title: String,
    rows: Vec<Row>,
    errors: Vec<Errors>,
    histograms: Vec<Histogram>,
    /// Microseconds for one pass of the first sample, in float and in int8.
    us: (f64, f64),
    sensitivity: Option<Sensitivity>,
}

/// The errors of one place: with the float model's inputs, and with those of the int8 model.
#[derive(Clone, Debug)]
struct Errors {
    alone: PlaceError,
    together: PlaceError,
}

/// The float activations of one place, and the range that calibration chose for them.
#[derive(Clone, Debug)]
struct Histogram {
    path: String,
    counts: Vec<f64>,
    /// The ends of the first and the last bin.
    ends: (f64, f64),
    /// The least and the greatest activation.
    seen: (f64, f64),
    /// The least and the greatest value that the place's integers stand for.
    chosen: (f64, f64),
    /// The share of activations outside the chosen range.
    clipped: f64,
}

impl HtmlReport {
    /// Runs samples through a fused and calibrated model in float and in int8; it is float and calibrated again
    /// afterwards.
    ///
    /// All outputs of all places are held in memory for the time; a few batches are enough.
    ///
    /// # Errors
    /// As [`rank_sensitivity`](super::rank_sensitivity).
    pub fn gather<M: Module>(
        model: &mut M,
        samples: &[M::Input],
        title: &str,
    ) -> Result<HtmlReport> {
        let sample = samples.first().ok_or(Error::NoData(OPERATION))?;
        let mut board = Switchboard::new(model, sample)?;
        board.switch(&Places::new())?;
        let run = |model: &M| -> Result<Vec<_>> {
            samples.iter().map(|s| outputs(model, s, None)).collect()
        };
        let ours = run(board.model())?;
        let float_us = median_us(board.model(), sample)?;
        board.switch(&board.candidates().into_iter().collect())?;
        let int8_us = median_us(board.model(), sample)?;
        let (mut together, mut alone) = (Loggers::default(), Loggers::default());
        for (sample, ours) in samples.iter().zip(&ours) {
            together.add(ours, &outputs(board.model(), sample, None)?)?;
            alone.add(ours, &outputs(board.model(), sample, Some(ours.clone()))?)?;
        }
        let rows = board.rows().to_vec();
        drop(board);
        let mut errors = Vec::new();
        for (alone, together) in alone.0.iter().zip(&together.0) {
            errors.push(Errors {
                alone: alone.error()?,
                together: together.error()?,
            });
        }
        let histograms = together.0.iter();
        let histograms = histograms.filter_map(|logger| Histogram::of(logger, &rows));
        Ok(HtmlReport {
            title: title.into(),
            histograms: histograms.collect(),
            rows,
            errors,
            us: (float_us, int8_us),
            sensitivity: None,
        })
    }

    /// Adds the ranking of places.
    pub fn with_sensitivity(mut self, sensitivity: &Sensitivity) -> HtmlReport {
        self.sensitivity = Some(sensitivity.clone());
        self
    }

    /// The page.
    ///
    /// # Errors
    /// [`Error::Repair`] if a chart cannot be drawn.
    pub fn html(&self) -> Result<String> {
        page::render(self)
    }

    /// Writes the page to a file, whole or not at all.
    ///
    /// # Errors
    /// As [`html`](Self::html), and those of the file system, with the path.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let page = self.html()?;
        Ok(container::write_file(path.as_ref(), page.as_bytes())?)
    }

    /// Bytes of all weights, in float and in int8.
    fn bytes(&self) -> (usize, usize) {
        let rows = self.rows.iter();
        rows.fold((0, 0), |(b, a), r| (b + r.bytes_before, a + r.bytes_after))
    }
}

impl Histogram {
    /// Of a place whose output has qparams and whose activations are finite.
    fn of(logger: &Logger, rows: &[Row]) -> Option<Histogram> {
        let row = rows.iter().find(|row| row.path == logger.path)?;
        let Outcome::Converted(Some(q)) = &row.outcome else {
            return None;
        };
        let (lo, hi) = q.dtype.range();
        let real = |integer: i32| (f64::from(integer) - f64::from(q.zero_point)) * q.scale;
        let chosen = (real(lo), real(hi));
        let values: Vec<f32> = logger.float.iter().flat_map(Tensor::to_vec).collect();
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        for &v in &values {
            (least, greatest) = (least.min(v.into()), greatest.max(v.into()));
        }
        if !(least.is_finite() && greatest.is_finite()) {
            return None;
        }
        let ends = (least.min(chosen.0), greatest.max(chosen.1));
        let width = ((ends.1 - ends.0) / BINS as f64).max(f64::MIN_POSITIVE);
        let mut counts = vec![0.0; BINS];
        for &v in &values {
            let bin = ((f64::from(v) - ends.0) / width) as usize;
            counts[bin.min(BINS - 1)] += 1.0;
        }
        let half = q.scale / 2.0;
        let outside = |v: &&f32| {
            let v = f64::from(**v);
            v < chosen.0 - half || v > chosen.1 + half
        };
        Some(Histogram {
            path: logger.path.clone(),
            counts,
            ends,
            seen: (least, greatest),
            chosen,
            clipped: values.iter().filter(outside).count() as f64 / values.len().max(1) as f64,
        })
    }
}

/// The median time of a pass, in microseconds, of at least five passes and a twentieth of a second.
fn median_us<M: Module>(model: &M, sample: &M::Input) -> Result<f64> {
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || start.elapsed() < Duration::from_millis(50) {
        let before = Instant::now();
        black_box(qgrad::no_grad(|| model.forward(black_box(sample)))?);
        times.push(before.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
