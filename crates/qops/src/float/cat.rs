//! Joining tensors along a dimension.

use qtensor_core::{MemoryFormat, Tensor};

use crate::error::{Error, Result};

/// Joins tensors along `dim`; all other dimensions must agree.
///
/// ```
/// # use qops::float::cat;
/// # use qtensor_core::Tensor;
/// let (a, b) = (Tensor::ones(&[2, 1])?, Tensor::zeros(&[2, 2])?);
/// assert_eq!(cat(&[&a, &b], 1)?.to_vec(), [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] for no tensors, [`Error::Operands`] if another dimension differs, a dimension that
/// does not exist, ranks that differ.
#[doc(alias = "concat")]
pub fn cat(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
    let Some(first) = tensors.first() else {
        return Err(Error::Empty {
            operation: "cat",
            what: "tensor",
        });
    };
    let mut shape = first.shape().to_vec();
    first.size(dim)?;
    shape[dim] = 0;
    for tensor in tensors {
        check_shape(first.shape(), tensor.shape(), dim)?;
        // Lengths of existing tensors fit into memory, but their sum may be absurd after expansion.
        shape[dim] = shape[dim].saturating_add(tensor.shape()[dim]);
    }
    let parts: Vec<Tensor> = tensors.iter().map(|t| t.contiguous()).collect();
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

fn check_shape(first: &[usize], other: &[usize], dim: usize) -> Result<()> {
    if first.len() != other.len() {
        return Err(qtensor_core::Error::Rank {
            operation: "cat",
            expected: first.len().to_string(),
            actual: other.len(),
            shape: other.to_vec(),
        }
        .into());
    }
    for at in (0..first.len()).filter(|&at| at != dim) {
        if first[at] != other[at] {
            return Err(Error::Operands {
                operation: "cat",
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

#[cfg(test)]
mod tests {
    use super::super::testing::Values;
    use super::*;

    #[test]
    fn slices_of_the_result_are_the_parts() {
        let mut values = Values::new(4);
        for dim in 0..3 {
            let parts: Vec<Tensor> = [2, 0, 3]
                .into_iter()
                .map(|n| {
                    let mut shape = [2, 3, 4];
                    shape[dim] = n;
                    values.tensor(&shape)
                })
                .collect();
            let refs: Vec<&Tensor> = parts.iter().collect();
            let joined = cat(&refs, dim).unwrap();
            assert_eq!(joined.slice(dim, 0, 2, 1).unwrap(), parts[0]);
            assert_eq!(joined.slice(dim, 2, 5, 1).unwrap(), parts[2]);
        }
    }

    #[test]
    fn mistakes_show_both_shapes() {
        let (a, b) = (
            Tensor::zeros(&[2, 3]).unwrap(),
            Tensor::zeros(&[2, 4]).unwrap(),
        );
        let message = cat(&[&a, &b], 0).unwrap_err().to_string();
        assert!(
            message.contains("[2, 3]") && message.contains("[2, 4]"),
            "{message}"
        );
        assert!(cat(&[], 0).is_err());
        assert!(cat(&[&a], 2).is_err());
        assert!(cat(&[&a, &Tensor::zeros(&[2]).unwrap()], 0).is_err());
    }
}
