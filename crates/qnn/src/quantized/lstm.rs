//! Int8 LSTMs: every value between input and output has integers.

use qops::quantized::quantize;

use crate::error::{Error, Result};
use crate::functional::QFunctional;
use crate::module::{Module, Node};
use crate::quantizable;
use crate::quantizable::{observed_functional, observed_linear};
use crate::quantized::{Linear, QParams};
use crate::recurrent::{
    Arithmetic, GatedCell, RecurrentConfig, Sequence, run_gated, run_gated_cell,
};
use crate::state::State;
use crate::value::Value;

/// A cell of int8 modules.
type Cell = GatedCell<Linear, QFunctional>;

/// An LSTM from integers to integers, made of an observed [`quantizable::LSTM`].
///
/// Products are those of [`Linear`], sums and products those of [`QFunctional`]; `σ` has scale 1/256 and `tanh` 1/128.
/// States that are not given are zeros. Given ones may be float, and become integers on the grids of `h` and `c` in
/// each layer. Outputs of two directions, and states of several layers, are on one grid that covers those of all.
///
/// # Errors
/// Its `forward` refuses float inputs, empty sequences, other numbers of features, and states of other shapes.
pub struct LSTM {
    config: RecurrentConfig,
    cells: Vec<Cell>,
}

/// One step of an int8 [`LSTM`].
pub struct LSTMCell {
    config: RecurrentConfig,
    cell: Cell,
}

impl LSTM {
    const KIND: &'static str = "QuantizedLSTM";

    /// The counterpart of a calibrated module.
    ///
    /// # Errors
    /// [`Error::Config`] with the place that was not prepared or calibrated; those of quantizing the weights.
    pub fn from_observed(lstm: &quantizable::LSTM) -> Result<LSTM> {
        let cells = lstm.cells().iter();
        let cells =
            cells.map(|c| c.try_map(|_, l| observed_linear(l), |_, f| observed_functional(f)));
        Ok(LSTM {
            config: *lstm.settings(),
            cells: cells.collect::<Result<_>>()?,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<LSTM> {
        let config = RecurrentConfig::load(Self::KIND, state)?;
        let split = load_split(Self::KIND, state)?;
        // A file may claim any number of layers, so a missing one ends the loop before the list grows.
        let mut cells = Vec::new();
        for at in 0..config.num_layers.saturating_mul(config.directions()) {
            let name = config.cell_name(at);
            let cell = state.take_below(&name, |state| load(Self::KIND, split, state))?;
            check(Self::KIND, &name, &cell, &config, at)?;
            cells.push(cell);
        }
        Ok(LSTM { config, cells })
    }

    /// The numbers it was built with.
    pub fn settings(&self) -> &RecurrentConfig {
        &self.config
    }
}

impl LSTMCell {
    const KIND: &'static str = "QuantizedLSTMCell";

    /// The counterpart of a calibrated cell.
    ///
    /// # Errors
    /// As [`LSTM::from_observed`].
    pub fn from_observed(lstm: &quantizable::LSTMCell) -> Result<LSTMCell> {
        let cell = lstm
            .cell()
            .try_map(|_, l| observed_linear(l), |_, f| observed_functional(f))?;
        Ok(LSTMCell {
            config: *lstm.settings(),
            cell,
        })
    }

    /// Restores a cell that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// As [`LSTM::from_state`].
    pub fn from_state(state: &mut State) -> Result<LSTMCell> {
        let config = RecurrentConfig::load(Self::KIND, state)?;
        let split = load_split(Self::KIND, state)?;
        let cell = load(Self::KIND, split, state)?;
        check(Self::KIND, "", &cell, &config, 0)?;
        Ok(LSTMCell { config, cell })
    }

    /// The numbers it was built with.
    pub fn settings(&self) -> &RecurrentConfig {
        &self.config
    }
}

fn load_split(module: &'static str, state: &mut State) -> Result<bool> {
    let [split] = state.take_sizes::<1>(module, "split_gates")?;
    Ok(split != 0)
}

fn load(module: &'static str, split: bool, state: &mut State) -> Result<Cell> {
    let state = std::cell::RefCell::new(state);
    GatedCell::named(split).try_map(
        |name, ()| state.borrow_mut().take_below(name, Linear::from_state),
        |name, ()| {
            state.borrow_mut().take_below(name, |state| {
                Ok(QFunctional::new(QParams::load(module, state)?))
            })
        },
    )
}

/// Refuses layers whose widths are not those of the configuration.
fn check(
    module: &'static str,
    name: &str,
    cell: &Cell,
    config: &RecurrentConfig,
    at: usize,
) -> Result<()> {
    let [input, hidden] = config.shapes(at, if cell.is_split() { 1 } else { 4 });
    for (key, layer) in cell.layers() {
        let expected = if key.starts_with('i') { input } else { hidden };
        if layer.weight().shape() != expected {
            return Err(Error::StateShape {
                module,
                key: format!("{}.weight", crate::module::join(name, &key)),
                expected: expected.to_vec(),
                actual: layer.weight().shape().to_vec(),
            });
        }
    }
    Ok(())
}

fn save(cell: &Cell, prefix: &str, state: State) -> State {
    let name = |key: &str| crate::module::join(prefix, key);
    let layers = cell.layers().into_iter();
    let state = layers.fold(state, |s, (key, l)| s.with_below(&name(&key), &l.state()));
    let functionals = cell.functionals().into_iter();
    functionals.fold(state, |s, (key, f)| s.with_below(&name(&key), &f.state()))
}

fn save_config(config: &RecurrentConfig, cell: Option<&Cell>) -> State {
    let split = cell.is_some_and(GatedCell::is_split);
    config
        .save(State::default())
        .with_sizes("split_gates", &[usize::from(split)])
}

impl Arithmetic for QFunctional {
    fn adopt(&self, _: &'static str, state: &Value) -> Result<Value> {
        Ok(match state {
            Value::Float(x) => {
                let output = self.output();
                quantize(x.tensor(), output.out(), output.dtype)?.into()
            }
            Value::Quantized(_) => state.clone(),
        })
    }
}

impl Node for LSTM {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.config.repr()
    }

    fn state(&self) -> State {
        let cells = self.cells.iter().enumerate();
        cells.fold(State::default(), |state, (at, cell)| {
            save(cell, &self.config.cell_name(at), state)
        })
    }

    fn config(&self) -> State {
        save_config(&self.config, self.cells.first())
    }
}

impl Module for LSTM {
    type Input = (Sequence, Option<(Value, Value)>);
    type Output = (Sequence, (Value, Value));

    fn forward(&self, (x, state): &Self::Input) -> Result<Self::Output> {
        x.data().quantized(Self::KIND)?;
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

    fn state(&self) -> State {
        save(&self.cell, "", State::default())
    }

    fn config(&self) -> State {
        save_config(&self.config, Some(&self.cell))
    }
}

impl Module for LSTMCell {
    type Input = (Value, Option<(Value, Value)>);
    type Output = (Value, Value);

    fn forward(&self, (x, state): &Self::Input) -> Result<Self::Output> {
        x.quantized(Self::KIND)?;
        let sizes = [self.config.input_size, self.config.hidden_size];
        run_gated_cell(Self::KIND, sizes, &self.cell, x, state.as_ref())
    }
}
