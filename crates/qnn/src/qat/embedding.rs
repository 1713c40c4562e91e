//! Tables of embeddings with rounded rows.

use qgrad::ops;
use qobserve::{FloatQParamsFakeQuantize, ObserverFactory, QConfig};
use qtensor_core::Tensor;

use super::weight::{WeightFakeQuant, through_both};
use crate::error::{Error, Result};
use crate::float;
use crate::float::embedding::Bags;
use crate::module::{Module, Node};
use crate::quantized;
use crate::value::Value;

/// `y = fq(W)[indices]`, each row rounded as the 8-bit or 4-bit table will store it.
///
/// ```
/// use qnn::{Embedding, Module, qat};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let table = qat::Embedding::from_float(&Embedding::new(10, 4)?, &QConfig::embedding_qat_4bit().weight);
/// let indices = Tensor::from_vec(vec![3i64, 9], &[2])?;
/// let (trained, int4) = (table.forward(&indices)?, table.to_quantized()?.forward(&indices)?);
/// for (a, b) in trained.to_tensor().to_vec().iter().zip(int4.to_tensor().to_vec()) {
///     assert!((a - b).abs() < 1e-5);
/// }
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    table: float::Embedding,
    weight_fake_quant: WeightFakeQuant,
}

impl Embedding {
    const KIND: &'static str = "QatEmbedding";

    /// The counterpart of a float table, with the numbers of that; `weight` makes its fake-quant.
    pub fn from_float(table: &float::Embedding, weight: &ObserverFactory) -> Embedding {
        Embedding {
            table: table.clone(),
            weight_fake_quant: WeightFakeQuant::new(weight),
        }
    }

    /// The float table, with unrounded rows.
    pub fn to_float(&self) -> float::Embedding {
        self.table.clone()
    }

    /// The fake-quant of the rows.
    pub fn weight_fake_quant(&self) -> &WeightFakeQuant {
        &self.weight_fake_quant
    }

    /// The table in 8 or 4 bits.
    ///
    /// # Errors
    /// [`Error::Config`] unless the fake-quant is a [`FloatQParamsFakeQuantize`]; NaN and infinities in the table.
    pub fn to_quantized(&self) -> Result<quantized::Embedding> {
        let qconfig = bits_of(Self::KIND, &self.weight_fake_quant)?;
        quantized::Embedding::from_float(&self.table, &qconfig)
    }
}

/// The configuration of tables with as many bits as the fake-quant rounds to.
fn bits_of(module: &'static str, rounding: &WeightFakeQuant) -> Result<QConfig> {
    let observer = rounding.lock();
    let rows = observer.as_any().downcast_ref();
    let Some(rows): Option<&FloatQParamsFakeQuantize> = rows else {
        let what = format!(
            "rows have float qparams, which a {} has not",
            observer.name()
        );
        return Err(Error::Config { module, what });
    };
    Ok(match rows.bits() {
        4 => QConfig::float_qparams_weight_only_qconfig_4bit(),
        _ => QConfig::float_qparams_weight_only_qconfig(),
    })
}

/// A row for each bag of indices of `fq(W)`, each row of the table rounded as the 8-bit or 4-bit table will store it: see
/// [`float::EmbeddingBag`].
#[derive(Clone, Debug)]
pub struct EmbeddingBag {
    table: float::EmbeddingBag,
    weight_fake_quant: WeightFakeQuant,
}

impl EmbeddingBag {
    const KIND: &'static str = "QatEmbeddingBag";

    /// The counterpart of a float table, with the numbers of that; `weight` makes its fake-quant.
    pub fn from_float(table: &float::EmbeddingBag, weight: &ObserverFactory) -> EmbeddingBag {
        EmbeddingBag {
            table: table.clone(),
            weight_fake_quant: WeightFakeQuant::new(weight),
        }
    }

    /// The float table, with unrounded rows.
    pub fn to_float(&self) -> float::EmbeddingBag {
        self.table.clone()
    }

    /// The fake-quant of the rows.
    pub fn weight_fake_quant(&self) -> &WeightFakeQuant {
        &self.weight_fake_quant
    }

    /// The table in 8 or 4 bits.
    ///
    /// # Errors
    /// As [`Embedding::to_quantized`].
    pub fn to_quantized(&self) -> Result<quantized::EmbeddingBag> {
        let qconfig = bits_of(Self::KIND, &self.weight_fake_quant)?;
        quantized::EmbeddingBag::from_float(&self.table, &qconfig)
    }
}

impl Node for EmbeddingBag {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    through_both!(table);
}

impl Module for EmbeddingBag {
    type Input = Bags;
    type Output = Value;

    fn forward(&self, bags: &Bags) -> Result<Value> {
        let rows = self.table.weight_parameter().var();
        let weight = self.weight_fake_quant.forward(rows)?;
        let (Bags { indices, offsets }, mode) = (bags, self.table.mode());
        Ok(ops::embedding_bag(&weight, indices, offsets, mode)?.into())
    }
}

impl Node for Embedding {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    through_both!(table);
}

impl Module for Embedding {
    type Input = Tensor<i64>;
    type Output = Value;

    fn forward(&self, indices: &Tensor<i64>) -> Result<Value> {
        let weight = self
            .weight_fake_quant
            .forward(self.table.weight_parameter().var())?;
        Ok(ops::embedding(&weight, indices)?.into())
    }
}
