//! `Observer`: what calibration, conversion and training see of every observer, built in or not.

use std::any::Any;
use std::fmt::Debug;

use qgrad::Var;
use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, QScheme, Quantizer, Tensor};

use crate::error::{Error, Result};
use crate::fake_quant::FakeQuant;

/// Watches tensors and turns what it saw into a scale and a zero point.
///
/// An observer never changes what it sees. After an error of [`observe`](Self::observe) its state is as
/// before. Everything else about observers is written against this trait, so a type of your own works
/// wherever the built-in ones do:
///
/// ```
/// use std::any::Any;
/// use qobserve::{Error, MinMaxObserver, Observer, ObserverFactory, QConfig, Result};
/// use qtensor_core::{DType, Quantizer, Tensor, choose_qparams::{self, QuantRange}};
///
/// /// Represents at most the range of −6 to 6, whatever comes.
/// #[derive(Clone, Debug, Default)]
/// struct Capped(MinMaxObserver);
///
/// impl Observer for Capped {
///     fn name(&self) -> &'static str { "Capped" }
///     fn observe(&mut self, x: &Tensor) -> Result<()> { self.0.observe(x) }
///     fn has_observed(&self) -> bool { self.0.has_observed() }
///     fn range(&self) -> Option<(f32, f32)> {
///         self.0.range().map(|(min, max)| (min.max(-6.0), max.min(6.0)))
///     }
///     fn calculate_qparams(&self) -> Result<Quantizer> {
///         let (min, max) = self.range().ok_or(Error::NeverObserved { observer: "Capped" })?;
///         let (scale, zero_point) = choose_qparams::calculate_qparams(
///             min, max, self.dtype(), self.quant_range(), false, choose_qparams::DEFAULT_EPS)?;
///         Ok(Quantizer::per_tensor(scale.into(), zero_point))
///     }
///     fn dtype(&self) -> DType { DType::QUInt8 }
///     fn reset(&mut self) { self.0.reset() }
///     fn clone_box(&self) -> Box<dyn Observer> { Box::new(self.clone()) }
///     fn as_any(&self) -> &dyn Any { self }
/// }
///
/// let activation = ObserverFactory::new("Capped", || Box::new(Capped::default()));
/// let qconfig = QConfig { activation, ..QConfig::x86() };
///
/// let mut observer = qconfig.activation.build();
/// observer.observe(&Tensor::from_vec(vec![0.0, 1.0, 100.0], &[3])?)?;
/// assert_eq!(observer.calculate_qparams()?, Quantizer::per_tensor((6.0f32 / 255.0).into(), 0));
/// # Ok::<(), Error>(())
/// ```
#[doc(alias = "ObserverBase")]
pub trait Observer: Debug + Send + Sync {
    /// The type's name, for messages and saved states.
    fn name(&self) -> &'static str;

    /// Takes in a batch. An empty tensor changes nothing.
    ///
    /// # Errors
    /// The built-in observers refuse NaN and infinities ([`Error::NaN`], [`Error::Infinite`]); those per
    /// channel refuse a shape without their axis or with another number of channels.
    fn observe(&mut self, x: &Tensor) -> Result<()>;

    /// Takes in a batch and answers with the values that go on: the same ones, unless this is a
    /// [fake-quant](FakeQuant), which rounds them.
    ///
    /// # Errors
    /// As [`observe`](Self::observe).
    fn forward(&mut self, x: &Var) -> Result<Var> {
        self.observe(x.untraced())?;
        Ok(x.clone())
    }

    /// The scale and zero point for what was observed.
    ///
    /// # Errors
    /// [`Error::NeverObserved`] before any data. (PyTorch warns and answers scale 1, zero point 0.)
    fn calculate_qparams(&self) -> Result<Quantizer>;

    /// True once data came.
    fn has_observed(&self) -> bool;

    /// The storage type that the qparams are for.
    fn dtype(&self) -> DType;

    /// How the range becomes qparams. Per tensor, affine unless overridden.
    fn qscheme(&self) -> QScheme {
        QScheme::PerTensorAffine
    }

    /// The integers that may be used. All of the storage type unless overridden.
    fn quant_range(&self) -> QuantRange {
        QuantRange::of(self.dtype(), false)
    }

    /// The least and the greatest value of the observed range, over all channels; `None` before any data.
    fn range(&self) -> Option<(f32, f32)> {
        None
    }

    /// Takes in what another observer of the same type and settings saw, so that calibration can be
    /// spread over threads, processes or machines.
    ///
    /// # Errors
    /// [`Error::KindMismatch`], [`Error::SettingsMismatch`], [`Error::ChannelCount`];
    /// [`Error::Unsupported`] unless overridden.
    fn merge(&mut self, _other: &dyn Observer) -> Result<()> {
        Err(Error::Unsupported {
            observer: self.name(),
            operation: "merge",
        })
    }

    /// Forgets all data and keeps the settings.
    #[doc(alias = "reset_min_max_vals")]
    fn reset(&mut self);

    /// The state with its settings as a sealed file (see [`qtensor_core::container`]).
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless overridden.
    #[doc(alias = "state_dict")]
    fn to_bytes(&self) -> Result<Vec<u8>> {
        Err(Error::Unsupported {
            observer: self.name(),
            operation: "to_bytes",
        })
    }

    /// Replaces the state by one that [`to_bytes`](Self::to_bytes) wrote. After an error it is as before.
    ///
    /// # Errors
    /// Any damage ([`Error::Tensor`], [`Error::Malformed`]); another type or other settings
    /// ([`Error::KindMismatch`], [`Error::SettingsMismatch`]); [`Error::Unsupported`] unless overridden.
    #[doc(alias = "load_state_dict")]
    fn restore(&mut self, _bytes: &[u8]) -> Result<()> {
        Err(Error::Unsupported {
            observer: self.name(),
            operation: "restore",
        })
    }

    /// This observer as a fake-quant, if it is one.
    fn as_fake_quant(&self) -> Option<&dyn FakeQuant> {
        None
    }

    /// As [`as_fake_quant`](Self::as_fake_quant), mutably.
    fn as_fake_quant_mut(&mut self) -> Option<&mut dyn FakeQuant> {
        None
    }

    /// A copy with settings and state.
    fn clone_box(&self) -> Box<dyn Observer>;

    /// The concrete type, which [`merge`](Self::merge) needs to look into the other observer.
    fn as_any(&self) -> &dyn Any;
}

impl Clone for Box<dyn Observer> {
    fn clone(&self) -> Box<dyn Observer> {
        self.clone_box()
    }
}

/// The other observer as a `T`, for implementations of [`Observer::merge`].
pub(crate) fn same_kind<'a, T: 'static>(
    operation: &'static str,
    expected: &'static str,
    other: &'a dyn Observer,
) -> Result<&'a T> {
    other
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::KindMismatch {
            operation,
            expected,
            actual: other.name().to_string(),
        })
}
