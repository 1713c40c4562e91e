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

mod gather;
mod index;
mod views;

pub(crate) use gather::{check_flip, leading_ones, repeated};
pub(crate) use index::expanded;
pub(crate) use views::{flattened, swapped};

mod sealed {
    pub trait Sealed {}
}

/// A type that tensors hold: `f32`, 16-bit floats, the integers of quantized tensors, and `i64` for indices.
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
elements!(f32 => "float32", half::f16 => "float16", u8 => "uint8", i8 => "int8", i32 => "int32", i64 => "int64");

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

    /// The elements as a mutable slice in the memory order of `format`, if they lie so and no other tensor shares
    /// them. This is how operators write into a tensor that exists, without a copy.
    pub fn dense_slice_mut(&mut self, format: MemoryFormat) -> Option<&mut [T]> {
        if !self.layout.is_dense_in(format) {
            return None;
        }
        let (start, numel) = (self.layout.offset(), self.numel());
        let storage = Arc::get_mut(&mut self.storage)?;
        Some(&mut storage.as_mut_slice()[start..start + numel])
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
        if self.layout.is_dense_in(format) {
            return Ok(self.clone());
        }
        Layout::dense(self.shape(), format)?;
        Ok(self.copied(format))
    }

    /// A contiguous tensor of `f` of every element.
    pub fn map<U: Element>(&self, f: impl Fn(T) -> U) -> Tensor<U> {
        let values: Vec<U> = match self.as_slice() {
            Some(slice) => slice.iter().map(|&v| f(v)).collect(),
            None => self.to_vec().into_iter().map(f).collect(),
        };
        Tensor::from_vec(values, self.shape()).expect("as many values as before")
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
