//! What float and int8 recurrent modules share: sequences, shapes, states, and the run over layers and directions.

mod config;
mod kind;
mod run;
mod sequence;

pub use config::RecurrentConfig;
pub use kind::{Gru, Lstm, RecurrentKind, Rnn};
pub use run::RunSequence;
pub use sequence::{PackedSequence, Sequence};

pub(crate) use config::{WeightNames, check_weights};
pub(crate) use run::{run, run_cell};
