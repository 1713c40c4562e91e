//! Tables of embeddings in 8 or 4 bits, each row with a real scale and zero point.

use qtensor_core::rounding::round_half_even;
use qtensor_core::{MemoryFormat, Tensor};

use crate::error::{Error, Result};
use crate::spec::argument;

const OPERATION: &str = "embedding";

/// Below this scale a row counts as constant.
const EPS: f32 = 1.0 / (1 << 23) as f32;

/// A table `[rows, width]` of unsigned integers: `x = (q − z) · s` with `s` and `z` of each row in `f32`.
///
/// For a row with least element `min` and greatest `max`: `s = (max − min) / (2^bits − 1)`, or 1 for a constant row,
/// `z = −min / s`, and `q = clamp(rne(x / s + z), 0, 2^bits − 1)`. Of two 4-bit integers in a byte the low half is the
/// first; a row of odd width ends in half a byte of zeros.
///
/// ```
/// # use qops::quantized::EmbeddingTable;
/// # use qtensor_core::Tensor;
/// let weight = Tensor::from_vec(vec![-1.0, 0.0, 0.5, 1.0, 7.0, 7.0, 7.0, 7.0], &[2, 4])?;
/// let table = EmbeddingTable::quantize(&weight, 4)?;
/// assert_eq!(table.bytes().len(), 4);
/// let y = table.lookup(&Tensor::from_vec(vec![1i64, 0], &[2])?)?;
/// assert_eq!(y.shape(), [2, 4]);
/// assert!(y.to_vec().iter().zip([7.0, 7.0, 7.0, 7.0, -1.0, 0.0, 0.5, 1.0]).all(|(a, b)| (a - b).abs() < 0.07));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "embedding_byte_prepack")]
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingTable {
    bits: u8,
    rows: usize,
    width: usize,
    bytes: Vec<u8>,
    scales: Vec<f32>,
    zero_points: Vec<f32>,
}

/// What becomes of the rows of a bag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BagMode {
    /// Their sum.
    Sum,
    /// Their mean; zeros for an empty bag.
    #[default]
    Mean,
    /// The greatest of each feature; zeros for an empty bag.
    Max,
}

impl EmbeddingTable {
    /// Quantizes a float table to 8 or 4 bits.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of bits, a rank error, [`Error::NotFinite`] with the element's place.
    pub fn quantize(weight: &Tensor, bits: u8) -> Result<EmbeddingTable> {
        let &[rows, width] = weight.shape() else {
            return Err(rank(weight.shape()));
        };
        check_bits(bits)?;
        let values = weight.to_vec();
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite {
                operation: OPERATION,
                index: vec![at / width, at % width],
                value: values[at],
            });
        }
        let greatest = f32::from((1u16 << bits) - 1);
        let mut table = EmbeddingTable {
            bits,
            rows,
            width,
            bytes: Vec::with_capacity(rows * row_bytes(width, bits)),
            scales: Vec::with_capacity(rows),
            zero_points: Vec::with_capacity(rows),
        };
        for row in 0..rows {
            let row = &values[row * width..][..width];
            let min = row.iter().copied().fold(f32::INFINITY, f32::min);
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let (min, max) = if row.is_empty() {
                (0.0, 0.0)
            } else {
                (min, max)
            };
            // The difference of two finite numbers may be infinite.
            let span = (max / greatest) - (min / greatest);
            let scale = if span > EPS { span } else { 1.0 };
            let zero_point = -min / scale;
            let inverse = 1.0 / scale;
            let integer = |x: f32| {
                let q = round_half_even(x * inverse + zero_point);
                q.clamp(0.0, greatest) as u8
            };
            if bits == 8 {
                table.bytes.extend(row.iter().map(|&x| integer(x)));
            } else {
                let pairs = row.chunks(2).map(|pair| {
                    let high = pair.get(1).map_or(0, |&x| integer(x));
                    integer(pair[0]) | (high << 4)
                });
                table.bytes.extend(pairs);
            }
            table.scales.push(scale);
            table.zero_points.push(zero_point);
        }
        Ok(table)
    }

    /// A table of given integers.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of bits, [`Error::Length`] for bytes, scales or zero points that are not
    /// those of `shape`.
    pub fn from_parts(
        shape: [usize; 2],
        bits: u8,
        bytes: Vec<u8>,
        scales: Vec<f32>,
        zero_points: Vec<f32>,
    ) -> Result<EmbeddingTable> {
        check_bits(bits)?;
        let [rows, width] = shape;
        let expected = rows.saturating_mul(row_bytes(width, bits));
        for (what, expected, actual) in [
            ("the number of bytes", expected, bytes.len()),
            ("the number of scales", rows, scales.len()),
            ("the number of zero points", rows, zero_points.len()),
        ] {
            if expected != actual {
                return Err(Error::Length {
                    operation: OPERATION,
                    what,
                    expected,
                    actual,
                });
            }
        }
        Ok(EmbeddingTable {
            bits,
            rows,
            width,
            bytes,
            scales,
            zero_points,
        })
    }

    /// Rows and features.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.width]
    }

    /// Bits of an integer.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The integers, row after row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The scale of each row.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The real number of integers between 0 and the real 0 of each row.
    pub fn zero_points(&self) -> &[f32] {
        &self.zero_points
    }

    /// `(q − z) · s` of one row into `out`.
    fn write(&self, row: usize, out: &mut [f32]) {
        let (scale, zero_point) = (self.scales[row], self.zero_points[row]);
        let real = |q: u8| (f32::from(q) - zero_point) * scale;
        let length = row_bytes(self.width, self.bits);
        let bytes = &self.bytes[row * length..][..length];
        if self.bits == 8 {
            out.iter_mut()
                .zip(bytes)
                .for_each(|(out, &q)| *out = real(q));
        } else {
            for (pair, &byte) in out.chunks_mut(2).zip(bytes) {
                let halves = [byte & 15, byte >> 4];
                pair.iter_mut()
                    .zip(halves)
                    .for_each(|(out, q)| *out = real(q));
            }
        }
    }

    /// The rows of these indices: `[…]` gives `[…, width]`.
    ///
    /// # Errors
    /// [`Error::Argument`] for an index outside the table.
    pub fn lookup(&self, indices: &Tensor<i64>) -> Result<Tensor> {
        let rows = self.checked(indices)?;
        let mut shape = indices.shape().to_vec();
        shape.push(self.width);
        Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
            for (out, row) in out.chunks_mut(self.width.max(1)).zip(rows) {
                self.write(row, out);
            }
            Ok(())
        })
    }

    /// One row for each bag of indices: bag `i` begins at `offsets[i]` and ends where the next one begins.
    ///
    /// # Errors
    /// [`Error::Argument`] for an index outside the table, and for offsets that do not begin at 0, decrease, or go
    /// beyond the indices.
    pub fn bags(
        &self,
        indices: &Tensor<i64>,
        offsets: &Tensor<i64>,
        mode: BagMode,
    ) -> Result<Tensor> {
        let rows = self.checked(indices)?;
        let bags = bag_bounds(&offsets.to_vec(), rows.len())?;
        let shape = [bags.len(), self.width];
        let mut row = vec![0.0; self.width];
        Tensor::build(&shape, MemoryFormat::Contiguous, |out| {
            for (out, bag) in out.chunks_mut(self.width.max(1)).zip(bags) {
                gather(out, &rows[bag], mode, &mut row, |at, row| {
                    self.write(at, row);
                });
            }
            Ok(())
        })
    }

    fn checked(&self, indices: &Tensor<i64>) -> Result<Vec<usize>> {
        let inside = |index: i64| usize::try_from(index).ok().filter(|&at| at < self.rows);
        let values = indices.to_vec();
        let rows = values.iter().enumerate().map(|(at, &index)| {
            inside(index).ok_or_else(|| {
                let expected = format!("in 0..{}", self.rows);
                let actual = format!("{index} at position {at}");
                argument(OPERATION, "every index", expected, actual)
            })
        });
        rows.collect()
    }
}

/// As [`EmbeddingTable::bags`], of a float table `[rows, width]`.
///
/// # Errors
/// As [`EmbeddingTable::bags`], and a rank error.
pub fn float_bags(
    weight: &Tensor,
    indices: &Tensor<i64>,
    offsets: &Tensor<i64>,
    mode: BagMode,
) -> Result<Tensor> {
    let &[_, width] = weight.shape() else {
        return Err(rank(weight.shape()));
    };
    let found = crate::float::embedding(weight, &indices.contiguous().flatten(0)?)?;
    let found = found.as_slice().unwrap_or_default();
    let bags = bag_bounds(&offsets.to_vec(), indices.numel())?;
    let mut row = vec![0.0; width];
    Tensor::build(&[bags.len(), width], MemoryFormat::Contiguous, |out| {
        for (out, bag) in out.chunks_mut(width.max(1)).zip(bags) {
            let rows: Vec<usize> = bag.collect();
            gather(out, &rows, mode, &mut row, |at, row| {
                row.copy_from_slice(&found[at * width..][..width]);
            });
        }
        Ok(())
    })
}

/// The adjoint of [`float_bags`]: each row of the table gets the sum, in `f64`, of what its uses pass on. A use passes on the gradient of
/// its bag, divided by the number of the bag's rows for a mean; for a maximum those elements that the first greatest row gave.
///
/// # Errors
/// As [`float_bags`], and [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) if `grad` does not have the output's shape.
pub fn float_bags_backward(
    grad: &Tensor,
    weight: &Tensor,
    indices: &Tensor<i64>,
    offsets: &Tensor<i64>,
    mode: BagMode,
) -> Result<Tensor> {
    let &[_, width] = weight.shape() else {
        return Err(rank(weight.shape()));
    };
    let bags = bag_bounds(&offsets.to_vec(), indices.numel())?;
    if grad.shape() != [bags.len(), width] {
        return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation: OPERATION,
            expected: vec![bags.len(), width],
            actual: grad.shape().to_vec(),
        }));
    }
    let flat = indices.contiguous().flatten(0)?;
    let mut uses = vec![0.0; indices.numel() * width];
    let found = match mode {
        BagMode::Max => crate::float::embedding(weight, &flat)?.to_vec(),
        BagMode::Sum | BagMode::Mean => Vec::new(),
    };
    let grad = grad.to_vec();
    for (dy, bag) in grad.chunks(width.max(1)).zip(bags) {
        let count = bag.len() as f32;
        for (column, &dy) in dy.iter().enumerate() {
            if mode == BagMode::Max {
                let greatest = bag.clone().reduce(|best, at| {
                    let (x, y) = (found[at * width + column], found[best * width + column]);
                    if x > y || y.is_nan() { at } else { best }
                });
                if let Some(at) = greatest {
                    uses[at * width + column] = dy;
                }
                continue;
            }
            let share = if mode == BagMode::Mean {
                dy / count
            } else {
                dy
            };
            bag.clone().for_each(|at| uses[at * width + column] = share);
        }
    }
    let uses = Tensor::from_vec(uses, &[indices.numel(), width])?;
    crate::float::embedding_backward(&uses, &flat, weight.shape())
}

/// Brings rows together, in their order.
fn gather(
    out: &mut [f32],
    rows: &[usize],
    mode: BagMode,
    row: &mut [f32],
    write: impl Fn(usize, &mut [f32]),
) {
    out.fill(0.0);
    for (place, &at) in rows.iter().enumerate() {
        write(at, row);
        for (out, &x) in out.iter_mut().zip(&*row) {
            *out = match mode {
                BagMode::Sum | BagMode::Mean => *out + x,
                BagMode::Max if place == 0 => x,
                BagMode::Max => out.max(x),
            };
        }
    }
    if mode == BagMode::Mean && !rows.is_empty() {
        let count = rows.len() as f32;
        out.iter_mut().for_each(|out| *out /= count);
    }
}

fn bag_bounds(offsets: &[i64], indices: usize) -> Result<Vec<std::ops::Range<usize>>> {
    let wrong = |at: usize| {
        let expected = format!("0 at first, not decreasing, at most {indices}");
        let actual = format!("{} at position {at}", offsets[at]);
        argument(OPERATION, "offsets", expected, actual)
    };
    let mut bounds = Vec::with_capacity(offsets.len() + 1);
    for (at, &offset) in offsets.iter().enumerate() {
        let least = bounds.last().copied().unwrap_or(0);
        let fits = |&o: &usize| o >= least && o <= indices && (at > 0 || o == 0);
        let offset = usize::try_from(offset).ok().filter(fits);
        bounds.push(offset.ok_or_else(|| wrong(at))?);
    }
    bounds.push(indices);
    Ok(bounds.windows(2).map(|pair| pair[0]..pair[1]).collect())
}

fn row_bytes(width: usize, bits: u8) -> usize {
    if bits == 8 { width } else { width.div_ceil(2) }
}

fn check_bits(bits: u8) -> Result<()> {
    if bits == 8 || bits == 4 {
        return Ok(());
    }
    Err(argument(OPERATION, "bits", "8 or 4", bits))
}

fn rank(shape: &[usize]) -> Error {
    Error::Tensor(qtensor_core::Error::Rank {
        operation: OPERATION,
        expected: "2 (rows, width)".into(),
        actual: shape.len(),
        shape: shape.to_vec(),
    })
}
