//! Laying tensors of any element type side by side.

use qtensor_core::{Element, MemoryFormat, Tensor, checked_numel};

use crate::error::{Error, Result};

/// Joins tensors along `dim`; all other dimensions must agree. The result is row-major.
///
/// # Errors
/// [`Error::Empty`] for no tensors, [`Error::Operands`] if another dimension differs, a dimension that
/// does not exist, ranks that differ, a result that is too large.
pub(crate) fn cat<T: Element>(
    operation: &'static str,
    tensors: &[&Tensor<T>],
    dim: usize,
) -> Result<Tensor<T>> {
    let shapes: Vec<&[usize]> = tensors.iter().map(|t| t.shape()).collect();
    let shape = joined_shape(operation, &shapes, dim)?;
    let parts: Vec<Tensor<T>> = tensors.iter().map(|t| t.contiguous()).collect();
    let inner: usize = shape[dim + 1..].iter().product();
    let row = shape[dim] * inner;
    Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
        let mut start = 0;
        for part in &parts {
            let len = part.shape()[dim] * inner;
            if len == 0 {
                continue;
            }
            let source = part.as_slice().unwrap_or_default().chunks_exact(len);
            for (row, piece) in out.chunks_exact_mut(row).zip(source) {
                row[start..start + len].copy_from_slice(piece);
            }
            start += len;
        }
        Ok(())
    })
}

/// The shape of the result.
fn joined_shape(operation: &'static str, shapes: &[&[usize]], dim: usize) -> Result<Vec<usize>> {
    let Some(first) = shapes.first() else {
        return Err(Error::Empty {
            operation,
            what: "tensor",
        });
    };
    if dim >= first.len() {
        return Err(Error::Tensor(qtensor_core::Error::NoSuchDim {
            operation,
            dim,
            rank: first.len(),
            shape: first.to_vec(),
        }));
    }
    let mut joined = first.to_vec();
    joined[dim] = 0;
    for shape in shapes {
        check_shape(operation, first, shape, dim)?;
        // Lengths of existing tensors fit into memory, but their sum may be absurd after expansion.
        joined[dim] = joined[dim].saturating_add(shape[dim]);
    }
    checked_numel(&joined)?;
    Ok(joined)
}

fn check_shape(
    operation: &'static str,
    first: &[usize],
    other: &[usize],
    dim: usize,
) -> Result<()> {
    if first.len() != other.len() {
        return Err(qtensor_core::Error::Rank {
            operation,
            expected: first.len().to_string(),
            actual: other.len(),
            shape: other.to_vec(),
        }
        .into());
    }
    for at in (0..first.len()).filter(|&at| at != dim) {
        if first[at] != other[at] {
            return Err(Error::Operands {
                operation,
                what: "a dimension that is not joined",
                expected: first[at],
                actual: other[at],
                left: first.to_vec(),
                right: other.to_vec(),
            });
        }
    }
    Ok(())
}

/// Requires tensors of one shape, and a place `dim` for a new dimension among theirs.
pub(crate) fn check_stack(operation: &'static str, shapes: &[&[usize]], dim: usize) -> Result<()> {
    let Some(first) = shapes.first() else {
        return Err(Error::Empty {
            operation,
            what: "tensor",
        });
    };
    if let Some(other) = shapes.iter().find(|shape| shape != &first) {
        return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation,
            expected: first.to_vec(),
            actual: other.to_vec(),
        }));
    }
    if dim > first.len() {
        return Err(Error::Tensor(qtensor_core::Error::NoSuchDim {
            operation,
            dim,
            rank: first.len() + 1,
            shape: first.to_vec(),
        }));
    }
    Ok(())
}
