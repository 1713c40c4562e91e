//! Shapes and strides: how a logical index finds its element, and what every view does to that.

use smallvec::SmallVec;

use crate::error::{Error, Result};

/// Lengths of dimensions, or strides in elements. Up to six stay off the heap.
pub type Dims = SmallVec<[usize; 6]>;

/// In which order the dimensions of a dense tensor lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryFormat {
    /// The last dimension is contiguous (row-major).
    Contiguous,
    /// Dimension 1 (channels) is contiguous: NHWC for a logical NCHW shape. Needs rank 3 or more.
    #[doc(alias = "torch.channels_last")]
    ChannelsLast,
}

/// A shape, the stride of each dimension in elements, and the offset of the first element.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Dims,
    strides: Dims,
    offset: usize,
}

impl Clone for Layout {
    // Small tensors are cloned in much of the time of an operation; vectors of this kind would clone number by number.
    fn clone(&self) -> Layout {
        Layout {
            shape: SmallVec::from_slice(&self.shape),
            strides: SmallVec::from_slice(&self.strides),
            offset: self.offset,
        }
    }
}

impl Layout {
    /// The dense layout of `shape` in a memory format.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the element count overflows, [`Error::Rank`] for channels-last below rank 3.
    pub fn dense(shape: &[usize], format: MemoryFormat) -> Result<Layout> {
        checked_numel(shape)?;
        let Some(order) = fastest_first(shape.len(), format) else {
            return Err(Error::Rank {
                operation: "channels-last layout",
                expected: "at least 3".into(),
                actual: shape.len(),
                shape: shape.to_vec(),
            });
        };
        let mut strides: Dims = SmallVec::from_slice(shape);
        let mut step = 1;
        for dim in order {
            strides[dim] = step;
            step *= shape[dim].max(1);
        }
        Ok(Layout {
            shape: SmallVec::from_slice(shape),
            strides,
            offset: 0,
        })
    }

    /// The lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The distance in elements between neighbours of each dimension.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Where the first element lies, in elements from the start of the storage.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements: the product of the shape.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if the elements lie densely in memory in the order of `format`.
    pub fn is_dense_in(&self, format: MemoryFormat) -> bool {
        let Some(order) = fastest_first(self.rank(), format) else {
            return false;
        };
        if self.numel() == 0 {
            return true;
        }
        let mut step = 1;
        for dim in order {
            if self.shape[dim] != 1 && self.strides[dim] != step {
                return false;
            }
            step *= self.shape[dim];
        }
        true
    }

    /// One past the greatest storage index that an element has; 0 if there are no elements.
    pub fn end(&self) -> usize {
        if self.numel() == 0 {
            return 0;
        }
        let reach: usize = self
            .shape
            .iter()
            .zip(&self.strides)
            .map(|(n, s)| (n - 1) * s)
            .sum();
        self.offset + reach + 1
    }

    /// The storage index of one element.
    ///
    /// # Errors
    /// [`Error::Rank`] or [`Error::OutOfRange`].
    pub fn index(&self, at: &[usize]) -> Result<usize> {
        if at.len() != self.rank() {
            return Err(self.rank_error("index", at.len()));
        }
        let mut position = self.offset;
        for (dim, (&i, (&len, &stride))) in at
            .iter()
            .zip(self.shape.iter().zip(&self.strides))
            .enumerate()
        {
            if i >= len {
                return Err(Error::OutOfRange {
                    operation: "index",
                    dim,
                    index: i,
                    len,
                });
            }
            position += i * stride;
        }
        Ok(position)
    }

    /// Dimensions in a new order.
    pub fn permute(&self, order: &[usize]) -> Result<Layout> {
        let mut seen: SmallVec<[bool; 6]> = SmallVec::from_elem(false, self.rank());
        if order.len() != self.rank() {
            return Err(self.rank_error("permute", order.len()));
        }
        for &dim in order {
            self.check_dim("permute", dim)?;
            if std::mem::replace(&mut seen[dim], true) {
                return Err(Error::ShapeMismatch {
                    operation: "permute (each dimension once)",
                    expected: (0..self.rank()).collect(),
                    actual: order.to_vec(),
                });
            }
        }
        Ok(Layout {
            shape: order.iter().map(|&d| self.shape[d]).collect(),
            strides: order.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
        })
    }

    /// Elements `start, start + step, …` below `end` of one dimension.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`]; [`Error::OutOfRange`] if `end` lies beyond the dimension;
    /// [`Error::ReversedRange`] if `start` lies beyond `end`; [`Error::InvalidStep`] for a step of 0.
    pub fn slice(&self, dim: usize, start: usize, end: usize, step: usize) -> Result<Layout> {
        self.check_dim("slice", dim)?;
        let len = self.shape[dim];
        let operation = "slice";
        if step == 0 {
            return Err(Error::InvalidStep {
                operation,
                dim,
                step,
            });
        }
        if end > len {
            return Err(Error::OutOfRange {
                operation,
                dim,
                index: end,
                len,
            });
        }
        if start > end {
            return Err(Error::ReversedRange {
                operation,
                dim,
                start,
                end,
            });
        }
        let mut view = self.clone();
        view.shape[dim] = (end - start).div_ceil(step);
        view.offset += start * self.strides[dim];
        // A single element has no neighbour, and an absurd step would overflow the stride to it.
        if view.shape[dim] > 1 {
            view.strides[dim] *= step;
        }
        Ok(view.anchored())
    }

    /// Drops dimension `dim` by fixing its index.
    pub fn select(&self, dim: usize, index: usize) -> Result<Layout> {
        self.check_dim("select", dim)?;
        if index >= self.shape[dim] {
            return Err(Error::OutOfRange {
                operation: "select",
                dim,
                index,
                len: self.shape[dim],
            });
        }
        let mut view = self.clone();
        view.offset += index * self.strides[dim];
        view.shape.remove(dim);
        view.strides.remove(dim);
        Ok(view.anchored())
    }

    /// Without elements there is no first one, and its place may lie beyond the storage; it becomes 0.
    fn anchored(mut self) -> Layout {
        if self.numel() == 0 {
            self.offset = 0;
        }
        self
    }

    /// Drops a dimension of length 1.
    ///
    /// # Errors
    /// [`Error::NoSuchDim`]; [`Error::DimLength`] for another length.
    pub fn squeeze(&self, dim: usize) -> Result<Layout> {
        self.check_dim("squeeze", dim)?;
        if self.shape[dim] != 1 {
            return Err(Error::DimLength {
                operation: "squeeze",
                dim,
                expected: 1,
                actual: self.shape[dim],
                shape: self.shape.to_vec(),
            });
        }
        self.select(dim, 0)
    }

    /// Inserts a dimension of length 1 before `dim` (`dim` may be the rank).
    pub fn unsqueeze(&self, dim: usize) -> Result<Layout> {
        if dim > self.rank() {
            return Err(self.no_such_dim("unsqueeze", dim));
        }
        check_rank("unsqueeze", self.rank() + 1, &self.shape)?;
        let mut view = self.clone();
        view.shape.insert(dim, 1);
        view.strides.insert(dim, 1);
        Ok(view)
    }

    /// Repeats dimensions of length 1 without copying (stride 0); new leading dimensions are allowed.
    pub fn expand(&self, shape: &[usize]) -> Result<Layout> {
        checked_numel(shape)?;
        let mismatch = || Error::ShapeMismatch {
            operation: "expand",
            expected: shape.to_vec(),
            actual: self.shape.to_vec(),
        };
        let lead = shape.len().checked_sub(self.rank()).ok_or_else(mismatch)?;
        let mut strides: Dims = SmallVec::from_elem(0, shape.len());
        for dim in 0..self.rank() {
            strides[lead + dim] = match (self.shape[dim], shape[lead + dim]) {
                (have, want) if have == want => self.strides[dim],
                (1, _) => 0,
                _ => return Err(mismatch()),
            };
        }
        Ok(Layout {
            shape: shape.into(),
            strides,
            offset: self.offset,
        })
    }

    /// The same elements in the same order under another shape, without a copy.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the element counts differ, [`Error::NotViewable`] if the strides
    /// do not allow it.
    pub fn view(&self, shape: &[usize]) -> Result<Layout> {
        if checked_numel(shape)? != self.numel() {
            return Err(Error::ShapeMismatch {
                operation: "view",
                expected: shape.to_vec(),
                actual: self.shape.to_vec(),
            });
        }
        if self.numel() == 0 {
            return Layout::dense(shape, MemoryFormat::Contiguous);
        }
        let refused = || Error::NotViewable {
            from: self.shape.to_vec(),
            strides: self.strides.to_vec(),
            to: shape.to_vec(),
        };
        // Walk from the back: a run of old dimensions that step through memory evenly can be cut
        // into any new dimensions of the same product.
        let mut strides: Dims = SmallVec::from_elem(1, shape.len());
        let mut old = self.rank();
        let (mut run, mut step) = (1, 1);
        for new in (0..shape.len()).rev() {
            if shape[new] == 1 {
                strides[new] = run * step;
                continue;
            }
            while run == 1 && old > 0 {
                old -= 1;
                (run, step) = (self.shape[old], self.strides[old]);
            }
            while run % shape[new] != 0 {
                // Take in further old dimensions as long as they continue the run.
                if old == 0 || (self.shape[old - 1] != 1 && self.strides[old - 1] != run * step) {
                    return Err(refused());
                }
                old -= 1;
                run *= self.shape[old];
            }
            strides[new] = step;
            step *= shape[new];
            run /= shape[new];
        }
        Ok(Layout {
            shape: shape.into(),
            strides,
            offset: self.offset,
        })
    }

    /// Calls `f` with the storage index of each innermost row's start, the row's length and its stride, in logical order.
    pub fn for_each_row(&self, mut f: impl FnMut(usize, usize, usize)) {
        if self.numel() == 0 {
            return;
        }
        let Some((&row, outer)) = self.shape.split_last() else {
            return f(self.offset, 1, 1);
        };
        let stride = self.strides[outer.len()];
        let mut at: Dims = SmallVec::from_elem(0, outer.len());
        let mut start = self.offset;
        loop {
            f(start, row, stride);
            let mut dim = outer.len();
            loop {
                if dim == 0 {
                    return;
                }
                dim -= 1;
                at[dim] += 1;
                start += self.strides[dim];
                if at[dim] < outer[dim] {
                    break;
                }
                start -= at[dim] * self.strides[dim];
                at[dim] = 0;
            }
        }
    }

    pub(crate) fn check_dim(&self, operation: &'static str, dim: usize) -> Result<()> {
        if dim < self.rank() {
            Ok(())
        } else {
            Err(self.no_such_dim(operation, dim))
        }
    }

    fn no_such_dim(&self, operation: &'static str, dim: usize) -> Error {
        Error::NoSuchDim {
            operation,
            dim,
            rank: self.rank(),
            shape: self.shape.to_vec(),
        }
    }

    /// `actual` entries came where the shape wants one for each dimension.
    fn rank_error(&self, operation: &'static str, actual: usize) -> Error {
        Error::Rank {
            operation,
            expected: self.rank().to_string(),
            actual,
            shape: self.shape.to_vec(),
        }
    }
}

/// The most dimensions of a tensor, as in PyTorch: printing and walking take a step of the stack for each.
pub const MAX_RANK: usize = 64;

fn check_rank(operation: &'static str, rank: usize, shape: &[usize]) -> Result<()> {
    if rank <= MAX_RANK {
        return Ok(());
    }
    Err(Error::Rank {
        operation,
        expected: format!("at most {MAX_RANK}"),
        actual: rank,
        shape: shape[..shape.len().min(MAX_RANK)].to_vec(),
    })
}

/// The product of a shape.
///
/// # Errors
/// [`Error::Rank`] for more than [`MAX_RANK`] dimensions, [`Error::TooLarge`] if it, times the largest element, does not fit `isize`.
pub fn checked_numel(shape: &[usize]) -> Result<usize> {
    check_rank("shape", shape.len(), shape)?;
    // Zero-length dimensions make the product zero, yet the others must still multiply safely.
    let bound = shape
        .iter()
        .try_fold(8usize, |acc, &n| acc.checked_mul(n.max(1)));
    match bound {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(shape.iter().product()),
        _ => Err(Error::TooLarge {
            operation: "shape",
            shape: shape.to_vec(),
        }),
    }
}

/// As [`checked_numel`], for operations that list the indices of dimensions.
///
/// Elements bound the lists of a tensor that has any. Without elements no dimension may be longer than 2^24.
///
/// # Errors
/// As [`checked_numel`]; [`Error::TooLarge`] for such a dimension.
pub fn checked_lengths(operation: &'static str, shape: &[usize]) -> Result<usize> {
    let numel = checked_numel(shape)?;
    if numel == 0 && shape.iter().any(|&n| n > 1 << 24) {
        return Err(Error::TooLarge {
            operation,
            shape: shape.to_vec(),
        });
    }
    Ok(numel)
}

/// Dimensions from fastest to slowest: backwards, but dimension 1 before the others for channels-last, which needs three.
fn fastest_first(rank: usize, format: MemoryFormat) -> Option<impl Iterator<Item = usize>> {
    let channels_last = format == MemoryFormat::ChannelsLast;
    (!channels_last || rank >= 3).then(|| {
        (0..rank).map(move |place| match place {
            _ if !channels_last => rank - 1 - place,
            0 => 1,
            _ if place == rank - 1 => 0,
            _ => rank - place,
        })
    })
}
