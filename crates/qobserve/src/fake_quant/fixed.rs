//! `FixedQParamsFakeQuantize`: rounding to qparams that are known beforehand.

use qgrad::Var;
use qtensor_core::grown::Grown;
use qtensor_core::{Quantizer, Tensor};

use super::{FakeQuant, Switches, check_zero, fake_quantize, switches, through_the_observer};
use crate::error::Result;
use crate::factory::ObserverFactory;
use crate::fixed::FixedQParamsObserver;
use crate::observer::{Observer, same_kind};
use crate::state;

/// Rounds to fixed qparams: of sigmoid and softmax (scale 1/256, zero point 0), tanh (1/128, 128) and the like.
///
/// ```
/// use qgrad::Var;
/// use qobserve::{FixedQParamsFakeQuantize, FixedQParamsObserver, Observer};
/// use qtensor_core::Tensor;
///
/// let mut fake_quant = FixedQParamsFakeQuantize::new(FixedQParamsObserver::range_0_to_1())?;
/// let x = Var::from(Tensor::from_vec(vec![0.251, 1.0], &[2])?);
/// assert_eq!(fake_quant.forward(&x)?.tensor().to_vec(), [0.25, 255.0 / 256.0]);
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedQParamsFakeQuantize {
    observer: FixedQParamsObserver,
    switches: Switches,
}

impl FixedQParamsFakeQuantize {
    const NAME: &'static str = "FixedQParamsFakeQuantize";

    /// A fake-quant with the qparams of an observer that never changes them.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if the range of integers does not hold 0.
    pub fn new(observer: FixedQParamsObserver) -> Result<FixedQParamsFakeQuantize> {
        check_zero(Self::NAME, observer.quant_range())?;
        Ok(FixedQParamsFakeQuantize {
            observer,
            switches: Switches::default(),
        })
    }

    /// A factory of such fake-quants.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn factory(observer: FixedQParamsObserver) -> Result<ObserverFactory> {
        Ok(Self::around(
            FixedQParamsFakeQuantize::new(observer)?.observer,
        ))
    }

    /// A factory with qparams that are known to be sound.
    pub(crate) fn around(observer: FixedQParamsObserver) -> ObserverFactory {
        let name = format!("{}({observer:?})", Self::NAME);
        ObserverFactory::new(name, move || {
            Box::new(FixedQParamsFakeQuantize {
                observer,
                switches: Switches::default(),
            })
        })
    }
}

impl Observer for FixedQParamsFakeQuantize {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        self.observer.observe(x)
    }

    fn forward(&mut self, x: &Var) -> Result<Var> {
        if !self.switches.quantizing {
            return Ok(x.clone());
        }
        fake_quantize(x, &self.calculate_qparams()?, self.quant_range())
    }

    fn calculate_qparams(&self) -> Result<Quantizer> {
        self.observer.calculate_qparams()
    }

    fn merge(&mut self, other: &dyn Observer) -> Result<()> {
        let other: &FixedQParamsFakeQuantize = same_kind("merge", Self::NAME, other)?;
        self.observer.merge(&other.observer)
    }

    fn reset(&mut self) {
        self.observer.reset();
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        state::save_plain(Self::NAME, &(self.switches, self.observer.to_bytes()?))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let (switches, Grown(inner)): (Switches, Grown<u8>) = state::load_plain(Self::NAME, bytes)?;
        self.observer.restore(&inner)?;
        self.switches = switches;
        Ok(())
    }

    fn has_observed(&self) -> bool {
        self.observer.has_observed()
    }

    through_the_observer!();
}

impl FakeQuant for FixedQParamsFakeQuantize {
    switches!();
}
