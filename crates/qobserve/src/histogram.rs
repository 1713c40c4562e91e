//! Observers with a histogram of everything seen, which differ in the part of it that they keep.
//!
//! The histogram is that of `torch/ao/quantization/observer.py`: batches are binned over the range seen so
//! far, and the old histogram is spread over a grown range. [`bins`] holds it; [`search`] is PyTorch's greedy
//! search, [`tails`] cuts quantiles off, [`squares`] looks for the least squared error.

mod bins;
mod search;
mod squares;
mod tails;

use std::any::Any;
use std::fmt::Debug;
use std::marker::PhantomData;

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
pub type HistogramObserver = BinnedObserver<Greedy>;

/// A histogram of all data, and the range without the outermost values: a share of
/// `1 − percentile / 100` is cut off at each end (0.01 % unless set).
///
/// Robust against single outliers, which [`HistogramObserver`] follows, at the price of clamping what is rare.
/// Positions inside a bin are interpolated. Everything else is as in [`HistogramObserver`].
///
/// ```
/// # use qobserve::{Observer, PercentileObserver};
/// # use qtensor_core::Tensor;
/// let mut observer = PercentileObserver::builder().percentile(99.0).build()?;
/// let mut values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0).collect();
/// values[0] = 50.0; // an outlier
/// observer.observe(&Tensor::from_vec(values, &[10_000])?)?;
/// let (min, max) = observer.clipped_range().unwrap_or_default();
/// assert!(min < 0.03 && (0.98..1.05).contains(&max));
/// # Ok::<(), qobserve::Error>(())
/// ```
pub type PercentileObserver = BinnedObserver<Tails>;

/// A histogram of all data, and the range whose qparams give the least expected squared error.
///
/// Unlike the greedy search of [`HistogramObserver`], which stops where the error rises for the first time, it compares
/// ranges of all widths: 128 shrunken copies of the whole range, then each end moved alone in ever smaller steps. The
/// error is that of the qparams which the range leads to, with zero represented exactly and the real number of
/// levels. Everything else is as in [`HistogramObserver`].
///
/// ```
/// # use qobserve::{HistogramObserver, MseObserver, Observer};
/// # use qtensor_core::Tensor;
/// let mut values: Vec<f32> = (0..10_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
/// values[0] = 30.0; // an outlier, which with 4 bits costs less clamped than represented
/// let x = Tensor::from_vec(values, &[10_000])?;
/// let mut mse = MseObserver::builder().quant_range(0, 15).build()?;
/// let mut greedy = HistogramObserver::builder().quant_range(0, 15).build()?;
/// mse.observe(&x)?;
/// greedy.observe(&x)?;
/// assert!(mse.clipped_range().unwrap_or_default().1 < 10.0);
/// assert!(greedy.clipped_range().unwrap_or_default().1 > 25.0);
/// # Ok::<(), qobserve::Error>(())
/// ```
pub type MseObserver = BinnedObserver<LeastSquares>;

/// Which part of a histogram an observer keeps.
pub trait Clip: Debug + Clone + Copy + PartialEq + Send + Sync + sealed::Sealed + 'static {
    /// The observer's name.
    #[doc(hidden)]
    const NAME: &'static str;
    /// The ends of the kept range.
    #[doc(hidden)]
    fn clip(counts: &[f64], range: (f32, f32), settings: &Settings) -> (f32, f32);
}

/// PyTorch's greedy search: [`HistogramObserver`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Greedy;

/// Quantiles at both ends: [`PercentileObserver`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tails;

/// The least squared error: [`MseObserver`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeastSquares;

impl sealed::Sealed for Greedy {}
impl sealed::Sealed for Tails {}
impl sealed::Sealed for LeastSquares {}

impl Clip for Greedy {
    const NAME: &'static str = "HistogramObserver";

    fn clip(counts: &[f64], range: (f32, f32), _: &Settings) -> (f32, f32) {
        search::clip(counts, range, LEVELS)
    }
}

impl Clip for Tails {
    const NAME: &'static str = "PercentileObserver";

    fn clip(counts: &[f64], range: (f32, f32), settings: &Settings) -> (f32, f32) {
        tails::clip(counts, range, f64::from(settings.percentile) / 100.0)
    }
}

impl Clip for LeastSquares {
    const NAME: &'static str = "MseObserver";

    fn clip(counts: &[f64], range: (f32, f32), settings: &Settings) -> (f32, f32) {
        squares::clip(counts, range, settings)
    }
}

/// An observer with a histogram, under its names [`HistogramObserver`], [`PercentileObserver`] and [`MseObserver`].
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedObserver<C> {
    settings: Settings,
    histogram: Option<Histogram>,
    clip: PhantomData<C>,
}

impl<C: Clip> BinnedObserver<C> {
    /// Settings to fill in; see [`ObserverBuilder`].
    pub fn builder() -> ObserverBuilder<BinnedObserver<C>> {
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
        let h = self.histogram.as_ref()?;
        Some(C::clip(&h.counts, (h.min, h.max), &self.settings))
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
impl<C: Clip> Default for BinnedObserver<C> {
    fn default() -> BinnedObserver<C> {
        BinnedObserver::with_settings(Settings::activations(false))
    }
}

impl<C: Clip> sealed::Sealed for BinnedObserver<C> {}

impl<C: Clip> Buildable for BinnedObserver<C> {
    const NAME: &'static str = C::NAME;
    const PER_CHANNEL: bool = false;
    const BINNED: bool = true;

    fn with_settings(settings: Settings) -> BinnedObserver<C> {
        BinnedObserver {
            settings,
            histogram: None,
            clip: PhantomData,
        }
    }
}

impl<C: Clip> Observer for BinnedObserver<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        if x.numel() == 0 {
            return Ok(());
        }
        match tensor_extremes(C::NAME, x) {
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
        let (min, max) = self
            .clipped_range()
            .ok_or(Error::NeverObserved { observer: C::NAME })?;
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
        let other: &BinnedObserver<C> = same_kind("merge", C::NAME, other)?;
        self.settings
            .check_equal("merge", C::NAME, &other.settings)?;
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
        state::save(C::NAME, &self.settings, &self.histogram)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let histogram: Option<Histogram> = state::load(C::NAME, &self.settings, bytes)?;
        if let Some(histogram) = &histogram {
            histogram.check(C::NAME, self.settings.bins)?;
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
