//! Broadcasting: the common shape of two operands, how to walk over it, and its adjoint.

use qtensor_core::{Dims, MemoryFormat, Tensor};

use super::reduce::sum_slice;
use crate::error::{Error, Result};

/// The shape that both shapes expand to: aligned at the last dimension, 1 stretches to any length.
///
/// ```
/// # use qops::float::broadcast_shape;
/// assert_eq!(broadcast_shape("add", &[8, 1, 6], &[7, 1])?, [8, 7, 6]);
/// # Ok::<(), qops::Error>(())
/// ```
///
/// # Errors
/// [`Error::NotBroadcastable`] with both shapes.
pub fn broadcast_shape(
    operation: &'static str,
    left: &[usize],
    right: &[usize],
) -> Result<Vec<usize>> {
    let rank = left.len().max(right.len());
    (0..rank)
        .map(
            |dim| match (length(left, rank, dim), length(right, rank, dim)) {
                (a, b) if a == b => Ok(a),
                (1, other) | (other, 1) => Ok(other),
                _ => Err(Error::NotBroadcastable {
                    operation,
                    left: left.to_vec(),
                    right: right.to_vec(),
                }),
            },
        )
        .collect()
}

/// Sums `x` down to `shape`: the adjoint of expanding `shape` to the shape of `x`.
///
/// `y[i] = Σ x[j]` over all `j` that expansion fills from `i`.
///
/// # Errors
/// [`Error::NotBroadcastable`] if `shape` does not expand to that of `x`.
pub fn sum_to(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    if broadcast_shape("sum_to", x.shape(), shape)? != x.shape() {
        return Err(Error::NotBroadcastable {
            operation: "sum_to",
            left: x.shape().to_vec(),
            right: shape.to_vec(),
        });
    }
    let sums = sums_to(x, shape);
    Tensor::build(shape, MemoryFormat::Contiguous, |out| {
        out.iter_mut().zip(&sums).for_each(|(o, &s)| *o = s as f32);
        Ok(())
    })
}

/// The sums of [`sum_to`] in `f64`; `shape` must expand to that of `x`.
pub(super) fn sums_to(x: &Tensor, shape: &[usize]) -> Vec<f64> {
    let x = x.contiguous();
    let values = x.as_slice().unwrap_or_default();
    let mut sums = vec![0f64; shape.iter().product()];
    let walk = Walk::new(x.shape(), [x.shape(), shape]);
    walk.for_each_row(|_, [from, to], row| {
        let source = &values[from..from + row.len];
        if row.strides[1] == 0 {
            sums[to] += sum_slice(source);
        } else {
            let target = &mut sums[to..to + row.len];
            target
                .iter_mut()
                .zip(source)
                .for_each(|(t, &s)| *t += f64::from(s));
        }
    });
    sums
}

/// The innermost run of a [`Walk`]: its length, and per operand a stride of 1 or 0 (repeated).
pub(super) struct Row {
    pub len: usize,
    pub strides: [usize; 2],
}

/// Walks over an output in memory order, together with two contiguous operands that expand to it.
pub(super) struct Walk {
    /// Lengths of the merged output dimensions; the last one is the row.
    lens: Dims,
    /// Strides of both operands along the merged dimensions, 0 where they repeat.
    strides: [Dims; 2],
}

impl Walk {
    /// Both `operands` must expand to `out`.
    pub fn new(out: &[usize], operands: [&[usize]; 2]) -> Walk {
        let mut walk = Walk {
            lens: Dims::new(),
            strides: [Dims::new(), Dims::new()],
        };
        // From the innermost dimension outwards, so that each one can be merged into the one before.
        let mut next = [1; 2];
        for dim in (0..out.len()).rev() {
            let len = out[dim];
            let mut strides = [0; 2];
            for side in 0..2 {
                let have = length(operands[side], out.len(), dim);
                if have == len {
                    strides[side] = next[side];
                }
                next[side] *= have;
            }
            if len != 1 {
                walk.push(len, strides);
            }
        }
        if walk.lens.is_empty() {
            walk.push(1, [0, 0]);
        }
        walk.lens.reverse();
        walk.strides.iter_mut().for_each(|s| s.reverse());
        walk
    }

    fn push(&mut self, len: usize, strides: [usize; 2]) {
        if let Some(last) = self.lens.last_mut() {
            let at = self.strides[0].len() - 1;
            if (0..2).all(|side| strides[side] == self.strides[side][at] * *last) {
                *last *= len;
                return;
            }
        }
        self.lens.push(len);
        (0..2).for_each(|side| self.strides[side].push(strides[side]));
    }

    /// Calls `f` with where each row starts in the output and in both operands.
    pub fn for_each_row(&self, mut f: impl FnMut(usize, [usize; 2], &Row)) {
        if self.lens.contains(&0) {
            return;
        }
        let outer = self.lens.len() - 1;
        let row = Row {
            len: self.lens[outer],
            strides: [self.strides[0][outer], self.strides[1][outer]],
        };
        let mut at: Dims = self.lens[..outer].iter().map(|_| 0).collect();
        let (mut start, mut from) = (0, [0; 2]);
        'rows: loop {
            f(start, from, &row);
            start += row.len;
            for dim in (0..outer).rev() {
                at[dim] += 1;
                (0..2).for_each(|side| from[side] += self.strides[side][dim]);
                if at[dim] < self.lens[dim] {
                    continue 'rows;
                }
                (0..2).for_each(|side| from[side] -= self.strides[side][dim] * at[dim]);
                at[dim] = 0;
            }
            return;
        }
    }
}

/// The length of dimension `dim` of a shape aligned at the end of `rank` dimensions.
fn length(shape: &[usize], rank: usize, dim: usize) -> usize {
    (dim + shape.len())
        .checked_sub(rank)
        .map_or(1, |at| shape[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_merge_where_memory_allows() {
        let walk = Walk::new(&[2, 3, 4, 5], [&[2, 3, 4, 5], &[3, 1, 1]]);
        assert_eq!(walk.lens[..], [2, 3, 20]);
        assert_eq!(walk.strides[1][..], [0, 1, 0]);
        let same = Walk::new(&[2, 3, 4], [&[2, 3, 4], &[2, 3, 4]]);
        assert_eq!(same.lens[..], [24]);
        let one = Walk::new(&[1, 1], [&[1, 1], &[]]);
        assert_eq!(one.lens[..], [1]);
    }
}
