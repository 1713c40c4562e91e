//! Activation functions of one tensor: dequantize, apply the function, quantize.
//!
//! Arithmetic is in `f32`, as the formulas say. Exponentials, hyperbolic and error functions are evaluated in `f64` by
//! portable code and rounded to `f32`, so that they are the same numbers on every platform. The results of 256 bytes
//! are computed once per call, or fewer for a small tensor.

use qtensor_core::{DType, QTensor};

use super::bytes::{Bytes, unsupported};
use super::params::{Activation, OutQParams};
use super::table::{ThroughReals, mapped, mapped_into};
use crate::error::{Error, Result};

/// How [`gelu`] takes the normal distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Gelu {
    /// `x · Φ(x)`, with `Φ(x) = erfc(−x / √2) / 2`.
    #[default]
    Exact,
    /// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`.
    Tanh,
}

/// An activation function with its parameters, valid ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Identity,
    Sigmoid,
    Tanh,
    HardSigmoid,
    HardSwish,
    Elu { alpha: f32 },
    Celu { alpha: f32 },
    LeakyRelu { negative_slope: f32 },
    Threshold { threshold: f32, value: f32 },
    Gelu(Gelu),
}

impl Function {
    /// The value at `x`, which may be infinite if the scale is near the end of the range of `f32`.
    fn at(self, x: f32) -> f32 {
        // Some of the formulas multiply by 0 far below 0, which would make a NaN of an infinity.
        let x = match self {
            Function::Identity => x,
            _ => x.max(f32::MIN),
        };
        let wide = f64::from(x);
        match self {
            Function::Identity => x,
            Function::Sigmoid => (1.0 / (1.0 + libm::exp(-wide))) as f32,
            Function::Tanh => libm::tanh(wide) as f32,
            Function::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Function::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Function::Elu { .. } | Function::Celu { .. } | Function::LeakyRelu { .. }
                if x > 0.0 =>
            {
                x
            }
            Function::Elu { alpha } => (f64::from(alpha) * libm::expm1(wide)) as f32,
            Function::Celu { alpha } => {
                let alpha = f64::from(alpha);
                (alpha * libm::expm1(wide / alpha)) as f32
            }
            Function::LeakyRelu { negative_slope } => x * negative_slope,
            Function::Threshold { threshold, value } => {
                if x > threshold {
                    x
                } else {
                    value
                }
            }
            Function::Gelu(Gelu::Exact) => {
                (0.5 * wide * libm::erfc(-wide * std::f64::consts::FRAC_1_SQRT_2)) as f32
            }
            Function::Gelu(Gelu::Tanh) => {
                let root = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
                let inner = root * (wide + 0.044715 * wide * wide * wide);
                (0.5 * wide * (1.0 + libm::tanh(inner))) as f32
            }
        }
    }

    fn between(self, from: &Bytes, out: OutQParams) -> ThroughReals<impl Fn(f32) -> f32 + use<>> {
        ThroughReals {
            from: (from.scale as f32, from.zero_point),
            scale: out.scale as f32,
            range: out.byte_range(from.dtype, Activation::None),
            function: move |x| self.at(x),
        }
    }

    /// The result with the map `out`.
    fn apply(self, operation: &'static str, x: &QTensor, out: OutQParams) -> Result<QTensor> {
        mapped(operation, x, out, |bytes| self.between(bytes, out))
    }

    /// The result with the map of `x`.
    fn apply_in_place_of(self, operation: &'static str, x: &QTensor) -> Result<QTensor> {
        let (scale, zero_point) = x.per_tensor(operation)?;
        self.apply(operation, x, OutQParams { scale, zero_point })
    }

    /// The result in a destination.
    pub(super) fn write(
        self,
        operation: &'static str,
        x: &QTensor,
        out: &mut QTensor,
    ) -> Result<()> {
        let (scale, zero_point) = out.per_tensor(operation)?;
        let map = OutQParams { scale, zero_point };
        mapped_into(operation, x, out, |bytes| self.between(bytes, map))
    }
}

/// The same real numbers under another map: `q' = clamp(rne((q − z)·s · (1/s')) + z')`, the type of `x` kept.
///
/// # Errors
/// [`Error::UnsupportedDType`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch), bad `out` parameters.
///
/// ```
/// # use qops::quantized::{OutQParams, quantize, requantize};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![-1.0, 0.0, 2.5], &[3])?;
/// let x = quantize(&x, OutQParams::new(0.5, 10), DType::QUInt8)?;
/// let y = requantize(&x, OutQParams::new(0.25, 4))?;
/// assert_eq!(y.int_repr().to_i32_vec(), [0, 4, 14]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn requantize(x: &QTensor, out: OutQParams) -> Result<QTensor> {
    if OutQParams::of(x)? == out && x.dtype() != DType::QInt32 {
        return Ok(x.clone());
    }
    Function::Identity.apply("requantize", x, out)
}

/// `1 / (1 + exp(−x))`, by default with scale `1/256` and the least integer as zero point, which hold `[0, 1)`.
///
/// # Errors
/// As [`requantize`].
///
/// ```
/// # use qops::quantized::{OutQParams, quantize, sigmoid};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![-2.0, 0.0, 50.0], &[3])?;
/// let x = quantize(&x, OutQParams::new(0.5, 10), DType::QUInt8)?;
/// let y = sigmoid(&x, None)?;
/// assert_eq!(OutQParams::of(&y)?, OutQParams::new(1.0 / 256.0, 0));
/// assert_eq!(y.int_repr().to_i32_vec(), [31, 128, 255]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn sigmoid(x: &QTensor, out: Option<OutQParams>) -> Result<QTensor> {
    let out = unless_given(out, || unit_interval("sigmoid", x))?;
    Function::Sigmoid.apply("sigmoid", x, out)
}

/// `tanh(x)`, by default with scale `1/128` and zero point 128 (`quint8`) or 0 (`qint8`), which hold `[−1, 1)`.
///
/// # Errors
/// As [`requantize`].
pub fn tanh(x: &QTensor, out: Option<OutQParams>) -> Result<QTensor> {
    let out = unless_given(out, || {
        let zero_point = middle("tanh", x)?;
        Ok(OutQParams::new(1.0 / 128.0, zero_point))
    })?;
    Function::Tanh.apply("tanh", x, out)
}

/// `min(max(x + 3, 0), 6) / 6`, by default with the map of [`sigmoid`].
///
/// # Errors
/// As [`requantize`].
pub fn hardsigmoid(x: &QTensor, out: Option<OutQParams>) -> Result<QTensor> {
    let out = unless_given(out, || unit_interval("hardsigmoid", x))?;
    Function::HardSigmoid.apply("hardsigmoid", x, out)
}

/// `x · min(max(x + 3, 0), 6) / 6`.
///
/// # Errors
/// As [`requantize`].
pub fn hardswish(x: &QTensor, out: OutQParams) -> Result<QTensor> {
    Function::HardSwish.apply("hardswish", x, out)
}

/// `x` where it is positive, else `alpha · (exp(x) − 1)`.
///
/// # Errors
/// As [`requantize`]; [`Error::Argument`] unless `alpha` is finite.
pub fn elu(x: &QTensor, alpha: f32, out: OutQParams) -> Result<QTensor> {
    elu_function("elu", alpha)?.apply("elu", x, out)
}

/// `x` where it is positive, else `alpha · (exp(x / alpha) − 1)`.
///
/// # Errors
/// As [`requantize`]; [`Error::Argument`] unless `alpha` is finite and positive.
pub fn celu(x: &QTensor, alpha: f32, out: OutQParams) -> Result<QTensor> {
    celu_function("celu", alpha)?.apply("celu", x, out)
}

/// `x` where it is positive, else `negative_slope · x`, by default with the map of `x`.
///
/// # Errors
/// As [`requantize`]; [`Error::Argument`] unless `negative_slope` is finite.
///
/// ```
/// # use qops::quantized::{OutQParams, leaky_relu, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![-4.0, 3.0], &[2])?;
/// let x = quantize(&x, OutQParams::new(0.5, 100), DType::QUInt8)?;
/// let y = leaky_relu(&x, 0.25, None)?;
/// assert_eq!(y.int_repr().to_i32_vec(), [98, 106]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn leaky_relu(x: &QTensor, negative_slope: f32, out: Option<OutQParams>) -> Result<QTensor> {
    let function = leaky_function("leaky_relu", negative_slope)?;
    let out = unless_given(out, || OutQParams::of(x))?;
    function.apply("leaky_relu", x, out)
}

/// `x` where it exceeds `threshold`, else `value`, with the map of `x`.
///
/// # Errors
/// As [`requantize`]; [`Error::Argument`] if `threshold` or `value` is NaN.
pub fn threshold(x: &QTensor, threshold: f32, value: f32) -> Result<QTensor> {
    let operation = "threshold";
    for (argument, number) in [("threshold", threshold), ("value", value)] {
        if number.is_nan() {
            return Err(refused(operation, argument, "a number", number));
        }
    }
    Function::Threshold { threshold, value }.apply_in_place_of(operation, x)
}

/// `x · Φ(x)` with the distribution function `Φ` of a normal variable, with the map of `x`.
///
/// # Errors
/// As [`requantize`].
pub fn gelu(x: &QTensor, kind: Gelu) -> Result<QTensor> {
    Function::Gelu(kind).apply_in_place_of("gelu", x)
}

/// [`elu`] for any finite `alpha`.
pub(super) fn elu_function(operation: &'static str, alpha: f32) -> Result<Function> {
    if alpha.is_finite() {
        return Ok(Function::Elu { alpha });
    }
    Err(refused(operation, "alpha", "finite", alpha))
}

/// [`celu`] for a positive `alpha`.
pub(super) fn celu_function(operation: &'static str, alpha: f32) -> Result<Function> {
    if alpha.is_finite() && alpha > 0.0 {
        return Ok(Function::Celu { alpha });
    }
    Err(refused(operation, "alpha", "finite and positive", alpha))
}

/// [`leaky_relu`] for any finite slope.
pub(super) fn leaky_function(operation: &'static str, negative_slope: f32) -> Result<Function> {
    if negative_slope.is_finite() {
        return Ok(Function::LeakyRelu { negative_slope });
    }
    let (argument, expected) = ("negative_slope", "finite");
    Err(refused(operation, argument, expected, negative_slope))
}

fn refused(operation: &'static str, argument: &'static str, expected: &str, actual: f32) -> Error {
    Error::Argument {
        operation,
        argument,
        expected: expected.into(),
        actual: actual.to_string(),
    }
}

fn unless_given(
    out: Option<OutQParams>,
    default: impl FnOnce() -> Result<OutQParams>,
) -> Result<OutQParams> {
    out.map_or_else(default, Ok)
}

/// The map of `[0, 1)` in the type of `x`.
fn unit_interval(operation: &'static str, x: &QTensor) -> Result<OutQParams> {
    match x.dtype() {
        DType::QInt32 => Err(unsupported(operation, x.dtype())),
        dtype => Ok(OutQParams::new(1.0 / 256.0, dtype.range().0)),
    }
}

/// The integer in the middle of the range of an 8-bit type.
fn middle(operation: &'static str, x: &QTensor) -> Result<i32> {
    match x.dtype() {
        DType::QUInt8 => Ok(128),
        DType::QInt8 => Ok(0),
        DType::QInt32 => Err(unsupported(operation, x.dtype())),
    }
}
