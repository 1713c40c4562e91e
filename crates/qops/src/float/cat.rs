//! Joining tensors along a dimension, one they have or a new one.

use qtensor_core::Tensor;

use crate::error::Result;
use crate::joined;

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
/// [`Error::Empty`](crate::Error::Empty) for no tensors, [`Error::Operands`](crate::Error::Operands) if another dimension
/// differs, a dimension that does not exist, ranks that differ.
#[doc(alias = "concat")]
pub fn cat(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
    joined::cat("cat", tensors, dim)
}

/// Puts tensors of one shape side by side along a new dimension before `dim`.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) for no tensors; [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch);
/// [`NoSuchDim`](qtensor_core::Error::NoSuchDim) if `dim` exceeds the rank.
pub fn stack(tensors: &[&Tensor], dim: usize) -> Result<Tensor> {
    let shapes: Vec<&[usize]> = tensors.iter().map(|t| t.shape()).collect();
    joined::check_stack("stack", &shapes, dim)?;
    let wide = tensors.iter().map(|t| t.unsqueeze(dim));
    let wide: Vec<Tensor> = wide.collect::<qtensor_core::Result<_>>()?;
    joined::cat("stack", &wide.iter().collect::<Vec<_>>(), dim)
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
    fn stacked_tensors_come_out_again() {
        let mut values = Values::new(5);
        let parts: Vec<Tensor> = (0..3).map(|_| values.tensor(&[2, 4])).collect();
        let refs: Vec<&Tensor> = parts.iter().collect();
        for dim in 0..3 {
            let stacked = stack(&refs, dim).unwrap();
            assert_eq!(stacked.shape()[dim], 3);
            assert_eq!(stacked.unbind(dim).unwrap(), parts);
        }
        let one = Tensor::scalar(2.0);
        assert_eq!(stack(&[&one, &one], 0).unwrap().to_vec(), [2.0, 2.0]);
    }

    #[test]
    fn mistakes_show_both_shapes() {
        let (a, b) = (
            Tensor::zeros(&[2, 3]).unwrap(),
            Tensor::zeros(&[2, 4]).unwrap(),
        );
        for message in [
            cat(&[&a, &b], 0).unwrap_err(),
            stack(&[&a, &b], 0).unwrap_err(),
        ] {
            let message = message.to_string();
            assert!(
                message.contains("[2, 3]") && message.contains("[2, 4]"),
                "{message}"
            );
        }
        assert!(cat(&[], 0).is_err());
        assert!(cat(&[&a], 2).is_err());
        assert!(cat(&[&a, &Tensor::zeros(&[2]).unwrap()], 0).is_err());
        assert!(stack(&[], 0).is_err());
        assert!(stack(&[&a], 3).is_err());
    }
}
