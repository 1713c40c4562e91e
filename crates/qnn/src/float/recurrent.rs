//! Float recurrent modules: RNN, LSTM and GRU over sequences, and their cells.

use std::marker::PhantomData;

use qops::recurrent::{FloatGates, Gates};
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::init;
use crate::module::{Module, Node};
use crate::recurrent::{
    Gru, Lstm, RecurrentConfig, RecurrentKind, Rnn, Sequence, WeightNames, run, run_cell,
};
use crate::state::State;
use crate::value::Value;

/// A recurrent module over sequences: see [`RNN`], [`LSTM`] and [`GRU`].
///
/// Shapes: input `(time, batch, input_size)`, or `(batch, time, input_size)` with `batch_first`, or `(time, input_size)`;
/// output the same with `hidden_size · directions` features; each state `(layers · directions, batch, hidden_size)`, or
/// without the batch. [`RunSequence`](crate::RunSequence) has the everyday calls.
///
/// It computes and does not train: nothing leads a gradient back through it.
///
/// # Errors
/// Its `forward` refuses empty sequences, other numbers of features, and states of other shapes
/// ([`Error::InputShape`]).
#[derive(Clone, Debug)]
pub struct Recurrent<K> {
    config: RecurrentConfig,
    names: Vec<WeightNames>,
    weights: Vec<Part>,
    kind: PhantomData<fn() -> K>,
}

/// An Elman network: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or with a rectifier ([`RecurrentBuilder::relu`]).
pub type RNN = Recurrent<Rnn>;
/// Long short-term memory: gates `i f g o`, `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')`.
pub type LSTM = Recurrent<Lstm>;
/// Gated recurrent units: gates `r z n`, `n = tanh(W_in x + b_in + σ(r)·(W_hn h + b_hn))`, `h' = (1 − σ(z))·n + σ(z)·h`.
pub type GRU = Recurrent<Gru>;

/// One step of a recurrent network: see [`RNNCell`], [`LSTMCell`] and [`GRUCell`].
///
/// Shapes: input `(batch, input_size)` or `(input_size)`, state `(batch, hidden_size)` or `(hidden_size)`.
///
/// # Errors
/// Its `forward` refuses other numbers of features and states of other shapes ([`Error::InputShape`]).
#[derive(Clone, Debug)]
pub struct RecurrentCell<K> {
    config: RecurrentConfig,
    names: WeightNames,
    part: Part,
    kind: PhantomData<fn() -> K>,
}

/// One step of an [`RNN`].
pub type RNNCell = RecurrentCell<Rnn>;
/// One step of an [`LSTM`].
pub type LSTMCell = RecurrentCell<Lstm>;
/// One step of a [`GRU`].
pub type GRUCell = RecurrentCell<Gru>;

/// The weights of one direction of one layer, and their products.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) weights: [Tensor; 2],
    pub(crate) biases: Option<[Tensor; 2]>,
    gates: FloatGates,
}

impl Part {
    pub(crate) fn new(weights: [Tensor; 2], biases: Option<[Tensor; 2]>) -> Result<Part> {
        let bias = |at: usize| biases.as_ref().map(|b| &b[at]);
        let gates = FloatGates::new(&weights[0], &weights[1], bias(0), bias(1))?;
        Ok(Part {
            weights,
            biases,
            gates,
        })
    }

    fn drawn(shapes: [[usize; 2]; 2], bias: bool) -> Result<Part> {
        let bound = init::bound(shapes[1][1]);
        let draw = |shape: &[usize]| init::uniform(shape, bound);
        let weights = [draw(&shapes[0])?, draw(&shapes[1])?];
        let width = shapes[0][0];
        let biases = if bias {
            Some([draw(&[width])?, draw(&[width])?])
        } else {
            None
        };
        Part::new(weights, biases)
    }

    fn save(&self, names: &WeightNames, state: State) -> State {
        let bias = |at: usize| self.biases.as_ref().map(|b| &b[at]);
        state
            .with_tensor(&names.input, Some(&self.weights[0]))
            .with_tensor(&names.hidden, Some(&self.weights[1]))
            .with_tensor(&names.input_bias, bias(0))
            .with_tensor(&names.hidden_bias, bias(1))
    }

    fn load(&self, module: &'static str, names: &WeightNames, state: &mut State) -> Result<Part> {
        let mut take = |key: &str, like: &Tensor| state.take_shaped(module, key, like);
        let weights = [
            take(&names.input, &self.weights[0])?,
            take(&names.hidden, &self.weights[1])?,
        ];
        let biases = match &self.biases {
            Some([input, hidden]) => Some([
                take(&names.input_bias, input)?,
                take(&names.hidden_bias, hidden)?,
            ]),
            None => None,
        };
        Part::new(weights, biases)
    }
}

/// The builder of a recurrent module.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentBuilder<K> {
    config: RecurrentConfig,
    kind: PhantomData<fn() -> K>,
}

impl<K: RecurrentKind> RecurrentBuilder<K> {
    /// Layers, each of which runs over the outputs of the one before.
    pub fn num_layers(mut self, layers: usize) -> Self {
        self.config.num_layers = layers;
        self
    }

    /// Whether each layer also runs from the last element to the first.
    pub fn bidirectional(mut self, bidirectional: bool) -> Self {
        self.config.bidirectional = bidirectional;
        self
    }

    /// Whether inputs and outputs are `(batch, time, …)`.
    pub fn batch_first(mut self, batch_first: bool) -> Self {
        self.config.batch_first = batch_first;
        self
    }

    /// Whether there are biases.
    pub fn bias(mut self, bias: bool) -> Self {
        self.config.bias = bias;
        self
    }

    /// Whether an RNN has a rectifier and not the hyperbolic tangent; the others do not care.
    #[doc(alias = "nonlinearity")]
    pub fn relu(mut self, relu: bool) -> Self {
        self.config.relu = relu;
        self
    }

    /// The module with drawn parameters.
    ///
    /// # Errors
    /// [`Error::Config`] if a size or the number of layers is zero.
    pub fn build(self) -> Result<Recurrent<K>> {
        let config = self.config;
        config.validate(K::KINDS[0])?;
        let gates = K::cell(config.relu).gates();
        let names = config.names();
        let weights = (0..names.len())
            .map(|at| Part::drawn(config.shapes(at, gates), config.bias))
            .collect::<Result<_>>()?;
        Ok(Recurrent {
            config,
            names,
            weights,
            kind: PhantomData,
        })
    }

    /// The cell of these numbers with drawn parameters; layers and directions do not matter.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is zero.
    pub fn build_cell(self) -> Result<RecurrentCell<K>> {
        let config = RecurrentConfig {
            num_layers: 1,
            bidirectional: false,
            batch_first: false,
            ..self.config
        };
        config.validate(K::KINDS[1])?;
        let gates = K::cell(config.relu).gates();
        Ok(RecurrentCell {
            config,
            names: WeightNames::new(""),
            part: Part::drawn(config.shapes(0, gates), config.bias)?,
            kind: PhantomData,
        })
    }
}

impl<K: RecurrentKind> Recurrent<K> {
    /// Starts to build one: a single layer in one direction with biases, time first.
    pub fn config(input_size: usize, hidden_size: usize) -> RecurrentBuilder<K> {
        RecurrentBuilder {
            config: RecurrentConfig::new(input_size, hidden_size),
            kind: PhantomData,
        }
    }

    /// One layer in one direction with biases, time first.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is zero.
    pub fn new(input_size: usize, hidden_size: usize) -> Result<Recurrent<K>> {
        Self::config(input_size, hidden_size).build()
    }

    /// The numbers it was built with.
    pub fn settings(&self) -> &RecurrentConfig {
        &self.config
    }

    /// A module of weights that fit the configuration.
    pub(crate) fn from_parts(config: RecurrentConfig, weights: Vec<Part>) -> Recurrent<K> {
        Recurrent {
            names: config.names(),
            config,
            weights,
            kind: PhantomData,
        }
    }

    /// The weights of all layers and directions, in the order of the states.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.weights
    }
}

impl<K: RecurrentKind> RecurrentCell<K> {
    /// Starts to build one, with biases; end with [`RecurrentBuilder::build_cell`].
    pub fn config(input_size: usize, hidden_size: usize) -> RecurrentBuilder<K> {
        Recurrent::<K>::config(input_size, hidden_size)
    }

    /// A cell with biases.
    ///
    /// # Errors
    /// [`Error::Config`] if a size is zero.
    pub fn new(input_size: usize, hidden_size: usize) -> Result<RecurrentCell<K>> {
        Self::config(input_size, hidden_size).build_cell()
    }

    /// The numbers it was built with.
    pub fn settings(&self) -> &RecurrentConfig {
        &self.config
    }

    /// A cell of weights that fit the configuration.
    pub(crate) fn from_part(config: RecurrentConfig, part: Part) -> RecurrentCell<K> {
        RecurrentCell {
            config,
            names: WeightNames::new(""),
            part,
            kind: PhantomData,
        }
    }

    pub(crate) fn part(&self) -> &Part {
        &self.part
    }
}

impl<K: RecurrentKind> Node for Recurrent<K> {
    fn kind(&self) -> &'static str {
        K::KINDS[0]
    }

    fn extra_repr(&self) -> String {
        self.config.repr()
    }

    fn state(&self) -> State {
        let parts = self.weights.iter().zip(&self.names);
        parts.fold(State::default(), |state, (part, names)| {
            part.save(names, state)
        })
    }

    fn config(&self) -> State {
        self.config.save(State::default())
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        let parts = self.weights.iter().zip(&self.names);
        let loaded: Vec<Part> = parts
            .map(|(part, names)| part.load(K::KINDS[0], names, state))
            .collect::<Result<_>>()?;
        self.weights = loaded;
        Ok(())
    }
}

impl<K: RecurrentKind> Module for Recurrent<K> {
    type Input = (Sequence, Option<K::State>);
    type Output = (Sequence, K::State);

    fn forward(&self, (x, state): &Self::Input) -> Result<Self::Output> {
        refuse_gradients(K::KINDS[0], x.data())?;
        let weights: Vec<&dyn Gates> = self.weights.iter().map(|p| &p.gates as _).collect();
        run::<K>(K::KINDS[0], &self.config, &weights, x, state.as_ref())
    }
}

impl<K: RecurrentKind> Node for RecurrentCell<K> {
    fn kind(&self) -> &'static str {
        K::KINDS[1]
    }

    fn extra_repr(&self) -> String {
        self.config.repr()
    }

    fn state(&self) -> State {
        self.part.save(&self.names, State::default())
    }

    fn config(&self) -> State {
        self.config.save(State::default())
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.part = self.part.load(K::KINDS[1], &self.names, state)?;
        Ok(())
    }
}

impl<K: RecurrentKind> Module for RecurrentCell<K> {
    type Input = (Value, Option<K::State>);
    type Output = K::State;

    fn forward(&self, (x, state): &Self::Input) -> Result<K::State> {
        refuse_gradients(K::KINDS[1], x)?;
        let sizes = [self.config.input_size, self.config.hidden_size];
        let cell = K::cell(self.config.relu);
        run_cell::<K>(
            K::KINDS[1],
            sizes,
            cell,
            &self.part.gates,
            x,
            state.as_ref(),
        )
    }
}

/// Refuses to drop a gradient in silence.
pub(crate) fn refuse_gradients(module: &'static str, x: &Value) -> Result<()> {
    let wanted = x.float(module)?.requires_grad() && qgrad::is_recording_gradients();
    if !wanted {
        return Ok(());
    }
    Err(Error::Config {
        module,
        what:
            "it computes without gradients, but its input requires one; run it inside qgrad::no_grad"
                .into(),
    })
}
