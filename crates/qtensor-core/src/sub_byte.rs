//! Quantized tensors of 4-bit and 2-bit integers, two or four to a byte.
//!
//! Element `i` in logical (row-major) order lies in byte `i / n`, `n` elements to a byte, at bits `b · (i mod n)` on, `b` bits each:
//! the first element has the lowest bits. Where the number of elements is no multiple of `n`, the unused high bits of the
//! last byte are 0.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::affine::{dequantize_channel_value, dequantize_value, inverse_scale};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Layout, MemoryFormat, checked_numel};
use crate::quantize::channel_of;
use crate::quantizer::Quantizer;
use crate::rounding::round_half_even;
use crate::tensor::Tensor;

/// How many bits an element has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SubByteType {
    /// Unsigned 4 bits, 0..15, two to a byte.
    #[doc(alias = "torch.quint4x2")]
    QUInt4x2,
    /// Unsigned 2 bits, 0..3, four to a byte.
    #[doc(alias = "torch.quint2x4")]
    QUInt2x4,
}

impl SubByteType {
    /// Bits of one element.
    pub const fn bits(self) -> usize {
        match self {
            SubByteType::QUInt4x2 => 4,
            SubByteType::QUInt2x4 => 2,
        }
    }

    /// Elements in one byte.
    pub const fn per_byte(self) -> usize {
        8 / self.bits()
    }

    /// The greatest integer; the least is 0.
    pub const fn greatest(self) -> i32 {
        (1 << self.bits()) - 1
    }

    /// Bytes that `numel` elements take, the last one perhaps in part.
    pub const fn bytes(self, numel: usize) -> usize {
        numel.div_ceil(self.per_byte())
    }

    /// PyTorch's name without the module.
    pub const fn name(self) -> &'static str {
        match self {
            SubByteType::QUInt4x2 => "quint4x2",
            SubByteType::QUInt2x4 => "quint2x4",
        }
    }
}

impl std::fmt::Display for SubByteType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The affine map of a sub-byte tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SubByteMap {
    /// Integer zero points, per tensor or per channel: `q = clamp(rne(x · (1/s)) + z)`, `x = (q − z) · s`.
    Affine(Quantizer),
    /// Real zero points for each index along `axis`: `q = clamp(rne(x · (1/s) + z))`, `x = (q − z) · s` in `f32`.
    #[doc(alias = "per_channel_affine_float_qparams")]
    FloatQParams {
        /// A scale for each channel.
        scales: Arc<[f32]>,
        /// A zero point for each channel, in steps.
        zero_points: Arc<[f32]>,
        /// The channel axis.
        axis: usize,
    },
}

/// A quantized tensor of 4-bit or 2-bit integers, packed in row-major order.
///
/// ```
/// # use qtensor_core::{Quantizer, SubByteMap, SubByteTensor, SubByteType, Tensor};
/// let x = Tensor::from_vec(vec![-0.5, 0.0, 1.0], &[3])?;
/// let map = SubByteMap::Affine(Quantizer::per_tensor(0.5, 1));
/// let q = SubByteTensor::quantize(&x, map, SubByteType::QUInt4x2)?;
/// assert_eq!(q.packed(), [0x10, 0x03]);
/// assert_eq!(q.dequantize(), x);
/// # Ok::<(), qtensor_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Record", into = "Record")]
pub struct SubByteTensor {
    packed: Arc<[u8]>,
    shape: Vec<usize>,
    kind: SubByteType,
    map: SubByteMap,
}

/// A tensor as serde formats hold it; reading checks what [`SubByteTensor::from_packed`] checks.
#[derive(Serialize, Deserialize)]
struct Record {
    shape: Vec<usize>,
    kind: SubByteType,
    map: SubByteMap,
    #[serde(with = "serde_bytes")]
    packed: Vec<u8>,
}

impl From<SubByteTensor> for Record {
    fn from(tensor: SubByteTensor) -> Record {
        Record {
            packed: tensor.packed.to_vec(),
            shape: tensor.shape,
            kind: tensor.kind,
            map: tensor.map,
        }
    }
}

impl TryFrom<Record> for SubByteTensor {
    type Error = Error;

    fn try_from(record: Record) -> Result<SubByteTensor> {
        SubByteTensor::from_packed(&record.packed, &record.shape, record.map, record.kind)
    }
}

impl SubByteTensor {
    /// Quantizes `x`. NaN becomes the greatest integer, infinities saturate.
    ///
    /// # Errors
    /// Those of [`Quantizer::validate`], for zero points from 0 to the type's greatest integer; real zero points must be finite.
    pub fn quantize(x: &Tensor, map: SubByteMap, kind: SubByteType) -> Result<SubByteTensor> {
        map.validate("quantize", kind, x.shape())?;
        let channel = map.channel_of(x.shape());
        let greatest = kind.greatest() as f32;
        let values = x.to_vec().into_iter().enumerate();
        let ints = values.map(|(i, value)| {
            let (q, z) = map.rounded(value, channel(i));
            let sum = q + z;
            if sum.is_nan() {
                greatest as u8
            } else {
                sum.clamp(0.0, greatest) as u8
            }
        });
        Ok(SubByteTensor {
            packed: pack(ints, x.numel(), kind),
            shape: x.shape().to_vec(),
            kind,
            map,
        })
    }

    /// From integers in logical order, one to a byte.
    ///
    /// # Errors
    /// Those of the map as in [`quantize`](Self::quantize); [`Error::Malformed`] for an integer beyond the type.
    pub fn from_ints(
        ints: &Tensor<u8>,
        map: SubByteMap,
        kind: SubByteType,
    ) -> Result<SubByteTensor> {
        map.validate("from_ints", kind, ints.shape())?;
        let values = ints.to_vec();
        if let Some(&q) = values.iter().find(|&&q| i32::from(q) > kind.greatest()) {
            return Err(Error::Malformed(format!(
                "from_ints: {kind} holds integers up to {}, got {q}",
                kind.greatest()
            )));
        }
        Ok(SubByteTensor {
            packed: pack(values.into_iter(), ints.numel(), kind),
            shape: ints.shape().to_vec(),
            kind,
            map,
        })
    }

    /// From packed bytes, as [`packed`](Self::packed) gives them.
    ///
    /// # Errors
    /// Those of the map as in [`quantize`](Self::quantize); [`Error::TooLarge`]; [`Error::ValueCount`] for another number of
    /// bytes; [`Error::Malformed`] if unused bits of the last byte are set.
    pub fn from_packed(
        packed: &[u8],
        shape: &[usize],
        map: SubByteMap,
        kind: SubByteType,
    ) -> Result<SubByteTensor> {
        let numel = checked_numel(shape)?;
        map.validate("from_packed", kind, shape)?;
        let expected = kind.bytes(numel);
        if packed.len() != expected {
            return Err(Error::ValueCount {
                operation: "from_packed (bytes)",
                shape: shape.to_vec(),
                expected,
                actual: packed.len(),
            });
        }
        let used = numel % kind.per_byte() * kind.bits();
        if let Some(&last) = packed.last().filter(|&&last| used > 0 && last >> used != 0) {
            return Err(Error::Malformed(format!(
                "from_packed: {used} bits of the last byte are used, but it is {last:#04x}"
            )));
        }
        Ok(SubByteTensor {
            packed: packed.into(),
            shape: shape.to_vec(),
            kind,
            map,
        })
    }

    /// The packed bytes.
    pub fn packed(&self) -> &[u8] {
        &self.packed
    }

    /// The integers, one to a byte. (PyTorch's `int_repr` of these types gives the packed bytes.)
    pub fn int_repr(&self) -> Tensor<u8> {
        let ints: Vec<u8> = (0..self.numel()).map(|i| self.integer(i)).collect();
        Tensor::from_vec(ints, &self.shape).expect("as many integers as the shape holds")
    }

    /// The real values.
    pub fn dequantize(&self) -> Tensor {
        let channel = self.map.channel_of(&self.shape);
        let values = (0..self.numel()).map(|i| self.map.real(self.integer(i).into(), channel(i)));
        Tensor::from_vec(values.collect(), &self.shape).expect("as many values as the shape holds")
    }

    /// The real value of one element.
    ///
    /// # Errors
    /// [`Error::Rank`], [`Error::OutOfRange`].
    pub fn get(&self, at: &[usize]) -> Result<f32> {
        let i = Layout::dense(&self.shape, MemoryFormat::Contiguous)?.index(at)?;
        let channel = self.map.channel_of(&self.shape)(i);
        Ok(self.map.real(self.integer(i).into(), channel))
    }

    /// The lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// The storage type.
    pub fn dtype(&self) -> SubByteType {
        self.kind
    }

    /// The affine map.
    pub fn map(&self) -> &SubByteMap {
        &self.map
    }

    fn integer(&self, i: usize) -> u8 {
        let shift = i % self.kind.per_byte() * self.kind.bits();
        self.packed[i / self.kind.per_byte()] >> shift & self.kind.greatest() as u8
    }
}

impl SubByteMap {
    /// Refuses a map that a tensor of this shape and type cannot have.
    fn validate(&self, operation: &'static str, kind: SubByteType, shape: &[usize]) -> Result<()> {
        let zero_point_error = |zero_point: i32, channel| Error::InvalidZeroPoint {
            operation,
            zero_point: zero_point.into(),
            dtype: DType::QUInt8,
            lo: 0,
            hi: kind.greatest().into(),
            channel,
        };
        let fits = |z: i32| (0..=kind.greatest()).contains(&z);
        match self {
            SubByteMap::Affine(quantizer) => {
                quantizer.validate(operation, DType::QUInt8, shape)?;
                match quantizer {
                    Quantizer::PerTensor { zero_point, .. } if !fits(*zero_point) => {
                        Err(zero_point_error(*zero_point, None))
                    }
                    Quantizer::PerChannel { zero_points, .. } => {
                        let wrong = zero_points.iter().position(|&z| !fits(z));
                        wrong.map_or(Ok(()), |c| Err(zero_point_error(zero_points[c], Some(c))))
                    }
                    _ => Ok(()),
                }
            }
            SubByteMap::FloatQParams {
                scales,
                zero_points,
                axis,
            } => {
                let wide: Vec<f64> = scales.iter().map(|&s| f64::from(s)).collect();
                let zeros = vec![0; zero_points.len()];
                let grid = Quantizer::per_channel(&wide, &zeros, *axis);
                grid.validate(operation, DType::QUInt8, shape)?;
                match zero_points.iter().position(|z| !z.is_finite()) {
                    Some(channel) => Err(Error::Malformed(format!(
                        "{operation}: zero points must be finite, got {} (channel {channel})",
                        zero_points[channel]
                    ))),
                    None => Ok(()),
                }
            }
        }
    }

    /// The channel of the `i`-th element; 0 for a per-tensor map.
    fn channel_of<'a>(&self, shape: &'a [usize]) -> Box<dyn Fn(usize) -> usize + 'a> {
        match self {
            SubByteMap::Affine(Quantizer::PerTensor { .. }) => Box::new(|_| 0),
            SubByteMap::Affine(Quantizer::PerChannel { axis, .. })
            | SubByteMap::FloatQParams { axis, .. } => Box::new(channel_of(shape, *axis)),
        }
    }

    /// The two summands of the integer of `x`, of which the sum is to be clamped. A sum of integers below 2^24 is exact.
    fn rounded(&self, x: f32, channel: usize) -> (f32, f32) {
        match self {
            SubByteMap::Affine(quantizer) => {
                let (scale, zero_point) = quantizer.channel(channel).unwrap_or((1.0, 0));
                (round_half_even(x * inverse_scale(scale)), zero_point as f32)
            }
            SubByteMap::FloatQParams {
                scales,
                zero_points,
                ..
            } => {
                let steps = x * inverse_scale(scales[channel]) + zero_points[channel];
                (round_half_even(steps), 0.0)
            }
        }
    }

    fn real(&self, q: i32, channel: usize) -> f32 {
        match self {
            SubByteMap::Affine(Quantizer::PerTensor { scale, zero_point }) => {
                dequantize_value(q, *scale as f32, *zero_point)
            }
            SubByteMap::Affine(Quantizer::PerChannel {
                scales,
                zero_points,
                ..
            }) => dequantize_channel_value(q, scales[channel], zero_points[channel]),
            SubByteMap::FloatQParams {
                scales,
                zero_points,
                ..
            } => (q as f32 - zero_points[channel]) * scales[channel],
        }
    }
}

fn pack(ints: impl Iterator<Item = u8>, numel: usize, kind: SubByteType) -> Arc<[u8]> {
    let mut packed = vec![0; kind.bytes(numel)];
    for (i, q) in ints.enumerate() {
        packed[i / kind.per_byte()] |= q << (i % kind.per_byte() * kind.bits());
    }
    packed.into()
}
