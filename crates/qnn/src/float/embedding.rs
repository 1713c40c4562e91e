//! Float tables of embeddings.

use qops::quantized::BagMode;
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::init;
use crate::module::{Module, Node};
use crate::parameter::Parameter;
use crate::state::State;
use crate::value::{Flow, Value};

/// Rows of a table by index: `y[…] = W[indices[…]]`.
///
/// Shapes: indices `(…)`, weight `(num_embeddings, embedding_dim)`, output `(…, embedding_dim)`.
///
/// # Errors
/// Its `forward` refuses indices outside the table.
///
/// ```
/// use qnn::{Embedding, Module};
/// use qtensor_core::Tensor;
///
/// let table = Embedding::new(10, 4)?;
/// let y = table.forward(&Tensor::from_vec(vec![3i64, 9, 3], &[3])?)?;
/// assert_eq!(y.shape(), [3, 4]);
/// assert!(table.forward(&Tensor::from_vec(vec![10i64], &[1])?).is_err());
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Parameter,
}

/// A row for each bag of indices: the sum, mean or maximum of the rows that the indices name.
///
/// Shapes: [`Bags`] in, `(bags, embedding_dim)` out. A bag without indices gives zeros.
///
/// # Errors
/// Its `forward` refuses indices outside the table and offsets that are out of order.
#[derive(Clone, Debug)]
pub struct EmbeddingBag {
    weight: Parameter,
    mode: BagMode,
}

/// Indices in bags.
#[derive(Clone, Debug)]
pub struct Bags {
    /// The indices of all bags.
    pub indices: Tensor<i64>,
    /// For each bag the position of its first index.
    pub offsets: Tensor<i64>,
}

impl Bags {
    /// Bags of the given indices.
    ///
    /// # Errors
    /// None at present: offsets are made from the lists.
    pub fn new(bags: &[&[i64]]) -> Result<Bags> {
        let indices: Vec<i64> = bags.concat();
        let mut offsets = Vec::with_capacity(bags.len());
        let mut next = 0;
        for bag in bags {
            offsets.push(next);
            next += bag.len() as i64;
        }
        Ok(Bags {
            indices: Tensor::from_slice(&indices, &[indices.len()])?,
            offsets: Tensor::from_slice(&offsets, &[offsets.len()])?,
        })
    }
}

impl Flow for Bags {
    fn values<'a>(&'a self, _: &mut dyn FnMut(&'a Value)) {}

    fn map(&self, _: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Bags> {
        Ok(self.clone())
    }
}

/// A drawn table: uniform numbers of variance 1.
fn drawn(module: &'static str, rows: usize, width: usize) -> Result<Tensor> {
    if rows == 0 || width == 0 {
        let what = format!("a table of {rows} rows of {width} features");
        return Err(Error::Config { module, what });
    }
    init::uniform(&[rows, width], 3f32.sqrt())
}

fn check_table(module: &'static str, weight: &Tensor) -> Result<()> {
    if weight.rank() == 2 {
        return Ok(());
    }
    Err(Error::InputShape {
        module,
        what: "the weight",
        expected: "(num_embeddings, embedding_dim)".into(),
        actual: weight.shape().to_vec(),
    })
}

impl Embedding {
    const KIND: &'static str = "Embedding";

    /// A table of drawn numbers.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is zero.
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Result<Embedding> {
        Embedding::from_weight(drawn(Self::KIND, num_embeddings, embedding_dim)?)
    }

    /// A given table.
    ///
    /// # Errors
    /// [`Error::InputShape`] if it is not a matrix.
    #[doc(alias = "from_pretrained")]
    pub fn from_weight(weight: Tensor) -> Result<Embedding> {
        check_table(Self::KIND, &weight)?;
        Ok(Embedding {
            weight: weight.into(),
        })
    }

    /// The table.
    pub fn weight(&self) -> &Tensor {
        self.weight.tensor()
    }

    /// The table as training sees it.
    pub(crate) fn weight_parameter(&self) -> &Parameter {
        &self.weight
    }
}

impl EmbeddingBag {
    const KIND: &'static str = "EmbeddingBag";

    /// A table of drawn numbers.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is zero.
    pub fn new(num_embeddings: usize, embedding_dim: usize, mode: BagMode) -> Result<EmbeddingBag> {
        EmbeddingBag::from_weight(drawn(Self::KIND, num_embeddings, embedding_dim)?, mode)
    }

    /// A given table.
    ///
    /// # Errors
    /// [`Error::InputShape`] if it is not a matrix.
    pub fn from_weight(weight: Tensor, mode: BagMode) -> Result<EmbeddingBag> {
        check_table(Self::KIND, &weight)?;
        Ok(EmbeddingBag {
            weight: weight.into(),
            mode,
        })
    }

    /// The table.
    pub fn weight(&self) -> &Tensor {
        self.weight.tensor()
    }

    /// The table as training sees it.
    pub(crate) fn weight_parameter(&self) -> &Parameter {
        &self.weight
    }

    /// What becomes of the rows of a bag.
    pub fn mode(&self) -> BagMode {
        self.mode
    }
}

/// The shape in print.
pub(crate) fn table_repr(shape: &[usize]) -> String {
    format!("{}, {}", shape[0], shape[1])
}

/// The mode as a number of a configuration.
pub(crate) fn save_mode(mode: BagMode) -> State {
    State::default().with_sizes("mode", &[mode as usize])
}

impl Node for Embedding {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        table_repr(self.weight().shape())
    }

    fn state(&self) -> State {
        State::default().with_tensor("weight", Some(self.weight()))
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.weight
            .set(state.take_shaped(Self::KIND, "weight", self.weight.tensor())?);
        Ok(())
    }

    fn set_training(&mut self, training: bool) {
        self.weight.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut qgrad::Var)) {
        visit("weight", self.weight.var_mut());
    }
}

impl Module for Embedding {
    type Input = Tensor<i64>;
    type Output = Value;

    fn forward(&self, indices: &Tensor<i64>) -> Result<Value> {
        Ok(qgrad::ops::embedding(self.weight.var(), indices)?.into())
    }
}

impl Node for EmbeddingBag {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let table = table_repr(self.weight().shape());
        format!("{table}, mode={:?}", self.mode)
    }

    fn state(&self) -> State {
        State::default().with_tensor("weight", Some(self.weight()))
    }

    fn config(&self) -> State {
        save_mode(self.mode)
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.weight
            .set(state.take_shaped(Self::KIND, "weight", self.weight.tensor())?);
        Ok(())
    }

    fn set_training(&mut self, training: bool) {
        self.weight.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut qgrad::Var)) {
        visit("weight", self.weight.var_mut());
    }
}

impl Module for EmbeddingBag {
    type Input = Bags;
    type Output = Value;

    fn forward(&self, bags: &Bags) -> Result<Value> {
        let Bags { indices, offsets } = bags;
        let y = qgrad::ops::embedding_bag(self.weight.var(), indices, offsets, self.mode)?;
        Ok(y.into())
    }
}
