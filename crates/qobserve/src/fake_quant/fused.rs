//! `FusedMovingAvgObsFakeQuantize`: PyTorch's default in training, with qparams of its own.

use qgrad::Var;
use qtensor_core::choose_qparams::{ChooseOptions, choose_quantization_params};
use qtensor_core::grown::Grown;
use qtensor_core::{Quantizer, Tensor};

use super::{FakeQuant, Switches, check_zero, fake_quantize, switches, through_the_observer};
use crate::builder::ObserverBuilder;
use crate::error::{Error, Result};
use crate::factory::ObserverFactory;
use crate::min_max::{MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver};
use crate::observer::{Observer, same_kind};
use crate::settings::Settings;
use crate::state;

/// Averaged extremes, and rounding to qparams that
/// [`choose_quantization_params`] finds for them: what PyTorch's operator `fused_moving_avg_obs_fake_quant` does.
///
/// The operator differs from [`FakeQuantize`](super::FakeQuantize) around the same observer: symmetric schemes keep
/// zeros exact by widening the range (data of −1..3 in qint8 have scale 3/127, not 3/127.5), scales are at least
/// 6.1e-5, and qparams stay as they are while quantizing is off.
///
/// # Difference from PyTorch 2.6
/// [`calculate_qparams`](Observer::calculate_qparams) answers with the qparams that values were rounded with, so that
/// conversion gives the integers that training saw. PyTorch converts with those of the observer inside.
///
/// ```
/// use qgrad::Var;
/// use qobserve::{FusedMovingAvgObsFakeQuantize, Observer};
/// use qtensor_core::{DType, QScheme, Quantizer, Tensor};
///
/// let factory = FusedMovingAvgObsFakeQuantize::per_tensor(|b| {
///     b.dtype(DType::QInt8).qscheme(QScheme::PerTensorSymmetric)
/// })?;
/// let mut fake_quant = factory.build();
/// fake_quant.forward(&Var::from(Tensor::from_vec(vec![-1.0, 3.0], &[2])?))?;
/// assert_eq!(fake_quant.calculate_qparams()?, Quantizer::per_tensor((3.0f32 / 127.0).into(), 0));
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FusedMovingAvgObsFakeQuantize {
    observer: Box<dyn Observer>,
    settings: Settings,
    quantizer: Option<Quantizer>,
    switches: Switches,
}

impl FusedMovingAvgObsFakeQuantize {
    const NAME: &'static str = "FusedMovingAvgObsFakeQuantize";

    /// A factory for one range per tensor, with the settings that `with` fills in.
    ///
    /// # Errors
    /// Those of [`ObserverBuilder::build`].
    pub fn per_tensor(
        with: impl FnOnce(
            ObserverBuilder<MovingAverageMinMaxObserver>,
        ) -> ObserverBuilder<MovingAverageMinMaxObserver>,
    ) -> Result<ObserverFactory> {
        let observer = with(MovingAverageMinMaxObserver::builder()).build()?;
        let settings = *observer.settings();
        Ok(Self::around(Box::new(observer), settings))
    }

    /// A factory for one range a channel, with the settings that `with` fills in.
    ///
    /// # Errors
    /// Those of [`ObserverBuilder::build`].
    pub fn per_channel(
        with: impl FnOnce(
            ObserverBuilder<MovingAveragePerChannelMinMaxObserver>,
        ) -> ObserverBuilder<MovingAveragePerChannelMinMaxObserver>,
    ) -> Result<ObserverFactory> {
        let observer = with(MovingAveragePerChannelMinMaxObserver::builder()).build()?;
        let settings = *observer.settings();
        Ok(Self::around(Box::new(observer), settings))
    }

    /// A factory with settings that are known to be sound.
    pub(crate) fn around(observer: Box<dyn Observer>, settings: Settings) -> ObserverFactory {
        let name = format!("{}({}: {settings})", Self::NAME, observer.name());
        let fake_quant = FusedMovingAvgObsFakeQuantize {
            observer,
            settings,
            quantizer: None,
            switches: Switches::default(),
        };
        ObserverFactory::new(name, move || Box::new(fake_quant.clone()))
    }

    /// The averaged extremes, lower and upper ends, one a channel.
    fn ranges(&self) -> (&[f32], &[f32]) {
        let any = self.observer.as_any();
        if let Some(o) = any.downcast_ref::<MovingAverageMinMaxObserver>() {
            return (o.mins(), o.maxs());
        }
        any.downcast_ref::<MovingAveragePerChannelMinMaxObserver>()
            .map_or((&[], &[]), |o| (o.mins(), o.maxs()))
    }

    fn refresh(&mut self) -> Result<()> {
        let options = ChooseOptions {
            qmin: self.settings.range.min,
            qmax: self.settings.range.max,
            preserve_sparsity: self.settings.qscheme.is_symmetric(),
            reduce_range: false,
        };
        let (mins, maxs) = self.ranges();
        let mut pairs = Vec::with_capacity(mins.len());
        for (&min, &max) in mins.iter().zip(maxs) {
            let (scale, zero_point) = choose_quantization_params(min, max, options)?;
            // The operator keeps scales in f32.
            pairs.push((f64::from(scale as f32), zero_point));
        }
        let quantizer = match (self.settings.qscheme.is_per_channel(), &pairs[..]) {
            (_, []) => return Ok(()),
            (false, &[(scale, zero_point), ..]) => Quantizer::per_tensor(scale, zero_point),
            (true, _) => {
                let (scales, zero_points): (Vec<f64>, Vec<i32>) = pairs.into_iter().unzip();
                Quantizer::per_channel(&scales, &zero_points, self.settings.ch_axis)
            }
        };
        self.quantizer = Some(quantizer);
        Ok(())
    }
}

impl Observer for FusedMovingAvgObsFakeQuantize {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        self.observer.observe(x)?;
        if self.switches.quantizing {
            self.refresh()?;
        }
        Ok(())
    }

    fn forward(&mut self, x: &Var) -> Result<Var> {
        check_zero(Self::NAME, self.quant_range())?;
        if self.switches.observing {
            self.observe(x.untraced())?;
        }
        if !self.switches.quantizing || x.untraced().numel() == 0 {
            return Ok(x.clone());
        }
        if self.quantizer.is_none() {
            // Data came while quantizing was off.
            self.refresh()?;
        }
        fake_quantize(x, &self.calculate_qparams()?, self.quant_range())
    }

    /// The qparams that values are rounded with.
    fn calculate_qparams(&self) -> Result<Quantizer> {
        self.quantizer.clone().ok_or(Error::NeverObserved {
            observer: Self::NAME,
        })
    }

    fn merge(&mut self, other: &dyn Observer) -> Result<()> {
        let other: &FusedMovingAvgObsFakeQuantize = same_kind("merge", Self::NAME, other)?;
        self.observer.merge(&*other.observer)?;
        self.refresh()
    }

    fn reset(&mut self) {
        self.observer.reset();
        self.quantizer = None;
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let inner = self.observer.to_bytes()?;
        state::save_plain(Self::NAME, &(self.switches, &self.quantizer, inner))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let (switches, quantizer, Grown(inner)): (Switches, Option<Quantizer>, Grown<u8>) =
            state::load_plain(Self::NAME, bytes)?;
        state::check_quantizer(Self::NAME, &quantizer, self.dtype())?;
        self.observer.restore(&inner)?;
        (self.switches, self.quantizer) = (switches, quantizer);
        Ok(())
    }

    fn has_observed(&self) -> bool {
        self.observer.has_observed()
    }

    through_the_observer!();
}

impl FakeQuant for FusedMovingAvgObsFakeQuantize {
    switches!();
}
