//! `FixedQParamsObserver`: qparams that are known beforehand.

use std::any::Any;

use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, Quantizer, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::observer::{Observer, same_kind};
use crate::scan::tensor_extremes;
use crate::state;

/// Answers with given qparams, whatever it sees: for outputs whose range is known, such as a sigmoid's.
///
/// NaN and infinities in the data are errors here too.
///
/// ```
/// use qobserve::{FixedQParamsObserver, Observer};
/// use qtensor_core::{DType, Quantizer, Tensor};
///
/// let tanh = FixedQParamsObserver::new(2.0 / 256.0, 128, DType::QUInt8)?;
/// assert_eq!(tanh, FixedQParamsObserver::range_neg1_to_1());
/// assert_eq!(tanh.calculate_qparams()?, Quantizer::per_tensor(2.0 / 256.0, 128));
/// assert!(FixedQParamsObserver::new(1.0, 300, DType::QUInt8).is_err());
/// # Ok::<(), qobserve::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixedQParamsObserver {
    scale: f64,
    zero_point: i32,
    dtype: DType,
}

impl FixedQParamsObserver {
    const NAME: &'static str = "FixedQParamsObserver";

    /// An observer with these qparams.
    ///
    /// # Errors
    /// [`Error::Tensor`] for a scale that is not positive and finite or a zero point outside the type.
    pub fn new(scale: f64, zero_point: i32, dtype: DType) -> Result<FixedQParamsObserver> {
        Quantizer::per_tensor(scale, zero_point).validate(Self::NAME, dtype, &[])?;
        Ok(FixedQParamsObserver {
            scale,
            zero_point,
            dtype,
        })
    }

    /// `quint8` with scale 1/256 and zero point 0: sigmoid, hardsigmoid, softmax.
    #[doc(alias = "default_fixed_qparams_range_0to1_observer")]
    pub const fn range_0_to_1() -> FixedQParamsObserver {
        FixedQParamsObserver {
            scale: 1.0 / 256.0,
            zero_point: 0,
            dtype: DType::QUInt8,
        }
    }

    /// `quint8` with scale 2/256 and zero point 128: tanh.
    #[doc(alias = "default_fixed_qparams_range_neg1to1_observer")]
    pub const fn range_neg1_to_1() -> FixedQParamsObserver {
        FixedQParamsObserver {
            scale: 2.0 / 256.0,
            zero_point: 128,
            dtype: DType::QUInt8,
        }
    }
}

impl Observer for FixedQParamsObserver {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn observe(&mut self, x: &Tensor) -> Result<()> {
        if x.numel() > 0 {
            tensor_extremes(Self::NAME, x)?;
        }
        Ok(())
    }

    fn calculate_qparams(&self) -> Result<Quantizer> {
        Ok(Quantizer::per_tensor(self.scale, self.zero_point))
    }

    /// Always: there is nothing to wait for.
    fn has_observed(&self) -> bool {
        true
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    /// The reals that the qparams represent.
    fn range(&self) -> Option<(f32, f32)> {
        let QuantRange { min, max, .. } = self.quant_range();
        let real = |q: i32| ((f64::from(q) - f64::from(self.zero_point)) * self.scale) as f32;
        Some((real(min), real(max)))
    }

    fn merge(&mut self, other: &dyn Observer) -> Result<()> {
        let other: &FixedQParamsObserver = same_kind("merge", Self::NAME, other)?;
        self.same_qparams("merge", other)
    }

    fn reset(&mut self) {}

    fn to_bytes(&self) -> Result<Vec<u8>> {
        state::save_plain(Self::NAME, self)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        let saved: FixedQParamsObserver = state::load_plain(Self::NAME, bytes)?;
        self.same_qparams("restore", &saved)
    }

    fn clone_box(&self) -> Box<dyn Observer> {
        Box::new(*self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl FixedQParamsObserver {
    fn same_qparams(&self, operation: &'static str, other: &FixedQParamsObserver) -> Result<()> {
        if self == other {
            return Ok(());
        }
        Err(Error::SettingsMismatch {
            operation,
            observer: Self::NAME,
            expected: format!("{self:?}"),
            actual: format!("{other:?}"),
        })
    }
}
