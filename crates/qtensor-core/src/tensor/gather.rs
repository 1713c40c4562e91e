//! Copies that take chosen indices along a dimension: selection, mirroring, repetition, joining.

use super::{Element, Tensor};
use crate::error::{Error, Result};
use crate::layout::{MemoryFormat, checked_lengths, checked_numel};

impl<T: Element> Tensor<T> {
    /// The slices at `indices` along `dim`, in that order; an index may come several times.
    ///
    /// A channels-last tensor gives one, any other a row-major one.
    ///
    /// ```
    /// # use qtensor_core::Tensor;
    /// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
    /// assert_eq!(x.index_select(1, &[2, 0])?.to_vec(), [3.0, 1.0, 6.0, 4.0]);
    /// # Ok::<(), qtensor_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`], [`Error::TooLarge`].
    pub fn index_select(&self, dim: usize, indices: &[usize]) -> Result<Tensor<T>> {
        self.gathered("index_select", dim, indices)
    }

    /// [`index_select`](Self::index_select) on behalf of an operation that errors name.
    pub(crate) fn gathered(
        &self,
        operation: &'static str,
        dim: usize,
        indices: &[usize],
    ) -> Result<Tensor<T>> {
        self.layout().check_dim(operation, dim)?;
        let len = self.shape()[dim];
        if let Some(&index) = indices.iter().find(|&&index| index >= len) {
            return Err(Error::OutOfRange {
                operation,
                dim,
                index,
                len,
            });
        }
        let mut shape = self.shape().to_vec();
        shape[dim] = indices.len();
        checked_numel(&shape)?;
        let format = self.format_of_copies();
        let dense = self.to_memory_format(format)?;
        let source = dense.dense_slice(format).unwrap_or_default();
        let inner = run_length(&shape, dim, format);
        Tensor::build(&shape, format, |out| {
            if out.is_empty() {
                return Ok(());
            }
            let blocks = out.chunks_exact_mut(indices.len() * inner);
            for (block, rows) in blocks.zip(source.chunks_exact(len * inner)) {
                for (target, &index) in block.chunks_exact_mut(inner).zip(indices) {
                    target.copy_from_slice(&rows[index * inner..][..inner]);
                }
            }
            Ok(())
        })
    }

    /// Mirrored along each of `dims`: index `i` becomes `length − 1 − i`. A copy.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`]; [`Error::RepeatedDim`] if a dimension comes twice; [`Error::TooLarge`] as
    /// [`checked_lengths`].
    pub fn flip(&self, dims: &[usize]) -> Result<Tensor<T>> {
        check_flip(self.shape(), dims)?;
        checked_lengths("flip", self.shape())?;
        dims.iter().try_fold(self.clone(), |t, &dim| {
            let backwards: Vec<usize> = (0..t.shape()[dim]).rev().collect();
            t.gathered("flip", dim, &backwards)
        })
    }

    /// The whole tensor `times[d]` times along each dimension `d`; more numbers than dimensions add leading ones.
    ///
    /// ```
    /// # use qtensor_core::Tensor;
    /// let x = Tensor::from_vec(vec![1.0, 2.0], &[2])?;
    /// assert_eq!(x.repeat(&[2, 2])?.to_vec(), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    /// # Ok::<(), qtensor_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Rank`] for fewer numbers than dimensions, [`Error::TooLarge`].
    #[doc(alias = "tile")]
    pub fn repeat(&self, times: &[usize]) -> Result<Tensor<T>> {
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

    /// The memory format that copies of this tensor get: channels-last if it lies so (and not in row-major order too).
    pub(crate) fn format_of_copies(&self) -> MemoryFormat {
        let dense = |format| self.layout().is_dense_in(format);
        if dense(MemoryFormat::ChannelsLast) && !dense(MemoryFormat::Contiguous) {
            MemoryFormat::ChannelsLast
        } else {
            MemoryFormat::Contiguous
        }
    }
}

/// The number of elements behind `dim` in the memory order of `format`.
fn run_length(shape: &[usize], dim: usize, format: MemoryFormat) -> usize {
    let behind = |start: usize| shape[start..].iter().product::<usize>();
    match (format, dim) {
        (MemoryFormat::Contiguous, _) => behind(dim + 1),
        (MemoryFormat::ChannelsLast, 1) => 1,
        (MemoryFormat::ChannelsLast, 0) => behind(1),
        (MemoryFormat::ChannelsLast, _) => behind(dim + 1) * shape[1],
    }
}

/// Each dimension at most once, and existing.
pub(crate) fn check_flip(shape: &[usize], dims: &[usize]) -> Result<()> {
    let operation = "flip";
    for (i, &dim) in dims.iter().enumerate() {
        if dim >= shape.len() {
            return Err(Error::NoSuchDim {
                operation,
                dim,
                rank: shape.len(),
                shape: shape.to_vec(),
            });
        }
        if dims[..i].contains(&dim) {
            return Err(Error::RepeatedDim {
                operation,
                dim,
                dims: dims.to_vec(),
            });
        }
    }
    Ok(())
}

/// How many leading dimensions `times` adds, if the result fits into memory.
pub(crate) fn leading_ones(shape: &[usize], times: &[usize]) -> Result<usize> {
    let operation = "repeat";
    let Some(lead) = times.len().checked_sub(shape.len()) else {
        return Err(Error::Rank {
            operation: "repeat (one number for each dimension)",
            expected: format!("at least {}", shape.len()),
            actual: times.len(),
            shape: shape.to_vec(),
        });
    };
    let lengths = std::iter::repeat_n(1, lead).chain(shape.iter().copied());
    let products = lengths.zip(times).map(|(len, &n)| len.checked_mul(n));
    let result: Option<Vec<usize>> = products.collect();
    match result {
        Some(result) => checked_lengths(operation, &result).map(|_| lead),
        None => Err(Error::TooLarge {
            operation,
            shape: shape.to_vec(),
        }),
    }
}

/// `0..len`, `n` times over.
pub(crate) fn repeated(len: usize, n: usize) -> Vec<usize> {
    // Without elements there is nothing to repeat, however often.
    let n = if len == 0 { 0 } else { n };
    (0..n).flat_map(|_| 0..len).collect()
}
