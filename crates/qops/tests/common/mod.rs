//! What the tests of quantized operations share: reproducible integers and the plain formulas.

use qops::quantized::{Activation, OutQParams};
use qtensor_core::{DType, IntTensor, MemoryFormat, QTensor, Quantizer};

/// A small generator (xorshift), so that every run sees the same numbers.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    pub fn int(&mut self, lo: i32, hi: i32) -> i32 {
        lo + self.below((hi - lo + 1) as u64) as i32
    }

    pub fn real(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * (self.below(1 << 24) as f32 / (1 << 24) as f32)
    }

    pub fn reals(&mut self, n: usize, lo: f32, hi: f32) -> Vec<f32> {
        (0..n).map(|_| self.real(lo, hi)).collect()
    }
}

pub const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];
pub const EIGHT_BIT: [DType; 2] = [DType::QUInt8, DType::QInt8];

/// A row-major tensor of given integers.
pub fn quantized(ints: &[i32], shape: &[usize], dtype: DType, scale: f64, z: i32) -> QTensor {
    let ints = IntTensor::from_i32(ints, shape, dtype).unwrap();
    QTensor::from_parts(ints, Quantizer::per_tensor(scale, z)).unwrap()
}

/// A row-major activation that uses the whole range of its type.
pub fn activation(rng: &mut Rng, shape: &[usize], dtype: DType) -> QTensor {
    let (lo, hi) = dtype.range();
    let n = shape.iter().product();
    let ints: Vec<i32> = (0..n).map(|_| rng.int(lo, hi)).collect();
    let (scale, z) = (rng.real(0.01, 0.1), rng.int(lo, hi));
    quantized(&ints, shape, dtype, scale.into(), z)
}

/// Signed weights `[channels, …]`, per tensor or per channel along axis 0.
pub fn weights(rng: &mut Rng, shape: &[usize], per_channel: bool) -> QTensor {
    let n = shape.iter().product();
    let ints: Vec<i32> = (0..n).map(|_| rng.int(-128, 127)).collect();
    let ints = IntTensor::from_i32(&ints, shape, DType::QInt8).unwrap();
    let quantizer = if per_channel {
        let scales: Vec<f64> = (0..shape[0])
            .map(|_| rng.real(0.001, 0.02).into())
            .collect();
        Quantizer::per_channel(&scales, &vec![0; shape[0]], 0)
    } else {
        Quantizer::per_tensor(rng.real(0.001, 0.02).into(), 0)
    };
    QTensor::from_parts(ints, quantizer).unwrap()
}

/// The same tensor in every memory layout that an operation may meet: row-major, channels-last (from rank 3 on), a slice
/// of a larger tensor, and a transposed view.
pub fn layouts(x: &QTensor) -> Vec<QTensor> {
    let mut all = vec![x.contiguous()];
    if x.rank() >= 3 {
        all.push(x.to_memory_format(MemoryFormat::ChannelsLast).unwrap());
    }
    if x.rank() >= 2 {
        let order: Vec<usize> = (0..x.rank()).rev().collect();
        let reversed = x.permute(&order).unwrap().contiguous();
        all.push(reversed.permute(&order).unwrap());
    }
    let mut wide = x.shape().to_vec();
    if let Some(first) = wide.first_mut() {
        *first += 2;
        let inner: usize = x.shape()[1..].iter().product();
        let mut ints = vec![1; inner];
        ints.extend(x.int_repr().to_i32_vec());
        ints.extend(vec![1; inner]);
        let ints = IntTensor::from_i32(&ints, &wide, x.dtype()).unwrap();
        let wide = QTensor::from_parts(ints, x.quantizer().clone()).unwrap();
        all.push(wide.slice(0, 1, 1 + x.shape()[0], 1).unwrap());
    }
    assert!(all.iter().all(|view| view == x));
    all
}

pub fn ints(x: &QTensor) -> Vec<i32> {
    x.int_repr().to_i32_vec()
}

/// Scale (as used) and zero point of a per-tensor map.
pub fn map(x: &QTensor) -> (f32, i32) {
    (x.q_scale().unwrap() as f32, x.q_zero_point().unwrap())
}

/// Rounds a real result and clamps it to the type and the activation: `clamp(rne(v) + z)`.
pub fn stored(v: f32, out: OutQParams, dtype: DType, activation: Activation) -> i32 {
    let (mut lo, mut hi) = dtype.range();
    if activation != Activation::None {
        lo = out.zero_point;
    }
    if activation == Activation::Relu6 {
        let six = 6.0 * (1.0 / out.scale as f32);
        hi = hi.min((six.round_ties_even() as i32).saturating_add(out.zero_point));
    }
    let q = f64::from(v.round_ties_even()) + f64::from(out.zero_point);
    q.clamp(f64::from(lo), f64::from(hi)) as i32
}

/// One output of a linear layer or a convolution from its exact sum without the bias.
pub fn requantized(
    sum: i64,
    bias: f32,
    (input_scale, weight_scale): (f32, f32),
    out: OutQParams,
    dtype: DType,
    activation: Activation,
) -> i32 {
    let step = input_scale * weight_scale;
    let bias = (bias * (1.0 / step)).round_ties_even() as i64;
    let acc = i32::try_from(sum + bias).unwrap();
    let multiplier = step / out.scale as f32;
    stored(acc as f32 * multiplier, out, dtype, activation)
}

/// Output qparams in the range of a type.
pub fn out_params(rng: &mut Rng, dtype: DType, lo: f32, hi: f32) -> OutQParams {
    let (least, greatest) = dtype.range();
    OutQParams::new(
        rng.real(lo, hi).into(),
        rng.int(least / 2, least / 2 + (greatest - least) / 2),
    )
}
