//! Recurrent modules and cells with weights that integers stand for.

use qobserve::ObserverFactory;
use qtensor_core::QTensor;

use crate::error::Result;
use crate::float;
use crate::float::recurrent::Part;
use crate::module::{Module, Node};
use crate::quantized::quantize_weight;
use crate::recurrent::{
    Gru, Lstm, RecurrentConfig, RecurrentKind, Rnn, Sequence, WeightNames, check_weights,
};
use crate::state::{Entry, State};
use crate::value::Value;

/// A recurrent module over sequences, in float, with weights that integers stand for: see [`float::Recurrent`].
///
/// ```
/// use qnn::{LSTM, RunSequence, dynamic, reference};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let float = LSTM::new(8, 5)?;
/// let module = reference::LSTM::from_float(&float, &QConfig::dynamic().weight)?;
/// let int8 = dynamic::LSTM::from_reference(&module, Default::default())?;
/// let x = Tensor::ones(&[3, 1, 8])?.into();
/// let ((y, _), (y8, _)) = (module.run(&x)?, int8.run(&x)?);
/// let near = |(a, b): (f32, f32)| (a - b).abs() < 0.01;
/// assert!(y.to_tensor().to_vec().into_iter().zip(y8.to_tensor().to_vec()).all(near));
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recurrent<K> {
    weights: Vec<[QTensor; 2]>,
    float: float::Recurrent<K>,
}

/// An Elman network with weights that integers stand for.
pub type RNN = Recurrent<Rnn>;
/// An LSTM with weights that integers stand for.
pub type LSTM = Recurrent<Lstm>;
/// A GRU with weights that integers stand for.
pub type GRU = Recurrent<Gru>;

/// One step of a recurrent network with weights that integers stand for: see [`float::RecurrentCell`].
#[derive(Clone, Debug)]
pub struct RecurrentCell<K> {
    weights: [QTensor; 2],
    float: float::RecurrentCell<K>,
}

/// One step of an RNN with weights that integers stand for.
pub type RNNCell = RecurrentCell<Rnn>;
/// One step of an LSTM with weights that integers stand for.
pub type LSTMCell = RecurrentCell<Lstm>;
/// One step of a GRU with weights that integers stand for.
pub type GRUCell = RecurrentCell<Gru>;

/// The integers of a part, and the part that computes with what they stand for.
fn rounded(
    module: &'static str,
    part: &Part,
    weight: &ObserverFactory,
) -> Result<([QTensor; 2], Part)> {
    let [input, hidden] = &part.weights;
    let weights = [
        quantize_weight(module, input, weight)?,
        quantize_weight(module, hidden, weight)?,
    ];
    let floats = [weights[0].dequantize(), weights[1].dequantize()];
    let part = Part::new(floats, part.biases.clone())?;
    Ok((weights, part))
}

fn save(weights: &[QTensor; 2], part: &Part, names: &WeightNames, state: State) -> State {
    let bias = |at: usize| part.biases.as_ref().map(|b| &b[at]);
    state
        .with(&names.input, Entry::QTensor(weights[0].clone()))
        .with(&names.hidden, Entry::QTensor(weights[1].clone()))
        .with_tensor(&names.input_bias, bias(0))
        .with_tensor(&names.hidden_bias, bias(1))
}

fn restore(
    module: &'static str,
    names: &WeightNames,
    config: &RecurrentConfig,
    shapes: [[usize; 2]; 2],
    state: &mut State,
) -> Result<([QTensor; 2], Part)> {
    let weights = [
        state.take_qtensor(module, &names.input)?,
        state.take_qtensor(module, &names.hidden)?,
    ];
    let [input, hidden] = &weights;
    check_weights(module, names, shapes, [input.shape(), hidden.shape()])?;
    let biases = match config.bias {
        true => Some([
            state.take_tensor(module, &names.input_bias)?,
            state.take_tensor(module, &names.hidden_bias)?,
        ]),
        false => None,
    };
    let part = Part::new([input.dequantize(), hidden.dequantize()], biases)?;
    Ok((weights, part))
}

impl<K: RecurrentKind> Recurrent<K> {
    const KIND: &'static str = K::KINDS[4];

    /// The counterpart of a float module: its weights quantized with fresh observers.
    ///
    /// # Errors
    /// Those of [`quantize_weight`].
    pub fn from_float(
        module: &float::Recurrent<K>,
        weight: &ObserverFactory,
    ) -> Result<Recurrent<K>> {
        let parts = module.parts().iter();
        let rounded: Vec<_> = parts
            .map(|part| rounded(Self::KIND, part, weight))
            .collect::<Result<_>>()?;
        let (weights, parts) = rounded.into_iter().unzip();
        let float = float::Recurrent::from_parts(*module.settings(), parts);
        Ok(Recurrent { weights, float })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Recurrent<K>> {
        let config = RecurrentConfig::load(Self::KIND, state)?;
        let width = K::cell(config.relu).gates();
        let (mut weights, mut parts) = (Vec::new(), Vec::new());
        // A file may claim any number of layers, so their names are made as their weights turn up.
        for layer in 0..config.num_layers {
            for suffix in ["", "_reverse"].iter().take(config.directions()) {
                let names = WeightNames::new(&format!("_l{layer}{suffix}"));
                let shapes = config.shapes(parts.len(), width);
                let (own, part) = restore(Self::KIND, &names, &config, shapes, state)?;
                weights.push(own);
                parts.push(part);
            }
        }
        let float = float::Recurrent::from_parts(config, parts);
        Ok(Recurrent { weights, float })
    }

    /// The integers of `W_ih` and `W_hh` of all layers and directions, in the order of the states.
    #[doc(alias = "get_quantized_weight")]
    pub fn quantized_weights(&self) -> &[[QTensor; 2]] {
        &self.weights
    }

    /// The float module that computes, with the weights that the integers stand for.
    #[doc(alias = "get_weight")]
    pub fn float(&self) -> &float::Recurrent<K> {
        &self.float
    }
}

impl<K: RecurrentKind> RecurrentCell<K> {
    const KIND: &'static str = K::KINDS[5];

    /// The counterpart of a float cell: its weights quantized with fresh observers.
    ///
    /// # Errors
    /// Those of [`quantize_weight`].
    pub fn from_float(
        cell: &float::RecurrentCell<K>,
        weight: &ObserverFactory,
    ) -> Result<RecurrentCell<K>> {
        let (weights, part) = rounded(Self::KIND, cell.part(), weight)?;
        let float = float::RecurrentCell::from_part(*cell.settings(), part);
        Ok(RecurrentCell { weights, float })
    }

    /// Restores a cell that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// As [`Recurrent::from_state`].
    pub fn from_state(state: &mut State) -> Result<RecurrentCell<K>> {
        let config = RecurrentConfig::load(Self::KIND, state)?;
        let shapes = config.shapes(0, K::cell(config.relu).gates());
        let names = WeightNames::new("");
        let (weights, part) = restore(Self::KIND, &names, &config, shapes, state)?;
        let float = float::RecurrentCell::from_part(config, part);
        Ok(RecurrentCell { weights, float })
    }

    /// The integers of `W_ih` and `W_hh`.
    #[doc(alias = "get_quantized_weight")]
    pub fn quantized_weights(&self) -> &[QTensor; 2] {
        &self.weights
    }

    /// The float cell that computes, with the weights that the integers stand for.
    #[doc(alias = "get_weight")]
    pub fn float(&self) -> &float::RecurrentCell<K> {
        &self.float
    }
}

impl<K: RecurrentKind> Node for Recurrent<K> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.float.extra_repr()
    }

    fn state(&self) -> State {
        let names = self.float.settings().names();
        let parts = self.weights.iter().zip(self.float.parts()).zip(&names);
        parts.fold(State::default(), |state, ((weights, part), names)| {
            save(weights, part, names, state)
        })
    }

    fn config(&self) -> State {
        self.float.config()
    }
}

impl<K: RecurrentKind> Module for Recurrent<K> {
    type Input = (Sequence, Option<K::State>);
    type Output = (Sequence, K::State);

    fn forward(&self, input: &Self::Input) -> Result<Self::Output> {
        self.float.forward(input)
    }
}

impl<K: RecurrentKind> Node for RecurrentCell<K> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.float.extra_repr()
    }

    fn state(&self) -> State {
        let names = WeightNames::new("");
        save(&self.weights, self.float.part(), &names, State::default())
    }

    fn config(&self) -> State {
        self.float.config()
    }
}

impl<K: RecurrentKind> Module for RecurrentCell<K> {
    type Input = (Value, Option<K::State>);
    type Output = K::State;

    fn forward(&self, input: &Self::Input) -> Result<K::State> {
        self.float.forward(input)
    }
}
