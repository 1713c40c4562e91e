//! Functions of one activation: all 256 results in a table, which the kernels look up.
//!
//! The table is made by the scalar definition, so that every instruction set gives its bytes.

use qkernels_x86::Context;
use qtensor_core::affine::{dequantize_value, inverse_scale, quantize_8bit};
use qtensor_core::requant::OutputRange;
use qtensor_core::{MemoryFormat, QTensor};

use super::bytes::{Bytes, build, build_into, natural_format};
use super::params::OutQParams;
use crate::error::Result;

/// A function of one byte in the unsigned domain, from an affine map to another.
pub(super) trait ByteFunction {
    /// The result for one byte.
    fn of(&self, q: u8) -> u8;
}

impl<F: Fn(u8) -> u8> ByteFunction for F {
    fn of(&self, q: u8) -> u8 {
        self(q)
    }
}

/// Dequantize, apply a real function, quantize.
pub(super) struct ThroughReals<F> {
    /// Scale and zero point of the input's bytes.
    pub from: (f32, i32),
    /// Scale of the result.
    pub scale: f32,
    /// Zero point of the result's bytes, and the clamp around them.
    pub range: OutputRange,
    /// The function.
    pub function: F,
}

impl<F: Fn(f32) -> f32> ByteFunction for ThroughReals<F> {
    fn of(&self, q: u8) -> u8 {
        let (scale, zero_point) = self.from;
        let x = dequantize_value(i32::from(q), scale, zero_point);
        quantize_8bit((self.function)(x), inverse_scale(self.scale), self.range) as u8
    }
}

/// Applies a function of bytes to `x`; the result has the map `out`.
///
/// `function` is made from the input's bytes and called only if `out` is valid.
pub(super) fn mapped<F: ByteFunction>(
    operation: &'static str,
    x: &QTensor,
    out: OutQParams,
    function: impl FnOnce(&Bytes) -> F,
) -> Result<QTensor> {
    let format = natural_format(x.layout());
    let bytes = Bytes::new(operation, x, format)?;
    build(operation, x.shape(), format, bytes.dtype, out, |y| {
        write(&function(&bytes), bytes.exact(format), y)
    })
}

/// As [`mapped`], into a tensor that exists, which has the map of the result.
pub(super) fn mapped_into<F: ByteFunction>(
    operation: &'static str,
    x: &QTensor,
    out: &mut QTensor,
    function: impl FnOnce(&Bytes) -> F,
) -> Result<()> {
    let format = destination_format(x, out);
    let bytes = Bytes::new(operation, x, format)?;
    build_into(operation, x.shape(), format, bytes.dtype, out, |y| {
        write(&function(&bytes), bytes.exact(format), y)
    })
}

/// The order to write `out` in. A destination of another rank is refused later, in whatever order.
pub(super) fn destination_format(x: &QTensor, out: &QTensor) -> MemoryFormat {
    let same = out.rank() == x.rank();
    natural_format(if same { out.layout() } else { x.layout() })
}

/// `y[i] = function(x[i])`, by a table unless there are fewer elements than a table has.
pub(super) fn write(function: &impl ByteFunction, x: &[u8], y: &mut [u8]) -> Result<()> {
    if x.len() < 256 {
        y.iter_mut().zip(x).for_each(|(y, &q)| *y = function.of(q));
        return Ok(());
    }
    let table: [u8; 256] = std::array::from_fn(|q| function.of(q as u8));
    Ok(qkernels_x86::lookup(&Context::new()?, x, &table, y)?)
}
