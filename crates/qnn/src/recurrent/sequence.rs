//! Sequences: padded to one length, or packed without padding.

use std::sync::Arc;

use qtensor_core::{Tensor, checked_lengths};

use crate::error::{Error, Result};
use crate::value::{Flow, Value};

/// What a recurrent module runs over.
#[derive(Clone, Debug)]
pub enum Sequence {
    /// A batch of sequences of one length, `(time, batch, features)`, or `(batch, time, features)` for a module with
    /// `batch_first`; or one sequence, `(time, features)`.
    Padded(Value),
    /// A batch of sequences of several lengths.
    Packed(PackedSequence),
}

impl From<Value> for Sequence {
    fn from(value: Value) -> Sequence {
        Sequence::Padded(value)
    }
}

impl From<PackedSequence> for Sequence {
    fn from(packed: PackedSequence) -> Sequence {
        Sequence::Packed(packed)
    }
}

impl Sequence {
    /// The numbers, as they lie.
    pub fn data(&self) -> &Value {
        match self {
            Sequence::Padded(value) => value,
            Sequence::Packed(packed) => &packed.data,
        }
    }
}

impl Flow for Sequence {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        visit(self.data());
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Sequence> {
        let data = f(self.data())?;
        Ok(match self {
            Sequence::Padded(_) => Sequence::Padded(data),
            Sequence::Packed(packed) => Sequence::Packed(packed.with_data(data)),
        })
    }
}

/// Sequences of several lengths without padding, in the order in which a recurrent module needs them: the first elements
/// of all sequences, longest sequence first, then the second elements of those that have one, and so on.
///
/// ```
/// use qnn::PackedSequence;
/// use qtensor_core::Tensor;
///
/// // Two sequences of one feature, of lengths 1 and 3, padded with zeros to (time, batch, features).
/// let padded = Tensor::from_vec(vec![1.0, 10.0, 0.0, 20.0, 0.0, 30.0], &[3, 2, 1])?;
/// let packed = PackedSequence::pack_unsorted(&padded, &[1, 3], false)?;
/// assert_eq!(packed.batch_sizes(), [2, 1, 1]);
/// assert_eq!(packed.data().to_tensor().to_vec(), [10.0, 1.0, 20.0, 30.0]);
/// let (again, lengths) = packed.unpack(0.0, false)?;
/// assert_eq!((again, lengths), (padded, vec![1, 3]));
/// # Ok::<(), qnn::Error>(())
/// ```
#[doc(alias = "pack_padded_sequence")]
#[derive(Clone, Debug)]
pub struct PackedSequence {
    data: Value,
    batch_sizes: Arc<[usize]>,
    /// For each sequence in the order of packing its number in the batch.
    order: Arc<[usize]>,
}

const PACK: &str = "PackedSequence::pack";

impl PackedSequence {
    /// Packs sequences that are sorted, longest first.
    ///
    /// `padded` is `(time, batch, features)`, or `(batch, time, features)` with `batch_first`.
    ///
    /// # Errors
    /// [`Error::Lengths`] if lengths increase, if one is 0 or beyond the padded length, or if there are not as many as
    /// sequences; [`Error::InputShape`] for another rank.
    pub fn pack(padded: &Tensor, lengths: &[usize], batch_first: bool) -> Result<PackedSequence> {
        if let Some(at) = lengths.windows(2).position(|pair| pair[0] < pair[1]) {
            return Err(Error::Lengths {
                operation: PACK,
                what: format!(
                    "lengths must not increase, but sequence {at} has {} and sequence {} has {}; sort them, or use \
                     pack_unsorted",
                    lengths[at],
                    at + 1,
                    lengths[at + 1]
                ),
            });
        }
        PackedSequence::pack_unsorted(padded, lengths, batch_first)
    }

    /// Packs sequences in any order; results of modules come back in that order.
    ///
    /// # Errors
    /// Those of [`pack`](Self::pack) but the first.
    pub fn pack_unsorted(
        padded: &Tensor,
        lengths: &[usize],
        batch_first: bool,
    ) -> Result<PackedSequence> {
        let (time, batch, features) = padded_shape(padded.shape(), batch_first)?;
        checked_lengths(PACK, padded.shape())?;
        let refuse = |what: String| {
            Err(Error::Lengths {
                operation: PACK,
                what,
            })
        };
        if lengths.len() != batch || batch == 0 {
            return refuse(format!("{} lengths for {batch} sequences", lengths.len()));
        }
        if let Some(at) = lengths.iter().position(|&l| l == 0 || l > time) {
            return refuse(format!(
                "sequence {at} has length {}, expected 1 to {time}",
                lengths[at]
            ));
        }
        let mut order: Vec<usize> = (0..batch).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(lengths[at]));
        let longest = lengths[order[0]];
        let batch_sizes: Arc<[usize]> = (0..longest)
            .map(|t| lengths.iter().filter(|&&l| l > t).count())
            .collect();
        let values = padded.to_vec();
        let mut data = Vec::with_capacity(lengths.iter().sum::<usize>() * features);
        for (t, &active) in batch_sizes.iter().enumerate() {
            for &at in &order[..active] {
                let row = if batch_first {
                    at * time + t
                } else {
                    t * batch + at
                };
                data.extend_from_slice(&values[row * features..][..features]);
            }
        }
        let rows = lengths.iter().sum();
        Ok(PackedSequence {
            data: Tensor::from_vec(data, &[rows, features])?.into(),
            batch_sizes,
            order: order.into(),
        })
    }

    /// The elements of all sequences, `(elements, features)`.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// For each step the number of sequences that have it.
    pub fn batch_sizes(&self) -> &[usize] {
        &self.batch_sizes
    }

    /// For each sequence, longest first, its number in the batch.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The length of each sequence, in the order of the batch.
    pub fn lengths(&self) -> Vec<usize> {
        let mut lengths = vec![0; self.order.len()];
        for (rank, &at) in self.order.iter().enumerate() {
            lengths[at] = self.batch_sizes.iter().filter(|&&s| s > rank).count();
        }
        lengths
    }

    /// Refuses elements that are not as many as the batch sizes say, or have another number of features.
    pub(crate) fn check_shape(
        &self,
        module: &'static str,
        actual: &[usize],
        features: usize,
    ) -> Result<()> {
        let rows: usize = self.batch_sizes.iter().sum();
        if actual == [rows, features] {
            return Ok(());
        }
        Err(Error::InputShape {
            module,
            what: "the input",
            expected: format!("({rows}, {features})"),
            actual: actual.to_vec(),
        })
    }

    /// The same sequences with other elements, one row for each of these.
    pub fn with_data(&self, data: Value) -> PackedSequence {
        PackedSequence {
            data,
            batch_sizes: self.batch_sizes.clone(),
            order: self.order.clone(),
        }
    }

    /// The padded batch, filled up with `padding`, and the lengths.
    ///
    /// # Errors
    /// [`Error::InputShape`] if the elements are not as many as the batch sizes say.
    #[doc(alias = "pad_packed_sequence")]
    pub fn unpack(&self, padding: f32, batch_first: bool) -> Result<(Tensor, Vec<usize>)> {
        let data = self.data.to_tensor();
        let rows: usize = self.batch_sizes.iter().sum();
        let [actual, features] = *data.shape() else {
            return Err(elements(rows, data.shape()));
        };
        if actual != rows {
            return Err(elements(rows, data.shape()));
        }
        let (time, batch) = (self.batch_sizes.len(), self.order.len());
        let values = data.to_vec();
        let mut rows = values.chunks_exact(features.max(1));
        let mut out = vec![padding; time * batch * features];
        for (t, &active) in self.batch_sizes.iter().enumerate() {
            for (&at, row) in self.order[..active].iter().zip(&mut rows) {
                let place = if batch_first {
                    at * time + t
                } else {
                    t * batch + at
                };
                out[place * features..][..features].copy_from_slice(row);
            }
        }
        let shape = if batch_first {
            [batch, time, features]
        } else {
            [time, batch, features]
        };
        Ok((Tensor::from_vec(out, &shape)?, self.lengths()))
    }
}

fn elements(rows: usize, actual: &[usize]) -> Error {
    Error::InputShape {
        module: "PackedSequence",
        what: "the data",
        expected: format!("({rows}, features)"),
        actual: actual.to_vec(),
    }
}

/// Time, batch and features of a padded batch.
pub(crate) fn padded_shape(shape: &[usize], batch_first: bool) -> Result<(usize, usize, usize)> {
    match *shape {
        [batch, time, features] if batch_first => Ok((time, batch, features)),
        [time, batch, features] => Ok((time, batch, features)),
        _ => Err(Error::InputShape {
            module: PACK,
            what: "the padded batch",
            expected: if batch_first {
                "(batch, time, features)".into()
            } else {
                "(time, batch, features)".into()
            },
            actual: shape.to_vec(),
        }),
    }
}
