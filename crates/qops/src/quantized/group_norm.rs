//! Layer, group and instance normalization of activations, with statistics from sums of integers.

use qtensor_core::affine::inverse_scale;
use qtensor_core::requant::{OutputRange, requantize_f32};
use qtensor_core::{MemoryFormat, QTensor, Tensor};

use super::bytes::{Bytes, build};
use super::linear::rank_error;
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};

/// `(x − mean) / √(var + eps) · gamma + beta` over the trailing dimensions `normalized`.
///
/// With the sums over the `N` integers of a row, `μ = Σ(q − z) / N` and `v = max(Σ(q − z)² / N − μ², 0)` in `f64`,
/// `k = s / √(v·s² + eps)`, and `y = f32((q − z) − μ)·k·γ + β` in `f32`, which is quantized. `gamma` and `beta` have the
/// shape `normalized`; absent ones are 1 and 0.
///
/// # Errors
/// [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) if `x` does not end in `normalized` or a parameter has another
/// shape; [`Error::Argument`] without trailing dimensions or elements, and unless `eps` is finite and not negative;
/// [`Error::UnsupportedDType`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch), bad `out` parameters.
///
/// ```
/// # use qops::quantized::{OutQParams, layer_norm, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![1.0, 3.0, 10.0, 14.0], &[2, 2])?;
/// let x = quantize(&x, OutQParams::new(0.5, 3), DType::QUInt8)?;
/// let y = layer_norm(&x, &[2], None, None, 0.0, OutQParams::new(0.25, 100))?;
/// assert_eq!(y.int_repr().to_i32_vec(), [96, 104, 96, 104]);
/// # Ok::<(), qops::Error>(())
/// ```
pub fn layer_norm(
    x: &QTensor,
    normalized: &[usize],
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
    out: OutQParams,
) -> Result<QTensor> {
    let operation = "layer_norm";
    // Dimensions of a tensor multiply without overflow; others might not.
    if !x.shape().ends_with(normalized) {
        return Err(other_shape(operation, normalized, x.shape()));
    }
    let length: usize = normalized.iter().product();
    if normalized.is_empty() || length == 0 {
        return Err(argument(
            operation,
            "normalized",
            "at least one positive length",
            &format!("{normalized:?}"),
        ));
    }
    let parameters = Parameters {
        gamma: values(operation, gamma, normalized)?,
        beta: values(operation, beta, normalized)?,
        each: 1,
        count: length,
    };
    normalize(operation, x, length, parameters, eps, out)
}

/// [`layer_norm`] over each of `groups` groups of neighbouring channels (dimension 1) and all that lies behind them, with
/// `gamma` and `beta` by channel.
///
/// # Errors
/// [`Rank`](qtensor_core::Error::Rank) below two dimensions; [`Error::Argument`] unless `groups` divides the channels; the
/// others as [`layer_norm`].
pub fn group_norm(
    x: &QTensor,
    groups: usize,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
    out: OutQParams,
) -> Result<QTensor> {
    by_channel("group_norm", x, groups, gamma, beta, eps, out)
}

/// [`group_norm`] with a group for each channel.
///
/// # Errors
/// As [`group_norm`].
pub fn instance_norm(
    x: &QTensor,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
    out: OutQParams,
) -> Result<QTensor> {
    let channels = x.shape().get(1).copied().unwrap_or(1);
    by_channel("instance_norm", x, channels, gamma, beta, eps, out)
}

fn by_channel(
    operation: &'static str,
    x: &QTensor,
    groups: usize,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
    out: OutQParams,
) -> Result<QTensor> {
    let &[_, channels, ref spatial @ ..] = x.shape() else {
        return Err(rank_error(
            operation,
            "at least 2 (batch, channels…)",
            x.shape(),
        ));
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        let expected = format!("a divisor of the {channels} channels");
        return Err(argument(
            operation,
            "groups",
            &expected,
            &groups.to_string(),
        ));
    }
    let each: usize = spatial.iter().product();
    let parameters = Parameters {
        gamma: values(operation, gamma, &[channels])?,
        beta: values(operation, beta, &[channels])?,
        each,
        count: channels,
    };
    normalize(operation, x, channels / groups * each, parameters, eps, out)
}

/// Factors and summands, each for `each` elements in a row; they repeat after `count` of them.
struct Parameters {
    gamma: Option<Vec<f32>>,
    beta: Option<Vec<f32>>,
    each: usize,
    count: usize,
}

fn normalize(
    operation: &'static str,
    x: &QTensor,
    length: usize,
    parameters: Parameters,
    eps: f64,
    out: OutQParams,
) -> Result<QTensor> {
    if !eps.is_finite() || eps < 0.0 {
        return Err(argument(
            operation,
            "eps",
            "finite and not negative",
            &eps.to_string(),
        ));
    }
    let format = MemoryFormat::Contiguous;
    let bytes = Bytes::new(operation, x, format)?;
    build(operation, x.shape(), format, bytes.dtype, out, |y| {
        if length == 0 {
            return Ok(());
        }
        let range = out.byte_range(bytes.dtype, Activation::None);
        let inverse = inverse_scale(out.scale as f32);
        let rows = bytes.exact(format).chunks_exact(length);
        for (row, (x, y)) in rows.zip(y.chunks_exact_mut(length)).enumerate() {
            let moments = Moments::of(x, &bytes, eps);
            moments.write(x, row * length, &parameters, (inverse, range), y);
        }
        Ok(())
    })
}

/// What a row is normalized by.
struct Moments {
    zero_point: i32,
    mean: f32,
    slope: f32,
}

impl Moments {
    fn of(row: &[u8], bytes: &Bytes, eps: f64) -> Moments {
        let (mut sum, mut squares) = (0i64, 0i64);
        for &q in row {
            let d = i64::from(q) - i64::from(bytes.zero_point);
            sum += d;
            squares += d * d;
        }
        let count = row.len() as f64;
        let mean = sum as f64 / count;
        let variance = (squares as f64 / count - mean * mean).max(0.0);
        let deviation = (variance * bytes.scale * bytes.scale + eps).sqrt();
        // A constant row without eps is its mean, so that its deviations are 0 whatever they are multiplied by.
        let slope = if deviation > 0.0 {
            bytes.scale / deviation
        } else {
            0.0
        };
        Moments {
            zero_point: bytes.zero_point,
            mean: mean as f32,
            slope: slope as f32,
        }
    }

    /// Writes the row whose first element is number `start` of the tensor.
    fn write(
        &self,
        row: &[u8],
        start: usize,
        parameters: &Parameters,
        (inverse, range): (f32, OutputRange),
        y: &mut [u8],
    ) {
        let each = parameters.each.max(1);
        for (at, (x, y)) in row.chunks(each).zip(y.chunks_mut(each)).enumerate() {
            let parameter = (start / each + at) % parameters.count.max(1);
            let gamma = parameters.gamma.as_ref().map_or(1.0, |g| g[parameter]);
            let beta = parameters.beta.as_ref().map_or(0.0, |b| b[parameter]);
            let slope = self.slope * gamma;
            for (y, &q) in y.iter_mut().zip(x) {
                let deviation = (i32::from(q) - self.zero_point) as f32 - self.mean;
                *y = requantize_f32((deviation * slope + beta) * inverse, range) as u8;
            }
        }
    }
}

fn values(
    operation: &'static str,
    parameter: Option<&Tensor>,
    shape: &[usize],
) -> Result<Option<Vec<f32>>> {
    match parameter {
        Some(p) if p.shape() != shape => Err(other_shape(operation, shape, p.shape())),
        Some(p) => Ok(Some(p.to_vec())),
        None => Ok(None),
    }
}

fn other_shape(operation: &'static str, expected: &[usize], actual: &[usize]) -> Error {
    Error::Tensor(qtensor_core::Error::ShapeMismatch {
        operation,
        expected: expected.to_vec(),
        actual: actual.to_vec(),
    })
}

fn argument(
    operation: &'static str,
    argument: &'static str,
    expected: &str,
    actual: &str,
) -> Error {
    Error::Argument {
        operation,
        argument,
        expected: expected.into(),
        actual: actual.into(),
    }
}
