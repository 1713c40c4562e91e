//! What packed linear layers and convolutions share: checked weights, the bias on its integer grid,
//! multipliers, and a cache of both for the input's qparams seen last.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use qkernels_x86::{PackedWeights, Requant};
use qtensor_core::affine::inverse_scale;
use qtensor_core::requant::output_multiplier;
use qtensor_core::rounding::round_half_even;
use qtensor_core::{DType, IntTensor, QTensor, Quantizer, Tensor};

use super::bytes::Bytes;
use super::params::{Activation, OutQParams};
use crate::error::{Error, Result};

/// Weights in the kernels' order, with everything that requantization derives from them.
pub(crate) struct Packed {
    operation: &'static str,
    weights: Arc<PackedWeights>,
    weight: QTensor,
    bias: Option<Tensor>,
    channels: Vec<Channel>,
    /// The parameters built last. A converted module sees the same qparams in every call, so one entry is enough.
    cache: RwLock<Option<(Key, Arc<Requant>)>>,
}

/// One output channel.
#[derive(Clone, Copy)]
struct Channel {
    scale: f32,
    bias: f32,
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
        let channels = scales
            .into_iter()
            .zip(biases)
            .map(|(scale, bias)| Channel { scale, bias })
            .collect();
        Ok(Packed {
            operation,
            weights,
            weight: weight.clone(),
            bias: bias.cloned(),
            channels,
            cache: RwLock::new(None),
        })
    }

    /// The weights in the kernels' order.
    pub fn weights(&self) -> &PackedWeights {
        &self.weights
    }

    /// The quantized weights as they came.
    pub fn weight(&self) -> &QTensor {
        &self.weight
    }

    /// The bias as it came.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The requantization for an input and an output map, from the cache if they are the ones of the last call.
    pub fn requant(
        &self,
        x: &Bytes,
        out: OutQParams,
        activation: Activation,
    ) -> Result<Arc<Requant>> {
        let key = Key {
            input_scale: x.scale,
            input_zero_point: x.zero_point,
            dtype: x.dtype,
            out,
            activation,
        };
        // The entry is replaced as a whole, so a poisoned lock still guards a sound value.
        let cached = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, requant)) = cached.as_ref().filter(|(known, _)| *known == key) {
            return Ok(requant.clone());
        }
        drop(cached);
        let fresh = Arc::new(self.build_requant(key)?);
        *self.cache.write().unwrap_or_else(PoisonError::into_inner) = Some((key, fresh.clone()));
        Ok(fresh)
    }

    fn build_requant(&self, key: Key) -> Result<Requant> {
        let operation = self.operation;
        key.out.validate(operation, key.dtype)?;
        let (input_scale, output_scale) = (key.input_scale as f32, key.out.scale as f32);
        let zero_point = key.input_zero_point as u8;
        let mut biases = Vec::with_capacity(self.channels.len());
        let mut multipliers = Vec::with_capacity(self.channels.len());
        for (index, channel) in self.channels.iter().enumerate() {
            let step = input_scale * channel.scale;
            let multiplier = output_multiplier(input_scale, channel.scale, output_scale);
            if !(multiplier.is_finite() && multiplier > 0.0 && inverse_scale(step).is_finite()) {
                return Err(Error::Multiplier {
                    operation,
                    channel: index,
                    input_scale,
                    weight_scale: channel.scale,
                    output_scale,
                    multiplier,
                });
            }
            multipliers.push(multiplier);
            let limits = self
                .weights
                .bias_limits(index, zero_point)
                .expect("as many channels were packed as there are scales");
            biases.push(channel.bias_steps(operation, index, step, limits)?);
        }
        let range = key.out.byte_range(key.dtype, key.activation);
        Ok(Requant::new(
            &self.weights,
            &biases,
            &multipliers,
            zero_point,
            range,
        )?)
    }
}

impl Channel {
    /// The bias in steps of `input scale · weight scale`, rounded as any quantized value: `rne(b · (1/step))`.
    fn bias_steps(
        &self,
        operation: &'static str,
        channel: usize,
        step: f32,
        (lowest, highest): (i32, i32),
    ) -> Result<i32> {
        let steps = f64::from(round_half_even(self.bias * inverse_scale(step)));
        if !(f64::from(lowest)..=f64::from(highest)).contains(&steps) {
            return Err(Error::BiasTooLarge {
                operation,
                channel,
                bias: self.bias,
                steps,
                step,
                lowest,
                highest,
            });
        }
        Ok(steps as i32)
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
            channels: self.channels.clone(),
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
