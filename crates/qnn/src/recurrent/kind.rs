//! The kinds of recurrent modules: which cell, which state, which names.

use qops::recurrent::Cell;

use crate::error::{Error, Result};
use crate::value::{Flow, Value};

/// A kind of recurrent module: [`Rnn`], [`Lstm`] or [`Gru`].
pub trait RecurrentKind: Send + Sync + 'static {
    /// The state: one value, or for an LSTM the pair of `h` and `c`.
    type State: Flow + Clone;

    /// The kind of the float module, of its cell, of their dynamically quantized forms, and of their reference forms.
    const KINDS: [&'static str; 6];

    /// The cell; `relu` chooses the nonlinearity of an RNN.
    fn cell(relu: bool) -> Cell;

    /// `h`, and `c` if there is one.
    fn split(state: &Self::State) -> (&Value, Option<&Value>);

    /// The state of `h` and `c`.
    ///
    /// # Errors
    /// [`Error::Config`] if `c` is missing.
    fn join(h: Value, c: Option<Value>) -> Result<Self::State>;
}

/// Elman networks: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or with a rectifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rnn {}

/// Long short-term memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lstm {}

/// Gated recurrent units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gru {}

impl RecurrentKind for Rnn {
    type State = Value;

    const KINDS: [&'static str; 6] = [
        "RNN",
        "RNNCell",
        "DynamicQuantizedRNN",
        "DynamicQuantizedRNNCell",
        "ReferenceRNN",
        "ReferenceRNNCell",
    ];

    fn cell(relu: bool) -> Cell {
        if relu { Cell::RnnRelu } else { Cell::RnnTanh }
    }

    fn split(state: &Value) -> (&Value, Option<&Value>) {
        (state, None)
    }

    fn join(h: Value, _: Option<Value>) -> Result<Value> {
        Ok(h)
    }
}

impl RecurrentKind for Lstm {
    type State = (Value, Value);

    const KINDS: [&'static str; 6] = [
        "LSTM",
        "LSTMCell",
        "DynamicQuantizedLSTM",
        "DynamicQuantizedLSTMCell",
        "ReferenceLSTM",
        "ReferenceLSTMCell",
    ];

    fn cell(_: bool) -> Cell {
        Cell::Lstm
    }

    fn split((h, c): &(Value, Value)) -> (&Value, Option<&Value>) {
        (h, Some(c))
    }

    fn join(h: Value, c: Option<Value>) -> Result<(Value, Value)> {
        let c = c.ok_or(Error::Config {
            module: "LSTM",
            what: "a cell state is missing".into(),
        })?;
        Ok((h, c))
    }
}

impl RecurrentKind for Gru {
    type State = Value;

    const KINDS: [&'static str; 6] = [
        "GRU",
        "GRUCell",
        "DynamicQuantizedGRU",
        "DynamicQuantizedGRUCell",
        "ReferenceGRU",
        "ReferenceGRUCell",
    ];

    fn cell(_: bool) -> Cell {
        Cell::Gru
    }

    fn split(state: &Value) -> (&Value, Option<&Value>) {
        (state, None)
    }

    fn join(h: Value, _: Option<Value>) -> Result<Value> {
        Ok(h)
    }
}
