//! Copies of a quantized tensor that take chosen indices along a dimension. Along the channel axis the scales and zero
//! points are taken with them.

use super::QTensor;
use crate::error::Result;
use crate::layout::checked_lengths;
use crate::tensor::{check_flip, leading_ones, repeated};

impl QTensor {
    /// The slices at `indices` along `dim`, in that order; see [`Tensor::index_select`](crate::Tensor::index_select).
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim), [`OutOfRange`](crate::Error::OutOfRange),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn index_select(&self, dim: usize, indices: &[usize]) -> Result<QTensor> {
        self.gathered("index_select", dim, indices)
    }

    /// Mirrored along each of `dims`; see [`Tensor::flip`](crate::Tensor::flip).
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim), [`RepeatedDim`](crate::Error::RepeatedDim),
    /// [`TooLarge`](crate::Error::TooLarge).
    pub fn flip(&self, dims: &[usize]) -> Result<QTensor> {
        check_flip(self.shape(), dims)?;
        checked_lengths("flip", self.shape())?;
        dims.iter().try_fold(self.clone(), |t, &dim| {
            let backwards: Vec<usize> = (0..t.shape()[dim]).rev().collect();
            t.gathered("flip", dim, &backwards)
        })
    }

    /// The whole tensor `times[d]` times along each dimension `d`; see [`Tensor::repeat`](crate::Tensor::repeat).
    ///
    /// # Errors
    /// [`Rank`](crate::Error::Rank) for fewer numbers than dimensions, [`TooLarge`](crate::Error::TooLarge).
    #[doc(alias = "tile")]
    pub fn repeat(&self, times: &[usize]) -> Result<QTensor> {
        let lead = leading_ones(self.shape(), times)?;
        let mut wide = self.clone();
        for _ in 0..lead {
            wide = wide.unsqueeze(0)?;
        }
        times.iter().enumerate().try_fold(wide, |t, (dim, &n)| {
            if n == 1 {
                return Ok(t);
            }
            t.gathered("repeat", dim, &repeated(t.shape()[dim], n))
        })
    }

    fn gathered(&self, operation: &'static str, dim: usize, indices: &[usize]) -> Result<QTensor> {
        let ints = self.ints.gathered(operation, dim, indices)?;
        Ok(self.rebuilt(ints, self.quantizer.gathered(dim, indices)))
    }
}
