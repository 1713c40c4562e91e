//! Elementwise operations on integers: clamps, sums and products.

use qkernels_x86::Context;
use qtensor_core::affine::{inverse_scale, quantize_value};
use qtensor_core::{DType, Layout, MemoryFormat, QTensor};

use super::bytes::{Bytes, build, in_format, natural_format};
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};
use crate::float::broadcast_shape;

/// `max(x, 0)`: integers below the zero point become it. The qparams stay.
///
/// # Errors
/// [`Error::UnsupportedDType`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch).
pub fn relu(x: &QTensor) -> Result<QTensor> {
    activated("relu", x, Activation::Relu)
}

/// `min(max(x, 0), 6)`: integers between the zero point and the one that `6.0` quantizes to. The qparams stay.
///
/// # Errors
/// As [`relu`].
pub fn relu6(x: &QTensor) -> Result<QTensor> {
    activated("relu6", x, Activation::Relu6)
}

/// `min(max(x, lo), hi)`: integers between those that the bounds quantize to. The qparams stay.
///
/// # Errors
/// As [`relu`]; [`Error::Argument`] if a bound is NaN or `lo > hi`.
#[doc(alias = "hardtanh")]
pub fn clamp(x: &QTensor, lo: f32, hi: f32) -> Result<QTensor> {
    if lo.is_nan() || hi.is_nan() || lo > hi {
        return Err(Error::Argument {
            operation: "clamp",
            argument: "lo",
            expected: format!("at most hi = {hi}"),
            actual: lo.to_string(),
        });
    }
    clamped("clamp", x, |bytes| {
        let inverse = inverse_scale(bytes.scale as f32);
        let quantized = |v| quantize_value(v, inverse, bytes.zero_point, DType::QUInt8);
        (quantized(lo) as u8, quantized(hi) as u8)
    })
}

fn activated(operation: &'static str, x: &QTensor, activation: Activation) -> Result<QTensor> {
    let (scale, zero_point) = x.per_tensor(operation)?;
    // Once the type is known to have 8 bits: zero points of others do not fit a byte.
    clamped(operation, x, |bytes| {
        let range = OutQParams { scale, zero_point }.byte_range(bytes.dtype, activation);
        (range.lo as u8, range.hi as u8)
    })
}

fn clamped(
    operation: &'static str,
    x: &QTensor,
    bounds: impl FnOnce(&Bytes) -> (u8, u8),
) -> Result<QTensor> {
    let format = natural_format(x.layout());
    let bytes = Bytes::new(operation, x, format)?;
    let (lo, hi) = bounds(&bytes);
    let out = OutQParams::of(x)?;
    build(operation, x.shape(), format, bytes.dtype, out, |y| {
        Ok(qkernels_x86::clamp(
            &Context::new()?,
            bytes.exact(format),
            lo,
            hi,
            y,
        )?)
    })
}

/// `a + b`: both dequantized, added in `f32`, quantized. Shapes broadcast.
///
/// `q = clamp(rne((f32(q_a − z_a)·s_a + f32(q_b − z_b)·s_b) · (1/s)) + z)`.
/// Operands of one shape and memory order are read in place; others are brought into one order first.
///
/// # Errors
/// [`Error::DTypesDiffer`], [`Error::NotBroadcastable`], [`Error::UnsupportedDType`],
/// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch), bad `out` parameters.
pub fn add(a: &QTensor, b: &QTensor, out: OutQParams) -> Result<QTensor> {
    sum("add", a, b, out, Activation::None)
}

/// `max(a + b, 0)`; see [`add`].
///
/// # Errors
/// As [`add`].
pub fn add_relu(a: &QTensor, b: &QTensor, out: OutQParams) -> Result<QTensor> {
    sum("add_relu", a, b, out, Activation::Relu)
}

/// `a · b`: `q = clamp(rne(f32((q_a − z_a)(q_b − z_b)) · M) + z)`, `M = (s_a·s_b)·(1/s)` in `f32`.
/// Shapes broadcast.
///
/// # Errors
/// As [`add`]; [`Error::Multiplier`] if `M` is not a positive `f32`.
pub fn mul(a: &QTensor, b: &QTensor, out: OutQParams) -> Result<QTensor> {
    product("mul", a, b, out, Activation::None)
}

/// `max(a · b, 0)`; see [`mul`].
///
/// # Errors
/// As [`mul`].
pub fn mul_relu(a: &QTensor, b: &QTensor, out: OutQParams) -> Result<QTensor> {
    product("mul_relu", a, b, out, Activation::Relu)
}

/// The sum with a fused activation.
pub(super) fn sum(
    operation: &'static str,
    a: &QTensor,
    b: &QTensor,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    let pair = Pair::new(operation, a, b, None)?;
    build(
        operation,
        &pair.shape,
        pair.format,
        pair.dtype(),
        out,
        |y| pair.sum(out, activation, y),
    )
}

fn product(
    operation: &'static str,
    a: &QTensor,
    b: &QTensor,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    let pair = Pair::new(operation, a, b, None)?;
    build(
        operation,
        &pair.shape,
        pair.format,
        pair.dtype(),
        out,
        |y| pair.product(operation, out, activation, y),
    )
}

/// Two operands of one type, expanded to one shape, in one memory order.
pub(super) struct Pair {
    a: Bytes,
    b: Bytes,
    /// The common shape.
    pub shape: Vec<usize>,
    /// The order of both.
    pub format: MemoryFormat,
}

impl Pair {
    /// Brings both operands into `format`, or into the order that copies least.
    pub fn new(
        operation: &'static str,
        a: &QTensor,
        b: &QTensor,
        format: Option<MemoryFormat>,
    ) -> Result<Pair> {
        if a.dtype() != b.dtype() {
            return Err(Error::DTypesDiffer {
                operation,
                left: a.dtype(),
                right: b.dtype(),
            });
        }
        let shape = broadcast_shape(operation, a.shape(), b.shape())?;
        let format = match format {
            // Channels-last is an order of three dimensions and more.
            Some(format) if shape.len() >= 3 => format,
            _ => common_format(&shape, a.layout(), b.layout()),
        };
        Ok(Pair {
            a: expanded(operation, a, &shape, format)?,
            b: expanded(operation, b, &shape, format)?,
            shape,
            format,
        })
    }

    /// The type of the operands.
    pub fn dtype(&self) -> DType {
        self.a.dtype
    }

    /// Writes the sum under a valid map.
    pub fn sum(&self, out: OutQParams, activation: Activation, y: &mut [u8]) -> Result<()> {
        let map = |bytes: &Bytes| (bytes.scale as f32, bytes.zero_point);
        Ok(qkernels_x86::add(
            &Context::new()?,
            self.a.exact(self.format),
            map(&self.a),
            self.b.exact(self.format),
            map(&self.b),
            inverse_scale(out.scale as f32),
            out.byte_range(self.a.dtype, activation),
            y,
        )?)
    }

    /// Writes the product under a valid map.
    pub fn product(
        &self,
        operation: &'static str,
        out: OutQParams,
        activation: Activation,
        y: &mut [u8],
    ) -> Result<()> {
        let (left, right) = (self.a.scale as f32, self.b.scale as f32);
        let multiplier = left * right * inverse_scale(out.scale as f32);
        if !(multiplier.is_finite() && multiplier > 0.0) {
            return Err(Error::Multiplier {
                operation,
                channel: 0,
                input_scale: left,
                weight_scale: right,
                output_scale: out.scale as f32,
                multiplier,
            });
        }
        Ok(qkernels_x86::mul(
            &Context::new()?,
            self.a.exact(self.format),
            self.a.zero_point,
            self.b.exact(self.format),
            self.b.zero_point,
            multiplier,
            out.byte_range(self.a.dtype, activation),
            y,
        )?)
    }
}

/// The order of the first operand that fills the result; channels-last only if no such operand is row-major.
fn common_format(shape: &[usize], a: &Layout, b: &Layout) -> MemoryFormat {
    let full = [a, b].into_iter().find(|layout| layout.shape() == shape);
    full.map_or(MemoryFormat::Contiguous, natural_format)
}

/// An operand under the result's shape, materialized if it is smaller.
fn expanded(
    operation: &'static str,
    x: &QTensor,
    shape: &[usize],
    format: MemoryFormat,
) -> Result<Bytes> {
    if x.shape() == shape {
        return Bytes::new(operation, x, format);
    }
    let mut bytes = Bytes::new(operation, x, natural_format(x.layout()))?;
    bytes.data = in_format(&bytes.data.expand(shape)?, format)?;
    Ok(bytes)
}
