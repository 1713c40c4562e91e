//! Modules that only pass values on, or change their shape. They take float and quantized values alike.

use crate::error::Result;
use crate::init;
use crate::module::{Module, Node};
use crate::state::State;
use crate::value::Value;

/// Returns its input. Fusion leaves it where a batch norm or an activation was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

/// Merges the dimensions from `start_dim` on into one.
#[derive(Clone, Copy, Debug)]
pub struct Flatten {
    start_dim: usize,
}

/// In training, sets each element to 0 with probability `p` and multiplies the others by `1 / (1 − p)`; in evaluation,
/// returns its input.
///
/// Masks come from the seeded generator of [`manual_seed`](crate::manual_seed).
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f32,
    training: bool,
}

impl Flatten {
    /// Keeps the batch dimension and merges the rest.
    pub fn new() -> Flatten {
        Flatten { start_dim: 1 }
    }

    /// Keeps the dimensions before `start_dim`.
    pub fn from_dim(start_dim: usize) -> Flatten {
        Flatten { start_dim }
    }
}

impl Default for Flatten {
    fn default() -> Flatten {
        Flatten::new()
    }
}

impl Dropout {
    /// Drops with probability `p` in training.
    pub fn new(p: f32) -> Dropout {
        Dropout { p, training: false }
    }
}

impl Node for Identity {
    fn kind(&self) -> &'static str {
        "Identity"
    }
}

impl Module for Identity {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(input.clone())
    }
}

impl Node for Flatten {
    fn kind(&self) -> &'static str {
        "Flatten"
    }

    fn extra_repr(&self) -> String {
        format!("start_dim={}", self.start_dim)
    }

    fn config(&self) -> State {
        State::default().with_sizes("start_dim", &[self.start_dim])
    }
}

impl Module for Flatten {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        input.flatten(self.start_dim)
    }
}

impl Node for Dropout {
    fn kind(&self) -> &'static str {
        "Dropout"
    }

    fn extra_repr(&self) -> String {
        format!("p={}", self.p)
    }

    fn set_training(&mut self, training: bool) {
        self.training = training;
    }
}

impl Module for Dropout {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        match input {
            Value::Float(x) if self.training => {
                Ok(qgrad::ops::dropout(x, self.p, init::next_seed())?.into())
            }
            other => Ok(other.clone()),
        }
    }
}
