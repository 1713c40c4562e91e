//! Order statistics on the stored integers: extremes, sorting, the greatest `k`.
//!
//! Scales are positive, so integers are ordered as the values they stand for. Results keep the map of
//! the input. Equal integers keep their order of appearance, in descending sorts too, and the
//! first of equal extremes is the one reported. Indices are `i64`.
//!
//! A per-channel tensor's integers are comparable only within a channel: it is accepted where `dim` is
//! not its channel axis, and refused where channels would be compared.

use std::cmp::Reverse;

use qtensor_core::{IntTensor, QTensor, Quantizer, Tensor};

use crate::error::{Error, Result};

/// The least element, as a tensor without dimensions.
///
/// # Errors
/// [`Error::Empty`], [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) for a per-channel tensor.
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
    let lanes = Lanes::whole("argmin", x)?;
    Ok(lanes.extreme("argmin", Extreme::Least)?.1[0])
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
    let lanes = Lanes::whole("argmax", x)?;
    Ok(lanes.extreme("argmax", Extreme::Greatest)?.1[0])
}

/// The least element along `dim`, and its index there; both without that dimension.
///
/// # Errors
/// [`Error::Empty`] if `dim` has length 0, [`NoSuchDim`](qtensor_core::Error::NoSuchDim),
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
    Ok(extreme_dim("argmin_dim", x, dim, Extreme::Least)?.1)
}

/// The index along `dim` of the greatest element; without that dimension.
///
/// # Errors
/// As [`min_dim`].
pub fn argmax_dim(x: &QTensor, dim: usize) -> Result<Tensor<i64>> {
    Ok(extreme_dim("argmax_dim", x, dim, Extreme::Greatest)?.1)
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
#[doc(alias = "msort")]
pub fn sort(x: &QTensor, dim: Option<usize>, descending: bool) -> Result<(QTensor, Tensor<i64>)> {
    let lanes = Lanes::new("sort", x, dim)?;
    lanes.sorted(descending, lanes.len)
}

/// The indices that [`sort`] returns.
///
/// # Errors
/// As [`sort`].
pub fn argsort(x: &QTensor, dim: Option<usize>, descending: bool) -> Result<Tensor<i64>> {
    let lanes = Lanes::new("argsort", x, dim)?;
    Ok(lanes.sorted(descending, lanes.len)?.1)
}

/// The `k` greatest (or least) elements along `dim` in order, and where each was; `None` takes all
/// elements as one row. Of equal elements the first ones are taken.
///
/// # Errors
/// As [`sort`]; [`Error::Argument`] if there are fewer than `k`.
pub fn topk(
    x: &QTensor,
    k: usize,
    dim: Option<usize>,
    largest: bool,
) -> Result<(QTensor, Tensor<i64>)> {
    let lanes = Lanes::new("topk", x, dim)?;
    if k > lanes.len {
        return Err(Error::Argument {
            operation: "topk",
            argument: "k",
            expected: format!("at most {}, the length of the dimension", lanes.len),
            actual: k.to_string(),
        });
    }
    lanes.sorted(largest, k)
}

#[derive(Clone, Copy)]
enum Extreme {
    Least,
    Greatest,
}

/// A tensor as rows to be ordered: the element `i` of lane `(o, n)` is `ints[(o · len + i) · inner + n]`.
struct Lanes<'a> {
    source: &'a QTensor,
    ints: Vec<i32>,
    outer: usize,
    len: usize,
    inner: usize,
    /// The shape with the ordered dimension, and where that is.
    shape: Vec<usize>,
    dim: usize,
}

impl<'a> Lanes<'a> {
    fn new(operation: &'static str, x: &'a QTensor, dim: Option<usize>) -> Result<Lanes<'a>> {
        match dim {
            Some(dim) => Lanes::along(operation, x, dim),
            None => Lanes::whole(operation, x),
        }
    }

    fn whole(operation: &'static str, x: &'a QTensor) -> Result<Lanes<'a>> {
        x.per_tensor(operation)?;
        Ok(Lanes {
            source: x,
            ints: x.int_repr().to_i32_vec(),
            outer: 1,
            len: x.numel(),
            inner: 1,
            shape: vec![x.numel()],
            dim: 0,
        })
    }

    fn along(operation: &'static str, x: &'a QTensor, dim: usize) -> Result<Lanes<'a>> {
        let shape = x.shape();
        if dim >= shape.len() {
            return Err(Error::Tensor(qtensor_core::Error::NoSuchDim {
                operation,
                dim,
                rank: shape.len(),
                shape: shape.to_vec(),
            }));
        }
        if matches!(x.quantizer(), Quantizer::PerChannel { axis, .. } if *axis == dim) {
            x.per_tensor(operation)?;
        }
        Ok(Lanes {
            source: x,
            ints: x.int_repr().to_i32_vec(),
            outer: shape[..dim].iter().product(),
            len: shape[dim],
            inner: shape[dim + 1..].iter().product(),
            shape: shape.to_vec(),
            dim,
        })
    }

    fn at(&self, outer: usize, i: usize, inner: usize) -> i32 {
        self.ints[(outer * self.len + i) * self.inner + inner]
    }

    /// Value and index of the extreme of each lane.
    fn extreme(&self, operation: &'static str, which: Extreme) -> Result<(Vec<i32>, Vec<i64>)> {
        if self.len == 0 {
            return Err(Error::Empty {
                operation,
                what: "element",
            });
        }
        let lanes = (0..self.outer).flat_map(|o| (0..self.inner).map(move |n| (o, n)));
        Ok(lanes
            .map(|(o, n)| {
                let mut best = (self.at(o, 0, n), 0);
                for i in 1..self.len {
                    let q = self.at(o, i, n);
                    let better = match which {
                        Extreme::Least => q < best.0,
                        Extreme::Greatest => q > best.0,
                    };
                    if better {
                        best = (q, i as i64);
                    }
                }
                best
            })
            .unzip())
    }

    /// The first `k` of each sorted lane with their indices.
    fn sorted(&self, descending: bool, k: usize) -> Result<(QTensor, Tensor<i64>)> {
        let mut shape = self.shape.clone();
        shape[self.dim] = k;
        let total = self.outer * k * self.inner;
        let (mut values, mut indices) = (vec![0; total], vec![0i64; total]);
        let mut order: Vec<usize> = Vec::with_capacity(self.len);
        for o in 0..self.outer {
            for n in 0..self.inner {
                order.clear();
                order.extend(0..self.len);
                if descending {
                    order.sort_by_key(|&i| Reverse(self.at(o, i, n)));
                } else {
                    order.sort_by_key(|&i| self.at(o, i, n));
                }
                for (rank, &i) in order.iter().take(k).enumerate() {
                    let position = (o * k + rank) * self.inner + n;
                    values[position] = self.at(o, i, n);
                    indices[position] = i as i64;
                }
            }
        }
        let values = self.quantized(&values, &shape, self.source.quantizer().clone())?;
        Ok((values, Tensor::from_vec(indices, &shape)?))
    }

    fn quantized(&self, ints: &[i32], shape: &[usize], map: Quantizer) -> Result<QTensor> {
        let ints = IntTensor::from_i32(ints, shape, self.source.dtype())?;
        Ok(QTensor::from_parts(ints, map)?)
    }
}

fn whole_extreme(operation: &'static str, x: &QTensor, which: Extreme) -> Result<QTensor> {
    let lanes = Lanes::whole(operation, x)?;
    let (values, _) = lanes.extreme(operation, which)?;
    lanes.quantized(&values, &[], x.quantizer().clone())
}

fn extreme_dim(
    operation: &'static str,
    x: &QTensor,
    dim: usize,
    which: Extreme,
) -> Result<(QTensor, Tensor<i64>)> {
    let lanes = Lanes::along(operation, x, dim)?;
    let (values, indices) = lanes.extreme(operation, which)?;
    // The view without the dimension has the result's shape and, with its channel axis moved, its map.
    let view = x.select(dim, 0)?;
    let values = lanes.quantized(&values, view.shape(), view.quantizer().clone())?;
    Ok((values, Tensor::from_vec(indices, view.shape())?))
}
