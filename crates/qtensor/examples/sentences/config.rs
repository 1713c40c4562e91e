//! `config.json` of a BERT in the Hugging Face layout.

use std::path::Path;

use serde::Deserialize;

use super::Failure;

/// The numbers that an encoder is built with; everything else in the file is left alone.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Features of a token.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of an attention.
    pub num_attention_heads: usize,
    /// Features between the two products of a layer.
    pub intermediate_size: usize,
    /// Tokens of the longest text.
    pub max_position_embeddings: usize,
    /// Kinds of text.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// What is added to variances.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
    /// The activation; there is only one.
    #[serde(default = "gelu")]
    pub hidden_act: String,
}

fn two() -> usize {
    2
}

fn eps() -> f64 {
    1e-12
}

fn gelu() -> String {
    "gelu".into()
}

impl Config {
    /// Reads `config.json` in `folder`.
    ///
    /// # Errors
    /// A file that is not there, does not parse, lacks a number, or has numbers that contradict each other; each
    /// message names the file.
    pub fn read(folder: &Path) -> Result<Config, Failure> {
        let path = folder.join("config.json");
        let at = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|e| at(&e))?;
        let config: Config = serde_json::from_str(&text).map_err(|e| at(&e))?;
        config.validate().map_err(|what| at(&what))?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), String> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(format!(
                "{heads} attention heads for a hidden size of {width}"
            ));
        }
        if self.hidden_act != "gelu" {
            let act = &self.hidden_act;
            return Err(format!("the activation {act:?} is not known; \"gelu\" is"));
        }
        if self.max_position_embeddings < 2 {
            return Err(format!("texts of {} tokens", self.max_position_embeddings));
        }
        Ok(())
    }
}
