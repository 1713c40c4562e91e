//! A model directory: `config.json`, `model.safetensors`, `tokenizer.json`.

use std::collections::BTreeMap;
use std::path::Path;

use qtensor::prelude::*;
use qtensor::qflow::{load_state_dict, read_safetensors};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

use super::Failure;
use super::bert::{Bert, Tokens};
use super::config::Config;

/// Tokens of the longest text; what is longer is cut off.
const LONGEST: usize = 256;

/// Names in the file, and what they are here. The first fitting rule counts.
const NAMES: [(&str, &str); 8] = [
    ("encoder.layer.", "layer."),
    ("attention.self.", ""),
    ("attention.output.dense.", "attended."),
    ("attention.output.LayerNorm.", "attended_norm."),
    ("intermediate.dense.", "intermediate."),
    ("output.dense.", "output."),
    ("output.LayerNorm.", "output_norm."),
    ("embeddings.LayerNorm.", "embeddings.norm."),
];

/// An encoder with its tokenizer.
pub struct Model {
    /// The encoder.
    pub bert: Bert,
    tokenizer: Tokenizer,
    config: Config,
    /// Bytes of the float weights' file.
    pub file_bytes: u64,
}

impl Model {
    /// Reads a directory.
    ///
    /// # Errors
    /// A file that is missing or malformed, by its name; weights that do not fit the configuration, by theirs.
    pub fn open(folder: &Path) -> Result<Model, Failure> {
        let config = Config::read(folder)?;
        let tokenizer = tokenizer(folder, &config)?;
        let path = folder.join("model.safetensors");
        let at = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
        let bytes = std::fs::read(&path).map_err(|e| at(&e))?;
        let mut bert = Bert::new(&config)?;
        let weights = read_safetensors(&bytes).map_err(|e| at(&e))?;
        load_state_dict(&mut bert, renamed(weights)).map_err(|e| at(&e))?;
        Ok(Model {
            bert,
            tokenizer,
            config,
            file_bytes: bytes.len() as u64,
        })
    }

    /// The ids of texts, padded to the longest.
    ///
    /// # Errors
    /// Those of the tokenizer, and for an id beyond the configured vocabulary.
    pub fn tokens(&self, texts: &[String]) -> Result<Tokens, Failure> {
        let encoded = self.tokenizer.encode_batch(texts.to_vec(), true)?;
        let time = encoded.first().map_or(0, |e| e.get_ids().len());
        let ids: Vec<i64> = encoded
            .iter()
            .flat_map(|e| e.get_ids().iter().map(|&id| i64::from(id)))
            .collect();
        let size = self.config.vocab_size;
        if let Some(id) = ids.iter().find(|&&id| id >= size as i64) {
            return Err(format!(
                "tokenizer.json has token {id}, but config.json says vocab_size {size}"
            )
            .into());
        }
        let mask = encoded
            .iter()
            .flat_map(|e| e.get_attention_mask().iter().map(|&m| m as f32));
        Ok(Tokens {
            mask: mask.collect(),
            ids: Tensor::from_vec(ids, &[encoded.len(), time])?,
        })
    }

    /// Linear layers in int8, chosen row by row; tables of embeddings in 8 bits.
    ///
    /// # Errors
    /// Those of the conversion.
    pub fn quantize(&mut self) -> Result<Report, Failure> {
        let embeddings = QConfig::float_qparams_weight_only_qconfig();
        let spec = QConfigSpec::from(QConfig::dynamic()).with_type::<Embedding>(Some(embeddings));
        Ok(quantize_dynamic(&mut self.bert, spec)?)
    }
}

fn tokenizer(folder: &Path, config: &Config) -> Result<Tokenizer, Failure> {
    let path = folder.join("tokenizer.json");
    let at = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let bytes = std::fs::read(&path).map_err(|e| at(&e))?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| at(&e))?;
    let truncation = TruncationParams {
        max_length: LONGEST.min(config.max_position_embeddings),
        ..TruncationParams::default()
    };
    tokenizer
        .with_truncation(Some(truncation))
        .map_err(|e| at(&e))?;
    tokenizer.with_padding(Some(PaddingParams::default()));
    Ok(tokenizer)
}

/// The weights under the names of this example; the pooler, which sentence embeddings do not use, is left out.
fn renamed(weights: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let rename = |mut key: String| {
        for (theirs, ours) in NAMES {
            key = key.replacen(theirs, ours, 1);
        }
        key
    };
    weights
        .into_iter()
        .filter(|(key, _)| !key.starts_with("pooler."))
        .map(|(key, tensor)| (rename(key), tensor))
        .collect()
}
