//! Optimizers: from the gradients of parameters to their next values. Schedules and clipping go with them.
//!
//! ```
//! use qgrad::optim::{Optimizer, Sgd};
//! use qgrad::{Var, ops};
//! use qtensor_core::Tensor;
//!
//! // The least of (w − 3)².
//! let mut w = vec![Var::parameter(Tensor::scalar(0.0))];
//! let mut optimizer = Sgd::config(0.1).momentum(0.5).build()?;
//! for _ in 0..40 {
//!     ops::mse_loss(&w[0], &Tensor::scalar(3.0))?.backward()?;
//!     optimizer.step(&mut w)?;
//! }
//! assert!((w[0].tensor().item()? - 3.0).abs() < 1e-3);
//! # Ok::<(), qgrad::Error>(())
//! ```

mod adam;
mod clip;
mod schedule;
mod sgd;

use std::collections::BTreeMap;

use qtensor_core::Tensor;

pub use adam::{Adam, AdamConfig, AdamW};
pub use clip::{clip_grad_norm, clip_grad_value};
pub use schedule::{CosineLr, OneCycleLr, Schedule, StepLr};
pub use sgd::{Sgd, SgdConfig};

use crate::error::{Error, Result};
use crate::value::Var;

/// Whatever holds named parameters: a list of [`Var`]s, or the parameters of a model.
pub trait ParameterSet {
    /// Calls `visit` with the name and the value of each parameter, always in the same order.
    ///
    /// Names must differ: optimizers remember momenta by them.
    fn each(&mut self, visit: &mut dyn FnMut(&str, &mut Var));
}

/// Parameters named by their index.
impl ParameterSet for [Var] {
    fn each(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        for (i, var) in self.iter_mut().enumerate() {
            visit(&i.to_string(), var);
        }
    }
}

/// Parameters named by their index.
impl ParameterSet for Vec<Var> {
    fn each(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        self.as_mut_slice().each(visit);
    }
}

/// Changes parameters so that a loss becomes smaller.
pub trait Optimizer {
    /// Takes one step: every parameter with a gradient gets its next value, and its gradient is forgotten.
    ///
    /// To accumulate gradients over several batches, call `backward` several times before one `step`.
    /// Parameters without a gradient stay as they are.
    ///
    /// # Errors
    /// [`Error::NoParameters`] if nothing in the set requires a gradient; nothing has changed then.
    fn step(&mut self, parameters: &mut dyn ParameterSet) -> Result<()>;

    /// The present learning rate.
    fn learning_rate(&self) -> f64;

    /// Sets the learning rate of the steps to come, as a [`Schedule`] says.
    fn set_learning_rate(&mut self, rate: f64);
}

/// Forgets the gradients of all parameters.
pub fn zero_grad(parameters: &mut dyn ParameterSet) {
    parameters.each(&mut |_, var| var.zero_grad());
}

/// Replaces each parameter that has a gradient by what `update(name, values, gradient)` makes of it.
///
/// `update` gets values and gradient in row-major order.
fn update_all(
    operation: &'static str,
    parameters: &mut dyn ParameterSet,
    mut update: impl FnMut(&str, &mut [f32], &[f32]),
) -> Result<()> {
    let mut count = 0usize;
    parameters.each(&mut |name, var| {
        if !var.requires_grad() {
            return;
        }
        count += 1;
        let Some(grad) = var.grad() else {
            return;
        };
        let mut value = var.untraced().clone();
        let grad = grad.contiguous();
        update(name, value.make_mut(), grad.as_slice().unwrap_or_default());
        var.replace(value);
    });
    if count == 0 {
        return Err(Error::NoParameters { operation });
    }
    Ok(())
}

/// Numbers that an optimizer keeps for each element of each parameter, 0 at first.
#[derive(Clone, Debug, Default)]
struct Memory(BTreeMap<String, Vec<f32>>);

impl Memory {
    /// The numbers of a parameter. One whose size has changed is a new parameter.
    fn of(&mut self, name: &str, len: usize) -> &mut Vec<f32> {
        let numbers = self.0.entry(name.to_string()).or_default();
        if numbers.len() != len {
            *numbers = vec![0.0; len];
        }
        numbers
    }
}

/// Refuses settings outside what an optimizer can use.
fn check(
    operation: &'static str,
    argument: &'static str,
    value: f64,
    valid: bool,
    expected: &str,
) -> Result<()> {
    if valid {
        return Ok(());
    }
    Err(Error::Argument {
        operation,
        argument,
        expected: expected.into(),
        actual: value.to_string(),
    })
}

/// True for a gradient step that can be taken: finite and not negative.
fn is_rate(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// The Euclidean norm in `f64`.
fn norm(x: &Tensor) -> f64 {
    let squares = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
    x.as_slice()
        .map_or_else(|| squares(&x.to_vec()), squares)
        .sqrt()
}
