//! `Sequential`: modules one after the other.

use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::module::{Module, Node};
use crate::place::{Held, Place};
use crate::residual::Link;
use crate::value::Value;

/// A chain of modules from value to value, each in a place named by its index.
///
/// ```
/// use qnn::{Conv2d, Flatten, Linear, Module, ReLU, Sequential};
/// use qtensor_core::Tensor;
///
/// let net = Sequential::new()
///     .push(Conv2d::config(1, 4, 3).build()?)
///     .push(ReLU)
///     .push(Flatten::new())
///     .push(Linear::new(4 * 6 * 6, 10)?);
/// assert_eq!(net.forward(&Tensor::zeros(&[2, 1, 8, 8])?.into())?.shape(), [2, 10]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential {
    steps: Vec<(String, Held<Value, Value>)>,
}

impl Sequential {
    /// An empty chain, which returns its input.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// Appends a module in a place of its own, named by the next free index.
    pub fn push<M: Module<Input = Value, Output = Value>>(mut self, module: M) -> Sequential {
        let free = (self.steps.len()..)
            .map(|i| i.to_string())
            .find(|name| !self.has(name));
        self.append(free.unwrap_or_default(), module);
        self
    }

    /// Appends a module under a name.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is taken, empty, or has a dot.
    pub fn push_named<M: Module<Input = Value, Output = Value>>(
        mut self,
        name: &str,
        module: M,
    ) -> Result<Sequential> {
        if name.is_empty() || name.contains('.') || self.has(name) {
            let what = format!("the name {name:?} is taken, empty, or has a dot");
            return Err(Error::Config {
                module: "Sequential",
                what,
            });
        }
        self.append(name.to_string(), module);
        Ok(self)
    }

    fn has(&self, name: &str) -> bool {
        self.steps.iter().any(|(taken, _)| taken == name)
    }

    fn append<M: Module<Input = Value, Output = Value>>(&mut self, name: String, module: M) {
        let mut place = Layer::new(module);
        place.set_path(&name);
        self.steps.push((name, Box::new(place)));
    }

    /// The number of modules.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// True for an empty chain.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The places of the modules, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Link<'_>> {
        (self.steps.iter()).map(|(_, step)| &**step as Link)
    }
}

impl Node for Sequential {
    fn kind(&self) -> &'static str {
        "Sequential"
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        for (name, step) in &self.steps {
            visit(name, &**step);
        }
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        for (name, step) in &mut self.steps {
            visit(name, &mut **step);
        }
    }
}

impl Module for Sequential {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        match self.steps.split_first() {
            Some(((_, first), others)) => {
                let value = first.forward(input)?;
                (others.iter()).try_fold(value, |value, (_, step)| step.forward_owned(value))
            }
            None => Ok(input.clone()),
        }
    }

    fn forward_owned(&self, input: Value) -> Result<Value> {
        (self.steps.iter()).try_fold(input, |value, (_, step)| step.forward_owned(value))
    }
}
