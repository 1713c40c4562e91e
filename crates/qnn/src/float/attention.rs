//! Multi-head attention.

use qtensor_core::Tensor;

use super::Linear;
use super::recurrent::refuse_gradients;
use crate::attention::{Attend, AttentionInput, Heads};
use crate::error::{Error, Result};
use crate::init;
use crate::layer::Layer;
use crate::module::{Module, Node};
use crate::state::State;
use crate::value::Value;

/// `concat over heads of softmax(q·kᵀ / √d + mask)·v`, through an output layer, with `q`, `k` and `v` from one layer.
///
/// Shapes: `(batch, time, embed_dim)` in and out; keys and values are the input's own unless it has others. The input layer is the place `in_proj` with a weight
/// `(3 · embed_dim, embed_dim)` of `q`, `k` and `v` in this order (PyTorch's `in_proj_weight`), the output layer the place
/// `out_proj`; both are ordinary linear layers, so dynamic quantization replaces them. It computes and does not train.
///
/// # Errors
/// Its `forward` refuses inputs and masks of other shapes.
///
/// ```
/// use qnn::{AttentionInput, Module, MultiheadAttention};
/// use qtensor_core::Tensor;
///
/// let attention = MultiheadAttention::new(8, 2)?;
/// let x: qnn::Value = Tensor::ones(&[1, 3, 8])?.into();
/// let hidden = Tensor::from_vec(vec![0.0, 0.0, f32::NEG_INFINITY], &[1, 3])?;
/// let input = AttentionInput { key_padding_mask: Some(hidden), ..AttentionInput::from(x) };
/// assert_eq!(attention.forward(&input)?.shape(), [1, 3, 8]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Debug)]
pub struct MultiheadAttention {
    in_proj: Layer<Linear>,
    out_proj: Layer<Linear>,
    heads: Heads,
}

impl MultiheadAttention {
    const KIND: &'static str = "MultiheadAttention";

    /// With drawn weights and biases.
    ///
    /// # Errors
    /// [`Error::Config`] if `heads` does not divide `embed_dim`.
    pub fn new(embed_dim: usize, heads: usize) -> Result<MultiheadAttention> {
        let heads = Heads::new(Self::KIND, embed_dim, heads)?;
        Ok(MultiheadAttention {
            in_proj: Linear::new(embed_dim, embed_dim.saturating_mul(3))?.into(),
            out_proj: Linear::new(embed_dim, embed_dim)?.into(),
            heads,
        })
    }

    /// With given layers: `in_proj` gives `q`, `k` and `v` side by side.
    ///
    /// # Errors
    /// [`Error::Config`] if `heads` does not divide the width, [`Error::StateShape`] if the layers' shapes contradict it.
    pub fn from_parts(
        in_proj: Linear,
        out_proj: Linear,
        heads: usize,
    ) -> Result<MultiheadAttention> {
        let width = in_proj.weight().shape()[1];
        let layers = [
            ("in_proj.weight", &in_proj, [width.saturating_mul(3), width]),
            ("out_proj.weight", &out_proj, [width, width]),
        ];
        for (key, layer, expected) in layers {
            if layer.weight().shape() != expected {
                return Err(Error::StateShape {
                    module: Self::KIND,
                    key: key.into(),
                    expected: expected.to_vec(),
                    actual: layer.weight().shape().to_vec(),
                });
            }
        }
        Ok(MultiheadAttention {
            in_proj: in_proj.into(),
            out_proj: out_proj.into(),
            heads: Heads::new(Self::KIND, width, heads)?,
        })
    }

    /// With a learned key and its value behind those of every sequence (`bias_k` and `bias_v`), drawn.
    ///
    /// # Errors
    /// None for a sound module.
    #[doc(alias = "add_bias_kv")]
    pub fn with_bias_kv(mut self) -> Result<MultiheadAttention> {
        let width = self.heads.embed_dim;
        // The bound of Xavier's uniform initialization over one row and one column.
        let draw = || init::uniform(&[1, 1, width], (6.0 / (1 + width) as f32).sqrt());
        self.heads.bias_kv = Some([draw()?, draw()?]);
        Ok(self)
    }

    /// With a key and a value of zeros behind those of every sequence, so that an element can look at nothing.
    #[doc(alias = "add_zero_attn")]
    pub fn with_zero_attn(mut self) -> MultiheadAttention {
        self.heads.add_zero_attn = true;
        self
    }

    /// The output, and the shares in which each element looks at the keys: `(batch, time, keys)` on average over the
    /// heads, or `(batch, heads, time, keys)`.
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

    /// The layers and what is beside them, if the places hold float layers still.
    pub(crate) fn parts(&self) -> Result<(&Linear, &Linear, &Heads)> {
        match (self.in_proj.get(), self.out_proj.get()) {
            (Some(input), Some(output)) => Ok((input, output, &self.heads)),
            _ => Err(Error::Config {
                module: Self::KIND,
                what: "its layers were converted already".into(),
            }),
        }
    }

    /// As this module, with other heads of the same width.
    pub(crate) fn with_heads(mut self, heads: Heads) -> MultiheadAttention {
        self.heads = heads;
        self
    }
}

impl Node for MultiheadAttention {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.heads.repr()
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        visit("in_proj", &self.in_proj);
        visit("out_proj", &self.out_proj);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        visit("in_proj", &mut self.in_proj);
        visit("out_proj", &mut self.out_proj);
    }

    fn state(&self) -> State {
        self.heads.state()
    }

    fn config(&self) -> State {
        self.heads.config()
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.heads.load_state(Self::KIND, state)
    }
}

impl Attend for MultiheadAttention {
    const KIND: &'static str = MultiheadAttention::KIND;

    fn heads(&self) -> &Heads {
        &self.heads
    }

    fn project(&self, input: &AttentionInput) -> Result<[Tensor; 3]> {
        let projected = |value: &Value| -> Result<Tensor> {
            let projected = self.in_proj.forward(value)?;
            Ok(projected.float(Self::KIND)?.tensor().clone())
        };
        let width = self.heads.embed_dim;
        let part = |x: &Tensor, at: usize| x.slice(2, at * width, (at + 1) * width, 1);
        let [x, key, value] = input.parts();
        let own = projected(x)?;
        // Keys and values of another sequence go through the whole layer too, which may be an int8 one by now.
        let keys = input.key.as_ref().map(|_| projected(key)).transpose()?;
        let values = input.value.as_ref().map(|_| projected(value)).transpose()?;
        let keys = keys.as_ref().unwrap_or(&own);
        let values = values.as_ref().unwrap_or(keys);
        Ok([part(&own, 0)?, part(keys, 1)?, part(values, 2)?])
    }

    fn finish(&self, context: Tensor) -> Result<Value> {
        self.out_proj.forward(&context.into())
    }
}

impl Module for MultiheadAttention {
    type Input = AttentionInput;
    type Output = Value;

    fn forward(&self, input: &AttentionInput) -> Result<Value> {
        for value in input.parts() {
            refuse_gradients(Self::KIND, value)?;
        }
        self.attend(input)
    }
}
