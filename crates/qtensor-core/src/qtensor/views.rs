//! Views of a quantized tensor, which carry its affine map along.

use super::QTensor;
use crate::error::Result;
use crate::int_tensor::IntTensor;
use crate::layout::MemoryFormat;
use crate::quantizer::Quantizer;
use crate::tensor::{flattened, swapped};

impl QTensor {
    pub(super) fn rebuilt(&self, ints: IntTensor, quantizer: Quantizer) -> QTensor {
        debug_assert!(
            quantizer
                .validate("view", ints.dtype(), ints.layout().shape())
                .is_ok()
        );
        QTensor { ints, quantizer }
    }

    /// This tensor if it is dense in row-major order, else a copy that is.
    pub fn contiguous(&self) -> QTensor {
        self.rebuilt(self.ints.contiguous(), self.quantizer.clone())
    }

    /// This tensor if it is dense in `format`, else a copy that is.
    ///
    /// # Errors
    /// [`Rank`](crate::Error::Rank) for channels-last below rank 3.
    pub fn to_memory_format(&self, format: MemoryFormat) -> Result<QTensor> {
        Ok(self.rebuilt(self.ints.to_memory_format(format)?, self.quantizer.clone()))
    }

    /// The same elements under another shape, without a copy.
    ///
    /// # Errors
    /// [`ShapeMismatch`](crate::Error::ShapeMismatch), [`NotViewable`](crate::Error::NotViewable),
    /// [`ChannelAxisLost`](crate::Error::ChannelAxisLost).
    pub fn view(&self, shape: &[usize]) -> Result<QTensor> {
        let ints = self.ints.view(shape)?;
        Ok(self.rebuilt(ints, self.quantizer.reshaped("view", self.shape(), shape)?))
    }

    /// As [`view`](Self::view), copying if it must.
    ///
    /// # Errors
    /// [`ShapeMismatch`](crate::Error::ShapeMismatch), [`ChannelAxisLost`](crate::Error::ChannelAxisLost).
    pub fn reshape(&self, shape: &[usize]) -> Result<QTensor> {
        self.reshape_for("reshape", shape)
    }

    /// [`reshape`](Self::reshape) on behalf of another operation, which errors name.
    pub(crate) fn reshape_for(&self, operation: &'static str, shape: &[usize]) -> Result<QTensor> {
        let ints = self.ints.reshape(shape)?;
        let quantizer = self.quantizer.reshaped(operation, self.shape(), shape)?;
        Ok(self.rebuilt(ints, quantizer))
    }

    /// Merges the dimensions from `start` on into one, copying if it must.
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim), [`ChannelAxisLost`](crate::Error::ChannelAxisLost).
    pub fn flatten(&self, start: usize) -> Result<QTensor> {
        self.reshape_for("flatten", &flattened(self.layout(), start)?)
    }

    /// Dimensions in a new order, without a copy; a channel axis moves along.
    ///
    /// # Errors
    /// [`Rank`](crate::Error::Rank), [`NoSuchDim`](crate::Error::NoSuchDim),
    /// [`ShapeMismatch`](crate::Error::ShapeMismatch) for a repeated dimension.
    pub fn permute(&self, order: &[usize]) -> Result<QTensor> {
        Ok(self.rebuilt(self.ints.permute(order)?, self.quantizer.permuted(order)))
    }

    /// Two dimensions swapped, without a copy.
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim).
    pub fn transpose(&self, a: usize, b: usize) -> Result<QTensor> {
        self.permute(&swapped(self.layout(), a, b)?)
    }

    /// Elements `start, start + step, …` below `end` of one dimension, without a copy.
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim), [`OutOfRange`](crate::Error::OutOfRange),
    /// [`ReversedRange`](crate::Error::ReversedRange), [`InvalidStep`](crate::Error::InvalidStep).
    pub fn slice(&self, dim: usize, start: usize, end: usize, step: usize) -> Result<QTensor> {
        let ints = self.ints.slice(dim, start, end, step)?;
        Ok(self.rebuilt(ints, self.quantizer.sliced(dim, start, end, step)))
    }

    /// Drops a dimension by fixing its index, without a copy. Selecting a channel gives a per-tensor map.
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim), [`OutOfRange`](crate::Error::OutOfRange).
    pub fn select(&self, dim: usize, index: usize) -> Result<QTensor> {
        let ints = self.ints.select(dim, index)?;
        Ok(self.rebuilt(ints, self.quantizer.selected(dim, index)))
    }

    /// Drops a dimension of length 1. Dropping a channel axis gives a per-tensor map.
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim), [`DimLength`](crate::Error::DimLength).
    pub fn squeeze(&self, dim: usize) -> Result<QTensor> {
        self.layout().squeeze(dim)?;
        self.select(dim, 0)
    }

    /// Inserts a dimension of length 1 before `dim`.
    ///
    /// # Errors
    /// [`NoSuchDim`](crate::Error::NoSuchDim).
    pub fn unsqueeze(&self, dim: usize) -> Result<QTensor> {
        Ok(self.rebuilt(self.ints.unsqueeze(dim)?, self.quantizer.unsqueezed(dim)))
    }

    /// Repeats dimensions of length 1 without a copy.
    ///
    /// # Errors
    /// [`ShapeMismatch`](crate::Error::ShapeMismatch).
    pub fn expand(&self, shape: &[usize]) -> Result<QTensor> {
        let ints = self.ints.expand(shape)?;
        Ok(self.rebuilt(ints, self.quantizer.expanded(self.rank(), shape)))
    }
}
