//! `LearnableFakeQuantize`: scale and zero point are parameters that training changes (LSQ).

use qgrad::Var;
use qops::float;
use qtensor_core::choose_qparams::DEFAULT_EPS;
use qtensor_core::grown::Grown;
use qtensor_core::rounding::round_half_even;
use qtensor_core::{DType, Quantizer, Tensor};

use super::{FakeQuant, Grid, Switches, Zeros, check_zero, through_the_observer};
use crate::error::{Error, Result};
use crate::factory::ObserverFactory;
use crate::observer::{Observer, same_kind};
use crate::state;

/// Rounding with a learned scale and zero point, one or one a channel (LSQ; PyTorch's `_LearnableFakeQuantize`).
///
/// While it estimates, an observer finds both, as in [`FakeQuantize`](super::FakeQuantize). After
/// [`estimate_for`](Self::estimate_for) batches (1 unless set), or once [`set_observing`](FakeQuant::set_observing) is
/// switched off, they are parameters. With the rounded zero point `z` and `r = z + rne(x / s)`:
///
/// * in range: `∂y/∂s = (y − x) / s`, `∂y/∂z = 0`; clamped at `Q`: `∂y/∂s = Q − z`, `∂y/∂z = −s`;
/// * both times the factor `1 / √(numel · Qmax)`, which keeps their steps in proportion to those of weights, or 1
///   without [`grad_scaling`](Self::grad_scaling).
///
/// Scales stay at or above `2^-23`; zero points are 0 in symmetric schemes and are clamped to the range elsewhere.
///
/// ```
/// use qgrad::Var;
/// use qobserve::{FakeQuant, LearnableFakeQuantize, MinMaxObserver, Observer};
/// use qtensor_core::{DType, QScheme, Tensor};
///
/// let observer = MinMaxObserver::builder()
///     .dtype(DType::QInt8)
///     .qscheme(QScheme::PerTensorSymmetric)
///     .quant_range(-8, 7) // 4 bits
///     .build()?;
/// let mut fake_quant = LearnableFakeQuantize::new(Box::new(observer))?;
/// fake_quant.set_training(true);
/// let x = Var::from(Tensor::from_vec(vec![-1.5, 0.2, 1.4], &[3])?);
/// fake_quant.forward(&x)?; // estimates
/// fake_quant.forward(&x)?.backward_with(&Tensor::ones(&[3])?)?;
/// let mut learned = Vec::new();
/// fake_quant.parameters_mut(&mut |name, var| learned.push((name.to_string(), var.grad().is_some())));
/// assert_eq!(learned, [("scale".to_string(), true), ("zero_point".to_string(), true)]);
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LearnableFakeQuantize {
    observer: Box<dyn Observer>,
    learned: Option<Learned>,
    switches: Switches,
    training: bool,
    grad_scaling: bool,
    /// Batches that are still used for the estimate.
    estimates_left: u32,
}

/// The parameters.
#[derive(Clone, Debug)]
struct Learned {
    scale: Var,
    zero_point: Var,
    axis: Option<usize>,
}

impl LearnableFakeQuantize {
    const NAME: &'static str = "LearnableFakeQuantize";

    /// A fake-quant whose first batch estimates the parameters through an observer.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the observer's range of integers does not hold 0.
    pub fn new(observer: Box<dyn Observer>) -> Result<LearnableFakeQuantize> {
        check_zero(Self::NAME, observer.quant_range())?;
        Ok(Self::around(observer))
    }

    fn around(observer: Box<dyn Observer>) -> LearnableFakeQuantize {
        LearnableFakeQuantize {
            observer,
            learned: None,
            switches: Switches::default(),
            training: false,
            grad_scaling: true,
            estimates_left: 1,
        }
    }

    /// A factory of such fake-quants around the observers of another.
    #[doc(alias = "with_args")]
    pub fn factory(observers: ObserverFactory) -> ObserverFactory {
        let name = format!("{}({})", Self::NAME, observers.name());
        ObserverFactory::new(name, move || Box::new(Self::around(observers.build())))
    }

    /// How many batches estimate the parameters before they are learned.
    pub fn estimate_for(mut self, batches: u32) -> LearnableFakeQuantize {
        self.estimates_left = batches;
        self
    }

    /// Whether gradients are multiplied by `1 / √(numel · Qmax)`; they are unless this is switched off.
    #[doc(alias = "use_grad_scaling")]
    pub fn grad_scaling(mut self, on: bool) -> LearnableFakeQuantize {
        self.grad_scaling = on;
        self
    }

    /// The scales, one or one a channel; `None` before any data.
    pub fn scale(&self) -> Option<&Var> {
        self.learned.as_ref().map(|l| &l.scale)
    }

    /// The zero points before rounding; `None` before any data.
    pub fn zero_point(&self) -> Option<&Var> {
        self.learned.as_ref().map(|l| &l.zero_point)
    }

    /// Sets both parameters, as many as there are channels along `axis`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless both are vectors of one length, 1 without an axis.
    pub fn set_parameters(
        &mut self,
        scale: Tensor,
        zero_point: Tensor,
        axis: Option<usize>,
    ) -> Result<()> {
        let fits = scale.rank() == 1
            && scale.shape() == zero_point.shape()
            && (axis.is_some() || scale.numel() == 1);
        if !fits {
            return Err(Error::InvalidSetting {
                observer: Self::NAME,
                setting: "scale, zero_point",
                value: format!("shapes {:?}, {:?}", scale.shape(), zero_point.shape()),
                why: "both must be vectors of one length, which is 1 per tensor",
            });
        }
        let leaf = |tensor| match self.training {
            true => Var::parameter(tensor),
            false => Var::from(tensor),
        };
        self.learned = Some(Learned {
            scale: leaf(scale),
            zero_point: leaf(zero_point),
            axis,
        });
        Ok(())
    }

    fn estimate(&mut self) -> Result<()> {
        if !self.observer.has_observed() {
            return Ok(());
        }
        let (scales, zero_points, axis) = match self.observer.calculate_qparams()? {
            Quantizer::PerTensor { scale, zero_point } => (vec![scale], vec![zero_point], None),
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => (scales.to_vec(), zero_points.to_vec(), Some(axis)),
        };
        let n = scales.len();
        let scales = scales.into_iter().map(|s| s as f32).collect();
        let zero_points = zero_points.into_iter().map(|z| z as f32).collect();
        self.set_parameters(
            Tensor::from_vec(scales, &[n])?,
            Tensor::from_vec(zero_points, &[n])?,
            axis,
        )
    }

    /// Brings parameters that a step moved too far back: scales up to the least one, zero points to 0 or the range.
    fn constrain(&mut self) {
        let range = self.quant_range();
        // A symmetric unsigned type has its zero in the middle, where it may stay.
        let symmetric = self.qscheme().is_symmetric() && self.dtype() != DType::QUInt8;
        let Some(learned) = &mut self.learned else {
            return;
        };
        let raised = |s: f32| if s < DEFAULT_EPS { DEFAULT_EPS } else { s };
        let (min, max) = (range.min as f32, range.max as f32);
        let allowed = |z: f32| if symmetric { 0.0 } else { z.clamp(min, max) };
        let bring = |var: &mut Var, allowed: &dyn Fn(f32) -> f32| {
            let values = var.untraced();
            if values.to_vec().iter().any(|&v| v != allowed(v)) {
                let moved = values.map(allowed);
                var.replace(moved);
            }
        };
        bring(&mut learned.scale, &raised);
        bring(&mut learned.zero_point, &allowed);
    }

    fn learned(&self) -> Result<&Learned> {
        self.learned.as_ref().ok_or(Error::NeverObserved {
            observer: Self::NAME,
        })
    }

    /// The zero points as integers of the range.
    fn integers(&self, learned: &Learned) -> Vec<i32> {
        let range = self.quant_range();
        let zero_points = learned.zero_point.untraced().to_vec();
        let round = |z: f32| (round_half_even(z) as i32).clamp(range.min, range.max);
        zero_points.into_iter().map(round).collect()
    }

    fn rounded(&self, x: &Var) -> Result<Var> {
        let learned = self.learned()?;
        let range = self.quant_range();
        let numel = x.untraced().numel() as f64;
        let factor = match self.grad_scaling {
            true => 1.0 / (numel * f64::from(range.max)).sqrt() as f32,
            false => 1.0,
        };
        let grid = Grid {
            scales: learned.scale.untraced().to_vec(),
            zero_points: Zeros::Integer(self.integers(learned)),
            axis: learned.axis,
            range,
        };
        let y = float::fake_quantize(x.untraced(), &grid.view()).map_err(qgrad::Error::from)?;
        let input = x.untraced().clone();
        let rule = move |grad: &Tensor, needed: &[bool]| {
            let view = grid.view();
            let dx = float::fake_quantize_backward(grad, &input, &view)?;
            if !needed[1] && !needed[2] {
                return Ok(vec![Some(dx), None, None]);
            }
            let (ds, dz) = float::fake_quantize_qparams_backward(grad, &input, &view, factor)?;
            Ok(vec![Some(dx), Some(ds), Some(dz)])
        };
        let inputs = [x, &learned.scale, &learned.zero_point];
        Ok(Var::from_operation(
            "fake_quantize_learnable",
            &inputs,
            y,
            rule,
        ))
    }
}

impl Observer for LearnableFakeQuantize {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        self.observer.observe(x)?;
        self.estimate()
    }

    fn forward(&mut self, x: &Var) -> Result<Var> {
        check_zero(Self::NAME, self.quant_range())?;
        let empty = x.untraced().numel() == 0;
        if self.switches.observing && !empty {
            self.observe(x.untraced())?;
            self.estimates_left = self.estimates_left.saturating_sub(1);
            self.switches.observing = self.estimates_left > 0;
        } else {
            self.constrain();
        }
        if !self.switches.quantizing || empty {
            return Ok(x.clone());
        }
        self.rounded(x)
    }

    /// The learned scales, and the zero points rounded half to even.
    fn calculate_qparams(&self) -> Result<Quantizer> {
        let learned = self.learned()?;
        let zero_points = self.integers(learned);
        let scales = learned.scale.untraced().to_vec();
        let scales: Vec<f64> = scales
            .into_iter()
            .map(|s| f64::from(s.max(DEFAULT_EPS)))
            .collect();
        Ok(match learned.axis {
            None => Quantizer::per_tensor(scales[0], zero_points[0]),
            Some(axis) => Quantizer::per_channel(&scales, &zero_points, axis),
        })
    }

    fn has_observed(&self) -> bool {
        self.learned.is_some()
    }

    /// Merges the estimates; parameters that were learned cannot be merged.
    fn merge(&mut self, other: &dyn Observer) -> Result<()> {
        let other: &LearnableFakeQuantize = same_kind("merge", Self::NAME, other)?;
        if !(self.switches.observing && other.switches.observing) {
            return Err(Error::Unsupported {
                observer: Self::NAME,
                operation: "merge of learned parameters",
            });
        }
        self.observer.merge(&*other.observer)?;
        self.estimate()
    }

    fn reset(&mut self) {
        self.observer.reset();
        self.learned = None;
        self.switches.observing = true;
        self.estimates_left = self.estimates_left.max(1);
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let learned = self.learned.as_ref().map(|l| {
            // A step may have left a scale that the next forward pass will lift.
            let scales = l.scale.untraced().to_vec().into_iter();
            let scales: Vec<f32> = scales.map(|s| s.max(DEFAULT_EPS)).collect();
            (scales, l.zero_point.untraced().to_vec(), l.axis)
        });
        let inner = self.observer.to_bytes()?;
        let content = (self.switches, self.estimates_left, learned, inner);
        state::save_plain(Self::NAME, &content)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        type Saved = (
            Switches,
            u32,
            Option<(Grown<f32>, Grown<f32>, Option<usize>)>,
            Grown<u8>,
        );
        let (switches, left, learned, Grown(inner)): Saved = state::load_plain(Self::NAME, bytes)?;
        let mut next = self.clone();
        next.observer.restore(&inner)?;
        (next.switches, next.estimates_left, next.learned) = (switches, left, None);
        if let Some((Grown(scales), Grown(zero_points), axis)) = learned {
            let sound = |s: &f32| *s > 0.0 && s.is_finite();
            if !scales.iter().all(sound) || zero_points.iter().any(|z| !z.is_finite()) {
                return Err(Error::Malformed {
                    observer: Self::NAME,
                    why: format!("scales {scales:?}, zero points {zero_points:?}"),
                });
            }
            let vector = |v: Vec<f32>| {
                let n = v.len();
                Tensor::from_vec(v, &[n])
            };
            next.set_parameters(vector(scales)?, vector(zero_points)?, axis)?;
        }
        *self = next;
        Ok(())
    }

    through_the_observer!();
}

impl FakeQuant for LearnableFakeQuantize {
    fn is_observing(&self) -> bool {
        self.switches.observing
    }

    /// On: estimates again from every batch, until switched off. Off: learns.
    fn set_observing(&mut self, on: bool) {
        self.switches.observing = on;
        self.estimates_left = if on { u32::MAX } else { 0 };
    }

    fn is_quantizing(&self) -> bool {
        self.switches.quantizing
    }

    fn set_quantizing(&mut self, on: bool) {
        self.switches.quantizing = on;
    }

    fn set_training(&mut self, training: bool) {
        if training == self.training {
            return;
        }
        self.training = training;
        if let Some(learned) = &mut self.learned {
            for var in [&mut learned.scale, &mut learned.zero_point] {
                let tensor = var.untraced().clone();
                *var = match training {
                    true => Var::parameter(tensor),
                    false => Var::from(tensor),
                };
            }
        }
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        // While it estimates, a step would be overwritten by the next batch.
        if let (Some(learned), false) = (&mut self.learned, self.switches.observing) {
            visit("scale", &mut learned.scale);
            visit("zero_point", &mut learned.zero_point);
        }
    }
}
