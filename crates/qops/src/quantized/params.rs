//! What an operation needs to know about its result: the affine map and a fused activation.

use qtensor_core::affine::{inverse_scale, quantize_value};
use qtensor_core::requant::OutputRange;
use qtensor_core::{DType, QTensor, Quantizer};

use crate::error::Result;

/// The scale and zero point of a result: `x = (q − zero_point) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutQParams {
    /// The real distance between neighbouring integers.
    pub scale: f64,
    /// The integer that stands for real zero, in the range of the result's type.
    pub zero_point: i32,
}

impl OutQParams {
    /// A scale and a zero point.
    pub fn new(scale: f64, zero_point: i32) -> OutQParams {
        OutQParams { scale, zero_point }
    }

    /// The map of an existing tensor.
    ///
    /// # Errors
    /// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) for a per-channel tensor.
    pub fn of(x: &QTensor) -> Result<OutQParams> {
        let (scale, zero_point) = x.per_tensor("OutQParams::of")?;
        Ok(OutQParams { scale, zero_point })
    }

    /// The map as a tensor carries it.
    pub fn quantizer(self) -> Quantizer {
        Quantizer::per_tensor(self.scale, self.zero_point)
    }

    /// Refuses a scale or zero point that a tensor of this type cannot have.
    pub(crate) fn validate(self, operation: &'static str, dtype: DType) -> Result<()> {
        Ok(self.quantizer().validate(operation, dtype, &[])?)
    }

    /// The clamp around a result in the kernels' unsigned domain.
    pub(crate) fn byte_range(self, dtype: DType, activation: Activation) -> OutputRange {
        let zero_point = byte_zero_point(dtype, self.zero_point);
        let lo = match activation {
            Activation::None => 0,
            Activation::Relu | Activation::Relu6 => zero_point,
        };
        let hi = match activation {
            Activation::None | Activation::Relu => 255,
            Activation::Relu6 => {
                let inverse = inverse_scale(self.scale as f32);
                quantize_value(6.0, inverse, zero_point, DType::QUInt8)
            }
        };
        OutputRange { zero_point, lo, hi }
    }
}

/// The zero point in the kernels' unsigned domain.
pub(crate) fn byte_zero_point(dtype: DType, zero_point: i32) -> i32 {
    match dtype {
        DType::QInt8 => zero_point + 128,
        DType::QUInt8 | DType::QInt32 => zero_point,
    }
}

/// What is applied to a result before it is stored, as a clamp of its integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`: integers below the zero point become it.
    Relu,
    /// `min(max(x, 0), 6)`: integers also stop at the one that `6.0` quantizes to.
    Relu6,
}

impl Activation {
    /// Whether negative results become zero.
    pub(crate) fn is_rectified(self) -> bool {
        self != Activation::None
    }

    /// Applies the upper bound to float results whose lower bound is applied already.
    pub(crate) fn limit(self, y: &mut [f32]) {
        if self == Activation::Relu6 {
            y.iter_mut().for_each(|y| *y = y.min(6.0));
        }
    }
}
