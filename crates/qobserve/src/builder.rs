//! `ObserverBuilder`: settings of the built-in observers, checked when the observer is built.

use std::marker::PhantomData;

use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, QScheme};

use crate::error::{Error, Result};
use crate::factory::ObserverFactory;
use crate::histogram::{BinnedObserver, Clip, PercentileObserver};
use crate::min_max::{
    MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver, PerChannelMinMaxObserver,
};
use crate::observer::Observer;
use crate::settings::Settings;

/// The most bins that a histogram may have: 64 times the default, one megabyte.
pub(crate) const MOST_BINS: usize = 1 << 17;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// A built-in observer type, which [`ObserverBuilder`] can build.
pub trait Buildable: Observer + Sized + 'static + sealed::Sealed {
    /// The type's name.
    const NAME: &'static str;
    /// Whether it keeps a range for each channel.
    const PER_CHANNEL: bool;
    /// Whether it keeps a histogram.
    const BINNED: bool = false;
    /// An observer with checked settings.
    #[doc(hidden)]
    fn with_settings(settings: Settings) -> Self;
}

/// Collects the settings of an observer of type `O`; [`build`](Self::build) checks them.
///
/// Defaults are PyTorch's: `quint8`, affine, the type's whole range, `eps = 2^-23`, and per type
/// `averaging_constant = 0.01`, `ch_axis = 0`, `bins = 2048`.
///
/// ```
/// use qobserve::{HistogramObserver, MinMaxObserver, Observer};
/// use qtensor_core::{DType, QScheme};
///
/// let weights = MinMaxObserver::builder()
///     .dtype(DType::QInt8)
///     .qscheme(QScheme::PerTensorSymmetric)
///     .quant_range(-127, 127)
///     .build()?;
/// assert_eq!(weights.quant_range().min, -127);
///
/// let error = HistogramObserver::builder().bins(0).build().unwrap_err();
/// assert!(error.to_string().contains("bins = 0"));
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "with_args")]
pub struct ObserverBuilder<O: Buildable> {
    settings: Settings,
    reduce_range: bool,
    custom: Option<(i32, i32)>,
    observer: PhantomData<fn() -> O>,
}

impl<O: Buildable> ObserverBuilder<O> {
    pub(crate) fn new() -> ObserverBuilder<O> {
        let mut settings = Settings::activations(false);
        if O::PER_CHANNEL {
            settings.qscheme = QScheme::PerChannelAffine;
        }
        ObserverBuilder {
            settings,
            reduce_range: false,
            custom: None,
            observer: PhantomData,
        }
    }

    /// The storage type that the qparams are for.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.settings.dtype = dtype;
        self
    }

    /// How the range becomes qparams.
    pub fn qscheme(mut self, qscheme: QScheme) -> Self {
        self.settings.qscheme = qscheme;
        self
    }

    /// Uses half of the integer range, one bit less. Kernels here are exact without it; it is for parity
    /// with models that PyTorch quantized so.
    pub fn reduce_range(mut self, reduce_range: bool) -> Self {
        self.reduce_range = reduce_range;
        self
    }

    /// Uses the integers `min..=max` instead of the storage type's. `reduce_range` halves these too.
    #[doc(alias = "quant_min")]
    #[doc(alias = "quant_max")]
    pub fn quant_range(mut self, min: i32, max: i32) -> Self {
        self.custom = Some((min, max));
        self
    }

    /// The least scale.
    pub fn eps(mut self, eps: f32) -> Self {
        self.settings.eps = eps;
        self
    }

    /// Checks the settings and makes the observer.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a scheme that the observer does not implement, `reduce_range` with a
    /// symmetric `quint8` scheme, an `eps` or averaging constant out of bounds, an unusable number of
    /// bins; [`Error::Tensor`] for an unusable integer range.
    pub fn build(self) -> Result<O> {
        Ok(O::with_settings(self.checked()?))
    }

    /// Checks the settings and makes a factory of such observers.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn factory(self) -> Result<ObserverFactory> {
        Ok(ObserverFactory::of::<O>(self.checked()?))
    }

    fn checked(self) -> Result<Settings> {
        let mut s = self.settings;
        let refuse = |setting, value: String, why| {
            Err(Error::InvalidSetting {
                observer: O::NAME,
                setting,
                value,
                why,
            })
        };
        if s.qscheme.is_per_channel() != O::PER_CHANNEL {
            let why = if O::PER_CHANNEL {
                "this observer keeps a range for each channel"
            } else {
                "this observer keeps one range"
            };
            return refuse("qscheme", s.qscheme.to_string(), why);
        }
        if self.reduce_range && s.qscheme.is_symmetric() && s.dtype == DType::QUInt8 {
            let why = "the zero point 128 of a symmetric quint8 scheme lies outside 0..127";
            return refuse("reduce_range", "true".into(), why);
        }
        // A smaller scale has no finite reciprocal, and quantizing multiplies by that.
        if !(s.eps.is_finite() && s.eps > 0.0 && (1.0 / s.eps).is_finite()) {
            let why = "it must be positive and finite, with a finite reciprocal";
            return refuse("eps", s.eps.to_string(), why);
        }
        if !(s.averaging_constant > 0.0 && s.averaging_constant <= 1.0) {
            let value = s.averaging_constant.to_string();
            return refuse("averaging_constant", value, "it must lie in (0, 1]");
        }
        if !(1..=MOST_BINS).contains(&s.bins) {
            return refuse("bins", s.bins.to_string(), "it must lie in 1..=131072");
        }
        if !(s.percentile > 50.0 && s.percentile <= 100.0) {
            let value = s.percentile.to_string();
            return refuse(
                "percentile",
                value,
                "it must lie above 50 and not above 100",
            );
        }
        if O::BINNED && s.dtype == DType::QInt32 {
            let why = "a histogram searches the best range for 8 bits";
            return refuse("dtype", s.dtype.to_string(), why);
        }
        s.range = match self.custom {
            Some((min, max)) => QuantRange::custom(s.dtype, min, max, self.reduce_range)?,
            None => QuantRange::of(s.dtype, self.reduce_range),
        };
        Ok(s)
    }
}

macro_rules! averaging {
    ($($observer:ty),*) => {$(
        impl ObserverBuilder<$observer> {
            /// The weight `c` of a new batch: `v += c · (batch − v)`. In `(0, 1]`; 1 keeps no memory.
            pub fn averaging_constant(mut self, c: f32) -> Self {
                self.settings.averaging_constant = c;
                self
            }
        }
    )*};
}
averaging!(
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver
);

macro_rules! channels {
    ($($observer:ty),*) => {$(
        impl ObserverBuilder<$observer> {
            /// The dimension that counts channels.
            pub fn ch_axis(mut self, axis: usize) -> Self {
                self.settings.ch_axis = axis;
                self
            }
        }
    )*};
}
channels!(
    PerChannelMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver
);

impl<C: Clip> ObserverBuilder<BinnedObserver<C>> {
    /// How many bins the histogram has, at most 131,072.
    pub fn bins(mut self, bins: usize) -> Self {
        self.settings.bins = bins;
        self
    }

    /// Leaves infinities out, as PyTorch's histogram observer does, instead of refusing them.
    ///
    /// A batch without a finite value then changes nothing. NaN stays an error.
    pub fn ignore_infinity(mut self, ignore: bool) -> Self {
        self.settings.ignore_infinity = ignore;
        self
    }
}

impl ObserverBuilder<PercentileObserver> {
    /// The percentage of values below the upper end, and above the lower end: above 50, 99.99 unless set.
    pub fn percentile(mut self, percentile: f32) -> Self {
        self.settings.percentile = percentile;
        self
    }
}
