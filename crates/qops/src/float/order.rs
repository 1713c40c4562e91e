//! Order statistics: extremes, sorting, the greatest `k`.
//!
//! NaN counts as greater than every number, and as the extreme of whatever holds it, the least one too; −0 and 0 are equal. Equal
//! elements keep their order of appearance, in descending sorts too, and the first of equal extremes is the one
//! reported. Indices are `i64`.

use qtensor_core::Tensor;

use crate::error::Result;
use crate::lanes::{Chosen, Extreme, Lanes};

/// The least element, as a tensor without dimensions.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty).
pub fn min(x: &Tensor) -> Result<Tensor> {
    values(x, &extreme("min", x, None, Extreme::Least)?)
}

/// The greatest element, as a tensor without dimensions.
///
/// # Errors
/// As [`min`].
pub fn max(x: &Tensor) -> Result<Tensor> {
    values(x, &extreme("max", x, None, Extreme::Greatest)?)
}

/// Where the least element is, counted in logical order; the first of equal ones.
///
/// # Errors
/// As [`min`].
pub fn argmin(x: &Tensor) -> Result<i64> {
    Ok(extreme("argmin", x, None, Extreme::Least)?.indices[0])
}

/// Where the greatest element is, counted in logical order; the first of equal ones.
///
/// ```
/// # use qops::float::argmax;
/// # use qtensor_core::Tensor;
/// assert_eq!(argmax(&Tensor::from_vec(vec![0.5, 2.0, 2.0, -1.0], &[2, 2])?)?, 1);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// As [`min`].
pub fn argmax(x: &Tensor) -> Result<i64> {
    Ok(extreme("argmax", x, None, Extreme::Greatest)?.indices[0])
}

/// The least element along `dim`, and its index there; both without that dimension.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) if `dim` has length 0, [`NoSuchDim`](qtensor_core::Error::NoSuchDim).
#[doc(alias = "amin")]
pub fn min_dim(x: &Tensor, dim: usize) -> Result<(Tensor, Tensor<i64>)> {
    both(x, extreme("min_dim", x, Some(dim), Extreme::Least)?)
}

/// The greatest element along `dim`, and its index there; both without that dimension.
///
/// # Errors
/// As [`min_dim`].
#[doc(alias = "amax")]
pub fn max_dim(x: &Tensor, dim: usize) -> Result<(Tensor, Tensor<i64>)> {
    both(x, extreme("max_dim", x, Some(dim), Extreme::Greatest)?)
}

/// The index along `dim` of the least element; without that dimension.
///
/// # Errors
/// As [`min_dim`].
pub fn argmin_dim(x: &Tensor, dim: usize) -> Result<Tensor<i64>> {
    indices(extreme("argmin_dim", x, Some(dim), Extreme::Least)?)
}

/// The index along `dim` of the greatest element; without that dimension.
///
/// # Errors
/// As [`min_dim`].
pub fn argmax_dim(x: &Tensor, dim: usize) -> Result<Tensor<i64>> {
    indices(extreme("argmax_dim", x, Some(dim), Extreme::Greatest)?)
}

/// The elements in order along `dim`, and where each was; `None` sorts all elements as one row.
///
/// ```
/// # use qops::float::sort;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, f32::NAN, 1.0, 2.0], &[4])?;
/// let (values, indices) = sort(&x, Some(0), true)?;
/// assert_eq!(values.to_vec()[1..], [2.0, 1.0, 1.0]);
/// assert_eq!(indices.to_vec(), [1, 3, 0, 2]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim).
pub fn sort(x: &Tensor, dim: Option<usize>, descending: bool) -> Result<(Tensor, Tensor<i64>)> {
    both(x, sorted("sort", x, dim, descending, None)?)
}

/// The elements in ascending order along the first dimension: [`sort`] without the indices.
///
/// # Errors
/// As [`sort`].
pub fn msort(x: &Tensor) -> Result<Tensor> {
    values(x, &sorted("msort", x, Some(0), false, None)?)
}

/// The indices that [`sort`] returns.
///
/// # Errors
/// As [`sort`].
pub fn argsort(x: &Tensor, dim: Option<usize>, descending: bool) -> Result<Tensor<i64>> {
    indices(sorted("argsort", x, dim, descending, None)?)
}

/// The `k` greatest (or least) elements along `dim` in order, and where each was; `None` takes all
/// elements as one row. Of equal elements the first ones are taken.
///
/// # Errors
/// As [`sort`]; [`Error::Argument`](crate::Error::Argument) if there are fewer than `k`.
pub fn topk(
    x: &Tensor,
    k: usize,
    dim: Option<usize>,
    largest: bool,
) -> Result<(Tensor, Tensor<i64>)> {
    both(x, sorted("topk", x, dim, largest, Some(k))?)
}

/// An integer with the order of the float: its bits, those of negative numbers reversed.
fn key(value: f32, nan: i32) -> i32 {
    if value.is_nan() {
        return nan;
    }
    // The sum makes 0 of −0.
    let bits = (value + 0.0).to_bits() as i32;
    if bits < 0 { bits ^ i32::MAX } else { bits }
}

fn lanes(operation: &'static str, x: &Tensor, dim: Option<usize>, nan: i32) -> Result<Lanes> {
    let keys = x.to_vec().into_iter().map(|value| key(value, nan));
    Lanes::new(operation, keys.collect(), x.shape(), dim)
}

fn extreme(
    operation: &'static str,
    x: &Tensor,
    dim: Option<usize>,
    which: Extreme,
) -> Result<Chosen> {
    let nan = match which {
        Extreme::Least => i32::MIN,
        Extreme::Greatest => i32::MAX,
    };
    lanes(operation, x, dim, nan)?.extreme(operation, which)
}

/// The first `k` in order, or all.
fn sorted(
    operation: &'static str,
    x: &Tensor,
    dim: Option<usize>,
    descending: bool,
    k: Option<usize>,
) -> Result<Chosen> {
    let lanes = lanes(operation, x, dim, i32::MAX)?;
    lanes.sorted(operation, descending, k.unwrap_or(lanes.len))
}

fn values(x: &Tensor, chosen: &Chosen) -> Result<Tensor> {
    let all = x.to_vec();
    let taken = chosen.places.iter().map(|&place| all[place]).collect();
    Ok(Tensor::from_vec(taken, &chosen.shape)?)
}

fn indices(chosen: Chosen) -> Result<Tensor<i64>> {
    Ok(Tensor::from_vec(chosen.indices, &chosen.shape)?)
}

fn both(x: &Tensor, chosen: Chosen) -> Result<(Tensor, Tensor<i64>)> {
    Ok((values(x, &chosen)?, indices(chosen)?))
}
