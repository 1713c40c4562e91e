//! What packed linear layers and convolutions share: checked weights, the bias on its integer grid,
//! multipliers, and a cache of both for the qparams seen last.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use qkernels_x86::{FloatOutput, PackedWeights, Requant, RowParams};
use qtensor_core::affine::inverse_scale;
use qtensor_core::requant::output_multiplier;
use qtensor_core::rounding::round_half_even;
use qtensor_core::{DType, IntTensor, QTensor, Quantizer, Tensor};

use super::bytes::Bytes;
use super::params::{Activation, OutQParams};
use super::room::{self, Scales};
use crate::error::{Error, Result};

/// Weights in the kernels' order, with everything that requantization derives from them.
pub(crate) struct Packed {
    operation: &'static str,
    weights: Arc<PackedWeights>,
    weight: QTensor,
    bias: Option<Tensor>,
    /// The scale of each output channel.
    scales: Vec<f32>,
    /// The bias of each output channel, zeros if there is none.
    biases: Vec<f32>,
    /// What was prepared last, newest first. A converted module sees the same qparams in every forward pass, but
    /// a place that a model uses several times sees those of each use.
    cache: RwLock<Vec<(Key, Arc<Prepared>)>>,
}

/// How many uses of a place with qparams of their own are remembered.
const REMEMBERED: usize = 4;

/// What a kernel needs for one input and one output map.
pub(crate) struct Prepared {
    /// The weights, which are those of the layer unless a bias does not fit beside them.
    pub weights: Arc<PackedWeights>,
    /// Bias, multipliers and clamp.
    pub requant: Requant,
}

/// Everything that requantization depends on besides the weights.
#[derive(Clone, Copy, PartialEq)]
struct Key {
    input_scale: f64,
    input_zero_point: i32,
    dtype: DType,
    out: OutQParams,
    activation: Activation,
}

impl Packed {
    /// Checks weights `[channels, …]` and a bias `[channels]`; `pack` brings the integers into the kernels' order.
    pub fn new(
        operation: &'static str,
        weight: &QTensor,
        bias: Option<&Tensor>,
        pack: impl FnOnce(&[i8]) -> qkernels_x86::Result<PackedWeights>,
    ) -> Result<Packed> {
        let scales = weight_scales(operation, weight)?;
        let biases = match bias {
            Some(bias) => bias_values(operation, bias, scales.len())?,
            None => vec![0.0; scales.len()],
        };
        let IntTensor::I8(ints) = weight.int_repr() else {
            return Err(Error::UnsupportedDType {
                operation,
                expected: "qint8 weights",
                actual: weight.dtype(),
            });
        };
        let weights = Arc::new(pack(&ints.to_vec())?);
        Ok(Packed {
            operation,
            weights,
            weight: weight.clone(),
            bias: bias.cloned(),
            scales,
            biases,
            cache: RwLock::new(Vec::new()),
        })
    }

    /// The quantized weights as they came.
    pub fn weight(&self) -> &QTensor {
        &self.weight
    }

    /// The bias as it came.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The weights in the kernels' order.
    pub fn weights(&self) -> &PackedWeights {
        &self.weights
    }

    /// How sums of activations quantized by `rows` become floats.
    pub fn float_output<'a>(&'a self, rows: &'a [RowParams], relu: bool) -> FloatOutput<'a> {
        FloatOutput {
            rows,
            column_scales: &self.scales,
            bias: self.bias.is_some().then_some(&self.biases),
            relu,
        }
    }

    /// Weights and requantization for an input and an output map, from the cache if it has them.
    pub fn prepare(
        &self,
        x: &Bytes,
        out: OutQParams,
        activation: Activation,
    ) -> Result<Arc<Prepared>> {
        let key = Key {
            input_scale: x.scale,
            input_zero_point: x.zero_point,
            dtype: x.dtype,
            out,
            activation,
        };
        let find = |cache: &[(Key, Arc<Prepared>)]| {
            let entry = cache.iter().find(|(known, _)| *known == key)?;
            Some(entry.1.clone())
        };
        // Entries are replaced as a whole, so a poisoned lock still guards sound values.
        let known = find(&self.cache.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(known) = known {
            return Ok(known);
        }
        let fresh = Arc::new(self.build(key)?);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if let Some(known) = find(&cache) {
            return Ok(known);
        }
        cache.insert(0, (key, fresh.clone()));
        cache.truncate(REMEMBERED);
        Ok(fresh)
    }

    fn build(&self, key: Key) -> Result<Prepared> {
        let operation = self.operation;
        key.out.validate(operation, key.dtype)?;
        let (input_scale, output_scale) = (key.input_scale as f32, key.out.scale as f32);
        let zero_point = key.input_zero_point as u8;
        let range = key.out.byte_range(key.dtype, key.activation);
        let mut biases = Vec::with_capacity(self.scales.len());
        let mut multipliers = Vec::with_capacity(self.scales.len());
        // The weights in their own order, once a channel needs others.
        let mut replaced: Option<Vec<i8>> = None;
        for (index, (&weight_scale, &bias)) in self.scales.iter().zip(&self.biases).enumerate() {
            let step = input_scale * weight_scale;
            let multiplier = self.multiplier(index, weight_scale, input_scale, output_scale)?;
            let (lowest, highest) = self
                .weights
                .bias_limits(index, zero_point)
                .expect("as many channels were packed as there are scales");
            // The bias in steps, rounded as any quantized value: `rne(b · (1/step))`.
            let steps = f64::from(round_half_even(bias * inverse_scale(step)));
            if (f64::from(lowest)..=f64::from(highest)).contains(&steps) {
                biases.push(steps as i32);
                multipliers.push(multiplier);
                continue;
            }
            let ints = replaced.get_or_insert_with(|| self.integers());
            let length = ints.len() / self.scales.len();
            let row = &mut ints[index * length..][..length];
            let scales = Scales {
                bias,
                step,
                output: output_scale,
            };
            let fitted = room::fit(row, zero_point, scales, range).ok_or(Error::BiasTooLarge {
                operation,
                channel: index,
                bias,
                steps,
                step,
                lowest,
                highest,
            })?;
            row.copy_from_slice(&fitted.weights);
            biases.push(fitted.bias);
            multipliers.push(fitted.multiplier);
        }
        let weights = match replaced {
            None => self.weights.clone(),
            Some(ints) => Arc::new(self.weights.repacked(&ints)?),
        };
        let requant = Requant::new(&weights, &biases, &multipliers, zero_point, range)?;
        Ok(Prepared { weights, requant })
    }

    /// Refuses scales of input and output that do not go together with those of the weights.
    pub fn check_scales(&self, input_scale: f32, output_scale: f32) -> Result<()> {
        let mut channels = self.scales.iter().enumerate();
        channels.try_for_each(|(channel, &weight_scale)| {
            self.multiplier(channel, weight_scale, input_scale, output_scale)
                .map(drop)
        })
    }

    /// The multiplier of a channel, whose step and whose step's inverse are finite too.
    fn multiplier(
        &self,
        channel: usize,
        weight_scale: f32,
        input_scale: f32,
        output_scale: f32,
    ) -> Result<f32> {
        let multiplier = output_multiplier(input_scale, weight_scale, output_scale);
        let inverse = inverse_scale(input_scale * weight_scale);
        if multiplier.is_finite() && multiplier > 0.0 && inverse.is_finite() {
            return Ok(multiplier);
        }
        Err(Error::Multiplier {
            operation: self.operation,
            channel,
            input_scale,
            weight_scale,
            output_scale,
            multiplier,
        })
    }

    /// The weights' integers, one channel after the other.
    fn integers(&self) -> Vec<i8> {
        match self.weight.int_repr() {
            IntTensor::I8(ints) => ints.to_vec(),
            _ => unreachable!("the constructor refused other types"),
        }
    }
}

impl Clone for Packed {
    fn clone(&self) -> Packed {
        let cached = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        Packed {
            operation: self.operation,
            weights: self.weights.clone(),
            weight: self.weight.clone(),
            bias: self.bias.clone(),
            scales: self.scales.clone(),
            biases: self.biases.clone(),
            cache: RwLock::new(cached.clone()),
        }
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed")
            .field("weight", &self.weight.shape())
            .field("qscheme", &self.weight.qscheme())
            .field("bias", &self.bias.is_some())
            .finish()
    }
}

/// The greatest bias magnitude that fits `i32` beside any sum of `depth` products:
/// `(2^31 − 1 − 255 · 128 · depth) · input_scale · weight_scale`, less a little for rounding; 0 if
/// nothing fits.
///
/// A channel whose weights are tiny beside its bias (batch normalization folding makes such channels)
/// exceeds it. Its weight scale can then be enlarged by `bias / max_bias_magnitude(..)` before the
/// weights are quantized, at no visible loss: the products hardly reach one step of the output.
///
/// ```
/// # use qops::quantized::max_bias_magnitude;
/// let limit = max_bias_magnitude(576, 0.05, 1e-9);
/// assert!(limit > 0.1 && limit < 0.2);
/// ```
pub fn max_bias_magnitude(depth: usize, input_scale: f64, weight_scale: f64) -> f32 {
    let products = (depth as f64) * 255.0 * 128.0;
    let steps = (f64::from(i32::MAX) - products).max(0.0);
    // Quantizing takes three f32 roundings, each of at most 2^-24 of the value.
    (steps * (1.0 - 1e-6) * input_scale * weight_scale) as f32
}

/// The scale of each output channel, with the checks that make a weight usable.
fn weight_scales(operation: &'static str, weight: &QTensor) -> Result<Vec<f32>> {
    let channels = weight.shape().first().copied().unwrap_or(0);
    if let Quantizer::PerChannel { axis, .. } = weight.quantizer()
        && *axis != 0
    {
        return Err(Error::WeightAxis {
            operation,
            axis: *axis,
        });
    }
    (0..channels)
        .map(|channel| match weight.quantizer().channel(channel) {
            Some((scale, 0)) => Ok(scale),
            Some((_, zero_point)) => Err(Error::WeightZeroPoint {
                operation,
                channel,
                zero_point,
            }),
            None => Err(Error::Length {
                operation,
                what: "the number of weight scales",
                expected: channels,
                actual: channel,
            }),
        })
        .collect()
}

fn bias_values(operation: &'static str, bias: &Tensor, channels: usize) -> Result<Vec<f32>> {
    if bias.shape() != [channels] {
        return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
            operation,
            expected: vec![channels],
            actual: bias.shape().to_vec(),
        }));
    }
    let values = bias.to_vec();
    match values.iter().position(|b| !b.is_finite()) {
        None => Ok(values),
        Some(channel) => Err(Error::Argument {
            operation,
            argument: "every bias",
            expected: "finite".into(),
            actual: format!("{} in channel {channel}", values[channel]),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qtensor_core::{MemoryFormat, quantize_per_tensor};

    #[test]
    fn a_place_of_several_uses_prepares_each_once() -> Result<()> {
        let weight = quantize_per_tensor(&Tensor::ones(&[2, 3])?, 0.1, 0, DType::QInt8)?;
        let packed = Packed::new("linear", &weight, None, |ints| {
            PackedWeights::linear(ints, 2, 3)
        })?;
        let prepare = |use_: usize| {
            let scale = 0.1 * (use_ + 1) as f64;
            let x = quantize_per_tensor(&Tensor::ones(&[1, 3])?, scale, 0, DType::QUInt8)?;
            let x = Bytes::new("linear", &x, MemoryFormat::Contiguous)?;
            packed.prepare(&x, OutQParams::new(0.5, 0), Activation::None)
        };
        let first: Vec<_> = (0..REMEMBERED).map(prepare).collect::<Result<_>>()?;
        for (use_, first) in first.iter().enumerate().rev() {
            assert!(Arc::ptr_eq(first, &prepare(use_)?), "use {use_}");
        }
        // One more use replaces the oldest; the memory stays bounded.
        let extra = prepare(REMEMBERED)?;
        assert!(Arc::ptr_eq(&extra, &prepare(REMEMBERED)?));
        assert!(Arc::ptr_eq(&first[1], &prepare(1)?));
        assert!(!Arc::ptr_eq(&first[0], &prepare(0)?));
        let cache = packed.cache.read().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(cache.len(), REMEMBERED);
        Ok(())
    }
}
