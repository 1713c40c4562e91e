//! Dynamically quantized recurrent modules: RNN, LSTM and GRU over sequences, and their cells.

use std::marker::PhantomData;

use qobserve::QConfig;
use qops::recurrent::{DynamicGates, Gates};
use qtensor_core::QTensor;

use super::{DynamicQuant, load_quant, quant_of, repr, save_quant};
use crate::error::{Error, Result};
use crate::float;
use crate::float::recurrent::Part;
use crate::module::{Module, Node};
use crate::quantized::quantize_weight;
use crate::recurrent::{
    Gru, Lstm, RecurrentConfig, RecurrentKind, Rnn, Sequence, WeightNames, check_weights, run,
    run_cell,
};
use crate::reference;
use crate::state::{Entry, State};
use crate::value::Value;

/// An int8 recurrent module from float sequences to float sequences: see [`RNN`], [`LSTM`] and [`GRU`].
///
/// It computes what its [float counterpart](float::Recurrent) computes, with the same shapes and errors. All products
/// are those of dynamic linear layers: the one with the inputs over all steps at once, the one with the states step by
/// step. Gates, cells and states are `f32`. Biases may be missing.
///
/// ```
/// use qnn::{LSTM, RunSequence, dynamic};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let float = LSTM::config(16, 32).bidirectional(true).bias(false).build()?;
/// let int8 = dynamic::LSTM::from_float(&float, &QConfig::dynamic())?;
/// let x = Tensor::ones(&[7, 2, 16])?.into();
/// let ((y, _), (y8, _)) = (float.run(&x)?, int8.run(&x)?);
/// let near = |(a, b): (f32, f32)| (a - b).abs() < 0.01;
/// assert!(y.to_tensor().to_vec().into_iter().zip(y8.to_tensor().to_vec()).all(near));
/// # Ok::<(), qnn::Error>(())
/// ```
pub struct Recurrent<K> {
    config: RecurrentConfig,
    names: Vec<WeightNames>,
    gates: Vec<DynamicGates>,
    kind: PhantomData<fn() -> K>,
}

/// An int8 Elman network.
pub type RNN = Recurrent<Rnn>;
/// An int8 LSTM.
pub type LSTM = Recurrent<Lstm>;
/// An int8 GRU.
pub type GRU = Recurrent<Gru>;

/// One int8 step of a recurrent network: see [`RNNCell`], [`LSTMCell`] and [`GRUCell`].
pub struct RecurrentCell<K> {
    config: RecurrentConfig,
    names: WeightNames,
    gates: DynamicGates,
    kind: PhantomData<fn() -> K>,
}

/// One int8 step of an RNN.
pub type RNNCell = RecurrentCell<Rnn>;
/// One int8 step of an LSTM.
pub type LSTMCell = RecurrentCell<Lstm>;
/// One int8 step of a GRU.
pub type GRUCell = RecurrentCell<Gru>;

fn quantized(module: &'static str, part: &Part, qconfig: &QConfig) -> Result<DynamicGates> {
    let quant = quant_of(module, qconfig)?;
    if qconfig.is_float16() {
        return Err(Error::Config {
            module,
            what: "recurrent modules have int8 weights; 16-bit floats are for linear layers".into(),
        });
    }
    let [input, hidden] = &part.weights;
    let bias = |at: usize| part.biases.as_ref().map(|b| &b[at]);
    Ok(DynamicGates::new(
        &quantize_weight(module, input, &qconfig.weight)?,
        &quantize_weight(module, hidden, &qconfig.weight)?,
        bias(0),
        bias(1),
        quant,
    )?)
}

/// The products of a reference module's integers.
fn of_reference(weights: &[QTensor; 2], part: &Part, quant: DynamicQuant) -> Result<DynamicGates> {
    let bias = |at: usize| part.biases.as_ref().map(|b| &b[at]);
    let [input, hidden] = weights;
    Ok(DynamicGates::new(input, hidden, bias(0), bias(1), quant)?)
}

fn save(gates: &DynamicGates, names: &WeightNames, state: State) -> State {
    let (input, hidden) = (gates.input_layer(), gates.hidden_layer());
    state
        .with(&names.input, Entry::QTensor(input.weight().clone()))
        .with(&names.hidden, Entry::QTensor(hidden.weight().clone()))
        .with_tensor(&names.input_bias, input.bias())
        .with_tensor(&names.hidden_bias, hidden.bias())
}

fn restore(
    module: &'static str,
    names: &WeightNames,
    config: &RecurrentConfig,
    shapes: [[usize; 2]; 2],
    quant: DynamicQuant,
    state: &mut State,
) -> Result<DynamicGates> {
    let input = state.take_qtensor(module, &names.input)?;
    let hidden = state.take_qtensor(module, &names.hidden)?;
    check_weights(module, names, shapes, [input.shape(), hidden.shape()])?;
    let mut bias = |key: &str| {
        config
            .bias
            .then(|| state.take_tensor(module, key))
            .transpose()
    };
    let (input_bias, hidden_bias) = (bias(&names.input_bias)?, bias(&names.hidden_bias)?);
    Ok(DynamicGates::new(
        &input,
        &hidden,
        input_bias.as_ref(),
        hidden_bias.as_ref(),
        quant,
    )?)
}

impl<K: RecurrentKind> Recurrent<K> {
    const KIND: &'static str = K::KINDS[2];

    /// The counterpart of a float module.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing; [`Error::Config`] if `qconfig` is not for dynamic int8.
    pub fn from_float(module: &float::Recurrent<K>, qconfig: &QConfig) -> Result<Recurrent<K>> {
        let parts = module.parts().iter();
        let gates = parts
            .map(|part| quantized(Self::KIND, part, qconfig))
            .collect::<Result<_>>()?;
        let config = *module.settings();
        Ok(Recurrent {
            names: config.names(),
            config,
            gates,
            kind: PhantomData,
        })
    }

    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// Those of packing.
    pub fn from_reference(
        module: &reference::Recurrent<K>,
        quant: DynamicQuant,
    ) -> Result<Recurrent<K>> {
        let config = *module.float().settings();
        let weights = module.quantized_weights().iter();
        let gates = weights
            .zip(module.float().parts())
            .map(|(weights, part)| of_reference(weights, part, quant))
            .collect::<Result<_>>()?;
        Ok(Recurrent {
            names: config.names(),
            config,
            gates,
            kind: PhantomData,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Recurrent<K>> {
        let config = RecurrentConfig::load(Self::KIND, state)?;
        let quant = load_quant(Self::KIND, state)?;
        let width = K::cell(config.relu).gates();
        let (mut names, mut gates) = (Vec::new(), Vec::new());
        // A file may claim any number of layers, so their names are made as their weights turn up.
        for layer in 0..config.num_layers {
            for suffix in ["", "_reverse"].iter().take(config.directions()) {
                let own = WeightNames::new(&format!("_l{layer}{suffix}"));
                let shapes = config.shapes(gates.len(), width);
                gates.push(restore(Self::KIND, &own, &config, shapes, quant, state)?);
                names.push(own);
            }
        }
        Ok(Recurrent {
            config,
            names,
            gates,
            kind: PhantomData,
        })
    }

    /// The numbers that its float counterpart was built with.
    pub fn settings(&self) -> &RecurrentConfig {
        &self.config
    }
}

impl<K: RecurrentKind> RecurrentCell<K> {
    const KIND: &'static str = K::KINDS[3];

    /// The counterpart of a float cell.
    ///
    /// # Errors
    /// As [`Recurrent::from_float`].
    pub fn from_float(
        cell: &float::RecurrentCell<K>,
        qconfig: &QConfig,
    ) -> Result<RecurrentCell<K>> {
        Ok(RecurrentCell {
            config: *cell.settings(),
            names: WeightNames::new(""),
            gates: quantized(Self::KIND, cell.part(), qconfig)?,
            kind: PhantomData,
        })
    }

    /// The counterpart of a reference cell, with its integers.
    ///
    /// # Errors
    /// Those of packing.
    pub fn from_reference(
        cell: &reference::RecurrentCell<K>,
        quant: DynamicQuant,
    ) -> Result<RecurrentCell<K>> {
        let float = cell.float();
        Ok(RecurrentCell {
            config: *float.settings(),
            names: WeightNames::new(""),
            gates: of_reference(cell.quantized_weights(), float.part(), quant)?,
            kind: PhantomData,
        })
    }

    /// Restores a cell that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// As [`Recurrent::from_state`].
    pub fn from_state(state: &mut State) -> Result<RecurrentCell<K>> {
        let config = RecurrentConfig::load(Self::KIND, state)?;
        let quant = load_quant(Self::KIND, state)?;
        let names = WeightNames::new("");
        let shapes = config.shapes(0, K::cell(config.relu).gates());
        Ok(RecurrentCell {
            gates: restore(Self::KIND, &names, &config, shapes, quant, state)?,
            config,
            names,
            kind: PhantomData,
        })
    }
}

impl<K: RecurrentKind> Node for Recurrent<K> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let quant = self.gates.first().map(|g| repr(g.quant()));
        format!("{}, {}", self.config.repr(), quant.unwrap_or_default())
    }

    fn state(&self) -> State {
        let quant = self.gates.first().map(DynamicGates::quant);
        let state = save_quant(quant.unwrap_or_default(), State::default());
        let parts = self.gates.iter().zip(&self.names);
        parts.fold(state, |state, (gates, names)| save(gates, names, state))
    }

    fn config(&self) -> State {
        self.config.save(State::default())
    }
}

impl<K: RecurrentKind> Module for Recurrent<K> {
    type Input = (Sequence, Option<K::State>);
    type Output = (Sequence, K::State);

    fn forward(&self, (x, state): &Self::Input) -> Result<Self::Output> {
        let gates: Vec<&dyn Gates> = self.gates.iter().map(|g| g as _).collect();
        run::<K>(Self::KIND, &self.config, &gates, x, state.as_ref())
    }
}

impl<K: RecurrentKind> Node for RecurrentCell<K> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, {}", self.config.repr(), repr(self.gates.quant()))
    }

    fn state(&self) -> State {
        let state = save_quant(self.gates.quant(), State::default());
        save(&self.gates, &self.names, state)
    }

    fn config(&self) -> State {
        self.config.save(State::default())
    }
}

impl<K: RecurrentKind> Module for RecurrentCell<K> {
    type Input = (Value, Option<K::State>);
    type Output = K::State;

    fn forward(&self, (x, state): &Self::Input) -> Result<K::State> {
        let sizes = [self.config.input_size, self.config.hidden_size];
        let cell = K::cell(self.config.relu);
        run_cell::<K>(Self::KIND, sizes, cell, &self.gates, x, state.as_ref())
    }
}
