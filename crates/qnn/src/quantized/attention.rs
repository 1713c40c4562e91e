//! Int8 attention: the layers compute on integers, scores and shares in float.

use qops::quantized::{dequantize, quantize};
use qtensor_core::Tensor;

use crate::attention::{Attend, AttentionInput, Heads};
use crate::error::{Error, Result};
use crate::float;
use crate::module::{Module, Node};
use crate::quantizable;
use crate::quantized::{Linear, QParams};
use crate::state::State;
use crate::value::Value;

/// The names of the layers in files.
const LAYERS: [&str; 4] = ["linear_Q", "linear_K", "linear_V", "out_proj"];

/// The name of the map of what the heads give.
const CONTEXT: &str = "quant_attn_output";

/// Multi-head attention from integers to integers, made of an observed [`quantizable::MultiheadAttention`].
///
/// The layers of queries, keys, values and output are [`Linear`]. In between, queries, keys and values are float:
/// `softmax(q·kᵀ / √d + mask)·v`, which is rounded to integers of its own for the output layer. Learned keys and values
/// (`bias_k`, `bias_v`) stay float.
///
/// # Errors
/// Its `forward` refuses float inputs, and inputs and masks of other shapes.
pub struct MultiheadAttention {
    layers: [Linear; 4],
    context: QParams,
    heads: Heads,
}

impl MultiheadAttention {
    const KIND: &'static str = "QuantizedMultiheadAttention";

    /// The counterpart of a calibrated module.
    ///
    /// # Errors
    /// [`Error::Config`] with the place that was not prepared or calibrated; those of quantizing the weights.
    pub fn from_observed(
        attention: &quantizable::MultiheadAttention,
    ) -> Result<MultiheadAttention> {
        let (layers, context, heads) = attention.quantized()?;
        Ok(MultiheadAttention {
            layers,
            context,
            heads,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<MultiheadAttention> {
        let heads = Heads::restore(Self::KIND, state)?;
        let mut layer = |name: &str| -> Result<Linear> {
            let layer = state.take_below(name, Linear::from_state)?;
            if layer.weight().shape() == [heads.embed_dim; 2] {
                return Ok(layer);
            }
            Err(Error::StateShape {
                module: Self::KIND,
                key: format!("{name}.weight"),
                expected: vec![heads.embed_dim; 2],
                actual: layer.weight().shape().to_vec(),
            })
        };
        let [q, k, v, out] = LAYERS;
        let layers = [layer(q)?, layer(k)?, layer(v)?, layer(out)?];
        let context = state.take_below(CONTEXT, |state| QParams::load(Self::KIND, state))?;
        Ok(MultiheadAttention {
            layers,
            context,
            heads,
        })
    }

    /// The float module with the weights that the integers stand for.
    ///
    /// # Errors
    /// None for a sound module.
    pub fn dequantize(&self) -> Result<float::MultiheadAttention> {
        let [q, k, v, out] = &self.layers;
        let weights = [q, k, v].map(|layer| layer.weight().dequantize());
        let weight = qops::float::cat(&weights.each_ref(), 0)?;
        let biases: Vec<&Tensor> = [q, k, v].iter().filter_map(|layer| layer.bias()).collect();
        let bias = match biases.len() {
            3 => Some(qops::float::cat(&biases, 0)?),
            _ => None,
        };
        let in_proj = float::Linear::from_parts(weight, bias)?;
        let out_proj = float::Linear::from_parts(out.weight().dequantize(), out.bias().cloned())?;
        let heads = self.heads.heads;
        let float = float::MultiheadAttention::from_parts(in_proj, out_proj, heads)?;
        Ok(float.with_heads(self.heads.clone()))
    }

    /// The output, and the shares in which each element looks at the keys, in float: `(batch, time, keys)` on average
    /// over the heads, or `(batch, heads, time, keys)`.
    ///
    /// # Errors
    /// As `forward`.
    #[doc(alias = "need_weights")]
    pub fn forward_with_weights(
        &self,
        input: &AttentionInput,
        average: bool,
    ) -> Result<(Value, Tensor)> {
        self.attend_with_weights(input, average)
    }

    /// The qparams of the output.
    pub fn output(&self) -> QParams {
        self.layers[3].output()
    }
}

impl Node for MultiheadAttention {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, {}", self.heads.repr(), self.output())
    }

    fn state(&self) -> State {
        let context = self.context.save(State::default());
        let state = self.heads.state().with_below(CONTEXT, &context);
        let layers = LAYERS.iter().zip(&self.layers);
        layers.fold(state, |state, (name, layer)| {
            state.with_below(name, &layer.state())
        })
    }

    fn config(&self) -> State {
        self.heads.config()
    }
}

impl Attend for MultiheadAttention {
    const KIND: &'static str = MultiheadAttention::KIND;

    fn heads(&self) -> &Heads {
        &self.heads
    }

    fn project(&self, input: &AttentionInput) -> Result<[Tensor; 3]> {
        let [x, key, value] = input.parts();
        let run = |layer: &Linear, value: &Value| -> Result<Tensor> {
            let y = layer.forward(value)?;
            Ok(dequantize(y.quantized(Self::KIND)?)?)
        };
        let [q, k, v, _] = &self.layers;
        Ok([run(q, x)?, run(k, key)?, run(v, value)?])
    }

    fn finish(&self, context: Tensor) -> Result<Value> {
        let context = quantize(&context, self.context.out(), self.context.dtype)?;
        self.layers[3].forward(&context.into())
    }
}

impl Module for MultiheadAttention {
    type Input = AttentionInput;
    type Output = Value;

    fn forward(&self, input: &AttentionInput) -> Result<Value> {
        for value in input.parts() {
            value.quantized(Self::KIND)?;
        }
        self.attend(input)
    }
}
