//! What float and int8 recurrent modules share: sequences, shapes, states, and the run over layers and directions.

mod config;
mod gated;
mod gated_run;
mod kind;
mod run;
mod sequence;

pub use config::RecurrentConfig;
pub use kind::{Gru, Lstm, RecurrentKind, Rnn};
pub use run::RunSequence;
pub use sequence::{PackedSequence, Sequence};

pub(crate) use config::{WeightNames, check_weights};
pub(crate) use gated::{Arithmetic, GATES, GatedCell};
pub(crate) use gated_run::{run_gated, run_gated_cell};
pub(crate) use run::{run, run_cell};
