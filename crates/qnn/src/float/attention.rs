//! Multi-head self-attention.

use qops::float::{AttentionMask, attention};
use qtensor_core::Tensor;

use super::Linear;
use super::recurrent::refuse_gradients;
use crate::error::{Error, Result};
use crate::module::{Module, Node};
use crate::place::Layer;
use crate::value::{Flow, Value};

/// A batch for [`MultiheadAttention`], with what its elements must not look at.
///
/// Masks are added to the scores, so −∞ hides a key and 0 shows it.
#[derive(Clone, Debug)]
pub struct AttentionInput {
    /// `(batch, time, embed_dim)`.
    pub x: Value,
    /// For each element of each sequence, `(batch, time)`: padding is −∞.
    pub key_padding_mask: Option<Tensor>,
    /// For each pair of a looking and a looked-at element, `(time, time)`.
    pub attn_mask: Option<Tensor>,
}

impl From<Value> for AttentionInput {
    fn from(x: Value) -> AttentionInput {
        AttentionInput {
            x,
            key_padding_mask: None,
            attn_mask: None,
        }
    }
}

impl Flow for AttentionInput {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        visit(&self.x);
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<AttentionInput> {
        Ok(AttentionInput {
            x: f(&self.x)?,
            ..self.clone()
        })
    }
}

/// `concat over heads of softmax(q·kᵀ / √d + mask)·v`, through an output layer, with `q`, `k` and `v` from one layer.
///
/// Shapes: `(batch, time, embed_dim)` in and out. The input layer is the place `in_proj` with a weight
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
    embed_dim: usize,
    heads: usize,
}

impl MultiheadAttention {
    const KIND: &'static str = "MultiheadAttention";

    /// With drawn weights and biases.
    ///
    /// # Errors
    /// [`Error::Config`] if `heads` does not divide `embed_dim`.
    pub fn new(embed_dim: usize, heads: usize) -> Result<MultiheadAttention> {
        if heads == 0 || embed_dim == 0 || !embed_dim.is_multiple_of(heads) {
            return Err(Error::Config {
                module: Self::KIND,
                what: format!("{heads} heads for {embed_dim} features"),
            });
        }
        Ok(MultiheadAttention {
            in_proj: Linear::new(embed_dim, 3 * embed_dim)?.into(),
            out_proj: Linear::new(embed_dim, embed_dim)?.into(),
            embed_dim,
            heads,
        })
    }
}

impl Node for MultiheadAttention {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("embed_dim={}, num_heads={}", self.embed_dim, self.heads)
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        visit("in_proj", &self.in_proj);
        visit("out_proj", &self.out_proj);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        visit("in_proj", &mut self.in_proj);
        visit("out_proj", &mut self.out_proj);
    }
}

impl Module for MultiheadAttention {
    type Input = AttentionInput;
    type Output = Value;

    fn forward(&self, input: &AttentionInput) -> Result<Value> {
        refuse_gradients(Self::KIND, &input.x)?;
        if input.x.shape().len() != 3 || input.x.shape()[2] != self.embed_dim {
            return Err(Error::InputShape {
                module: Self::KIND,
                what: "the input",
                expected: format!("(batch, time, {})", self.embed_dim),
                actual: input.x.shape().to_vec(),
            });
        }
        let projected = self.in_proj.forward(&input.x)?;
        let projected = projected.float(Self::KIND)?.tensor();
        let part = |at: usize| {
            let start = at * self.embed_dim;
            projected.slice(2, start, start + self.embed_dim, 1)
        };
        let mask = AttentionMask {
            keys: input.key_padding_mask.as_ref(),
            pairs: input.attn_mask.as_ref(),
        };
        let context = attention(&part(0)?, &part(1)?, &part(2)?, self.heads, mask)?;
        self.out_proj.forward(&context.into())
    }
}
