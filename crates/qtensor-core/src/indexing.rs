//! Indexing with ranges, tensors of indices and masks: which elements an index expression takes, and in which order.

use crate::error::{Error, Result};
use crate::layout::{Layout, checked_numel};
use crate::tensor::Tensor;

/// One entry of an index expression; each applies to the next dimension. Dimensions without an entry are kept whole.
///
/// This is the subscript of Python: `x[1, :, 0:4, rows]` is
/// `x.index(&[At(1), All, Range { start: 0, end: 4, step: 1 }, Indices(&rows)])`.
#[derive(Clone, Copy, Debug)]
pub enum Index<'a> {
    /// The whole dimension.
    All,
    /// One index, counted from the end if negative. The dimension is dropped.
    At(i64),
    /// Indices `start, start + step, …` below `end`.
    Range {
        /// The first index.
        start: usize,
        /// One past the last index.
        end: usize,
        /// The distance between neighbours.
        step: usize,
    },
    /// Indices in any order, counted from the end if negative. Several such tensors broadcast together and are read side by
    /// side; their common shape stands in the result where the first of them stood, or in front of all dimensions if other dimensions lie
    /// between them.
    Indices(&'a Tensor<i64>),
    /// The places where the mask is not 0, in logical order. A mask takes as many dimensions as it has, of its own
    /// lengths, and gives one; with other tensors it counts as the indices of its places.
    Mask(&'a Tensor<u8>),
}

/// What became of a dimension of the indexed tensor.
pub(crate) enum Fate {
    /// One index was taken and the dimension dropped.
    Dropped(usize),
    /// A range of it is a dimension of the result.
    Kept {
        to: usize,
        range: (usize, usize, usize),
    },
    /// Chosen indices of it are a dimension of the result.
    Gathered { to: usize, indices: Vec<usize> },
    /// It was indexed together with others, or by a tensor of several dimensions.
    Mixed,
}

/// An index expression applied to a layout.
pub(crate) struct Indexed {
    /// The view that ranges and single indices make.
    view: Layout,
    /// Tensors of indices for dimensions of the view, in ascending order, all of `common` shape.
    chosen: Vec<(usize, Vec<usize>)>,
    common: Vec<usize>,
    /// The fate of each dimension of the indexed tensor.
    pub fates: Vec<Fate>,
}

impl Indexed {
    /// Checks `indices` against `layout`.
    pub fn new(operation: &'static str, layout: &Layout, indices: &[Index<'_>]) -> Result<Indexed> {
        let mut reader = Reader {
            operation,
            source: layout,
            view: layout.clone(),
            lists: Vec::new(),
            fates: Vec::new(),
        };
        indices.iter().try_for_each(|index| reader.read(index))?;
        while reader.fates.len() < layout.rank() {
            reader.keep(None)?;
        }
        reader.finish()
    }

    /// The view, if no tensor or mask takes part.
    pub fn plain_view(&self) -> Option<&Layout> {
        self.chosen.is_empty().then_some(&self.view)
    }

    /// Where the common dimensions of the tensors stand in the result.
    fn place(&self) -> usize {
        let dims: Vec<usize> = self.chosen.iter().map(|(dim, _)| *dim).collect();
        let adjacent = dims.windows(2).all(|pair| pair[1] == pair[0] + 1);
        match dims.first() {
            Some(&first) if adjacent => first,
            _ => 0,
        }
    }

    /// Dimensions of the view that no tensor indexes.
    fn whole(&self) -> impl Iterator<Item = usize> {
        (0..self.view.rank()).filter(|dim| self.chosen.iter().all(|(other, _)| other != dim))
    }

    /// The shape of the result.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn shape(&self) -> Result<Vec<usize>> {
        let mut shape: Vec<usize> = self.whole().map(|dim| self.view.shape()[dim]).collect();
        let place = self.place();
        shape.splice(place..place, self.common.iter().copied());
        checked_numel(&shape)?;
        Ok(shape)
    }

    /// The storage index of each element of the result, in logical order. [`shape`](Self::shape) must have succeeded.
    pub fn positions(&self) -> Vec<usize> {
        if self.view.numel() == 0 {
            return Vec::new();
        }
        let place = self.place();
        let steps = |dim: usize| (self.view.shape()[dim], self.view.strides()[dim]);
        let lead = offsets(self.whole().take(place).map(steps));
        let trail = offsets(self.whole().skip(place).map(steps));
        let mut middle = vec![0; self.common.iter().product()];
        for (dim, list) in &self.chosen {
            let stride = self.view.strides()[*dim];
            let places = middle.iter_mut().zip(list);
            places.for_each(|(offset, index)| *offset += index * stride);
        }
        let start = self.view.offset();
        let mut positions = Vec::with_capacity(lead.len() * middle.len() * trail.len());
        for outer in &lead {
            for chosen in &middle {
                positions.extend(trail.iter().map(|inner| start + outer + chosen + inner));
            }
        }
        positions
    }
}

/// The offsets of all elements of dimensions with these lengths and strides, in logical order.
fn offsets(dims: impl Iterator<Item = (usize, usize)>) -> Vec<usize> {
    dims.fold(vec![0], |before, (len, stride)| {
        let each = before.iter();
        each.flat_map(|start| (0..len).map(move |i| start + i * stride))
            .collect()
    })
}

/// A tensor of indices, normalized to non-negative ones.
struct List {
    /// The dimension of the view, and of the indexed tensor.
    dim: usize,
    source: usize,
    shape: Vec<usize>,
    indices: Vec<usize>,
}

/// Reads an index expression from left to right.
struct Reader<'a> {
    operation: &'static str,
    source: &'a Layout,
    view: Layout,
    lists: Vec<List>,
    fates: Vec<Fate>,
}

impl Reader<'_> {
    fn read(&mut self, index: &Index<'_>) -> Result<()> {
        let dim = self.fates.len();
        match *index {
            Index::All => self.keep(None),
            Index::Range { start, end, step } => self.keep(Some((start, end, step))),
            Index::At(index) => {
                let index = self.normal(dim, index)?;
                self.view = self.view.select(self.view_dim(), index)?;
                self.fates.push(Fate::Dropped(index));
                Ok(())
            }
            Index::Indices(list) => {
                let indices = list
                    .to_vec()
                    .into_iter()
                    .map(|index| self.normal(dim, index));
                let indices = indices.collect::<Result<_>>()?;
                self.list(list.shape().to_vec(), indices)
            }
            Index::Mask(mask) => self.mask(mask),
        }
    }

    /// The dimension of the view that the next entry takes.
    fn view_dim(&self) -> usize {
        let dropped = |fate: &&Fate| matches!(fate, Fate::Dropped(_));
        self.fates.len() - self.fates.iter().filter(dropped).count()
    }

    /// An index of a dimension of the source, counted from the start.
    fn normal(&self, dim: usize, index: i64) -> Result<usize> {
        self.source.check_dim(self.operation, dim)?;
        let len = self.source.shape()[dim];
        let counted = if index < 0 {
            index.checked_add_unsigned(len as u64)
        } else {
            Some(index)
        };
        match counted.map(usize::try_from) {
            Some(Ok(counted)) if counted < len => Ok(counted),
            _ => Err(Error::IndexOutOfRange {
                operation: self.operation,
                dim,
                index,
                len,
            }),
        }
    }

    fn keep(&mut self, range: Option<(usize, usize, usize)>) -> Result<()> {
        let dim = self.fates.len();
        self.source.check_dim(self.operation, dim)?;
        let (start, end, step) = range.unwrap_or((0, self.source.shape()[dim], 1));
        let to = self.view_dim();
        self.view = self.view.slice(to, start, end, step)?;
        let range = (start, end, step);
        self.fates.push(Fate::Kept { to, range });
        Ok(())
    }

    fn list(&mut self, shape: Vec<usize>, indices: Vec<usize>) -> Result<()> {
        let (source, dim) = (self.fates.len(), self.view_dim());
        self.source.check_dim(self.operation, source)?;
        self.lists.push(List {
            dim,
            source,
            shape,
            indices,
        });
        self.fates.push(Fate::Mixed);
        Ok(())
    }

    fn mask(&mut self, mask: &Tensor<u8>) -> Result<()> {
        let first = self.fates.len();
        let covered = self.source.shape().get(first..first + mask.rank());
        if mask.rank() == 0 || covered != Some(mask.shape()) {
            return Err(Error::ShapeMismatch {
                operation: self.operation,
                expected: self.source.shape()[first.min(self.source.rank())..].to_vec(),
                actual: mask.shape().to_vec(),
            });
        }
        let set = mask.to_vec().into_iter().enumerate();
        let places: Vec<usize> = set.filter(|(_, m)| *m != 0).map(|(i, _)| i).collect();
        for dim in 0..mask.rank() {
            let inner: usize = mask.shape()[dim + 1..].iter().product();
            let len = mask.shape()[dim];
            let indices = places.iter().map(|place| place / inner % len).collect();
            self.list(vec![places.len()], indices)?;
        }
        Ok(())
    }

    /// Expands the tensors to their common shape and settles where kept dimensions end up.
    fn finish(mut self) -> Result<Indexed> {
        let mut common: Vec<usize> = Vec::new();
        for list in &self.lists {
            common = broadcast(self.operation, &common, &list.shape)?;
        }
        checked_numel(&common)?;
        let mut chosen = Vec::new();
        for list in &self.lists {
            let own: Vec<i64> = list.indices.iter().map(|&index| index as i64).collect();
            let expanded = Tensor::from_vec(own, &list.shape)?.expand(&common)?;
            chosen.push((
                list.dim,
                expanded
                    .to_vec()
                    .into_iter()
                    .map(|index| index as usize)
                    .collect(),
            ));
        }
        if let [list] = &mut self.lists[..] {
            match list.shape.len() {
                0 => self.fates[list.source] = Fate::Dropped(list.indices[0]),
                1 => {
                    self.fates[list.source] = Fate::Gathered {
                        to: list.dim,
                        indices: std::mem::take(&mut list.indices),
                    };
                }
                _ => {}
            }
        }
        let mut indexed = Indexed {
            view: self.view,
            chosen,
            common,
            fates: self.fates,
        };
        indexed.settle();
        Ok(indexed)
    }
}

impl Indexed {
    /// Moves the dimensions of the view to where they stand in the result.
    fn settle(&mut self) {
        if self.chosen.is_empty() {
            return;
        }
        let (place, whole) = (self.place(), self.whole().collect::<Vec<_>>());
        let spread = self.common.len();
        for fate in &mut self.fates {
            if let Fate::Kept { to, .. } = fate {
                let rank = whole.iter().position(|dim| dim == to).unwrap_or(*to);
                *to = if rank < place { rank } else { rank + spread };
            }
        }
    }
}

/// The shape that both expand to.
pub(crate) fn broadcast(operation: &'static str, a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let length = |shape: &[usize], dim: usize| {
        let at = (dim + shape.len()).checked_sub(rank);
        at.map_or(1, |at| shape[at])
    };
    let common = (0..rank).map(|dim| match (length(a, dim), length(b, dim)) {
        (x, y) if x == y => Some(x),
        (1, other) | (other, 1) => Some(other),
        _ => None,
    });
    common
        .collect::<Option<_>>()
        .ok_or_else(|| Error::ShapeMismatch {
            operation,
            expected: a.to_vec(),
            actual: b.to_vec(),
        })
}
