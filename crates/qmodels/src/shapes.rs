//! The matrix products of two networks of text, for measurements of single layers.
//!
//! A list names the products of weights. Products of two activations, as attention has them, are not among them.

/// A linear layer of a network: `m` rows of `k` inputs to `n` outputs, `count` times in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// What the layer is for.
    pub name: &'static str,
    /// Rows.
    pub m: usize,
    /// Inputs.
    pub k: usize,
    /// Outputs.
    pub n: usize,
    /// How often a pass computes it.
    pub count: usize,
}

impl Product {
    /// Multiply-adds of one call.
    pub fn macs(&self) -> u64 {
        self.m as u64 * self.k as u64 * self.n as u64
    }
}

/// The encoder of BERT-base (Devlin et al., <https://arxiv.org/abs/1810.04805>) on `tokens` tokens: 12 layers of 768 features,
/// 3072 between the two feed-forward products.
///
/// ```
/// let products = qmodels::shapes::bert_base(128);
/// let macs: u64 = products.iter().map(|p| p.macs() * p.count as u64).sum();
/// assert_eq!(macs, 12 * 128 * (4 * 768 * 768 + 2 * 768 * 3072));
/// ```
pub fn bert_base(tokens: usize) -> Vec<Product> {
    let (layers, hidden, inner) = (12, 768, 3072);
    let product = |name, k, n, count| Product {
        name,
        m: tokens,
        k,
        n,
        count,
    };
    vec![
        product("attention.query, key, value", hidden, hidden, 3 * layers),
        product("attention.output", hidden, hidden, layers),
        product("intermediate", hidden, inner, layers),
        product("output", inner, hidden, layers),
    ]
}

/// A tagger of `steps` words in `batch` sentences: embeddings of 256 features, an LSTM of 512, and 64 tags.
///
/// The four gates' products with the words are one product over all steps; those with the hidden state are one a step.
pub fn lstm_tagger(steps: usize, batch: usize) -> Vec<Product> {
    let (embedding, hidden, tags) = (256, 512, 64);
    let product = |name, m, k, n, count| Product {
        name,
        m,
        k,
        n,
        count,
    };
    vec![
        product("lstm.weight_ih", steps * batch, embedding, 4 * hidden, 1),
        product("lstm.weight_hh", batch, hidden, 4 * hidden, steps),
        product("tags", steps * batch, hidden, tags, 1),
    ]
}
