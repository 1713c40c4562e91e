//! Fake-quants: observers that also show training what quantization will do to the values they see.
//!
//! A fake-quant is an [`Observer`], so it stands in a [`QConfig`](crate::QConfig) wherever an observer can, and
//! conversion asks it for its qparams in the same way. [`FakeQuant`] adds the switches.

mod embedding;
mod fixed;
mod fused;
mod learnable;
mod plain;

use qgrad::Var;
use qops::float::{self, FakeQuantGrid, ZeroPoints};
use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{Quantizer, Tensor};

pub use embedding::FloatQParamsFakeQuantize;
pub use fixed::FixedQParamsFakeQuantize;
pub use fused::FusedMovingAvgObsFakeQuantize;
pub use learnable::LearnableFakeQuantize;
pub use plain::FakeQuantize;

use crate::error::{Error, Result};
use crate::observer::Observer;

/// An observer whose [`forward`](Observer::forward) rounds values to the grid that it found.
///
/// Both switches are on at first. With `observing` off, qparams stay as they are; with `quantizing` off, values
/// pass unchanged.
#[doc(alias = "FakeQuantizeBase")]
pub trait FakeQuant: Observer {
    /// Whether batches still change the qparams.
    fn is_observing(&self) -> bool;

    /// Switches observation.
    #[doc(alias = "enable_observer")]
    #[doc(alias = "disable_observer")]
    fn set_observing(&mut self, on: bool);

    /// Whether values are rounded.
    fn is_quantizing(&self) -> bool;

    /// Switches the rounding.
    #[doc(alias = "enable_fake_quant")]
    #[doc(alias = "disable_fake_quant")]
    fn set_quantizing(&mut self, on: bool);

    /// Switches between training and evaluation, for those that have parameters of their own.
    fn set_training(&mut self, training: bool) {
        let _ = training;
    }

    /// Calls `visit` with the name and the value of each parameter that training changes.
    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        let _ = visit;
    }
}

/// Rounds a value to the grid of a quantizer and the integers of a range; gradients pass straight through where
/// no integer was clamped.
///
/// `y = (clamp(z + rne(x · (1 / s)), Qmin, Qmax) − z) · s`, per tensor or per channel.
///
/// ```
/// use qgrad::Var;
/// use qobserve::fake_quantize;
/// use qtensor_core::{DType, Quantizer, Tensor, choose_qparams::QuantRange};
///
/// let x = Var::parameter(Tensor::from_vec(vec![0.3, 9.0], &[2])?);
/// let range = QuantRange::of(DType::QInt8, false);
/// let y = fake_quantize(&x, &Quantizer::per_tensor(0.0625, 0), range)?;
/// assert_eq!(y.tensor().to_vec(), [0.3125, 7.9375]);
/// y.backward_with(&Tensor::ones(&[2])?)?;
/// assert_eq!(x.grad(), Some(Tensor::from_vec(vec![1.0, 0.0], &[2])?)); // 9.0 was clamped
/// # Ok::<(), qobserve::Error>(())
/// ```
///
/// # Errors
/// A scale without a reciprocal, a zero point outside the range, an empty range, another number of channels.
#[doc(alias = "fake_quantize_per_tensor_affine")]
#[doc(alias = "fake_quantize_per_channel_affine")]
pub fn fake_quantize(x: &Var, quantizer: &Quantizer, range: QuantRange) -> Result<Var> {
    Grid::new(quantizer, range).apply("fake_quantize", x)
}

/// The owned form of a [`FakeQuantGrid`], which a rule keeps.
struct Grid {
    scales: Vec<f32>,
    zero_points: Zeros,
    axis: Option<usize>,
    range: QuantRange,
}

/// Zero points as integers, or as floats.
enum Zeros {
    Integer(Vec<i32>),
    Float(Vec<f32>),
}

impl Grid {
    fn new(quantizer: &Quantizer, range: QuantRange) -> Grid {
        let (scales, zero_points, axis) = match quantizer {
            Quantizer::PerTensor { scale, zero_point } => {
                (vec![*scale as f32], vec![*zero_point], None)
            }
            Quantizer::PerChannel {
                scales,
                zero_points,
                axis,
            } => {
                let scales = scales.iter().map(|&s| s as f32).collect();
                (scales, zero_points.to_vec(), Some(*axis))
            }
        };
        Grid {
            scales,
            zero_points: Zeros::Integer(zero_points),
            axis,
            range,
        }
    }

    fn view(&self) -> FakeQuantGrid<'_> {
        FakeQuantGrid {
            scales: &self.scales,
            zero_points: match &self.zero_points {
                Zeros::Integer(z) => ZeroPoints::Integer(z),
                Zeros::Float(z) => ZeroPoints::Float(z),
            },
            axis: self.axis,
            quant_min: self.range.min,
            quant_max: self.range.max,
        }
    }

    /// Rounds a value; gradients pass straight through inside the range.
    fn apply(self, name: &'static str, x: &Var) -> Result<Var> {
        let y = float::fake_quantize(x.untraced(), &self.view()).map_err(qgrad::Error::from)?;
        let input = x.untraced().clone();
        let rule = move |grad: &Tensor, _: &[bool]| {
            Ok(vec![Some(float::fake_quantize_backward(
                grad,
                &input,
                &self.view(),
            )?)])
        };
        Ok(Var::from_operation(name, &[x], y, rule))
    }
}

/// Refuses a range that cannot represent zero, or is empty: padding and ReLU need an exact zero.
fn check_zero(observer: &'static str, range: QuantRange) -> Result<()> {
    if range.min <= 0 && range.max >= 0 && range.min < range.max {
        return Ok(());
    }
    Err(Error::InvalidSetting {
        observer,
        setting: "quant_range",
        value: format!("{}..={}", range.min, range.max),
        why: "a fake-quant's range must hold 0 and at least one other integer",
    })
}

/// The methods of [`Observer`] that a fake-quant with an `observer` inside answers through it.
macro_rules! through_the_observer {
    () => {
        fn dtype(&self) -> qtensor_core::DType {
            self.observer.dtype()
        }

        fn qscheme(&self) -> qtensor_core::QScheme {
            self.observer.qscheme()
        }

        fn quant_range(&self) -> qtensor_core::choose_qparams::QuantRange {
            self.observer.quant_range()
        }

        fn range(&self) -> Option<(f32, f32)> {
            self.observer.range()
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
    };
}
use through_the_observer;

/// The two switches, kept in a field `switches`.
macro_rules! switches {
    () => {
        fn is_observing(&self) -> bool {
            self.switches.observing
        }

        fn set_observing(&mut self, on: bool) {
            self.switches.observing = on;
        }

        fn is_quantizing(&self) -> bool {
            self.switches.quantizing
        }

        fn set_quantizing(&mut self, on: bool) {
            self.switches.quantizing = on;
        }
    };
}
use switches;

/// What a fake-quant does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Switches {
    observing: bool,
    quantizing: bool,
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            observing: true,
            quantizing: true,
        }
    }
}
