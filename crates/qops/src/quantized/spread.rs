//! Means and standard deviations of integers, under the map of the input.

use qtensor_core::affine::{inverse_scale, quantize_value};
use qtensor_core::rounding::round_half_even_f64;
use qtensor_core::{IntTensor, QTensor, Quantizer};

use crate::error::{Error, Result};

/// The mean over `dims` (all if empty), with the map of `x`.
///
/// Over trailing dimensions, `rne(Σ q / n)`; over others, `rne(Σ (q − z) / n) + z`. The two differ only where the mean lies in the middle
/// between two integers and `z` is odd; PyTorch's kernels round so for row-major tensors, and here memory layout
/// changes no result. The sum is exact, the quotient in `f64`.
///
/// ```
/// # use qops::quantized::{OutQParams, mean, quantize};
/// # use qtensor_core::{DType, Tensor};
/// let x = Tensor::from_vec(vec![0.0, 0.5, 1.0, 3.0], &[2, 2])?;
/// let x = quantize(&x, OutQParams::new(0.5, 10), DType::QUInt8)?;
/// assert_eq!(mean(&x, &[1], false)?.int_repr().to_i32_vec(), [10, 14]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim), [`RepeatedDim`](qtensor_core::Error::RepeatedDim);
/// [`Error::Empty`] if a mean has no elements; [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch).
pub fn mean(x: &QTensor, dims: &[usize], keep_dims: bool) -> Result<QTensor> {
    let groups = Groups::new("mean", x, dims)?;
    let shift = if groups.trailing {
        0
    } else {
        groups.zero_point
    };
    let (lo, hi) = x.dtype().range();
    let ints = groups.fold(|group| {
        let sum: i64 = group.iter().map(|&q| i64::from(q) - i64::from(shift)).sum();
        let mean = round_half_even_f64(sum as f64 / group.len() as f64);
        (mean + f64::from(shift)).clamp(lo.into(), hi.into()) as i32
    });
    groups.result(x, &ints, keep_dims)
}

/// The standard deviation `√(Σ (x − mean)² / (n − 1))` over `dims` (all if empty), with the map of `x`; the divisor is `n` unless
/// `unbiased`.
///
/// Sums are in `f64`; the real number, rounded to `f32`, is quantized.
///
/// # Errors
/// As [`mean`]; [`Error::Argument`] for an unbiased deviation of a single element, which is not a number.
pub fn std(x: &QTensor, dims: &[usize], unbiased: bool, keep_dims: bool) -> Result<QTensor> {
    let operation = "std";
    let groups = Groups::new(operation, x, dims)?;
    if unbiased && groups.count == 1 {
        return Err(Error::Argument {
            operation,
            argument: "dims",
            expected: "at least 2 elements for an unbiased deviation".into(),
            actual: "1".into(),
        });
    }
    let divisor = (groups.count - usize::from(unbiased)) as f64;
    let inverse = inverse_scale(groups.scale as f32);
    let ints = groups.fold(|group| {
        let sum: f64 = group.iter().map(|&q| f64::from(q)).sum();
        let mean = sum / group.len() as f64;
        let squares: f64 = group.iter().map(|&q| (f64::from(q) - mean).powi(2)).sum();
        let deviation = (squares / divisor).sqrt() * f64::from(groups.scale as f32);
        quantize_value(deviation as f32, inverse, groups.zero_point, x.dtype())
    });
    groups.result(x, &ints, keep_dims)
}

/// The integers that each result is made of.
struct Groups {
    /// One group after the other.
    ints: Vec<i32>,
    /// Elements of a group.
    count: usize,
    /// The dimensions that are reduced, ascending.
    dims: Vec<usize>,
    /// Whether these are the last ones.
    trailing: bool,
    scale: f64,
    zero_point: i32,
}

impl Groups {
    fn new(operation: &'static str, x: &QTensor, dims: &[usize]) -> Result<Groups> {
        let (scale, zero_point) = x.per_tensor(operation)?;
        let rank = x.rank();
        let mut reduced: Vec<usize> = if dims.is_empty() {
            (0..rank).collect()
        } else {
            dims.to_vec()
        };
        reduced.sort_unstable();
        if let Some(&dim) = reduced.last().filter(|&&dim| dim >= rank) {
            return Err(Error::Tensor(qtensor_core::Error::NoSuchDim {
                operation,
                dim,
                rank,
                shape: x.shape().to_vec(),
            }));
        }
        if let Some(pair) = reduced.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Tensor(qtensor_core::Error::RepeatedDim {
                operation,
                dim: pair[0],
                dims: dims.to_vec(),
            }));
        }
        let count: usize = reduced.iter().map(|&dim| x.shape()[dim]).product();
        if count == 0 {
            return Err(Error::Empty {
                operation,
                what: "element",
            });
        }
        let kept = (0..rank).filter(|dim| !reduced.contains(dim));
        let order: Vec<usize> = kept.chain(reduced.iter().copied()).collect();
        Ok(Groups {
            ints: x.permute(&order)?.int_repr().to_i32_vec(),
            count,
            trailing: order.iter().enumerate().all(|(at, &dim)| at == dim),
            dims: reduced,
            scale,
            zero_point,
        })
    }

    fn fold(&self, f: impl Fn(&[i32]) -> i32) -> Vec<i32> {
        self.ints.chunks_exact(self.count).map(f).collect()
    }

    fn result(&self, x: &QTensor, ints: &[i32], keep_dims: bool) -> Result<QTensor> {
        let lengths = x.shape().iter().enumerate();
        let shape: Vec<usize> = lengths
            .filter(|(dim, _)| keep_dims || !self.dims.contains(dim))
            .map(|(dim, &len)| if self.dims.contains(&dim) { 1 } else { len })
            .collect();
        let ints = IntTensor::from_i32(ints, &shape, x.dtype())?;
        let map = Quantizer::per_tensor(self.scale, self.zero_point);
        Ok(QTensor::from_parts(ints, map)?)
    }
}
