//! Changing the number of elements of a tensor in place.

use crate::error::Result;
use crate::int_tensor::IntTensor;
use crate::layout::checked_numel;
use crate::qtensor::QTensor;
use crate::tensor::{Element, Tensor};

impl<T: Element> Tensor<T> {
    /// Gives this tensor another shape: the first elements in logical order stay, further ones are 0.
    ///
    /// (PyTorch keeps the order in memory, and leaves further elements uninitialized.)
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge).
    #[doc(alias = "resize_")]
    pub fn resize(&mut self, shape: &[usize]) -> Result<()> {
        self.resize_with(shape, T::default())
    }

    fn resize_with(&mut self, shape: &[usize], further: T) -> Result<()> {
        if shape == self.shape() {
            return Ok(());
        }
        let numel = checked_numel(shape)?;
        if numel == self.numel() {
            *self = self.reshape(shape)?;
            return Ok(());
        }
        let mut values = self.to_vec();
        values.resize(numel, further);
        *self = Tensor::from_vec(values, shape)?;
        Ok(())
    }
}

impl QTensor {
    /// Gives this tensor another shape: the first elements in logical order stay, further ones are the zero point, a real 0.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge); [`Error::QSchemeMismatch`](crate::Error::QSchemeMismatch) for a
    /// per-channel tensor, whose elements would change their channels.
    #[doc(alias = "resize_")]
    pub fn resize(&mut self, shape: &[usize]) -> Result<()> {
        let (_, zero_point) = self.per_tensor("resize")?;
        let mut ints = self.int_repr().clone();
        match &mut ints {
            IntTensor::U8(t) => t.resize_with(shape, zero_point as u8),
            IntTensor::I8(t) => t.resize_with(shape, zero_point as i8),
            IntTensor::I32(t) => t.resize_with(shape, zero_point),
        }?;
        *self = QTensor::from_parts(ints, self.quantizer().clone())?;
        Ok(())
    }
}
