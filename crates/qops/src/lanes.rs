//! Order statistics on integer keys: extremes and sorting of rows that lie along one dimension.
//!
//! Equal keys keep their order of appearance, in descending sorts too, and the first of equal extremes is the one reported.

use std::cmp::Reverse;

use crate::error::{Error, Result};

/// Which end of the order.
#[derive(Clone, Copy)]
pub(crate) enum Extreme {
    Least,
    Greatest,
}

/// A tensor as rows to be ordered: the element `i` of lane `(o, n)` is `keys[(o · len + i) · inner + n]`.
pub(crate) struct Lanes {
    keys: Vec<i32>,
    outer: usize,
    /// The number of elements of a lane.
    pub len: usize,
    inner: usize,
    /// The shape with the ordered dimension, and where that is.
    shape: Vec<usize>,
    dim: usize,
}

/// Chosen elements: their places among all elements in logical order, and in their lanes.
pub(crate) struct Chosen {
    pub places: Vec<usize>,
    pub indices: Vec<i64>,
    /// The shape of both; without the ordered dimension for extremes.
    pub shape: Vec<usize>,
}

impl Lanes {
    /// Keys in logical order; without a dimension they are one lane.
    pub fn new(
        operation: &'static str,
        keys: Vec<i32>,
        shape: &[usize],
        dim: Option<usize>,
    ) -> Result<Lanes> {
        let Some(dim) = dim else {
            return Ok(Lanes {
                outer: 1,
                len: keys.len(),
                inner: 1,
                shape: vec![keys.len()],
                dim: 0,
                keys,
            });
        };
        if dim >= shape.len() {
            return Err(Error::Tensor(qtensor_core::Error::NoSuchDim {
                operation,
                dim,
                rank: shape.len(),
                shape: shape.to_vec(),
            }));
        }
        let inner = shape[dim + 1..].iter().product();
        // Nothing walks over what has no lanes.
        let outer = if inner == 0 {
            0
        } else {
            shape[..dim].iter().product()
        };
        Ok(Lanes {
            keys,
            outer,
            len: shape[dim],
            inner,
            shape: shape.to_vec(),
            dim,
        })
    }

    fn place(&self, outer: usize, i: usize, inner: usize) -> usize {
        (outer * self.len + i) * self.inner + inner
    }

    fn key(&self, outer: usize, i: usize, inner: usize) -> i32 {
        self.keys[self.place(outer, i, inner)]
    }

    /// The first extreme of each lane.
    ///
    /// # Errors
    /// [`Error::Empty`] for lanes without elements.
    pub fn extreme(&self, operation: &'static str, which: Extreme) -> Result<Chosen> {
        if self.len == 0 {
            return Err(Error::Empty {
                operation,
                what: "element",
            });
        }
        let total = self.outer * self.inner;
        let (mut places, mut indices) = (Vec::with_capacity(total), Vec::with_capacity(total));
        for o in 0..self.outer {
            for n in 0..self.inner {
                let mut best = 0;
                for i in 1..self.len {
                    let (q, least) = (self.key(o, i, n), self.key(o, best, n));
                    let better = match which {
                        Extreme::Least => q < least,
                        Extreme::Greatest => q > least,
                    };
                    if better {
                        best = i;
                    }
                }
                places.push(self.place(o, best, n));
                indices.push(best as i64);
            }
        }
        let mut shape = self.shape.clone();
        shape.remove(self.dim);
        Ok(Chosen {
            places,
            indices,
            shape,
        })
    }

    /// The first `k` of each sorted lane.
    ///
    /// # Errors
    /// [`Error::Argument`] if lanes have fewer than `k` elements.
    pub fn sorted(&self, operation: &'static str, descending: bool, k: usize) -> Result<Chosen> {
        if k > self.len {
            return Err(Error::Argument {
                operation,
                argument: "k",
                expected: format!("at most {}, the length of the dimension", self.len),
                actual: k.to_string(),
            });
        }
        let mut shape = self.shape.clone();
        shape[self.dim] = k;
        let total = self.outer * k * self.inner;
        let (mut places, mut indices) = (vec![0; total], vec![0i64; total]);
        let mut order: Vec<usize> = Vec::new();
        for o in 0..self.outer {
            for n in 0..self.inner {
                order.clear();
                order.extend(0..self.len);
                if descending {
                    order.sort_by_key(|&i| Reverse(self.key(o, i, n)));
                } else {
                    order.sort_by_key(|&i| self.key(o, i, n));
                }
                for (rank, &i) in order.iter().take(k).enumerate() {
                    let position = (o * k + rank) * self.inner + n;
                    places[position] = self.place(o, i, n);
                    indices[position] = i as i64;
                }
            }
        }
        Ok(Chosen {
            places,
            indices,
            shape,
        })
    }
}
