//! The four min/max observers: running or averaged extremes, per tensor or per channel.

use std::any::Any;

use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, QScheme, Quantizer, Tensor};

use crate::builder::{Buildable, ObserverBuilder, sealed};
use crate::error::{Error, Result};
use crate::observer::{Observer, same_kind};
use crate::ranges::Ranges;
use crate::scan::{channel_extremes, tensor_extremes};
use crate::settings::Settings;
use crate::state;

/// Extremes of a batch, one range or one a channel. `None` for an empty batch.
fn batch_ranges<O: Buildable>(x: &Tensor, settings: &Settings) -> Result<Option<Ranges>> {
    if x.numel() == 0 {
        return Ok(None);
    }
    if O::PER_CHANNEL && settings.ch_axis >= x.rank() {
        return Err(Error::NoSuchAxis {
            observer: O::NAME,
            axis: settings.ch_axis,
            shape: x.shape().to_vec(),
        });
    }
    let (mins, maxs) = if O::PER_CHANNEL {
        channel_extremes(O::NAME, x, settings.ch_axis)?
    } else {
        let (min, max) = tensor_extremes(O::NAME, x)?;
        (vec![min], vec![max])
    };
    Ok(Some(Ranges::of_batch(mins, maxs)))
}

/// One observer type. `$update` takes the state, a batch and the settings; `$merge` two states.
macro_rules! range_observer {
    (
        $(#[$doc:meta])*
        $name:ident, per_channel: $per_channel:literal, update: $update:expr, merge: $merge:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            settings: Settings,
            ranges: Ranges,
        }

        impl $name {
            /// Settings to fill in; see [`ObserverBuilder`].
            pub fn builder() -> ObserverBuilder<$name> {
                ObserverBuilder::new()
            }

            /// How the observer was configured.
            pub fn settings(&self) -> &Settings {
                &self.settings
            }

            /// The lower end of each range, one a tensor or a channel; empty before any data.
            #[doc(alias = "min_val")]
            pub fn mins(&self) -> &[f32] {
                &self.ranges.mins
            }

            /// The upper end of each range, one a tensor or a channel; empty before any data.
            #[doc(alias = "max_val")]
            pub fn maxs(&self) -> &[f32] {
                &self.ranges.maxs
            }
        }

        /// All settings at their defaults.
        impl Default for $name {
            fn default() -> $name {
                let mut settings = Settings::activations(false);
                if $per_channel {
                    settings.qscheme = QScheme::PerChannelAffine;
                }
                $name::with_settings(settings)
            }
        }

        impl sealed::Sealed for $name {}

        impl Buildable for $name {
            const NAME: &'static str = stringify!($name);
            const PER_CHANNEL: bool = $per_channel;

            fn with_settings(settings: Settings) -> $name {
                $name { settings, ranges: Ranges::default() }
            }
        }

        impl Observer for $name {
            fn name(&self) -> &'static str {
                $name::NAME
            }

            fn observe(&mut self, x: &Tensor) -> Result<()> {
                let Some(batch) = batch_ranges::<$name>(x, &self.settings)? else {
                    return Ok(());
                };
                let (axis, channels) = (self.settings.ch_axis, batch.mins.len());
                self.ranges.check_channels($name::NAME, axis, channels)?;
                let update: fn(&mut Ranges, &Ranges, &Settings) = $update;
                update(&mut self.ranges, &batch, &self.settings);
                Ok(())
            }

            fn calculate_qparams(&self) -> Result<Quantizer> {
                if self.ranges.is_empty() {
                    return Err(Error::NeverObserved { observer: $name::NAME });
                }
                self.settings.quantizer(&self.ranges.mins, &self.ranges.maxs)
            }

            fn has_observed(&self) -> bool {
                !self.ranges.is_empty()
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

            fn range(&self) -> Option<(f32, f32)> {
                self.ranges.overall()
            }

            fn merge(&mut self, other: &dyn Observer) -> Result<()> {
                let other: &$name = same_kind("merge", $name::NAME, other)?;
                self.settings.check_equal("merge", $name::NAME, &other.settings)?;
                if other.ranges.is_empty() {
                    return Ok(());
                }
                let (axis, channels) = (self.settings.ch_axis, other.ranges.mins.len());
                self.ranges.check_channels($name::NAME, axis, channels)?;
                let merge: fn(&mut Ranges, &Ranges) = $merge;
                merge(&mut self.ranges, &other.ranges);
                Ok(())
            }

            fn reset(&mut self) {
                self.ranges = Ranges::default();
            }

            fn to_bytes(&self) -> Result<Vec<u8>> {
                state::save($name::NAME, &self.settings, &self.ranges)
            }

            fn restore(&mut self, bytes: &[u8]) -> Result<()> {
                let ranges: Ranges = state::load($name::NAME, &self.settings, bytes)?;
                ranges.check($name::NAME, $per_channel)?;
                self.ranges = ranges;
                Ok(())
            }

            fn clone_box(&self) -> Box<dyn Observer> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> &dyn Any {
                self
            }
        }
    };
}

range_observer! {
    /// The running extremes of everything seen.
    ///
    /// Merging observers gives exactly what one observer of all the data would hold.
    ///
    /// ```
    /// # use qobserve::{MinMaxObserver, Observer};
    /// # use qtensor_core::{Quantizer, Tensor};
    /// let mut observer = MinMaxObserver::default();
    /// observer.observe(&Tensor::from_vec(vec![-1.0, 0.5], &[2])?)?;
    /// observer.observe(&Tensor::from_vec(vec![0.0, 3.0], &[2])?)?;
    /// assert_eq!(observer.range(), Some((-1.0, 3.0)));
    /// assert_eq!(observer.calculate_qparams()?, Quantizer::per_tensor((4.0f32 / 255.0).into(), 64));
    /// # Ok::<(), qobserve::Error>(())
    /// ```
    MinMaxObserver,
    per_channel: false,
    update: |ranges, batch, _| ranges.widen(batch),
    merge: Ranges::widen
}

range_observer! {
    /// Averaged extremes: the first batch sets them, each later one moves them by `v += c · (batch − v)`.
    ///
    /// Merging takes the mean of both averages, weighted by their numbers of batches. That does not depend
    /// on which observer merges which, but it is not what one observer of all batches would hold, since an
    /// average that moves forgets the order and the single batches.
    MovingAverageMinMaxObserver,
    per_channel: false,
    update: |ranges, batch, settings| ranges.average(batch, settings.averaging_constant),
    merge: Ranges::average_with
}

range_observer! {
    /// The running extremes of each index along the channel axis. The observer of weights.
    ///
    /// ```
    /// # use qobserve::{Observer, PerChannelMinMaxObserver};
    /// # use qtensor_core::{DType, QScheme, Quantizer, Tensor};
    /// let mut observer = PerChannelMinMaxObserver::builder()
    ///     .dtype(DType::QInt8)
    ///     .qscheme(QScheme::PerChannelSymmetric)
    ///     .build()?;
    /// observer.observe(&Tensor::from_vec(vec![-1.0, 0.5, 0.0, 2.0], &[2, 2])?)?;
    /// assert_eq!(observer.mins(), [-1.0, 0.0]);
    /// let scales = [1.0f32 / 127.5, 2.0 / 127.5].map(f64::from);
    /// assert_eq!(observer.calculate_qparams()?, Quantizer::per_channel(&scales, &[0, 0], 0));
    /// # Ok::<(), qobserve::Error>(())
    /// ```
    PerChannelMinMaxObserver,
    per_channel: true,
    update: |ranges, batch, _| ranges.widen(batch),
    merge: Ranges::widen
}

range_observer! {
    /// Averaged extremes of each index along the channel axis; see [`MovingAverageMinMaxObserver`] for the
    /// average and for merging.
    MovingAveragePerChannelMinMaxObserver,
    per_channel: true,
    update: |ranges, batch, settings| ranges.average(batch, settings.averaging_constant),
    merge: Ranges::average_with
}
