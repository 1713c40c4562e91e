//! Bytes to an operation: what a fuzzer or a property test throws at `qops`.
//!
//! Any bytes name some call, with shapes, layouts, qparams and settings that a careless or hostile user might give.
//! It must answer with a result or an error. A result must not depend on the layout of the operands, and is compared with
//! the plain formula where that costs little.

mod comparisons;
mod float;
mod int8;
mod layers;
mod moves;
mod naive;
mod norms;
mod recurrent;
mod transposed;

use qops::quantized::{Activation, OutQParams};
use qops::{ConvSpec, ConvTransposeSpec, PoolSpec};
use qtensor_core::{DType, IntTensor, MemoryFormat, QTensor, Quantizer, Tensor};

/// The most elements of an operand or a result, so that a call takes less than a millisecond.
pub const MOST: usize = 3000;

/// What the bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A result, whatever the layout of the operands.
    Computed,
    /// A result that the plain formula gives too.
    Compared,
    /// An error.
    Refused,
    /// The call would take long or much memory.
    Large,
}

impl<T, E> From<Result<T, E>> for Call {
    fn from(result: Result<T, E>) -> Call {
        result.map_or(Call::Refused, |_| Call::Computed)
    }
}

/// Decodes one call, runs it and compares.
///
/// # Panics
/// If an operation gives a wrong result.
pub fn check(bytes: &[u8]) -> Call {
    let mut numbers = Numbers(bytes);
    match numbers.byte() % 12 {
        0 | 3 => float::check(&mut numbers),
        2 => moves::check(&mut numbers),
        6 | 7 => transposed::check(&mut numbers),
        8 => norms::check(&mut numbers),
        9 => comparisons::check(&mut numbers),
        10 => recurrent::check(&mut numbers),
        _ => int8::check(&mut numbers),
    }
}

/// The same bits from operands in another layout.
pub fn same_floats(got: &qops::Result<Tensor>, plain: &qops::Result<Tensor>) -> Call {
    match (got, plain) {
        (Ok(got), Ok(plain)) => {
            assert_eq!(got.shape(), plain.shape());
            assert!(
                same_bits(&got.to_vec(), &plain.to_vec()),
                "another layout gives another result"
            );
            Call::Computed
        }
        (Err(_), Err(_)) => Call::Refused,
        _ => panic!("one layout gives {got:?}, another {plain:?}"),
    }
}

/// Whether the bits are the same; the payload of a NaN is nobody's promise.
pub fn same_bits(a: &[f32], b: &[f32]) -> bool {
    let equal = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(equal)
}

/// Whether all elements are among those that [`Numbers::tensor`] mostly draws, multiples of 1/32 up to 4. Sums of fewer than a
/// thousand products of two such numbers are exact in `f32`, in whatever order they are made.
pub fn is_plain(t: &Tensor) -> bool {
    let plain = |v: &f32| v.abs() <= 4.0 && (v * 32.0).fract() == 0.0;
    t.to_vec().iter().all(plain)
}

/// Reads numbers from the front, and zeros behind the end.
pub struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// A number of a range.
    pub fn within(&mut self, least: usize, most: usize) -> usize {
        least + usize::from(self.byte()) % (most - least + 1)
    }

    pub fn one_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// A size that is mostly small and sometimes beyond all memory, or at an edge of its type.
    pub fn size(&mut self, least: usize, most: usize) -> usize {
        const FAR: [usize; 8] = [
            1 << 30,
            1 << 40,
            1 << 61,
            1 << 62,
            (1 << 63) - 1,
            1 << 63,
            usize::MAX - 1,
            usize::MAX,
        ];
        if self.one_in(24) {
            self.pick(&FAR)
        } else {
            self.within(least, most)
        }
    }

    pub fn sizes(&mut self, count: usize, least: usize, most: usize) -> Vec<usize> {
        (0..count).map(|_| self.size(least, most)).collect()
    }

    /// Lengths of dimensions, a few of which are zero.
    pub fn shape(&mut self, least_rank: usize, most_rank: usize) -> Vec<usize> {
        let rank = self.within(least_rank, most_rank);
        let most = if rank > 3 { 5 } else { 9 };
        (0..rank)
            .map(|_| match self.byte() {
                255 => 0,
                byte => 1 + usize::from(byte) % most,
            })
            .collect()
    }

    /// A dimension, sometimes one that is not there.
    pub fn dim(&mut self, rank: usize) -> usize {
        self.size(0, rank.max(1))
    }

    pub fn real(&mut self) -> f32 {
        const EDGES: [f32; 12] = [
            0.0,
            -0.0,
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            1e-45,
            1.0,
            6.0,
            -1e-30,
        ];
        if self.one_in(8) {
            self.pick(&EDGES)
        } else {
            (f32::from(self.byte()) - 128.0) / 32.0
        }
    }

    /// A scale, mostly a plain one.
    pub fn scale(&mut self) -> f64 {
        const EDGES: [f64; 9] = [
            1e-38,
            1e-30,
            1e30,
            3e38,
            0.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            1e-300,
        ];
        if self.one_in(16) {
            self.pick(&EDGES)
        } else {
            2f64.powi(i32::from(self.byte() % 16) - 10) * (1.0 + f64::from(self.byte()) / 256.0)
        }
    }

    pub fn zero_point(&mut self, dtype: DType) -> i32 {
        let (least, greatest) = dtype.range();
        match self.byte() {
            255 => self.pick(&[i32::MIN, i32::MAX, 256, -129, -1]),
            byte if dtype == DType::QInt32 => self.pick(&[0, 1, i32::MIN, i32::MAX, byte.into()]),
            byte => least + i32::from(byte) % (greatest - least + 1),
        }
    }

    /// A type of activations; rarely one that operations refuse.
    pub fn dtype(&mut self) -> DType {
        match self.byte() {
            255 => DType::QInt32,
            byte if byte.is_multiple_of(3) => DType::QInt8,
            _ => DType::QUInt8,
        }
    }

    pub fn out(&mut self, dtype: DType) -> OutQParams {
        OutQParams::new(self.scale(), self.zero_point(dtype))
    }

    pub fn activation(&mut self) -> Activation {
        self.pick(&[Activation::None, Activation::Relu, Activation::Relu6])
    }

    /// The bytes that are left, over and over; a little different each time.
    fn bytes(&self, count: usize, salt: u8) -> Vec<u8> {
        let value = |i: usize| match self.0 {
            [] => salt,
            bytes => bytes[i % bytes.len()].wrapping_add((i / bytes.len()) as u8 & salt),
        };
        (0..count).map(value).collect()
    }

    /// Real numbers in -4..4, sometimes with one that is no ordinary number.
    pub fn tensor(&mut self, shape: &[usize]) -> Option<Tensor> {
        let count = count(shape)?;
        let mut values: Vec<f32> = (self.bytes(count, 7).into_iter())
            .map(|b| (f32::from(b) - 128.0) / 32.0)
            .collect();
        if self.one_in(12) && count > 0 {
            let at = usize::from(self.byte()) % count;
            values[at] = self.real();
        }
        let tensor = Tensor::from_vec(values, shape).ok()?;
        Some(self.laid_out(tensor))
    }

    /// The same elements in some layout.
    fn laid_out(&mut self, x: Tensor) -> Tensor {
        let rank = x.rank();
        match self.byte() % 8 {
            0 if rank >= 3 => x.to_memory_format(MemoryFormat::ChannelsLast).unwrap_or(x),
            1 if rank >= 2 => {
                let back = |x: &Tensor| x.transpose(0, rank - 1);
                back(&x).and_then(|t| back(&t.contiguous())).unwrap_or(x)
            }
            _ => x,
        }
    }

    pub fn indices(&mut self, shape: &[usize], below: usize) -> Option<Tensor<i64>> {
        let count = count(shape)?;
        let mut values: Vec<i64> = (self.bytes(count, 3).into_iter())
            .map(|b| (usize::from(b) % below.max(1)) as i64)
            .collect();
        if self.one_in(8) && count > 0 {
            let at = usize::from(self.byte()) % count;
            values[at] = self.pick(&[-1, below as i64, i64::MIN, i64::MAX]);
        }
        Tensor::from_vec(values, shape).ok()
    }

    /// An activation, mostly quantized per tensor, in some layout.
    pub fn qtensor(&mut self, shape: &[usize], dtype: DType) -> Option<QTensor> {
        moderate(shape)?;
        let per_channel = self.one_in(32);
        let quantizer = if per_channel {
            let axis = self.within(0, shape.len());
            let channels = shape.get(axis).copied().unwrap_or(1);
            let scales: Vec<f64> = (0..channels).map(|_| self.scale()).collect();
            let zeros: Vec<i32> = (0..channels).map(|_| self.zero_point(dtype)).collect();
            Quantizer::per_channel(&scales, &zeros, axis)
        } else {
            Quantizer::per_tensor(self.scale(), self.zero_point(dtype))
        };
        let x = self.integers(shape, dtype, quantizer)?;
        let rank = x.rank();
        Some(match self.byte() % 8 {
            0 if rank >= 3 => x.to_memory_format(MemoryFormat::ChannelsLast).unwrap_or(x),
            1 if rank >= 2 => {
                let back = |x: &QTensor| x.transpose(0, rank - 1);
                back(&x).and_then(|t| back(&t.contiguous())).unwrap_or(x)
            }
            2 if rank >= 1 => x.slice(0, 0, x.shape()[0], 1).unwrap_or(x),
            _ => x,
        })
    }

    /// Weights, mostly as a layer takes them: qint8 with zero points of 0, per channel of axis 0.
    pub fn weight(&mut self, shape: &[usize]) -> Option<QTensor> {
        if self.one_in(16) {
            let dtype = self.dtype();
            return self.qtensor(shape, dtype);
        }
        moderate(shape)?;
        let channels = shape.first().copied().unwrap_or(1);
        let quantizer = if self.one_in(3) {
            Quantizer::per_tensor(self.scale(), 0)
        } else {
            let first = self.scale();
            let scales: Vec<f64> = (0..channels).map(|c| first / (1 + c % 5) as f64).collect();
            Quantizer::per_channel(&scales, &vec![0; channels], 0)
        };
        self.integers(shape, DType::QInt8, quantizer)
    }

    fn integers(&self, shape: &[usize], dtype: DType, map: Quantizer) -> Option<QTensor> {
        let count = count(shape)?;
        let width = if dtype == DType::QInt32 { 4 } else { 1 };
        let bytes = self.bytes(count * width, 7);
        let ints = IntTensor::from_bytes(&bytes, shape, dtype).ok()?;
        QTensor::from_parts(ints, map).ok()
    }

    pub fn conv_spec(&mut self, spatial: usize, groups: usize) -> Option<ConvSpec> {
        let count = if self.one_in(32) {
            self.within(0, 4)
        } else {
            spatial
        };
        let (stride, padding) = (self.sizes(count, 1, 3), self.sizes(count, 0, 3));
        let dilation = self.sizes(count, 1, 3);
        let groups = if self.one_in(24) {
            self.size(0, 9)
        } else {
            groups
        };
        ConvSpec::new(&stride, &padding, &dilation, groups).ok()
    }

    pub fn transposed_spec(&mut self, spatial: usize, groups: usize) -> Option<ConvTransposeSpec> {
        let spec = self.conv_spec(spatial, groups)?;
        let output_padding = if self.one_in(2) {
            [0; 3]
        } else {
            let given = self.sizes(spatial, 0, 2);
            let mut all = [0; 3];
            all[3 - spatial..].copy_from_slice(&given);
            all
        };
        Some(ConvTransposeSpec {
            stride: spec.stride,
            padding: spec.padding,
            output_padding,
            dilation: spec.dilation,
            groups: spec.groups,
        })
    }

    pub fn pool_spec(&mut self, spatial: usize) -> Option<PoolSpec> {
        let count = if self.one_in(32) {
            self.within(0, 4)
        } else {
            spatial
        };
        let (kernel, stride) = (self.sizes(count, 1, 4), self.sizes(count, 1, 3));
        let padding = self.sizes(count, 0, 2);
        let mut spec = PoolSpec::new(&kernel, &stride, &padding).ok()?;
        if self.one_in(4) {
            let dilation = self.size(1, 3);
            spec.dilation[2] = dilation;
        }
        spec.ceil_mode = self.one_in(3);
        spec.count_include_pad = !self.one_in(3);
        if self.one_in(6) {
            spec.divisor_override = Some(self.size(0, 9));
        }
        Some(spec)
    }
}

/// The number of elements, if an operand may have as many.
fn count(shape: &[usize]) -> Option<usize> {
    let product = |all: usize, &n: &usize| all.checked_mul(n);
    let count = shape.iter().try_fold(1, product)?;
    (count <= MOST).then_some(count)
}

/// `None` for a dimension that has more channels than there may be elements, as only a tensor without elements can have.
fn moderate(shape: &[usize]) -> Option<()> {
    shape.iter().all(|&n| n <= MOST).then_some(())
}

/// Whether a result of that shape would be so large that making it is no test; beyond all memory it is an error again.
pub fn is_large(shape: &[usize]) -> bool {
    let product = |all: usize, &n: &usize| all.checked_mul(n);
    let bytes = shape.iter().try_fold(8, product);
    bytes.is_some_and(|bytes| bytes > 8 * MOST * 8 && bytes <= isize::MAX as usize)
}
