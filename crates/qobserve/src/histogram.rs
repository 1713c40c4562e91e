//! `HistogramObserver`: a histogram of everything seen, and the range that quantizes it with least error.
//!
//! The algorithm is that of `torch/ao/quantization/observer.py`: batches are binned over the range seen so
//! far, the old histogram is spread over a grown range, and a greedy search cuts off both ends as long as
//! the squared error falls. [`bins`] holds the histogram, [`search`] the search.

mod bins;
mod search;

use std::any::Any;

use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, QScheme, Quantizer, Tensor};

use crate::builder::{Buildable, ObserverBuilder, sealed};
use crate::error::{Error, Result};
use crate::observer::{Observer, same_kind};
use crate::scan::{extremes, tensor_extremes, with_values};
use crate::settings::Settings;
use crate::state;
use bins::Histogram;

/// The levels of both 8-bit types. The search counts with them even if a narrower range is set, as PyTorch does.
const LEVELS: f64 = 256.0;

/// A histogram of all data and the range of least squared quantization error. The observer of activations.
///
/// Memory is bounded by the number of bins (2,048 unless set). Calibration goes as follows.
///
/// 1. The first batch sets the range to its extremes and is counted into bins of equal width. A constant
///    has a range of one point and lies in the middle bin.
/// 2. A later batch widens the range to its extremes. Bins of the old range are spread over the new one,
///    each as 16 parts, and the batch is counted over the new range.
/// 3. [`calculate_qparams`](Observer::calculate_qparams) moves inwards from both ends, by quantiles in
///    steps of 10⁻⁵, and keeps each move that does not raise the expected squared error of quantizing to
///    2⁸ levels. The first move is always kept; the first rise ends the search, so one far outlier is not
///    cut off.
///
/// Merging spreads both histograms over their common range and adds them.
///
/// # Differences from PyTorch 2.6
///
/// * Infinities are an error unless [`ignore_infinity`](ObserverBuilder::ignore_infinity) is set.
/// * After a range of one point, PyTorch gives the old point the *new* batch's number of values. Here it
///   keeps its own (as in later versions of PyTorch).
/// * Counts are kept in `f64`, so a bin does not stop growing at 2²⁴.
/// * The search measures in units of one bin, in `f64`. PyTorch's `f32` cubes overflow or vanish when the
///   data are very large or very small, and then it cuts off far too much.
///
/// ```
/// # use qobserve::{HistogramObserver, Observer};
/// # use qtensor_core::{Quantizer, Tensor};
/// let mut observer = HistogramObserver::builder().bins(3).build()?;
/// observer.observe(&Tensor::from_vec(vec![2.0, 3.0, 4.0, 5.0], &[4])?)?;
/// observer.observe(&Tensor::from_vec(vec![5.0, 6.0, 7.0, 8.0], &[4])?)?;
/// assert_eq!(observer.counts(), [2.0, 3.0, 3.0]);
/// assert_eq!(observer.range(), Some((2.0, 8.0)));
/// assert_eq!(observer.clipped_range(), Some((2.0, 6.0)));
/// assert_eq!(observer.calculate_qparams()?, Quantizer::per_tensor((6.0f32 / 255.0).into(), 0));
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramObserver {
    settings: Settings,
    histogram: Option<Histogram>,
}

impl HistogramObserver {
    /// Settings to fill in; see [`ObserverBuilder`].
    pub fn builder() -> ObserverBuilder<HistogramObserver> {
        ObserverBuilder::new()
    }

    /// How the observer was configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many values lie in each bin of [`range`](Observer::range); empty before any data.
    ///
    /// Parts of a value come from spreading bins over a grown range.
    #[doc(alias = "histogram")]
    pub fn counts(&self) -> &[f64] {
        self.histogram.as_ref().map_or(&[], |h| &h.counts)
    }

    /// The part of the observed range that the search keeps; `None` before any data.
    ///
    /// [`calculate_qparams`](Observer::calculate_qparams) extends it to include 0.
    pub fn clipped_range(&self) -> Option<(f32, f32)> {
        self.histogram.as_ref().map(|h| search::clip(h, LEVELS))
    }

    /// Counts finite values, of which there is at least one, with extremes `min` and `max`.
    fn count(&mut self, values: &[f32], min: f32, max: f32) {
        let histogram = self
            .histogram
            .get_or_insert_with(|| Histogram::empty(min, max, self.settings.bins));
        histogram.widen(min, max);
        histogram.count(values);
    }
}

/// `quint8`, affine, 2,048 bins.
impl Default for HistogramObserver {
    fn default() -> HistogramObserver {
        HistogramObserver::with_settings(Settings::activations(false))
    }
}

impl sealed::Sealed for HistogramObserver {}

impl Buildable for HistogramObserver {
    const NAME: &'static str = "HistogramObserver";
    const PER_CHANNEL: bool = false;

    fn with_settings(settings: Settings) -> HistogramObserver {
        HistogramObserver {
            settings,
            histogram: None,
        }
    }
}

impl Observer for HistogramObserver {
    fn name(&self) -> &'static str {
        HistogramObserver::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        if x.numel() == 0 {
            return Ok(());
        }
        match tensor_extremes(HistogramObserver::NAME, x) {
            Ok((min, max)) => with_values(x, |values| self.count(values, min, max)),
            Err(Error::Infinite { .. }) if self.settings.ignore_infinity => {
                let finite: Vec<f32> = with_values(x, |values| {
                    values.iter().copied().filter(|v| v.is_finite()).collect()
                });
                if let (false, Some((min, max))) = (finite.is_empty(), extremes(&finite)) {
                    self.count(&finite, min, max);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn calculate_qparams(&self) -> Result<Quantizer> {
        let (min, max) = self.clipped_range().ok_or(Error::NeverObserved {
            observer: HistogramObserver::NAME,
        })?;
        self.settings.quantizer(&[min], &[max])
    }

    fn has_observed(&self) -> bool {
        self.histogram.is_some()
    }

    fn dtype(&self) -> DType {
        self.settings.dtype
    }

    fn qscheme(&self) -> QScheme {
        self.settings.qscheme
    }

    fn quant_range(&self) -> QuantRange {
        self.settings.range
    }

    /// The extremes of all data, before the search cuts anything off.
    fn range(&self) -> Option<(f32, f32)> {
        self.histogram.as_ref().map(|h| (h.min, h.max))
    }

    fn merge(&mut self, other: &dyn Observer) -> Result<()> {
        let other: &HistogramObserver = same_kind("merge", HistogramObserver::NAME, other)?;
        self.settings
            .check_equal("merge", HistogramObserver::NAME, &other.settings)?;
        match (&mut self.histogram, &other.histogram) {
            (_, None) => {}
            (None, Some(theirs)) => self.histogram = Some(theirs.clone()),
            (Some(mine), Some(theirs)) => {
                let mut theirs = theirs.clone();
                mine.widen(theirs.min, theirs.max);
                theirs.widen(mine.min, mine.max);
                mine.add(&theirs);
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.histogram = None;
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        state::save(HistogramObserver::NAME, &self.settings, &self.histogram)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let histogram: Option<Histogram> =
            state::load(HistogramObserver::NAME, &self.settings, bytes)?;
        if let Some(histogram) = &histogram {
            histogram.check(HistogramObserver::NAME, self.settings.bins)?;
        }
        self.histogram = histogram;
        Ok(())
    }

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
