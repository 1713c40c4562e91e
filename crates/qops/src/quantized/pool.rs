//! Pools on integers: the result keeps the input's scale and zero point.

use qkernels_x86::{Context, PoolShape};
use qtensor_core::{MemoryFormat, QTensor};

use super::bytes::{Bytes, build};
use super::images::{batched, output_shape};
use super::params::OutQParams;
use crate::error::{Error, Result};
use crate::spec::PoolSpec;

const FORMAT: MemoryFormat = MemoryFormat::ChannelsLast;

/// The greatest integer of each window; padding counts as less than everything.
///
/// `x` is `[batch, channels, spatial…]` with one to three spatial dimensions; the result lies in channels-last
/// memory, and so should `x` (others are transposed first).
///
/// # Errors
/// [`Rank`](qtensor_core::Error::Rank), [`Error::UnsupportedDType`],
/// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch), and those of [`PoolSpec::output`].
#[doc(alias = "max_pool2d")]
pub fn max_pool(x: &QTensor, spec: &PoolSpec) -> Result<QTensor> {
    let operation = "max_pool";
    let shape = pool_shape(operation, x, spec)?;
    pooled(operation, x, &shape, |context, bytes, y| {
        Ok(qkernels_x86::max_pool(
            context,
            bytes.slice(FORMAT),
            &shape,
            y,
        )?)
    })
}

/// The mean of each window: `clamp(rne(Σ(q − z) · (1 / n)) + z)`, in `f32`.
///
/// The sum runs over the real elements. `n` is the window with its padding, or the number of real elements if
/// `count_include_pad` is off, or `divisor_override`. (PyTorch rounds so in channels-last memory; its
/// row-major kernel multiplies by a reciprocal and differs on ties.)
///
/// # Errors
/// As [`max_pool`]; [`Error::Argument`] for a dilation other than 1.
#[doc(alias = "avg_pool2d")]
pub fn avg_pool(x: &QTensor, spec: &PoolSpec) -> Result<QTensor> {
    let operation = "avg_pool";
    if spec.dilation != [1; 3] {
        return Err(Error::Argument {
            operation,
            argument: "dilation",
            expected: "1".into(),
            actual: format!("{:?}", spec.dilation),
        });
    }
    let divisor = match spec.divisor_override.map(i32::try_from) {
        None => None,
        Some(Ok(divisor)) => Some(divisor),
        Some(Err(_)) => {
            return Err(Error::Argument {
                operation,
                argument: "divisor_override",
                expected: format!("at most {}", i32::MAX),
                actual: format!("{:?}", spec.divisor_override),
            });
        }
    };
    let shape = pool_shape(operation, x, spec)?;
    pooled(operation, x, &shape, |context, bytes, y| {
        Ok(qkernels_x86::avg_pool(
            context,
            bytes.slice(FORMAT),
            &shape,
            bytes.zero_point,
            spec.count_include_pad,
            divisor,
            y,
        )?)
    })
}

/// The mean of each of `output` windows per axis: window `i` runs from `⌊i·in/out⌋` to `⌈(i+1)·in/out⌉`.
///
/// `output` has one length for each spatial dimension of `x`. Rounding as [`avg_pool`].
///
/// # Errors
/// As [`max_pool`]; [`Error::Argument`] if `output` has another number of lengths or a 0.
#[doc(alias = "adaptive_avg_pool2d")]
pub fn adaptive_avg_pool(x: &QTensor, output: &[usize]) -> Result<QTensor> {
    let operation = "adaptive_avg_pool";
    let (batch, channels, input) = batched(operation, x.shape())?;
    let spatial = x.rank() - 2;
    if output.len() != spatial || output.contains(&0) {
        return Err(Error::Argument {
            operation,
            argument: "output",
            expected: format!("{spatial} positive lengths"),
            actual: format!("{output:?}"),
        });
    }
    if input.contains(&0) || channels == 0 {
        return Err(Error::Empty {
            operation,
            what: "channel and spatial position",
        });
    }
    let mut axes = [1; 3];
    axes[3 - spatial..].copy_from_slice(output);
    let bytes = Bytes::new(operation, x, FORMAT)?;
    let shape = output_shape(batch, channels, axes, spatial);
    build(
        operation,
        &shape,
        FORMAT,
        bytes.dtype,
        OutQParams::of(x)?,
        |y| {
            if batch == 0 {
                return Ok(());
            }
            Ok(qkernels_x86::adaptive_avg_pool(
                &Context::new()?,
                bytes.slice(FORMAT),
                batch,
                channels,
                input,
                axes,
                bytes.zero_point,
                y,
            )?)
        },
    )
}

/// The kernels' geometry, after the checks whose messages speak of the caller's arguments.
fn pool_shape(operation: &'static str, x: &QTensor, spec: &PoolSpec) -> Result<PoolShape> {
    let (batch, channels, input) = batched(operation, x.shape())?;
    spec.check_spatial(operation, x.rank() - 2)?;
    spec.output(operation, input)?;
    Ok(PoolShape {
        batch,
        channels,
        input,
        kernel: spec.kernel,
        stride: spec.stride,
        padding: spec.padding,
        dilation: spec.dilation,
        ceil_mode: spec.ceil_mode,
    })
}

/// Runs a pooling kernel into a new channels-last tensor.
fn pooled(
    operation: &'static str,
    x: &QTensor,
    shape: &PoolShape,
    kernel: impl FnOnce(&Context, &Bytes, &mut [u8]) -> Result<()>,
) -> Result<QTensor> {
    let bytes = Bytes::new(operation, x, FORMAT)?;
    let size = output_shape(shape.batch, shape.channels, shape.output(), x.rank() - 2);
    build(
        operation,
        &size,
        FORMAT,
        bytes.dtype,
        OutQParams::of(x)?,
        |y| {
            if y.is_empty() {
                return Ok(());
            }
            kernel(&Context::new()?, &bytes, y)
        },
    )
}
