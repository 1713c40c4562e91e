//! Cutting tensors and dropping or merging dimensions: views made of `slice`, `select` and `reshape`, for float and
//! quantized tensors alike. A quantized tensor's pieces carry the part of its map that they need.

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::qtensor::QTensor;
use crate::tensor::{Element, Tensor};

/// The most pieces that a dimension of length 0 is cut into.
const MOST_EMPTY: usize = 1 << 16;

macro_rules! pieces {
    ([$($generics:tt)*] $tensor:ty) => {
        impl $($generics)* $tensor {
            /// `length` elements of `dim` from `start` on, without a copy.
            ///
            /// # Errors
            /// [`Error::NoSuchDim`]; [`Error::OutOfRange`] if `start + length` lies beyond the dimension.
            pub fn narrow(&self, dim: usize, start: usize, length: usize) -> Result<Self> {
                let end = start.saturating_add(length);
                narrowable("narrow", self.layout(), dim, end)?;
                self.slice(dim, start, end, 1)
            }

            /// Pieces of `size` along `dim`, the last one shorter if the length is no multiple, without copies.
            ///
            /// A dimension of length 0 gives one piece without elements.
            ///
            /// # Errors
            /// [`Error::NoSuchDim`]; [`Error::InvalidStep`] for a size of 0 along a dimension that has elements.
            pub fn split(&self, dim: usize, size: usize) -> Result<Vec<Self>> {
                self.split_sizes(dim, &even_sizes(self.layout(), dim, size)?)
            }

            /// Pieces of the given lengths along `dim`, without copies.
            ///
            /// # Errors
            /// [`Error::NoSuchDim`]; [`Error::ValueCount`] unless the lengths sum to that of `dim`.
            #[doc(alias = "split_with_sizes")]
            pub fn split_sizes(&self, dim: usize, sizes: &[usize]) -> Result<Vec<Self>> {
                check_sizes(self.layout(), dim, sizes)?;
                let mut start = 0;
                let pieces = sizes.iter().map(|&size| {
                    start += size;
                    self.slice(dim, start - size, start, 1)
                });
                pieces.collect()
            }

            /// At most `chunks` pieces of one size along `dim`, the last one shorter if the length is no multiple.
            ///
            /// The size is the length over `chunks`, rounded up, so there may be fewer pieces. A dimension of length
            /// 0 gives `chunks` pieces without elements.
            ///
            /// # Errors
            /// [`Error::NoSuchDim`]; [`Error::InvalidStep`] for 0 chunks; [`Error::TooLarge`] for more than 2^16 pieces
            /// without elements.
            pub fn chunk(&self, dim: usize, chunks: usize) -> Result<Vec<Self>> {
                self.split_sizes(dim, &chunk_sizes(self.layout(), dim, chunks)?)
            }

            /// The slice at each index of `dim`, without that dimension and without copies.
            ///
            /// # Errors
            /// [`Error::NoSuchDim`].
            pub fn unbind(&self, dim: usize) -> Result<Vec<Self>> {
                self.layout().check_dim("unbind", dim)?;
                let length = self.shape()[dim];
                (0..length).map(|index| self.select(dim, index)).collect()
            }

            /// Drops every dimension of length 1, without a copy.
            ///
            /// # Errors
            /// None for a tensor that exists; a `Result` as all views return one.
            pub fn squeeze_all(&self) -> Result<Self> {
                let single = (0..self.rank()).rev().filter(|&dim| self.shape()[dim] == 1);
                single.collect::<Vec<_>>().into_iter().try_fold(self.clone(), |t, dim| t.squeeze(dim))
            }

            /// Merges the dimensions `start..=end` into one, copying if it must. (A scalar becomes one element.)
            ///
            /// # Errors
            /// [`Error::NoSuchDim`]; [`Error::ReversedRange`]; [`Error::ChannelAxisLost`] if a per-channel tensor's axis
            /// would be merged with another dimension.
            pub fn flatten_dims(&self, start: usize, end: usize) -> Result<Self> {
                self.reshape_for("flatten", &merged_shape(self.layout(), start, end)?)
            }

            /// One dimension split into several, of which one may be `None`: what the others leave. No copy.
            ///
            /// # Errors
            /// [`Error::NoSuchDim`]; [`Error::ShapeMismatch`] unless the lengths multiply to that of `dim`;
            /// [`Error::ChannelAxisLost`] if a per-channel tensor's axis would be split.
            pub fn unflatten(&self, dim: usize, lengths: &[Option<usize>]) -> Result<Self> {
                self.reshape_for("unflatten", &unmerged_shape(self.layout(), dim, lengths)?)
            }
        }
    };
}

pieces!([<T: Element>] Tensor<T>);
pieces!([] QTensor);

/// Refuses a range that ends beyond its dimension, under the caller's name.
fn narrowable(operation: &'static str, layout: &Layout, dim: usize, end: usize) -> Result<()> {
    layout.check_dim(operation, dim)?;
    let len = layout.shape()[dim];
    if end > len {
        return Err(Error::OutOfRange {
            operation,
            dim,
            index: end,
            len,
        });
    }
    Ok(())
}

fn even_sizes(layout: &Layout, dim: usize, size: usize) -> Result<Vec<usize>> {
    layout.check_dim("split", dim)?;
    let len = layout.shape()[dim];
    if len == 0 {
        return Ok(vec![0]);
    }
    if size == 0 {
        return Err(no_step("split", dim));
    }
    Ok((0..len)
        .step_by(size)
        .map(|start| size.min(len - start))
        .collect())
}

fn chunk_sizes(layout: &Layout, dim: usize, chunks: usize) -> Result<Vec<usize>> {
    layout.check_dim("chunk", dim)?;
    if chunks == 0 {
        return Err(no_step("chunk", dim));
    }
    match layout.shape()[dim] {
        0 if chunks > MOST_EMPTY => Err(Error::TooLarge {
            operation: "chunk",
            shape: vec![chunks],
        }),
        0 => Ok(vec![0; chunks]),
        len => even_sizes(layout, dim, len.div_ceil(chunks)),
    }
}

fn no_step(operation: &'static str, dim: usize) -> Error {
    Error::InvalidStep {
        operation,
        dim,
        step: 0,
    }
}

fn check_sizes(layout: &Layout, dim: usize, sizes: &[usize]) -> Result<()> {
    layout.check_dim("split_sizes", dim)?;
    let total = sizes
        .iter()
        .fold(0usize, |sum, &size| sum.saturating_add(size));
    if total != layout.shape()[dim] {
        return Err(Error::ValueCount {
            operation: "split_sizes (the sum of the sizes)",
            shape: layout.shape().to_vec(),
            expected: layout.shape()[dim],
            actual: total,
        });
    }
    Ok(())
}

fn merged_shape(layout: &Layout, start: usize, end: usize) -> Result<Vec<usize>> {
    if layout.rank() == 0 && start == 0 && end == 0 {
        return Ok(vec![1]);
    }
    layout.check_dim("flatten", start)?;
    layout.check_dim("flatten", end)?;
    if start > end {
        return Err(Error::ReversedRange {
            operation: "flatten",
            dim: start,
            start,
            end,
        });
    }
    let shape = layout.shape();
    let mut merged = shape[..start].to_vec();
    merged.push(shape[start..=end].iter().product());
    merged.extend(&shape[end + 1..]);
    Ok(merged)
}

fn unmerged_shape(layout: &Layout, dim: usize, lengths: &[Option<usize>]) -> Result<Vec<usize>> {
    layout.check_dim("unflatten", dim)?;
    let shape = layout.shape();
    let given = lengths
        .iter()
        .flatten()
        .fold(1usize, |n, &len| n.saturating_mul(len));
    let left = shape[dim].checked_div(given).unwrap_or(0);
    let parts: Vec<usize> = lengths.iter().map(|len| len.unwrap_or(left)).collect();
    let open = lengths.iter().filter(|len| len.is_none()).count();
    let product = parts.iter().fold(1usize, |n, &len| n.saturating_mul(len));
    if open > 1 || product != shape[dim] {
        return Err(Error::ShapeMismatch {
            operation: "unflatten (lengths that multiply to that of the dimension)",
            expected: vec![shape[dim]],
            actual: parts,
        });
    }
    let mut split = shape[..dim].to_vec();
    split.extend(parts);
    split.extend(&shape[dim + 1..]);
    Ok(split)
}
