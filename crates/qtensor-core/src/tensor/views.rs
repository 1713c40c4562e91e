//! Views of a tensor: other shapes and strides over the same storage.

use super::{Element, Tensor};
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout};

impl<T: Element> Tensor<T> {
    /// The same elements under another shape, without a copy. See [`Layout::view`].
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`], [`Error::NotViewable`].
    pub fn view(&self, shape: &[usize]) -> Result<Tensor<T>> {
        Ok(self.with_layout(self.layout.view(shape)?))
    }

    /// As [`view`](Self::view), copying if it must.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`].
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor<T>> {
        match self.layout.view(shape) {
            Ok(layout) => Ok(self.with_layout(layout)),
            Err(Error::NotViewable { .. }) => self.contiguous().view(shape),
            Err(error) => Err(error),
        }
    }

    /// [`reshape`](Self::reshape) on behalf of another operation. (No error of it needs the name.)
    pub(crate) fn reshape_for(&self, _: &'static str, shape: &[usize]) -> Result<Tensor<T>> {
        self.reshape(shape)
    }

    /// Dimensions in a new order, without a copy.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::NoSuchDim`], [`Error::ShapeMismatch`] for a repeated dimension.
    pub fn permute(&self, order: &[usize]) -> Result<Tensor<T>> {
        Ok(self.with_layout(self.layout.permute(order)?))
    }

    /// Two dimensions swapped, without a copy.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`].
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor<T>> {
        self.permute(&swapped(&self.layout, a, b)?)
    }

    /// Elements `start, start + step, …` below `end` of one dimension, without a copy.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`], [`Error::ReversedRange`], [`Error::InvalidStep`].
    pub fn slice(&self, dim: usize, start: usize, end: usize, step: usize) -> Result<Tensor<T>> {
        Ok(self.with_layout(self.layout.slice(dim, start, end, step)?))
    }

    /// Drops a dimension by fixing its index, without a copy.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`].
    pub fn select(&self, dim: usize, index: usize) -> Result<Tensor<T>> {
        Ok(self.with_layout(self.layout.select(dim, index)?))
    }

    /// Drops a dimension of length 1.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`], [`Error::DimLength`].
    pub fn squeeze(&self, dim: usize) -> Result<Tensor<T>> {
        Ok(self.with_layout(self.layout.squeeze(dim)?))
    }

    /// Inserts a dimension of length 1 before `dim`.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`].
    pub fn unsqueeze(&self, dim: usize) -> Result<Tensor<T>> {
        Ok(self.with_layout(self.layout.unsqueeze(dim)?))
    }

    /// Repeats dimensions of length 1 without a copy. See [`Layout::expand`].
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`].
    pub fn expand(&self, shape: &[usize]) -> Result<Tensor<T>> {
        Ok(self.with_layout(self.layout.expand(shape)?))
    }

    /// Merges the dimensions from `start` on into one, copying if it must.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`].
    pub fn flatten(&self, start: usize) -> Result<Tensor<T>> {
        self.reshape(&flattened(&self.layout, start)?)
    }
}

pub(crate) fn swapped(layout: &Layout, a: usize, b: usize) -> Result<Dims> {
    layout.check_dim("transpose", a)?;
    layout.check_dim("transpose", b)?;
    let mut order: Dims = (0..layout.rank()).collect();
    order.swap(a, b);
    Ok(order)
}

pub(crate) fn flattened(layout: &Layout, start: usize) -> Result<Dims> {
    // A scalar flattens to one element, as in PyTorch.
    if layout.rank() == 0 && start == 0 {
        return Ok(std::iter::once(1).collect());
    }
    layout.check_dim("flatten", start)?;
    let (kept, merged) = layout.shape().split_at(start);
    Ok(kept
        .iter()
        .copied()
        .chain([merged.iter().product()])
        .collect())
}
