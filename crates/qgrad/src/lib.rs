//! Reverse-mode automatic differentiation: values that record, one rule per operation, gradient checks, traces.
#![doc = include_str!("../README.md")]

mod error;
pub mod gradcheck;
mod mode;
pub mod optim;
mod rules;
pub mod trace;
mod value;

pub use error::{Error, Result};
pub use mode::{is_recording_gradients, no_grad};
pub use value::{Var, VarId};

/// The operations on [`Var`]: each computes its result and, if needed, remembers how to go back.
pub mod ops {
    pub use crate::rules::*;
}
