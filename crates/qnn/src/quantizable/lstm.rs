//! LSTMs with a place for each product and sum.

use qtensor_core::Tensor;

use crate::error::Result;
use crate::float::{self, Linear};
use crate::functional::FloatFunctional;
use crate::layer::Layer;
use crate::module::{Module, Node, join};
use crate::recurrent::{GATES, GatedCell, RecurrentConfig, Sequence, run_gated, run_gated_cell};
use crate::state::State;
use crate::value::Value;

/// A cell of observed modules.
pub(crate) type Cell = GatedCell<Layer<Linear>, Layer<FloatFunctional>>;

/// An LSTM whose products and sums are observed one by one: what `qflow::prepare` puts where an
/// [`LSTM`](float::LSTM) with a static configuration stands.
///
/// `gates = igates(x) + hgates(h)`, `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')`. Observed are both layers, the
/// sum of the gates, the three products and the new `c`, for each layer and direction (PyTorch's
/// `torch.ao.nn.quantizable.LSTM`, whose names of places these are: `layers.0.layer_fw.cell.igates`). What the inputs of
/// all steps contribute is one product. Shapes and calls are those of the float module; unlike that, it trains.
///
/// ```
/// use qnn::{LSTM, RunSequence, quantizable};
/// use qtensor_core::Tensor;
///
/// let float = LSTM::config(3, 4).num_layers(2).bidirectional(true).build()?;
/// let lstm = quantizable::LSTM::from_float(&float)?;
/// let x = Tensor::ones(&[5, 2, 3])?.into();
/// let ((y, _), (same, _)) = (lstm.run(&x)?, float.run(&x)?);
/// for (a, b) in y.to_tensor().to_vec().iter().zip(same.to_tensor().to_vec()) {
///     assert!((a - b).abs() < 1e-5);
/// }
/// # Ok::<(), qnn::Error>(())
/// ```
pub struct LSTM {
    config: RecurrentConfig,
    cells: Vec<Cell>,
}

/// One step of a quantizable [`LSTM`].
pub struct LSTMCell {
    config: RecurrentConfig,
    cell: Cell,
}

impl LSTM {
    const KIND: &'static str = "QuantizableLSTM";

    /// The counterpart of a float module, with its weights.
    ///
    /// # Errors
    /// None for the weights of a sound module.
    pub fn from_float(lstm: &float::LSTM) -> Result<LSTM> {
        LSTM::with_cells(lstm, false)
    }

    /// As [`from_float`](Self::from_float), with layers and a sum for each of the four gates, so that each has a scale of
    /// its own: more accurate where their ranges differ, and slower.
    ///
    /// # Errors
    /// None for the weights of a sound module.
    #[doc(alias = "split_gates")]
    pub fn with_split_gates(lstm: &float::LSTM) -> Result<LSTM> {
        LSTM::with_cells(lstm, true)
    }

    fn with_cells(lstm: &float::LSTM, split: bool) -> Result<LSTM> {
        let parts = lstm.parts().iter();
        let cells = parts.map(|part| cell(&part.weights, part.biases.as_ref(), split));
        Ok(LSTM {
            config: *lstm.settings(),
            cells: cells.collect::<Result<_>>()?,
        })
    }

    /// The numbers it was built with.
    pub fn settings(&self) -> &RecurrentConfig {
        &self.config
    }

    /// The cells in the order of the states.
    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }
}

impl LSTMCell {
    const KIND: &'static str = "QuantizableLSTMCell";

    /// The counterpart of a float cell, with its weights.
    ///
    /// # Errors
    /// None for the weights of a sound module.
    pub fn from_float(lstm: &float::LSTMCell) -> Result<LSTMCell> {
        LSTMCell::with_cell(lstm, false)
    }

    /// As [`from_float`](Self::from_float), with layers and a sum for each of the four gates.
    ///
    /// # Errors
    /// None for the weights of a sound module.
    pub fn with_split_gates(lstm: &float::LSTMCell) -> Result<LSTMCell> {
        LSTMCell::with_cell(lstm, true)
    }

    fn with_cell(lstm: &float::LSTMCell, split: bool) -> Result<LSTMCell> {
        let part = lstm.part();
        Ok(LSTMCell {
            config: *lstm.settings(),
            cell: cell(&part.weights, part.biases.as_ref(), split)?,
        })
    }

    /// The numbers it was built with.
    pub fn settings(&self) -> &RecurrentConfig {
        &self.config
    }

    pub(crate) fn cell(&self) -> &Cell {
        &self.cell
    }
}

/// The cell of the weights of one direction of one layer.
fn cell(weights: &[Tensor; 2], biases: Option<&[Tensor; 2]>, split: bool) -> Result<Cell> {
    let layers = |at: usize| -> Result<Vec<Layer<Linear>>> {
        let (weight, bias) = (&weights[at], biases.map(|b| &b[at]));
        if !split {
            let whole = Linear::from_parts(weight.clone(), bias.cloned())?;
            return Ok(vec![whole.into()]);
        }
        let width = weight.shape()[0] / GATES.len();
        let rows = |t: &Tensor, gate: usize| -> Result<Tensor> {
            let rows = t.slice(0, gate * width, (gate + 1) * width, 1)?;
            Ok(rows.contiguous())
        };
        let gates = (0..GATES.len()).map(|gate| {
            let bias = bias.map(|b| rows(b, gate)).transpose()?;
            Ok(Linear::from_parts(rows(weight, gate)?, bias)?.into())
        });
        gates.collect()
    };
    let place = || Layer::new(FloatFunctional);
    let (igates, hgates) = (layers(0)?, layers(1)?);
    Ok(GatedCell {
        gates: igates.iter().map(|_| place()).collect(),
        igates,
        hgates,
        fgate_cx: place(),
        igate_cgate: place(),
        fgate_cx_igate_cgate: place(),
        ogate_cy: place(),
    })
}

/// Shows the places of a cell under their names below `prefix`.
fn visit<'a>(cell: &'a Cell, prefix: &str, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
    for (name, layer) in cell.layers() {
        visit(&join(prefix, &name), layer);
    }
    for (name, functional) in cell.functionals() {
        visit(&join(prefix, &name), functional);
    }
}

fn visit_mut(cell: &mut Cell, prefix: &str, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
    cell.each_mut(&mut |name, node| visit(&join(prefix, name), node));
}

impl Node for LSTM {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.config.repr()
    }

    fn children<'a>(&'a self, f: &mut dyn FnMut(&str, &'a dyn Node)) {
        for (at, cell) in self.cells.iter().enumerate() {
            visit(cell, &self.config.cell_name(at), f);
        }
    }

    fn children_mut(&mut self, f: &mut dyn FnMut(&str, &mut dyn Node)) {
        for (at, cell) in self.cells.iter_mut().enumerate() {
            visit_mut(cell, &self.config.cell_name(at), f);
        }
    }

    fn config(&self) -> State {
        self.config.save(State::default())
    }
}

impl Module for LSTM {
    type Input = (Sequence, Option<(Value, Value)>);
    type Output = (Sequence, (Value, Value));

    fn forward(&self, (x, state): &Self::Input) -> Result<Self::Output> {
        x.data().float(Self::KIND)?;
        run_gated(Self::KIND, &self.config, &self.cells, x, state.as_ref())
    }
}

impl Node for LSTMCell {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.config.repr()
    }

    fn children<'a>(&'a self, f: &mut dyn FnMut(&str, &'a dyn Node)) {
        visit(&self.cell, "", f);
    }

    fn children_mut(&mut self, f: &mut dyn FnMut(&str, &mut dyn Node)) {
        visit_mut(&mut self.cell, "", f);
    }

    fn config(&self) -> State {
        self.config.save(State::default())
    }
}

impl Module for LSTMCell {
    type Input = (Value, Option<(Value, Value)>);
    type Output = (Value, Value);

    fn forward(&self, (x, state): &Self::Input) -> Result<Self::Output> {
        x.float(Self::KIND)?;
        let sizes = [self.config.input_size, self.config.hidden_size];
        run_gated_cell(Self::KIND, sizes, &self.cell, x, state.as_ref())
    }
}
