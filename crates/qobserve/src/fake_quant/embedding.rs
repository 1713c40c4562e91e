//! `FloatQParamsFakeQuantize`: the rounding of embedding tables, whose zero points are floats.

use qgrad::Var;
use qtensor_core::choose_qparams::{DEFAULT_EPS, QuantRange};
use qtensor_core::{DType, Quantizer, Tensor};

use super::{FakeQuant, Grid, Switches, Zeros, switches};
use crate::error::{Error, Result};
use crate::factory::ObserverFactory;
use crate::observer::Observer;
use crate::passive::NoopObserver;
use crate::qconfig::QConfig;
use crate::scan::channel_extremes;
use crate::state;

/// Rounds each row of a table to 8 or 4 bits: `s = (max − min) / (2^bits − 1)`, 1 where that is at most `2^-23`, and
/// `z = −min / s`, not rounded; then `y = (clamp(rne(x · (1 / s) + z), 0, 2^bits − 1) − z) · s`.
///
/// The extremes are those of the batch at hand (no memory), so a trained table always fits its grid. Qparams are
/// [`float_qparams`](Self::float_qparams); there is no [`Quantizer`] with float zero points.
///
/// ```
/// use qgrad::Var;
/// use qobserve::{FloatQParamsFakeQuantize, Observer};
/// use qtensor_core::Tensor;
///
/// let mut fake_quant = FloatQParamsFakeQuantize::new(4)?;
/// let table = Var::from(Tensor::from_vec(vec![1.0, 2.49, 16.0, -1.0, 0.0, 14.0], &[2, 3])?);
/// assert_eq!(fake_quant.forward(&table)?.tensor().to_vec(), [1.0, 2.0, 16.0, -1.0, 0.0, 14.0]);
/// # Ok::<(), qobserve::Error>(())
/// ```
#[doc(alias = "default_embedding_fake_quant")]
#[doc(alias = "default_embedding_fake_quant_4bit")]
#[derive(Clone, Debug)]
pub struct FloatQParamsFakeQuantize {
    bits: u32,
    qparams: Option<(Vec<f32>, Vec<f32>)>,
    switches: Switches,
}

impl FloatQParamsFakeQuantize {
    const NAME: &'static str = "FloatQParamsFakeQuantize";

    /// A fake-quant for rows of 8 or 4 bits.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for another number of bits.
    pub fn new(bits: u32) -> Result<FloatQParamsFakeQuantize> {
        if bits != 4 && bits != 8 {
            return Err(Error::InvalidSetting {
                observer: Self::NAME,
                setting: "bits",
                value: bits.to_string(),
                why: "embedding tables have 8 or 4",
            });
        }
        Ok(FloatQParamsFakeQuantize {
            bits,
            qparams: None,
            switches: Switches::default(),
        })
    }

    /// A factory of such fake-quants.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn factory(bits: u32) -> Result<ObserverFactory> {
        Ok(FloatQParamsFakeQuantize::new(bits)?.into_factory())
    }

    fn into_factory(self) -> ObserverFactory {
        let name = format!("{}({} bits)", Self::NAME, self.bits);
        ObserverFactory::new(name, move || Box::new(self.clone()))
    }

    /// A factory for a number of bits that is known to be sound.
    pub(crate) fn of_bits(bits: u32) -> ObserverFactory {
        let (qparams, switches) = (None, Switches::default());
        FloatQParamsFakeQuantize {
            bits,
            qparams,
            switches,
        }
        .into_factory()
    }

    /// The bits of an integer: 8 or 4.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The scale and the zero point of each row; `None` before any data.
    pub fn float_qparams(&self) -> Option<(&[f32], &[f32])> {
        self.qparams.as_ref().map(|(s, z)| (&s[..], &z[..]))
    }
}

impl Observer for FloatQParamsFakeQuantize {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        if x.rank() == 0 {
            return Err(Error::NoSuchAxis {
                observer: Self::NAME,
                axis: 0,
                shape: x.shape().to_vec(),
            });
        }
        if x.numel() == 0 {
            return Ok(());
        }
        let (mins, maxs) = channel_extremes(Self::NAME, x, 0)?;
        let levels = self.quant_range().max as f32;
        let scale = |(min, max): (&f32, &f32)| {
            let scale = (max - min) / levels;
            // Not finite means that the range overflows; a row like that is refused in rounding.
            if scale <= DEFAULT_EPS { 1.0 } else { scale }
        };
        let scales: Vec<f32> = mins.iter().zip(&maxs).map(scale).collect();
        let zero_points = mins.iter().zip(&scales).map(|(min, s)| -min / s).collect();
        self.qparams = Some((scales, zero_points));
        Ok(())
    }

    fn forward(&mut self, x: &Var) -> Result<Var> {
        if self.switches.observing {
            self.observe(x.untraced())?;
        }
        if !self.switches.quantizing || x.untraced().numel() == 0 {
            return Ok(x.clone());
        }
        let (scales, zero_points) = self.qparams.clone().ok_or(Error::NeverObserved {
            observer: Self::NAME,
        })?;
        let grid = Grid {
            scales,
            zero_points: Zeros::Float(zero_points),
            axis: Some(0),
            range: self.quant_range(),
        };
        grid.apply("fake_quantize_rows", x)
    }

    /// Always [`Error::Unsupported`]: see [`float_qparams`](Self::float_qparams).
    fn calculate_qparams(&self) -> Result<Quantizer> {
        Err(Error::Unsupported {
            observer: Self::NAME,
            operation: "calculate_qparams (its zero points are floats)",
        })
    }

    fn has_observed(&self) -> bool {
        self.qparams.is_some()
    }

    fn dtype(&self) -> DType {
        DType::QUInt8
    }

    fn quant_range(&self) -> QuantRange {
        QuantRange {
            min: 0,
            max: (1 << self.bits) - 1,
            custom: true,
        }
    }

    fn reset(&mut self) {
        self.qparams = None;
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        state::save_plain(Self::NAME, &(self.bits, self.switches, &self.qparams))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        type Saved = (u32, Switches, Option<(Vec<f32>, Vec<f32>)>);
        let (bits, switches, qparams): Saved = state::load_plain(Self::NAME, bytes)?;
        if bits != self.bits {
            return Err(Error::SettingsMismatch {
                operation: "restore",
                observer: Self::NAME,
                expected: format!("{} bits", self.bits),
                actual: format!("{bits} bits"),
            });
        }
        if let Some((scales, zero_points)) = &qparams {
            let sound = scales.len() == zero_points.len()
                && scales.iter().all(|s| *s > 0.0 && s.is_finite())
                && zero_points.iter().all(|z| z.is_finite());
            if !sound {
                return Err(Error::Malformed {
                    observer: Self::NAME,
                    why:
                        "scales must be positive and finite, zero points finite, one of each a row"
                            .into(),
                });
            }
        }
        (self.switches, self.qparams) = (switches, qparams);
        Ok(())
    }

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn as_fake_quant(&self) -> Option<&dyn FakeQuant> {
        Some(self)
    }

    fn as_fake_quant_mut(&mut self) -> Option<&mut dyn FakeQuant> {
        Some(self)
    }
}

impl FakeQuant for FloatQParamsFakeQuantize {
    switches!();
}

/// The configurations of embeddings in training: activations stay float.
impl QConfig {
    /// Rows of 8 bits, each with a real scale and zero point, rounded in training.
    #[doc(alias = "default_embedding_qat_qconfig")]
    pub fn embedding_qat() -> QConfig {
        rows_of(8)
    }

    /// As [`embedding_qat`](Self::embedding_qat), with 4 bits.
    #[doc(alias = "default_embedding_qat_qconfig_4bit")]
    pub fn embedding_qat_4bit() -> QConfig {
        rows_of(4)
    }
}

fn rows_of(bits: u32) -> QConfig {
    QConfig {
        activation: ObserverFactory::new("NoopObserver", || Box::new(NoopObserver::default())),
        weight: FloatQParamsFakeQuantize::of_bits(bits),
    }
}
