//! What float, quantizable and int8 attention share: inputs, heads, masks, and the part that computes in float.

use qops::float::{AttentionMask, attention, cat, matmul, mean, mul_scalar, softmax};
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::state::{Entry, State};
use crate::value::{Flow, Value};

/// A batch for [`MultiheadAttention`](crate::MultiheadAttention), with what its elements must not look at.
///
/// Masks are added to the scores, so −∞ hides a key and 0 shows it.
#[derive(Clone, Debug)]
pub struct AttentionInput {
    /// What looks, `(batch, time, embed_dim)`; also what is looked at, unless `key` is given.
    pub x: Value,
    /// What is looked at, `(batch, keys, embed_dim)`, in attention between two sequences.
    pub key: Option<Value>,
    /// What is mixed, of the shape of `key`; by default that, or `x` without it.
    pub value: Option<Value>,
    /// For each element of each sequence that is looked at, `(batch, keys)`: padding is −∞.
    pub key_padding_mask: Option<Tensor>,
    /// For each pair of a looking and a looked-at element, `(time, keys)`.
    pub attn_mask: Option<Tensor>,
}

impl From<Value> for AttentionInput {
    fn from(x: Value) -> AttentionInput {
        AttentionInput {
            x,
            key: None,
            value: None,
            key_padding_mask: None,
            attn_mask: None,
        }
    }
}

impl AttentionInput {
    /// What looks, what is looked at, and what is mixed.
    pub(crate) fn parts(&self) -> [&Value; 3] {
        let key = self.key.as_ref().unwrap_or(&self.x);
        [&self.x, key, self.value.as_ref().unwrap_or(key)]
    }
}

impl Flow for AttentionInput {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        visit(&self.x);
        self.key.values(visit);
        self.value.values(visit);
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<AttentionInput> {
        Ok(AttentionInput {
            x: f(&self.x)?,
            key: self.key.as_ref().map(&mut *f).transpose()?,
            value: self.value.as_ref().map(f).transpose()?,
            ..self.clone()
        })
    }
}

/// Attention beside its layers: the number of heads, and keys that every sequence gets.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    pub(crate) embed_dim: usize,
    pub(crate) heads: usize,
    /// A learned key and its value behind the others, `(1, 1, embed_dim)` each.
    pub(crate) bias_kv: Option<[Tensor; 2]>,
    /// A key and a value of zeros behind the others.
    pub(crate) add_zero_attn: bool,
}

impl Heads {
    pub(crate) fn new(module: &'static str, embed_dim: usize, heads: usize) -> Result<Heads> {
        if heads == 0 || embed_dim == 0 || !embed_dim.is_multiple_of(heads) {
            return Err(Error::Config {
                module,
                what: format!("{heads} heads for {embed_dim} features"),
            });
        }
        Ok(Heads {
            embed_dim,
            heads,
            bias_kv: None,
            add_zero_attn: false,
        })
    }

    pub(crate) fn repr(&self) -> String {
        let mut out = format!("embed_dim={}, num_heads={}", self.embed_dim, self.heads);
        if self.bias_kv.is_some() {
            out.push_str(", add_bias_kv=true");
        }
        if self.add_zero_attn {
            out.push_str(", add_zero_attn=true");
        }
        out
    }

    pub(crate) fn state(&self) -> State {
        let bias = |at: usize| self.bias_kv.as_ref().map(|kv| &kv[at]);
        State::default()
            .with_tensor("bias_k", bias(0))
            .with_tensor("bias_v", bias(1))
    }

    pub(crate) fn load_state(&mut self, module: &'static str, state: &mut State) -> Result<()> {
        if let Some([k, v]) = &self.bias_kv {
            let k = state.take_shaped(module, "bias_k", k)?;
            self.bias_kv = Some([k, state.take_shaped(module, "bias_v", v)?]);
        }
        Ok(())
    }

    pub(crate) fn config(&self) -> State {
        State::default()
            .with_sizes("embed_dim", &[self.embed_dim])
            .with_sizes("num_heads", &[self.heads])
            .with(
                "add_zero_attn",
                Entry::Ints(vec![self.add_zero_attn.into()]),
            )
    }

    /// From what [`state`](Self::state) and [`config`](Self::config) described.
    pub(crate) fn restore(module: &'static str, state: &mut State) -> Result<Heads> {
        let [embed_dim] = state.take_sizes::<1>(module, "embed_dim")?;
        let [heads] = state.take_sizes::<1>(module, "num_heads")?;
        let [zero] = state.take_sizes::<1>(module, "add_zero_attn")?;
        let mut own = Heads::new(module, embed_dim, heads)?;
        own.add_zero_attn = zero != 0;
        if state.contains("bias_k") {
            let mut take = |key: &str| -> Result<Tensor> {
                let bias = state.take_tensor(module, key)?;
                if bias.shape() == [1, 1, embed_dim] {
                    return Ok(bias);
                }
                Err(Error::StateShape {
                    module,
                    key: key.into(),
                    expected: vec![1, 1, embed_dim],
                    actual: bias.shape().to_vec(),
                })
            };
            own.bias_kv = Some([take("bias_k")?, take("bias_v")?]);
        }
        Ok(own)
    }

    fn check(&self, module: &'static str, input: &AttentionInput) -> Result<()> {
        let refuse = |what: &'static str, expected: String, actual: &[usize]| {
            Err(Error::InputShape {
                module,
                what,
                expected,
                actual: actual.to_vec(),
            })
        };
        let [x, key, value] = input.parts().map(Value::shape);
        let &[batch, _, _] = x else {
            return refuse("the input", format!("(batch, time, {})", self.embed_dim), x);
        };
        if x[2] != self.embed_dim {
            return refuse("the input", format!("(batch, time, {})", self.embed_dim), x);
        }
        let expected = format!("({batch}, keys, {})", self.embed_dim);
        match *key {
            [b, _, width] if b == batch && width == self.embed_dim => {}
            _ => return refuse("the key", expected, key),
        }
        if value != key {
            return refuse("the value", format!("{key:?}, as the key"), value);
        }
        Ok(())
    }

    /// The keys or values with those that every sequence gets.
    fn extended(&self, x: &Tensor, at: usize) -> Result<Tensor> {
        let mut parts = vec![x.clone()];
        let shape = [x.shape()[0], 1, self.embed_dim];
        if let Some(bias) = &self.bias_kv {
            parts.push(bias[at].expand(&shape)?);
        }
        if self.add_zero_attn {
            parts.push(Tensor::zeros(&shape)?);
        }
        joined(&parts, 1)
    }

    /// A mask that shows the keys that every sequence gets.
    fn extended_mask(&self, mask: Option<&Tensor>) -> Result<Option<Tensor>> {
        let extra = usize::from(self.bias_kv.is_some()) + usize::from(self.add_zero_attn);
        let Some(mask) = mask.filter(|mask| mask.rank() == 2) else {
            return Ok(mask.cloned());
        };
        let shown = Tensor::zeros(&[mask.shape()[0], extra])?;
        Ok(Some(joined(&[mask.clone(), shown], 1)?))
    }
}

fn joined(parts: &[Tensor], dim: usize) -> Result<Tensor> {
    let parts: Vec<&Tensor> = parts.iter().filter(|part| part.numel() > 0).collect();
    Ok(cat(&parts, dim)?)
}

/// Attention around the part that computes in float.
pub(crate) trait Attend {
    /// The name in errors.
    const KIND: &'static str;

    fn heads(&self) -> &Heads;

    /// Queries, keys and values in float, `(batch, time, embed_dim)` each.
    fn project(&self, input: &AttentionInput) -> Result<[Tensor; 3]>;

    /// What the heads give, through the output layer.
    fn finish(&self, context: Tensor) -> Result<Value>;

    /// The output.
    fn attend(&self, input: &AttentionInput) -> Result<Value> {
        let (q, k, v, masks) = self.prepared(input)?;
        let mask = AttentionMask {
            keys: masks[0].as_ref(),
            pairs: masks[1].as_ref(),
        };
        self.finish(attention(&q, &k, &v, self.heads().heads, mask)?)
    }

    /// The output, and the shares in which each element looks at the keys: `(batch, time, keys)` on average over heads, or
    /// `(batch, heads, time, keys)`.
    fn attend_with_weights(
        &self,
        input: &AttentionInput,
        average: bool,
    ) -> Result<(Value, Tensor)> {
        let (q, k, _, masks) = self.prepared(input)?;
        let (heads, (batch, time)) = (self.heads().heads, (q.shape()[0], q.shape()[1]));
        let (keys, depth) = (k.shape()[1], self.heads().embed_dim / heads);
        let split = |x: &Tensor, length: usize| -> Result<Tensor> {
            let x = x.contiguous().reshape(&[batch, length, heads, depth])?;
            Ok(x.permute(&[0, 2, 1, 3])?.contiguous())
        };
        let k = split(&k, keys)?.transpose(2, 3)?.contiguous();
        let scores = matmul(&split(&q, time)?, &k)?;
        let mut scores = mul_scalar(&scores, 1.0 / (depth as f32).sqrt())?;
        if let Some(mask) = &masks[0] {
            scores = qops::float::add(&scores, &mask.reshape(&[batch, 1, 1, keys])?)?;
        }
        if let Some(mask) = &masks[1] {
            scores = qops::float::add(&scores, mask)?;
        }
        let mut shares = softmax(&scores, 3)?;
        if average {
            shares = mean(&shares, &[1], false)?;
        }
        // The output comes the usual way, so that asking for the shares does not change it.
        Ok((self.attend(input)?, shares))
    }

    /// Queries, all keys and values, and both masks for all keys.
    fn prepared(&self, input: &AttentionInput) -> Result<(Tensor, Tensor, Tensor, Masks)> {
        let own = self.heads();
        own.check(Self::KIND, input)?;
        let [q, k, v] = self.project(input)?;
        let masks = [&input.key_padding_mask, &input.attn_mask];
        let masks = [
            own.extended_mask(masks[0].as_ref())?,
            own.extended_mask(masks[1].as_ref())?,
        ];
        Ok((q, own.extended(&k, 0)?, own.extended(&v, 1)?, masks))
    }
}

/// The masks of keys and of pairs.
type Masks = [Option<Tensor>; 2];
