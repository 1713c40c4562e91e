//! `FakeQuantize`: any observer, and the rounding to what it found.

use qgrad::Var;
use qtensor_core::grown::Grown;
use qtensor_core::{Quantizer, Tensor};

use super::{FakeQuant, Switches, check_zero, fake_quantize, switches, through_the_observer};
use crate::error::{Error, Result};
use crate::factory::ObserverFactory;
use crate::observer::{Observer, same_kind};
use crate::state;

/// An observer of any kind with the rounding to the qparams that it found, per tensor or per channel.
///
/// `forward`: if observing, the observer sees the batch and its qparams are taken over; if quantizing, values are
/// rounded by [`fake_quantize`], with the observer's range of integers. Without data no qparams exist, so a first
/// batch that is not observed is an error (PyTorch rounds it to scale 1).
///
/// ```
/// use qgrad::Var;
/// use qobserve::{FakeQuantize, MovingAverageMinMaxObserver, Observer, QConfig};
/// use qtensor_core::Tensor;
///
/// let activation = FakeQuantize::factory(MovingAverageMinMaxObserver::builder().factory()?);
/// let qconfig = QConfig { activation, ..QConfig::x86_qat() };
///
/// let mut fake_quant = qconfig.activation.build();
/// let x = Var::from(Tensor::from_vec(vec![0.0, 0.1234, 2.55], &[3])?);
/// assert_eq!(fake_quant.forward(&x)?.tensor().to_vec(), [0.0, 0.12, 2.55]);
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FakeQuantize {
    observer: Box<dyn Observer>,
    quantizer: Option<Quantizer>,
    switches: Switches,
}

impl FakeQuantize {
    const NAME: &'static str = "FakeQuantize";

    /// A fake-quant with an observer inside.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the observer's range of integers does not hold 0.
    pub fn new(observer: Box<dyn Observer>) -> Result<FakeQuantize> {
        check_zero(Self::NAME, observer.quant_range())?;
        Ok(FakeQuantize {
            observer,
            quantizer: None,
            switches: Switches::default(),
        })
    }

    /// A factory of fake-quants around the observers of another.
    ///
    /// A range without 0, which only an observer of one's own can have, shows in the first batch.
    #[doc(alias = "with_args")]
    pub fn factory(observers: ObserverFactory) -> ObserverFactory {
        let name = format!("{}({})", Self::NAME, observers.name());
        ObserverFactory::new(name, move || {
            Box::new(FakeQuantize {
                observer: observers.build(),
                quantizer: None,
                switches: Switches::default(),
            })
        })
    }

    /// The observer inside.
    #[doc(alias = "activation_post_process")]
    pub fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    fn refresh(&mut self) -> Result<()> {
        if self.observer.has_observed() {
            self.quantizer = Some(self.observer.calculate_qparams()?);
        }
        Ok(())
    }
}

impl Observer for FakeQuantize {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        self.observer.observe(x)?;
        self.refresh()
    }

    fn forward(&mut self, x: &Var) -> Result<Var> {
        check_zero(Self::NAME, self.quant_range())?;
        if self.switches.observing {
            self.observe(x.untraced())?;
        }
        if !self.switches.quantizing || x.untraced().numel() == 0 {
            return Ok(x.clone());
        }
        fake_quantize(x, &self.calculate_qparams()?, self.quant_range())
    }

    /// The qparams that values are rounded with: those of the last observed batch.
    fn calculate_qparams(&self) -> Result<Quantizer> {
        self.quantizer.clone().ok_or(Error::NeverObserved {
            observer: Self::NAME,
        })
    }

    fn merge(&mut self, other: &dyn Observer) -> Result<()> {
        let other: &FakeQuantize = same_kind("merge", Self::NAME, other)?;
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

impl FakeQuant for FakeQuantize {
    switches!();
}
