//! Order statistics on the stored integers: extremes, sorting, the greatest `k`.
//!
//! Scales are positive, so integers are ordered as the values they stand for. Results keep the map of
//! the input. Equal integers keep their order of appearance, in descending sorts too, and the
//! first of equal extremes is the one reported. Indices are `i64`.
//!
//! A per-channel tensor's integers are comparable only within a channel: it is accepted where `dim` is
//! not its channel axis, and refused where channels would be compared.

use qtensor_core::{IntTensor, QTensor, Quantizer, Tensor};

use crate::error::Result;
use crate::lanes::{Chosen, Extreme, Lanes};

/// The least element, as a tensor without dimensions.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty), [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) for a per-channel tensor.
pub fn min(x: &QTensor) -> Result<QTensor> {
    whole_extreme("min", x, Extreme::Least)
}

/// The greatest element, as a tensor without dimensions.
///
/// # Errors
/// As [`min`].
pub fn max(x: &QTensor) -> Result<QTensor> {
    whole_extreme("max", x, Extreme::Greatest)
}

/// Where the least element is, counted in logical order; the first of equal ones.
///
/// # Errors
/// As [`min`].
pub fn argmin(x: &QTensor) -> Result<i64> {
    Ok(extreme("argmin", x, None, Extreme::Least)?.indices[0])
}

/// Where the greatest element is, counted in logical order; the first of equal ones.
///
/// ```
/// # use qops::quantized::argmax;
/// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
/// let x = Tensor::from_vec(vec![0.5, 2.0, 2.0, -1.0], &[2, 2])?;
/// assert_eq!(argmax(&quantize_per_tensor(&x, 0.5, 10, DType::QUInt8)?)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`min`].
pub fn argmax(x: &QTensor) -> Result<i64> {
    Ok(extreme("argmax", x, None, Extreme::Greatest)?.indices[0])
}

/// The least element along `dim`, and its index there; both without that dimension.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) if `dim` has length 0, [`NoSuchDim`](qtensor_core::Error::NoSuchDim),
/// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) if `dim` is the channel axis.
#[doc(alias = "amin")]
pub fn min_dim(x: &QTensor, dim: usize) -> Result<(QTensor, Tensor<i64>)> {
    extreme_dim("min_dim", x, dim, Extreme::Least)
}

/// The greatest element along `dim`, and its index there; both without that dimension.
///
/// # Errors
/// As [`min_dim`].
#[doc(alias = "amax")]
pub fn max_dim(x: &QTensor, dim: usize) -> Result<(QTensor, Tensor<i64>)> {
    extreme_dim("max_dim", x, dim, Extreme::Greatest)
}

/// The index along `dim` of the least element; without that dimension.
///
/// # Errors
/// As [`min_dim`].
pub fn argmin_dim(x: &QTensor, dim: usize) -> Result<Tensor<i64>> {
    indices(extreme("argmin_dim", x, Some(dim), Extreme::Least)?)
}

/// The index along `dim` of the greatest element; without that dimension.
///
/// # Errors
/// As [`min_dim`].
pub fn argmax_dim(x: &QTensor, dim: usize) -> Result<Tensor<i64>> {
    indices(extreme("argmax_dim", x, Some(dim), Extreme::Greatest)?)
}

/// The elements in order along `dim`, and where each was; `None` sorts all elements as one row.
///
/// ```
/// # use qops::quantized::sort;
/// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
/// let x = Tensor::from_vec(vec![1.0, 3.0, 1.0, 2.0], &[4])?;
/// let (values, indices) = sort(&quantize_per_tensor(&x, 0.5, 0, DType::QUInt8)?, Some(0), true)?;
/// assert_eq!(values.int_repr().to_i32_vec(), [6, 4, 2, 2]);
/// assert_eq!(indices.to_vec(), [1, 3, 0, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim),
/// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) if channels would be compared.
pub fn sort(x: &QTensor, dim: Option<usize>, descending: bool) -> Result<(QTensor, Tensor<i64>)> {
    sorted("sort", x, dim, descending, None)
}

/// The elements in ascending order along the first dimension: [`sort`] without the indices.
///
/// # Errors
/// As [`sort`].
pub fn msort(x: &QTensor) -> Result<QTensor> {
    Ok(sorted("msort", x, Some(0), false, None)?.0)
}

/// The indices that [`sort`] returns.
///
/// # Errors
/// As [`sort`].
pub fn argsort(x: &QTensor, dim: Option<usize>, descending: bool) -> Result<Tensor<i64>> {
    let lanes = lanes("argsort", x, dim)?;
    indices(lanes.sorted("argsort", descending, lanes.len)?)
}

/// The `k` greatest (or least) elements along `dim` in order, and where each was; `None` takes all
/// elements as one row. Of equal elements the first ones are taken.
///
/// # Errors
/// As [`sort`]; [`Error::Argument`](crate::Error::Argument) if there are fewer than `k`.
pub fn topk(
    x: &QTensor,
    k: usize,
    dim: Option<usize>,
    largest: bool,
) -> Result<(QTensor, Tensor<i64>)> {
    sorted("topk", x, dim, largest, Some(k))
}

/// The integers as lanes. Channels of a per-channel tensor must not meet in one.
fn lanes(operation: &'static str, x: &QTensor, dim: Option<usize>) -> Result<Lanes> {
    let compared = match (x.quantizer(), dim) {
        (Quantizer::PerChannel { axis, .. }, Some(dim)) => *axis == dim,
        (_, dim) => dim.is_none(),
    };
    if compared {
        x.per_tensor(operation)?;
    }
    Lanes::new(operation, x.int_repr().to_i32_vec(), x.shape(), dim)
}

fn extreme(
    operation: &'static str,
    x: &QTensor,
    dim: Option<usize>,
    which: Extreme,
) -> Result<Chosen> {
    lanes(operation, x, dim)?.extreme(operation, which)
}

fn indices(chosen: Chosen) -> Result<Tensor<i64>> {
    Ok(Tensor::from_vec(chosen.indices, &chosen.shape)?)
}

/// The chosen elements under a map.
fn values(x: &QTensor, chosen: &Chosen, map: Quantizer) -> Result<QTensor> {
    let all = x.int_repr().to_i32_vec();
    let ints: Vec<i32> = chosen.places.iter().map(|&place| all[place]).collect();
    let ints = IntTensor::from_i32(&ints, &chosen.shape, x.dtype())?;
    Ok(QTensor::from_parts(ints, map)?)
}

fn whole_extreme(operation: &'static str, x: &QTensor, which: Extreme) -> Result<QTensor> {
    let chosen = extreme(operation, x, None, which)?;
    values(x, &chosen, x.quantizer().clone())
}

fn extreme_dim(
    operation: &'static str,
    x: &QTensor,
    dim: usize,
    which: Extreme,
) -> Result<(QTensor, Tensor<i64>)> {
    let chosen = extreme(operation, x, Some(dim), which)?;
    // The view without the dimension has, with its channel axis moved, the map of the result.
    let map = x.select(dim, 0)?.quantizer().clone();
    Ok((values(x, &chosen, map)?, indices(chosen)?))
}

/// The first `k` in order, or all.
fn sorted(
    operation: &'static str,
    x: &QTensor,
    dim: Option<usize>,
    descending: bool,
    k: Option<usize>,
) -> Result<(QTensor, Tensor<i64>)> {
    let lanes = lanes(operation, x, dim)?;
    let chosen = lanes.sorted(operation, descending, k.unwrap_or(lanes.len))?;
    let sorted = values(x, &chosen, x.quantizer().clone())?;
    Ok((sorted, indices(chosen)?))
}
