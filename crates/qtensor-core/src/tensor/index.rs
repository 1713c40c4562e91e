//! Reading and writing chosen elements: index expressions and masks.

use super::{Element, Tensor};
use crate::error::{Error, Result};
use crate::indexing::{Index, Indexed};
use crate::layout::MemoryFormat;

impl<T: Element> Tensor<T> {
    /// The elements that an index expression takes, as the subscript of Python does.
    ///
    /// Ranges and single indices alone give a view; with tensors or masks the result is a row-major copy.
    ///
    /// ```
    /// # use qtensor_core::{Index, Tensor};
    /// let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
    /// let columns = Tensor::from_vec(vec![-1, 0], &[2])?;
    /// assert_eq!(x.index(&[Index::All, Index::Indices(&columns)])?.to_vec(), [3.0, 1.0, 6.0, 4.0]);
    /// let mask = x.map(|v| u8::from(v > 4.0));
    /// assert_eq!(x.index(&[Index::Mask(&mask)])?.to_vec(), [5.0, 6.0]);
    /// # Ok::<(), qtensor_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchDim`] for more entries than dimensions; [`Error::IndexOutOfRange`]; those of
    /// [`slice`](Self::slice); [`Error::ShapeMismatch`] for a mask of other lengths and for tensors that do not
    /// broadcast together; [`Error::TooLarge`].
    #[doc(alias = "getitem")]
    pub fn index(&self, indices: &[Index<'_>]) -> Result<Tensor<T>> {
        let indexed = Indexed::new("index", self.layout(), indices)?;
        self.indexed(&indexed)
    }

    pub(crate) fn indexed(&self, indexed: &Indexed) -> Result<Tensor<T>> {
        if let Some(view) = indexed.plain_view() {
            return Ok(self.with_layout(view.clone()));
        }
        let storage = self.storage.as_slice::<T>();
        Tensor::build(&indexed.shape()?, MemoryFormat::Contiguous, |out| {
            let positions = indexed.positions();
            out.iter_mut()
                .zip(positions)
                .for_each(|(o, at)| *o = storage[at]);
            Ok(())
        })
    }

    /// Writes `values`, expanded to the shape of the result of [`index`](Self::index), to the elements that an index
    /// expression takes. Where it takes an element several times, the last value stays.
    ///
    /// # Errors
    /// Those of [`index`](Self::index); [`Error::ShapeMismatch`] if `values` do not expand to that shape.
    #[doc(alias = "setitem")]
    #[doc(alias = "index_put_")]
    pub fn index_put(&mut self, indices: &[Index<'_>], values: &Tensor<T>) -> Result<()> {
        let operation = "index_put";
        let shape = Indexed::new(operation, self.layout(), indices)?.shape()?;
        let values = expanded(operation, values, &shape)?.to_vec();
        // Unsharing may change the strides, so positions are looked up behind it.
        self.unshare();
        let positions = Indexed::new(operation, self.layout(), indices)?.positions();
        let storage = self.storage_mut();
        positions
            .into_iter()
            .zip(values)
            .for_each(|(at, value)| storage[at] = value);
        Ok(())
    }

    /// The elements where `mask` is not 0, in logical order, after both were expanded to one shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the shapes do not broadcast together.
    pub fn masked_select(&self, mask: &Tensor<u8>) -> Result<Tensor<T>> {
        let operation = "masked_select";
        let shape = crate::indexing::broadcast(operation, self.shape(), mask.shape())?;
        let (x, mask) = (self.expand(&shape)?, mask.expand(&shape)?);
        let pairs = x.to_vec().into_iter().zip(mask.to_vec());
        let taken: Vec<T> = pairs.filter(|(_, m)| *m != 0).map(|(v, _)| v).collect();
        Tensor::from_slice(&taken, &[taken.len()])
    }

    /// Writes `value` where `mask`, which expands to this tensor's shape, is not 0.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if `mask` does not expand to the shape.
    #[doc(alias = "masked_fill_")]
    pub fn masked_fill(&mut self, mask: &Tensor<u8>, value: T) -> Result<()> {
        let mask = expanded("masked_fill", mask, self.shape())?;
        let mut marks = mask.to_vec().into_iter();
        self.unshare();
        let layout = self.layout().clone();
        let storage = self.storage_mut();
        layout.for_each_row(|start, n, stride| {
            for (i, mark) in marks.by_ref().take(n).enumerate() {
                if mark != 0 {
                    storage[start + i * stride] = value;
                }
            }
        });
        Ok(())
    }
}

/// `t` expanded to `shape`, on behalf of an operation that errors name.
pub(crate) fn expanded<T: Element>(
    operation: &'static str,
    t: &Tensor<T>,
    shape: &[usize],
) -> Result<Tensor<T>> {
    t.expand(shape).map_err(|error| match error {
        Error::ShapeMismatch {
            expected, actual, ..
        } => Error::ShapeMismatch {
            operation,
            expected,
            actual,
        },
        other => other,
    })
}
