//! Attention with a place for each layer and for what the heads give.

use qtensor_core::Tensor;

use super::observed::{observed_linear, observed_output};
use crate::attention::{Attend, AttentionInput, Heads};
use crate::error::Result;
use crate::float::recurrent::refuse_gradients;
use crate::float::{self, Linear};
use crate::layer::Layer;
use crate::module::{Module, Node};
use crate::quantized;
use crate::state::State;
use crate::stubs::QuantStub;
use crate::value::Value;

/// Multi-head attention whose layers are observed one by one: what `qflow::prepare` puts where a
/// [`MultiheadAttention`](float::MultiheadAttention) with a static configuration stands.
///
/// Queries, keys and values come from layers of their own, and so are observed apart, as are what the heads give and
/// the output (PyTorch's `torch.ao.nn.quantizable.MultiheadAttention`, whose names of places these are). Shapes, masks
/// and calls are those of the float module.
///
/// ```
/// use qnn::{AttentionInput, Module, MultiheadAttention, quantizable};
/// use qtensor_core::Tensor;
///
/// let float = MultiheadAttention::new(8, 2)?.with_bias_kv()?;
/// let attention = quantizable::MultiheadAttention::from_float(&float)?;
/// let input = AttentionInput::from(qnn::Value::from(Tensor::ones(&[1, 3, 8])?));
/// let (y, shares) = attention.forward_with_weights(&input, true)?;
/// assert_eq!(shares.shape(), [1, 3, 4]); // three keys of the sequence, and the learned one
/// let same = float.forward(&input)?;
/// assert!((y.to_tensor().get(&[0, 2, 7])? - same.to_tensor().get(&[0, 2, 7])?).abs() < 1e-5);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Debug)]
pub struct MultiheadAttention {
    linear_q: Layer<Linear>,
    linear_k: Layer<Linear>,
    linear_v: Layer<Linear>,
    out_proj: Layer<Linear>,
    quant_attn_output: Layer<QuantStub>,
    heads: Heads,
}

impl MultiheadAttention {
    const KIND: &'static str = "QuantizableMultiheadAttention";

    /// The counterpart of a float module, with its weights.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if its layers were converted already.
    pub fn from_float(attention: &float::MultiheadAttention) -> Result<MultiheadAttention> {
        let (in_proj, out_proj, heads) = attention.parts()?;
        let width = heads.embed_dim;
        let part = |at: usize| -> Result<Layer<Linear>> {
            let rows = |t: &Tensor| -> Result<Tensor> {
                Ok(t.slice(0, at * width, (at + 1) * width, 1)?.contiguous())
            };
            let bias = in_proj.bias().map(rows).transpose()?;
            Ok(Linear::from_parts(rows(in_proj.weight())?, bias)?.into())
        };
        Ok(MultiheadAttention {
            linear_q: part(0)?,
            linear_k: part(1)?,
            linear_v: part(2)?,
            out_proj: out_proj.clone().into(),
            quant_attn_output: QuantStub.into(),
            heads: heads.clone(),
        })
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

    /// The int8 layers of `q`, `k`, `v` and the output, the map of what the heads give, and what is beside them.
    pub(crate) fn quantized(&self) -> Result<([quantized::Linear; 4], quantized::QParams, Heads)> {
        let layers = [
            observed_linear(&self.linear_q)?,
            observed_linear(&self.linear_k)?,
            observed_linear(&self.linear_v)?,
            observed_linear(&self.out_proj)?,
        ];
        let context = observed_output(&self.quant_attn_output)?;
        Ok((layers, context, self.heads.clone()))
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
        visit("linear_Q", &self.linear_q);
        visit("linear_K", &self.linear_k);
        visit("linear_V", &self.linear_v);
        visit("quant_attn_output", &self.quant_attn_output);
        visit("out_proj", &self.out_proj);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        visit("linear_Q", &mut self.linear_q);
        visit("linear_K", &mut self.linear_k);
        visit("linear_V", &mut self.linear_v);
        visit("quant_attn_output", &mut self.quant_attn_output);
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
        let [x, key, value] = input.parts();
        let run = |layer: &Layer<Linear>, value: &Value| -> Result<Tensor> {
            Ok(layer.forward(value)?.float(Self::KIND)?.tensor().clone())
        };
        Ok([
            run(&self.linear_q, x)?,
            run(&self.linear_k, key)?,
            run(&self.linear_v, value)?,
        ])
    }

    fn finish(&self, context: Tensor) -> Result<Value> {
        let context = self.quant_attn_output.forward(&context.into())?;
        self.out_proj.forward(&context)
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
