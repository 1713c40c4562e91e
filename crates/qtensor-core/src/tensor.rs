//! `Tensor`: values of one element type in shared, strided storage.
//!
//! Views share the storage and cost nothing. Writing to a tensor whose storage is shared copies it
//! first, so a write is never seen through another tensor. (PyTorch writes through views instead;
//! value semantics are what lets tensors be `Send + Sync` without locks.)

use std::sync::Arc;

use bytemuck::Pod;

use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::layout::{Layout, MemoryFormat};

mod sealed {
    pub trait Sealed {}
}

/// A type that tensors hold: `f32`, the integers of quantized tensors, and `i64` for indices.
pub trait Element:
    Pod + PartialOrd + Default + Send + Sync + std::fmt::Debug + std::fmt::Display + sealed::Sealed
{
    /// PyTorch's name of the type.
    const NAME: &'static str;
}

macro_rules! elements {
    ($($t:ty => $name:literal),*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t { const NAME: &'static str = $name; }
    )*};
}
elements!(f32 => "float32", u8 => "uint8", i8 => "int8", i32 => "int32", i64 => "int64");

/// A dense or strided array of `T`, `f32` unless said otherwise.
///
/// ```
/// # use qtensor_core::Tensor;
/// let t = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
/// assert_eq!(t.transpose(0, 1)?.to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok::<(), qtensor_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor<T: Element = f32> {
    storage: Arc<Buffer>,
    layout: Layout,
    element: std::marker::PhantomData<T>,
}

impl Tensor<f32> {
    /// All zeros.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn zeros(shape: &[usize]) -> Result<Tensor> {
        Tensor::full(shape, 0.0)
    }

    /// All ones.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn ones(shape: &[usize]) -> Result<Tensor> {
        Tensor::full(shape, 1.0)
    }
}

impl<T: Element> Tensor<T> {
    /// Values in logical (row-major) order under a shape.
    ///
    /// # Errors
    /// [`Error::ValueCount`] with both numbers, [`Error::TooLarge`].
    pub fn from_vec(values: Vec<T>, shape: &[usize]) -> Result<Tensor<T>> {
        Tensor::from_slice(&values, shape)
    }

    /// As [`from_vec`](Self::from_vec), from a slice.
    ///
    /// # Errors
    /// [`Error::ValueCount`], [`Error::TooLarge`].
    pub fn from_slice(values: &[T], shape: &[usize]) -> Result<Tensor<T>> {
        let layout = Layout::dense(shape, MemoryFormat::Contiguous)?;
        if layout.numel() != values.len() {
            return Err(Error::ValueCount {
                operation: "from_vec",
                shape: shape.to_vec(),
                expected: layout.numel(),
                actual: values.len(),
            });
        }
        let mut storage = Buffer::recycled(size_of_val(values));
        storage.as_mut_slice::<T>().copy_from_slice(values);
        Ok(Tensor::from_parts(storage, layout))
    }

    /// One value without dimensions.
    pub fn scalar(value: T) -> Tensor<T> {
        let mut storage = Buffer::recycled(size_of::<T>());
        storage.as_mut_slice::<T>()[0] = value;
        let layout =
            Layout::dense(&[], MemoryFormat::Contiguous).expect("the empty shape is always valid");
        Tensor::from_parts(storage, layout)
    }

    /// The same value everywhere.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn full(shape: &[usize], value: T) -> Result<Tensor<T>> {
        Tensor::build(shape, MemoryFormat::Contiguous, |out| {
            out.fill(value);
            Ok(())
        })
    }

    /// A tensor whose elements `fill` writes, in memory order of `format`, into a recycled buffer.
    ///
    /// `fill` must write every element: what it leaves is unspecified (old) data. This is how
    /// operators make their outputs without clearing memory first.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Rank`], and whatever `fill` returns.
    pub fn build<E: From<Error>>(
        shape: &[usize],
        format: MemoryFormat,
        fill: impl FnOnce(&mut [T]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Tensor<T>, E> {
        let layout = Layout::dense(shape, format)?;
        let mut storage = Buffer::recycled(layout.numel() * size_of::<T>());
        fill(storage.as_mut_slice())?;
        Ok(Tensor::from_parts(storage, layout))
    }

    fn from_parts(storage: Buffer, layout: Layout) -> Tensor<T> {
        debug_assert!(layout.end() * size_of::<T>() <= storage.len());
        Tensor {
            storage: Arc::new(storage),
            layout,
            element: std::marker::PhantomData,
        }
    }

    fn with_layout(&self, layout: Layout) -> Tensor<T> {
        debug_assert!(layout.end() * size_of::<T>() <= self.storage.len());
        Tensor {
            storage: self.storage.clone(),
            layout,
            element: std::marker::PhantomData,
        }
    }

    /// The lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// The stride of each dimension, in elements.
    pub fn strides(&self) -> &[usize] {
        self.layout.strides()
    }

    /// Shape, strides and offset together.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number of elements.
    #[doc(alias = "len")]
    pub fn numel(&self) -> usize {
        self.layout.numel()
    }

    /// The number of dimensions.
    #[doc(alias = "dim")]
    pub fn rank(&self) -> usize {
        self.layout.rank()
    }

    /// The length of one dimension.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`].
    pub fn size(&self, dim: usize) -> Result<usize> {
        self.layout.check_dim("size", dim)?;
        Ok(self.layout.shape()[dim])
    }

    /// True if both tensors view the same storage.
    pub fn shares_storage_with(&self, other: &Tensor<T>) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage)
    }

    /// The elements as one slice in logical order, if they lie so in memory.
    pub fn as_slice(&self) -> Option<&[T]> {
        self.dense_slice(MemoryFormat::Contiguous)
    }

    /// The elements as one slice in the memory order of `format`, if they lie so.
    pub fn dense_slice(&self, format: MemoryFormat) -> Option<&[T]> {
        let start = self.layout.offset();
        self.layout
            .is_dense_in(format)
            .then(|| &self.storage.as_slice()[start..start + self.numel()])
    }

    /// As [`dense_slice`](Self::dense_slice), running on to the end of the storage with its slack
    /// ([`crate::buffer::SLACK`] bytes), for kernels that read whole vectors.
    pub fn dense_slice_with_slack(&self, format: MemoryFormat) -> Option<&[T]> {
        let start = self.layout.offset();
        self.layout
            .is_dense_in(format)
            .then(|| &bytemuck::cast_slice::<u8, T>(self.storage.with_slack())[start..])
    }

    /// The elements in logical order.
    pub fn to_vec(&self) -> Vec<T> {
        if let Some(slice) = self.as_slice() {
            return slice.to_vec();
        }
        let storage = self.storage.as_slice::<T>();
        let mut out = Vec::with_capacity(self.numel());
        self.layout.for_each_row(|start, n, stride| {
            out.extend((0..n).map(|i| storage[start + i * stride]));
        });
        out
    }

    /// One element.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::OutOfRange`].
    pub fn get(&self, at: &[usize]) -> Result<T> {
        Ok(self.storage.as_slice::<T>()[self.layout.index(at)?])
    }

    /// The value of a tensor with exactly one element.
    ///
    /// # Errors
    /// [`Error::ValueCount`].
    pub fn item(&self) -> Result<T> {
        if self.numel() != 1 {
            return Err(Error::ValueCount {
                operation: "item",
                shape: self.shape().to_vec(),
                expected: 1,
                actual: self.numel(),
            });
        }
        Ok(self.storage.as_slice::<T>()[self.layout.offset()])
    }

    /// Writes one element, copying shared storage first.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::OutOfRange`].
    pub fn set(&mut self, at: &[usize], value: T) -> Result<()> {
        self.layout.index(at)?;
        // Unsharing may change the strides, so the position is looked up behind it.
        self.unshare();
        let position = self.layout.index(at)?;
        self.storage_mut()[position] = value;
        Ok(())
    }

    /// Writes the same value everywhere.
    #[doc(alias = "fill_")]
    pub fn fill(&mut self, value: T) {
        self.unshare();
        let layout = self.layout.clone();
        let storage = self.storage_mut();
        layout.for_each_row(|start, n, stride| {
            (0..n).for_each(|i| storage[start + i * stride] = value);
        });
    }

    /// Writes the values of `source`, which must have this tensor's shape.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] with both shapes.
    #[doc(alias = "copy_")]
    pub fn copy_from(&mut self, source: &Tensor<T>) -> Result<()> {
        if self.shape() != source.shape() {
            return Err(Error::ShapeMismatch {
                operation: "copy_from",
                expected: self.shape().to_vec(),
                actual: source.shape().to_vec(),
            });
        }
        self.unshare();
        let values = source.to_vec();
        let layout = self.layout.clone();
        let storage = self.storage_mut();
        let mut next = values.into_iter();
        layout.for_each_row(|start, n, stride| {
            for (i, value) in next.by_ref().take(n).enumerate() {
                storage[start + i * stride] = value;
            }
        });
        Ok(())
    }

    /// The elements as a mutable slice in logical order; strided or shared storage is copied first.
    pub fn make_mut(&mut self) -> &mut [T] {
        if self.as_slice().is_none() {
            *self = self.contiguous();
        }
        self.unshare();
        let (start, numel) = (self.layout.offset(), self.numel());
        &mut self.storage_mut()[start..start + numel]
    }

    /// Makes this tensor the only owner of storage without overlapping elements.
    fn unshare(&mut self) {
        let overlapping = self
            .layout
            .strides()
            .iter()
            .zip(self.shape())
            .any(|(&s, &n)| s == 0 && n > 1);
        if overlapping {
            *self = self.copied(MemoryFormat::Contiguous);
        } else if Arc::get_mut(&mut self.storage).is_none() {
            let format = if self.layout.is_dense_in(MemoryFormat::ChannelsLast) {
                MemoryFormat::ChannelsLast
            } else {
                MemoryFormat::Contiguous
            };
            *self = self.copied(format);
        }
    }

    fn storage_mut(&mut self) -> &mut [T] {
        Arc::get_mut(&mut self.storage)
            .expect("unshare ran before every write")
            .as_mut_slice()
    }

    fn copied(&self, format: MemoryFormat) -> Tensor<T> {
        let layout =
            Layout::dense(self.shape(), format).expect("the shape of an existing tensor is valid");
        let mut storage = Buffer::recycled(layout.numel() * size_of::<T>());
        gather::<T>(
            self.storage.as_slice(),
            &self.layout,
            storage.as_mut_slice(),
            &layout,
        );
        Tensor::from_parts(storage, layout)
    }

    /// This tensor if it is dense in row-major order, else a copy that is.
    pub fn contiguous(&self) -> Tensor<T> {
        if self.as_slice().is_some() {
            self.clone()
        } else {
            self.copied(MemoryFormat::Contiguous)
        }
    }

    /// This tensor if it is dense in `format`, else a copy that is.
    ///
    /// # Errors
    /// [`Error::Rank`] for channels-last below rank 3.
    pub fn to_memory_format(&self, format: MemoryFormat) -> Result<Tensor<T>> {
        Layout::dense(self.shape(), format)?;
        Ok(if self.layout.is_dense_in(format) {
            self.clone()
        } else {
            self.copied(format)
        })
    }

    /// A contiguous tensor of `f` of every element.
    pub fn map<U: Element>(&self, f: impl Fn(T) -> U) -> Tensor<U> {
        let values: Vec<U> = match self.as_slice() {
            Some(slice) => slice.iter().map(|&v| f(v)).collect(),
            None => self.to_vec().into_iter().map(f).collect(),
        };
        Tensor::from_vec(values, self.shape()).expect("as many values as before")
    }

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
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`].
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
    /// [`Error::NoSuchDim`], [`Error::OutOfRange`].
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

/// Element-wise equality of shape and values (NaN differs from itself).
impl<T: Element> PartialEq for Tensor<T> {
    fn eq(&self, other: &Tensor<T>) -> bool {
        self.shape() == other.shape()
            && match (self.as_slice(), other.as_slice()) {
                (Some(a), Some(b)) => a == b,
                _ => self.to_vec() == other.to_vec(),
            }
    }
}

impl<T: Element> From<T> for Tensor<T> {
    fn from(value: T) -> Tensor<T> {
        Tensor::scalar(value)
    }
}

pub(crate) fn swapped(layout: &Layout, a: usize, b: usize) -> Result<crate::layout::Dims> {
    layout.check_dim("transpose", a)?;
    layout.check_dim("transpose", b)?;
    let mut order: crate::layout::Dims = (0..layout.rank()).collect();
    order.swap(a, b);
    Ok(order)
}

pub(crate) fn flattened(layout: &Layout, start: usize) -> Result<crate::layout::Dims> {
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

/// Copies elements between two layouts of the same shape.
///
/// The walk follows the destination's innermost contiguous dimension, so that writes are sequential
/// whatever the memory format.
fn gather<T: Element>(source: &[T], from: &Layout, target: &mut [T], to: &Layout) {
    let rank = to.rank();
    let mut order: crate::layout::Dims = (0..rank).collect();
    order.sort_by_key(|&d| std::cmp::Reverse((to.strides()[d], to.shape()[d])));
    let (Ok(from), Ok(to)) = (from.permute(&order), to.permute(&order)) else {
        unreachable!("an order of all dimensions is a permutation");
    };
    let mut starts = Vec::new();
    from.for_each_row(|start, _, stride| starts.push((start, stride)));
    let mut rows = starts.into_iter();
    to.for_each_row(|start, n, stride| {
        let Some((first, step)) = rows.next() else {
            return;
        };
        if step == 1 && stride == 1 {
            target[start..start + n].copy_from_slice(&source[first..first + n]);
        } else {
            (0..n).for_each(|i| target[start + i * stride] = source[first + i * step]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        Tensor::from_vec((0..n).map(|i| i as f32).collect(), shape).unwrap()
    }

    #[test]
    fn views_share_storage_and_writes_do_not_leak() {
        let base = counted(&[2, 3]);
        let mut view = base.transpose(0, 1).unwrap();
        assert!(view.shares_storage_with(&base));
        view.set(&[2, 1], 99.0).unwrap();
        assert_eq!(view.get(&[2, 1]).unwrap(), 99.0);
        assert_eq!(base.get(&[1, 2]).unwrap(), 5.0);
        assert_eq!(view.to_vec(), [0.0, 3.0, 1.0, 4.0, 2.0, 99.0]);
    }

    #[test]
    fn writes_to_views_of_every_kind_reach_the_right_element() {
        let base = counted(&[3, 4, 5]);
        let mut views = vec![
            base.clone(),
            base.permute(&[2, 0, 1]).unwrap(),
            base.slice(1, 1, 4, 2).unwrap(),
            base.select(0, 2).unwrap(),
            base.to_memory_format(MemoryFormat::ChannelsLast).unwrap(),
        ];
        for view in &mut views {
            let at: Vec<usize> = view.shape().iter().map(|n| n - 1).collect();
            let mut want = view.to_vec();
            *want.last_mut().unwrap() = -1.0;
            view.set(&at, -1.0).unwrap();
            assert_eq!(view.to_vec(), want);
        }
        let mut row = counted(&[1, 3]).expand(&[2, 3]).unwrap();
        row.set(&[0, 0], 7.0).unwrap();
        assert_eq!(row.to_vec(), [7.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        row.fill(2.0);
        assert_eq!(row.to_vec(), [2.0; 6]);
    }

    #[test]
    fn memory_formats_hold_the_same_values() {
        let t = counted(&[2, 3, 4, 5]);
        let last = t.to_memory_format(MemoryFormat::ChannelsLast).unwrap();
        assert_eq!(last, t);
        assert_eq!(last.strides(), [60, 1, 15, 3]);
        assert_eq!(
            last.dense_slice(MemoryFormat::ChannelsLast).unwrap()[..4],
            [0.0, 20.0, 40.0, 1.0]
        );
        assert_eq!(last.contiguous().as_slice(), t.as_slice());
        assert!(
            counted(&[2, 3])
                .to_memory_format(MemoryFormat::ChannelsLast)
                .is_err()
        );
    }

    #[test]
    fn copy_from_wants_the_same_shape() {
        let mut t = counted(&[2, 3]).transpose(0, 1).unwrap();
        t.copy_from(&Tensor::full(&[3, 2], 4.0).unwrap()).unwrap();
        assert_eq!(t.to_vec(), [4.0; 6]);
        let error = t.copy_from(&counted(&[2, 3])).unwrap_err();
        assert!(error.to_string().contains("[3, 2]") && error.to_string().contains("[2, 3]"));
    }

    #[test]
    fn empty_tensors_and_scalars_work() {
        let empty = Tensor::zeros(&[0, 3]).unwrap();
        assert_eq!(empty.to_vec(), [0.0; 0]);
        assert_eq!(empty.transpose(0, 1).unwrap().shape(), [3, 0]);
        assert_eq!(Tensor::scalar(3i64).item().unwrap(), 3);
        assert_eq!(Tensor::scalar(3i64).flatten(0).unwrap().shape(), [1]);
        assert!(counted(&[2]).item().is_err());
    }

    #[test]
    fn slices_with_slack_reach_past_the_data() {
        let t = Tensor::from_vec(vec![1u8; 10], &[10]).unwrap();
        assert!(
            t.dense_slice_with_slack(MemoryFormat::Contiguous)
                .unwrap()
                .len()
                >= 74
        );
    }
}
