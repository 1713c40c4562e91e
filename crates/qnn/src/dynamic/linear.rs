//! The dynamically quantized fully connected layer.

use qobserve::QConfig;
use qops::float::HalfLinear;
use qops::quantized::{Activation, DynamicQuant, PackedLinear};
use qtensor_core::{QTensor, Tensor};

use super::{load_quant, quant_of, repr, save_quant};
use crate::error::{Error, Result};
use crate::float;
use crate::module::{Module, Node};
use crate::quantized::quantize_weight;
use crate::reference;
use crate::state::{Entry, PackedTensor, State};
use crate::value::Value;

/// `y[r] = f32(Σ (q_x − z[r]) · q_w) · (s[r] · s_w[c]) + b[c]`, where the scale `s[r]` and the zero point `z[r]` of
/// each row `r` come from its own least and greatest element; or `y = x Wᵀ + b` with 16-bit float weights.
///
/// Shapes: float input `(…, in_features)`, float output `(…, out_features)`. The formulas of `s` and `z` are those of
/// [`DynamicQuant`].
///
/// # Errors
/// Its `forward` refuses another number of features, and for int8 NaN and infinities, by their index.
///
/// ```
/// use qnn::{Linear, Module, dynamic};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let float = Linear::new(64, 10)?;
/// let int8 = dynamic::Linear::from_float(&float, &QConfig::dynamic())?;
/// let x = Tensor::ones(&[2, 64])?.into();
/// let (y, y8) = (float.forward(&x)?.to_tensor(), int8.forward(&x)?.to_tensor());
/// assert!(y.to_vec().iter().zip(y8.to_vec()).all(|(a, b)| (a - b).abs() < 0.02));
/// # Ok::<(), qnn::Error>(())
/// ```
pub struct Linear {
    weights: Weights,
}

enum Weights {
    Int8(Box<PackedLinear>, DynamicQuant),
    Float16(HalfLinear),
}

/// The width of the weights' numbers.
const HALF_BITS: u8 = 16;

impl Linear {
    const KIND: &'static str = "DynamicQuantizedLinear";

    /// The counterpart of a float layer: its weight as the configuration says, int8 or 16-bit floats.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing; [`Error::Config`] if `qconfig` is not for dynamic quantization.
    pub fn from_float(linear: &float::Linear, qconfig: &QConfig) -> Result<Linear> {
        if qconfig.is_float16() {
            let half = HalfLinear::new(linear.weight(), linear.bias())?;
            return Ok(Linear {
                weights: Weights::Float16(half),
            });
        }
        let quant = quant_of(Self::KIND, qconfig)?;
        let weight = quantize_weight(Self::KIND, linear.weight(), &qconfig.weight)?;
        Linear::from_parts(weight, linear.bias().cloned(), quant)
    }

    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn from_reference(module: &reference::Linear, quant: DynamicQuant) -> Result<Linear> {
        let weight = module.quantized_weight().clone();
        Linear::from_parts(weight, module.bias().cloned(), quant)
    }

    /// A layer with given integers.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(
        weight: QTensor,
        bias: Option<Tensor>,
        quant: DynamicQuant,
    ) -> Result<Linear> {
        let packed = PackedLinear::new(&weight, bias.as_ref())?;
        Ok(Linear {
            weights: Weights::Int8(Box::new(packed), quant),
        })
    }

    /// Restores a layer that [`state`](Node::state) described.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Linear> {
        let bias = state.take_optional(Self::KIND, "bias")?;
        if !matches!(state.get("weight"), Some(Entry::Packed(_))) {
            let weight = state.take_qtensor(Self::KIND, "weight")?;
            return Linear::from_parts(weight, bias, load_quant(Self::KIND, state)?);
        }
        let (shape, packed) = state.take_packed::<2>(Self::KIND, "weight")?;
        if packed.bits != HALF_BITS {
            return Err(Error::Config {
                module: Self::KIND,
                what: format!("weights of {} bits; there are those of 16", packed.bits),
            });
        }
        let half = HalfLinear::from_bytes(&packed.bytes, shape, bias.as_ref())?;
        Ok(Linear {
            weights: Weights::Float16(half),
        })
    }

    /// The int8 weight; `None` for 16-bit floats.
    pub fn weight(&self) -> Option<&QTensor> {
        match &self.weights {
            Weights::Int8(packed, _) => Some(packed.weight()),
            Weights::Float16(_) => None,
        }
    }

    /// The bias.
    pub fn bias(&self) -> Option<&Tensor> {
        match &self.weights {
            Weights::Int8(packed, _) => packed.bias(),
            Weights::Float16(half) => half.bias(),
        }
    }

    /// Runs with a fused activation; the intrinsic modules share it.
    pub(crate) fn run(
        &self,
        module: &'static str,
        input: &Value,
        activation: Activation,
    ) -> Result<Value> {
        let x = input.float(module)?.tensor();
        let y = match &self.weights {
            Weights::Int8(packed, quant) => packed.run_dynamic(x, *quant, activation)?,
            Weights::Float16(half) => {
                let y = half.run(x)?;
                match activation {
                    Activation::None => y,
                    Activation::Relu => qops::float::relu(&y)?,
                    Activation::Relu6 => qops::float::clamp(&y, 0.0, 6.0)?,
                }
            }
        };
        Ok(y.into())
    }
}

impl Node for Linear {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let (out, inputs, dtype) = match &self.weights {
            Weights::Int8(packed, quant) => {
                (packed.out_features(), packed.in_features(), repr(*quant))
            }
            Weights::Float16(half) => {
                let [out, inputs] = half.shape();
                (out, inputs, "dtype=float16".into())
            }
        };
        format!("in_features={inputs}, out_features={out}, {dtype}")
    }

    fn state(&self) -> State {
        let state = State::default().with_tensor("bias", self.bias());
        match &self.weights {
            Weights::Int8(packed, quant) => {
                let weight = Entry::QTensor(packed.weight().clone());
                save_quant(*quant, state.with("weight", weight))
            }
            Weights::Float16(half) => {
                let packed = PackedTensor {
                    shape: half.shape().to_vec(),
                    bits: HALF_BITS,
                    bytes: half.to_bytes(),
                };
                state.with("weight", Entry::Packed(packed))
            }
        }
    }
}

impl Module for Linear {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input, Activation::None)
    }
}
