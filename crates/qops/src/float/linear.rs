//! Fully connected layers and matrix products.

use qtensor_core::{MemoryFormat, Tensor};

use super::broadcast::{Walk, broadcast_shape};
use super::parallel;
use super::product::{Mat, Matrices, product};
use crate::error::{Error, Result};

/// `y = x·Wᵀ + b` over the last dimension: `[…, K]` with weights `[N, K]` and bias `[N]` gives `[…, N]`.
///
/// ```
/// # use qops::float::linear;
/// # use qtensor_core::Tensor;
/// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0], &[1, 3])?;
/// let w = Tensor::from_vec(vec![1.0, 0.0, 0.0, 0.5, 0.5, 0.5], &[2, 3])?;
/// let b = Tensor::from_vec(vec![0.0, 1.0], &[2])?;
/// assert_eq!(linear(&x, &w, Some(&b))?.to_vec(), [1.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Operands`] if the lengths `K` or `N` differ, a rank error for an input without dimensions,
/// weights that are not a matrix, or a bias that is not a vector.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check_rank("linear (weight)", weight, 2, 2)?;
    check_rank("linear", x, 1, usize::MAX)?;
    let (n, k) = (weight.shape()[0], weight.shape()[1]);
    let features = x.shape()[x.rank() - 1];
    if features != k {
        return Err(Error::Operands {
            operation: "linear",
            what: "the number of input features",
            expected: k,
            actual: features,
            left: weight.shape().to_vec(),
            right: x.shape().to_vec(),
        });
    }
    let bias = bias
        .map(|bias| check_bias("linear", weight, bias))
        .transpose()?;
    let m = x.shape()[..x.rank() - 1].iter().product();
    let mut shape = x.shape().to_vec();
    shape[x.rank() - 1] = n;
    let x = x.contiguous();
    let weight = weight.contiguous();
    Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
        if let Some(bias) = bias
            .as_ref()
            .and_then(Tensor::as_slice)
            .filter(|b| !b.is_empty())
        {
            out.chunks_exact_mut(n)
                .for_each(|row| row.copy_from_slice(bias));
        }
        let rows = Mat::rows(x.as_slice().unwrap_or_default(), k);
        let accumulate = bias.is_some();
        let weights = Mat::columns(weight.as_slice().unwrap_or_default(), k);
        product([m, n, k], rows, weights, out, n, accumulate, true)
    })
}

/// `y = a·b`, the matrix product over the last two dimensions, broadcasting the ones before them.
///
/// `[…, M, K]` times `[…, K, N]` gives `[…, M, N]`. A vector is taken as a row on the left and as a column
/// on the right, and that dimension is gone from the result. The memory layout of the operands changes no bit of it: those that are not
/// row-major are copied. (For one row times the transpose of a matrix, where that counts, [`linear`] copies nothing.)
///
/// # Errors
/// [`Error::Operands`] if the lengths `K` differ, [`Error::NotBroadcastable`] if the leading dimensions do
/// not broadcast, a rank error for an operand without dimensions.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check_rank("matmul", a, 1, usize::MAX)?;
    check_rank("matmul", b, 1, usize::MAX)?;
    let left = if a.rank() == 1 {
        a.unsqueeze(0)?
    } else {
        a.clone()
    };
    let right = if b.rank() == 1 {
        b.unsqueeze(1)?
    } else {
        b.clone()
    };
    let (lead_a, lead_b) = (left.rank() - 2, right.rank() - 2);
    let (m, k) = (left.shape()[lead_a], left.shape()[lead_a + 1]);
    let (depth, n) = (right.shape()[lead_b], right.shape()[lead_b + 1]);
    if k != depth {
        return Err(Error::Operands {
            operation: "matmul",
            what: "the summed dimension",
            expected: k,
            actual: depth,
            left: a.shape().to_vec(),
            right: b.shape().to_vec(),
        });
    }
    let leading = [&left.shape()[..lead_a], &right.shape()[..lead_b]];
    let batch = broadcast_shape("matmul", leading[0], leading[1])?;
    let mut pairs = Vec::new();
    // Matrices without elements may be more than there is memory for a list of them.
    if m > 0 && n > 0 {
        Walk::new(&batch, leading).for_each_row(|_, [i, j], row| {
            let [step_a, step_b] = row.strides;
            pairs.extend((0..row.len).map(|at| (i + at * step_a, j + at * step_b)));
        });
    }

    let (left, right) = (Matrices::new(&left), Matrices::new(&right));
    let mut shape = batch;
    shape.extend([m, n]);
    let y = Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
        let work = out.len().saturating_mul(k);
        let alone = pairs.len() < parallel::threads();
        parallel::jobs(out, m * n, work, !alone, |index, out| {
            let (i, j) = pairs[index];
            product([m, n, k], left.at(i), right.at(j), out, n, false, alone)
        })
    })?;
    let y = if a.rank() == 1 {
        y.squeeze(y.rank() - 2)?
    } else {
        y
    };
    Ok(if b.rank() == 1 {
        y.squeeze(y.rank() - 1)?
    } else {
        y
    })
}

/// The bias as a dense vector of one value per output channel of `weight`.
pub(super) fn check_bias(
    operation: &'static str,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    if bias.rank() != 1 || bias.shape()[0] != weight.shape()[0] {
        return Err(Error::Operands {
            operation,
            what: "the number of output channels",
            expected: weight.shape()[0],
            actual: bias.numel(),
            left: weight.shape().to_vec(),
            right: bias.shape().to_vec(),
        });
    }
    Ok(bias.contiguous())
}

/// Refuses ranks outside `least..=most`.
pub(super) fn check_rank(
    operation: &'static str,
    x: &Tensor,
    least: usize,
    most: usize,
) -> Result<()> {
    if (least..=most).contains(&x.rank()) {
        return Ok(());
    }
    let expected = if least == most {
        least.to_string()
    } else if most == usize::MAX {
        format!("at least {least}")
    } else {
        format!("{least} to {most}")
    };
    Err(qtensor_core::Error::Rank {
        operation,
        expected,
        actual: x.rank(),
        shape: x.shape().to_vec(),
    }
    .into())
}
