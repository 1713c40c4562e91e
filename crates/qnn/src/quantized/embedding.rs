//! Tables of embeddings in 8 or 4 bits.

use qobserve::QConfig;
use qops::quantized::{BagMode, EmbeddingTable};
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::float;
use crate::float::embedding::{Bags, save_mode, table_repr};
use crate::module::{Module, Node};
use crate::reference;
use crate::state::{Entry, PackedTensor, State};
use crate::value::Value;

/// Rows of a table of 8-bit or 4-bit integers, each with a real scale and zero point: indices in, floats out.
///
/// The formulas are those of [`EmbeddingTable`], the shapes and errors those of [`float::Embedding`].
///
/// ```
/// use qnn::{Embedding, Module, Node, quantized};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let float = Embedding::new(100, 64)?;
/// let small = quantized::Embedding::from_float(&float, &QConfig::float_qparams_weight_only_qconfig_4bit())?;
/// assert!(small.state().bytes() * 6 < float.state().bytes());
/// assert_eq!(small.forward(&Tensor::from_vec(vec![99i64], &[1])?)?.shape(), [1, 64]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    table: EmbeddingTable,
}

/// A row for each bag of indices of a table of 8-bit or 4-bit integers: see [`float::EmbeddingBag`].
#[derive(Clone, Debug)]
pub struct EmbeddingBag {
    table: EmbeddingTable,
    mode: BagMode,
}

fn quantized(module: &'static str, weight: &Tensor, qconfig: &QConfig) -> Result<EmbeddingTable> {
    let observer = qconfig.float_qparams().ok_or_else(|| Error::Config {
        module,
        what: format!(
            "a table needs a weight-only qconfig, such as QConfig::float_qparams_weight_only_qconfig(), not a {} one",
            qconfig.quant_type()
        ),
    })?;
    let bits = if observer.four_bits { 4 } else { 8 };
    Ok(EmbeddingTable::quantize(weight, bits)?)
}

fn save(table: &EmbeddingTable) -> State {
    let packed = PackedTensor {
        shape: table.shape().to_vec(),
        bits: table.bits(),
        bytes: table.bytes().to_vec(),
    };
    let vector = |values: &[f32]| Tensor::from_slice(values, &[values.len()]).ok();
    State::default()
        .with("weight", Entry::Packed(packed))
        .with_tensor("scales", vector(table.scales()).as_ref())
        .with_tensor("zero_points", vector(table.zero_points()).as_ref())
}

fn load(module: &'static str, state: &mut State) -> Result<EmbeddingTable> {
    let (shape, packed) = state.take_packed::<2>(module, "weight")?;
    let scales = state.take_tensor(module, "scales")?.to_vec();
    let zero_points = state.take_tensor(module, "zero_points")?.to_vec();
    Ok(EmbeddingTable::from_parts(
        shape,
        packed.bits,
        packed.bytes,
        scales,
        zero_points,
    )?)
}

impl Embedding {
    const KIND: &'static str = "QuantizedEmbedding";

    /// The counterpart of a float table.
    ///
    /// # Errors
    /// [`Error::Config`] if `qconfig` is not weight-only; NaN and infinities in the table.
    pub fn from_float(table: &float::Embedding, qconfig: &QConfig) -> Result<Embedding> {
        Ok(Embedding {
            table: quantized(Self::KIND, table.weight(), qconfig)?,
        })
    }

    /// The counterpart of a reference module, with its integers.
    pub fn from_reference(table: &reference::Embedding) -> Embedding {
        table.int8().clone()
    }

    /// Restores a table that [`state`](Node::state) described.
    ///
    /// # Errors
    /// A missing entry, one of another type, or lengths that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Embedding> {
        Ok(Embedding {
            table: load(Self::KIND, state)?,
        })
    }

    /// The integers and their scales.
    pub fn table(&self) -> &EmbeddingTable {
        &self.table
    }
}

impl EmbeddingBag {
    const KIND: &'static str = "QuantizedEmbeddingBag";

    /// The counterpart of a float table.
    ///
    /// # Errors
    /// As [`Embedding::from_float`].
    pub fn from_float(table: &float::EmbeddingBag, qconfig: &QConfig) -> Result<EmbeddingBag> {
        Ok(EmbeddingBag {
            table: quantized(Self::KIND, table.weight(), qconfig)?,
            mode: table.mode(),
        })
    }

    /// The counterpart of a reference module, with its integers.
    pub fn from_reference(table: &reference::EmbeddingBag) -> EmbeddingBag {
        table.int8().clone()
    }

    /// The integers and their scales.
    pub fn table(&self) -> &EmbeddingTable {
        &self.table
    }

    /// What becomes of the rows of a bag.
    pub fn mode(&self) -> BagMode {
        self.mode
    }

    /// Restores a table that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// As [`Embedding::from_state`].
    pub fn from_state(state: &mut State) -> Result<EmbeddingBag> {
        let [mode] = state.take_sizes(Self::KIND, "mode")?;
        let modes = [BagMode::Sum, BagMode::Mean, BagMode::Max];
        let mode = *modes.get(mode).ok_or_else(|| Error::Config {
            module: Self::KIND,
            what: format!("unknown mode {mode}"),
        })?;
        Ok(EmbeddingBag {
            table: load(Self::KIND, state)?,
            mode,
        })
    }
}

fn repr(table: &EmbeddingTable) -> String {
    format!("{}, bits={}", table_repr(&table.shape()), table.bits())
}

impl Node for Embedding {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        repr(&self.table)
    }

    fn state(&self) -> State {
        save(&self.table)
    }
}

impl Module for Embedding {
    type Input = Tensor<i64>;
    type Output = Value;

    fn forward(&self, indices: &Tensor<i64>) -> Result<Value> {
        Ok(self.table.lookup(indices)?.into())
    }
}

impl Node for EmbeddingBag {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, mode={:?}", repr(&self.table), self.mode)
    }

    fn state(&self) -> State {
        save(&self.table)
    }

    fn config(&self) -> State {
        save_mode(self.mode)
    }
}

impl Module for EmbeddingBag {
    type Input = Bags;
    type Output = Value;

    fn forward(&self, bags: &Bags) -> Result<Value> {
        let Bags { indices, offsets } = bags;
        Ok(self.table.bags(indices, offsets, self.mode)?.into())
    }
}
