//! A BERT encoder in user code: modules in places, and a `forward` that says how they work together.

use qtensor::prelude::*;
use qtensor::qnn;
use qtensor::qops::float::{AttentionMask, attention};

use super::config::Config;

/// Token ids and what is padding, both `(batch, time)`.
pub struct Tokens {
    /// Ids in the vocabulary.
    pub ids: Tensor<i64>,
    /// 1 for a token, 0 for padding.
    pub mask: Vec<f32>,
}

/// Sums of three embeddings, normalized.
#[derive(Module)]
#[module(no_forward)]
struct Embeddings {
    word_embeddings: Layer<Embedding>,
    position_embeddings: Layer<Embedding>,
    token_type_embeddings: Layer<Embedding>,
    norm: Layer<LayerNorm>,
    add: Layer<FloatFunctional>,
}

/// Self-attention, a residual addition, and two linear layers with another one.
#[derive(Module)]
#[module(no_forward)]
struct Block {
    query: Layer<Linear>,
    key: Layer<Linear>,
    value: Layer<Linear>,
    attended: Layer<Linear>,
    attended_norm: Layer<LayerNorm>,
    intermediate: Layer<Linear>,
    gelu: Layer<GELU>,
    output: Layer<Linear>,
    output_norm: Layer<LayerNorm>,
    add: Layer<FloatFunctional>,
}

/// The encoder.
#[derive(Module)]
#[module(no_forward)]
pub struct Bert {
    embeddings: Embeddings,
    layer: Vec<Block>,
    #[module(skip)]
    config: Config,
}

impl Block {
    fn new(config: &Config) -> Result<Block> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let linear = |from, to| Ok::<Layer<Linear>, qnn::Error>(Linear::new(from, to)?.into());
        Ok(Block {
            query: linear(width, width)?,
            key: linear(width, width)?,
            value: linear(width, width)?,
            attended: linear(width, width)?,
            attended_norm: norm(config)?,
            intermediate: linear(width, inner)?,
            gelu: GELU.into(),
            output: linear(inner, width)?,
            output_norm: norm(config)?,
            add: FloatFunctional.into(),
        })
    }

    fn forward(&self, x: &Value, heads: usize, hidden: &Tensor) -> Result<Value> {
        let project = |layer: &Layer<Linear>| Ok::<_, qnn::Error>(layer.forward(x)?.to_tensor());
        let (q, k, v) = (
            project(&self.query)?,
            project(&self.key)?,
            project(&self.value)?,
        );
        let mask = AttentionMask {
            keys: Some(hidden),
            pairs: None,
        };
        let context = attention(&q, &k, &v, heads, mask)?.into();
        let x = self.add.add(&self.attended.forward(&context)?, x)?;
        let x = self.attended_norm.forward(&x)?;
        let y = self.gelu.forward(&self.intermediate.forward(&x)?)?;
        let y = self.add.add(&self.output.forward(&y)?, &x)?;
        self.output_norm.forward(&y)
    }
}

fn norm(config: &Config) -> Result<Layer<LayerNorm>> {
    let norm = LayerNorm::new(&[config.hidden_size])?;
    Ok(norm.with_eps(config.layer_norm_eps).into())
}

impl Bert {
    /// An encoder with drawn weights.
    pub fn new(config: &Config) -> Result<Bert> {
        let table = |rows| {
            Ok::<Layer<Embedding>, qnn::Error>(Embedding::new(rows, config.hidden_size)?.into())
        };
        let embeddings = Embeddings {
            word_embeddings: table(config.vocab_size)?,
            position_embeddings: table(config.max_position_embeddings)?,
            token_type_embeddings: table(config.type_vocab_size)?,
            norm: norm(config)?,
            add: FloatFunctional.into(),
        };
        let layer = (0..config.num_hidden_layers)
            .map(|_| Block::new(config))
            .collect::<Result<_>>()?;
        Ok(Bert {
            embeddings,
            layer,
            config: config.clone(),
        })
    }

    /// One vector of length 1 for each text: the mean over its tokens. `(batch, hidden_size)`.
    pub fn embed(&self, tokens: &Tokens) -> Result<Tensor> {
        let shape = tokens.ids.shape();
        let (batch, time, width) = (shape[0], shape[1], self.config.hidden_size);
        let positions: Vec<i64> = (0..time as i64).collect();
        let positions = Tensor::from_vec(positions, &[1, time])?;
        let e = &self.embeddings;
        let first_kind = Tensor::from_vec(vec![0i64], &[1, 1])?;
        let place = e.add.add(
            &e.position_embeddings.forward(&positions)?,
            &e.token_type_embeddings.forward(&first_kind)?,
        )?;
        let words = e.word_embeddings.forward(&tokens.ids)?;
        let mut x = e.norm.forward(&e.add.add(&words, &place)?)?;
        let hide = |m: &f32| if *m > 0.0 { 0.0 } else { f32::NEG_INFINITY };
        let hidden = Tensor::from_vec(tokens.mask.iter().map(hide).collect(), &[batch, time])?;
        for layer in &self.layer {
            x = layer.forward(&x, self.config.num_attention_heads, &hidden)?;
        }
        let values = x.to_tensor().to_vec();
        let mut means = vec![0.0; batch * width];
        for (at, mean) in means.chunks_exact_mut(width).enumerate() {
            for t in (0..time).filter(|t| tokens.mask[at * time + t] > 0.0) {
                let row = &values[(at * time + t) * width..][..width];
                mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
            }
            let length = mean.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            mean.iter_mut().for_each(|m| *m /= length);
        }
        Ok(Tensor::from_vec(means, &[batch, width])?)
    }
}
