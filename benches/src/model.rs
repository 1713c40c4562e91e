//! Layers with drawn parameters, and what their results have to be.
//!
//! A float product of the same integers has the same sums, bit for bit: all its partial sums are integers,
//! and with drawn signs they stay far below 2^24. So the float benches are held to the same bytes.

use qkernels_x86::reference::Layer;
use qkernels_x86::{OutputRange, PackedWeights, Requant, Result};
use qtensor_core::requant::requantize;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The zero point of all inputs.
pub const INPUT_ZERO_POINT: u8 = 128;

/// Bytes behind an input that kernels may read, as the tensors of `qtensor-core` have them.
const SLACK: usize = 64;

/// A layer of quantized weights with everything that belongs to them.
pub struct Model {
    /// One row of weights per output channel.
    pub weight: Vec<i8>,
    /// One per output channel.
    pub bias: Vec<i32>,
    /// One per output channel, such that few outputs saturate.
    pub multipliers: Vec<f32>,
    /// Zero point and clamp of the output.
    pub range: OutputRange,
    seed: u64,
}

impl Model {
    /// `outputs` channels with `reduction` products each.
    pub fn draw(seed: u64, outputs: usize, reduction: usize) -> Model {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let weight = (0..outputs * reduction).map(|_| rng.random()).collect();
        let bias = (0..outputs)
            .map(|_| i32::from(rng.random::<i16>()) / 4)
            .collect();
        // Both factors are about uniform over the bytes, with a standard deviation of 74.
        let deviation = 74.0 * 74.0 * (reduction as f32).sqrt();
        let multipliers = (0..outputs)
            .map(|_| (0.5 + rng.random::<f32>()) * 50.0 / deviation)
            .collect();
        let range = OutputRange {
            zero_point: 120,
            lo: 0,
            hi: 255,
        };
        Model {
            weight,
            bias,
            multipliers,
            range,
            seed,
        }
    }

    /// `len` bytes of input, and slack behind them.
    pub fn input(&self, len: usize) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed + 1);
        (0..len + SLACK).map(|_| rng.random()).collect()
    }

    /// The parameters as the naive loops take them.
    pub fn layer(&self) -> Layer<'_> {
        Layer {
            weight: &self.weight,
            bias: &self.bias,
            multipliers: &self.multipliers,
            input_zero_point: INPUT_ZERO_POINT,
            range: self.range,
        }
    }

    /// The epilogue for packed `weights` of this model.
    ///
    /// # Errors
    /// Those of [`Requant::new`], if the weights are not this model's.
    pub fn requant(&self, weights: &PackedWeights) -> Result<Requant> {
        Requant::new(
            weights,
            &self.bias,
            &self.multipliers,
            INPUT_ZERO_POINT,
            self.range,
        )
    }

    /// The weights as floats.
    pub fn float_weight(&self) -> Vec<f32> {
        self.weight.iter().map(|&w| f32::from(w)).collect()
    }

    /// What an output channel makes of a float sum of `(x - zero point) * w`.
    pub fn requantize(&self, channel: usize, sum: f32) -> u8 {
        let acc = sum as i32 + self.bias[channel];
        requantize(acc, self.multipliers[channel], self.range) as u8
    }
}

/// An input byte as the real number it stands for, at scale 1.
pub fn real(byte: u8) -> f32 {
    f32::from(byte) - f32::from(INPUT_ZERO_POINT)
}

/// Stops the bench if `got` is not `want`.
///
/// # Panics
/// With the first difference, if there is one; also if `want` is empty or one constant, which would be
/// no evidence.
pub fn same(what: &str, got: &[u8], want: &[u8]) {
    assert_eq!(got.len(), want.len(), "{what}: lengths differ");
    assert!(
        want.iter().any(|byte| *byte != want[0]),
        "{what}: the reference is constant"
    );
    let wrong = got.iter().zip(want).position(|(got, want)| got != want);
    if let Some(at) = wrong {
        panic!("{what}: element {at} is {}, expected {}", got[at], want[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_model_and_another_one_another() {
        let (a, b, c) = (
            Model::draw(1, 4, 9),
            Model::draw(1, 4, 9),
            Model::draw(2, 4, 9),
        );
        assert_eq!(a.weight, b.weight);
        assert_eq!(a.input(5), b.input(5));
        assert_ne!(a.weight, c.weight);
        assert_eq!(a.input(5).len(), 5 + SLACK);
    }

    #[test]
    fn float_sums_requantize_as_integers_do() {
        let model = Model::draw(3, 2, 1);
        let want = requantize(700 + model.bias[1], model.multipliers[1], model.range);
        assert_eq!(i32::from(model.requantize(1, 700.0)), want);
        assert_eq!((real(0), real(255)), (-128.0, 127.0));
    }

    #[test]
    #[should_panic(expected = "element 1 is 3, expected 2")]
    fn a_difference_stops_the_bench() {
        same("x", &[1, 3], &[1, 2]);
    }

    #[test]
    #[should_panic(expected = "the reference is constant")]
    fn a_constant_reference_is_no_evidence() {
        same("x", &[0, 0], &[0, 0]);
    }
}
