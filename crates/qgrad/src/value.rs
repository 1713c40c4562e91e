//! Values that remember where they came from, and the way back.
//!
//! Every `Var` gets a number when it is made, after its inputs have theirs. Going through the values from
//! the greatest number to the least therefore visits each one only when all that was computed from it
//! has been visited: the order that reverse mode needs, without searching for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::mode::is_recording_gradients;
use crate::trace::{self, Event};

/// The number of a [`Var`], different for each one of a process; clones share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(u64);

impl VarId {
    fn next() -> VarId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        VarId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// From the gradient of an operation's output to those of its inputs, in their order.
///
/// `needed` says which are wanted; for the others, and for inputs that do not matter, `None` is fine.
type Backward = dyn Fn(&Tensor, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + Sync;

/// How a value was computed.
struct Origin {
    name: &'static str,
    inputs: Vec<Var>,
    backward: Box<Backward>,
}

/// What all clones of a `Var` share.
struct Shared {
    id: VarId,
    value: Tensor,
    requires_grad: bool,
    /// `None` for leaves.
    origin: Option<Origin>,
    /// The accumulated gradient of a parameter.
    grad: Mutex<Option<Tensor>>,
}

/// A tensor, and the record of how it was computed if anything behind it requires a gradient.
///
/// Cheap to clone, `Send + Sync`, and immutable but for the gradient that parameters accumulate.
///
/// ```
/// # use qgrad::{Var, ops};
/// # use qtensor_core::Tensor;
/// let w = Var::parameter(Tensor::from_vec(vec![2.0, -3.0], &[2])?);
/// let y = ops::sum(&ops::mul(&w, &w)?, &[], false)?;
/// y.backward()?;
/// assert_eq!(w.grad(), Some(Tensor::from_vec(vec![4.0, -6.0], &[2])?));
/// # Ok::<(), qgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Var(Arc<Shared>);

/// A constant: a leaf that requires no gradient.
impl From<Tensor> for Var {
    fn from(value: Tensor) -> Var {
        Var::leaf(value, false)
    }
}

impl Var {
    /// A leaf that requires a gradient and accumulates it in [`grad`](Self::grad).
    pub fn parameter(value: Tensor) -> Var {
        Var::leaf(value, true)
    }

    fn leaf(value: Tensor, requires_grad: bool) -> Var {
        Var(Arc::new(Shared {
            id: VarId::next(),
            value,
            requires_grad,
            origin: None,
            grad: Mutex::new(None),
        }))
    }

    /// The result of an operation, with the rule that leads back: how all operations are made, here and
    /// in other crates.
    ///
    /// `backward(gradient of the output, which inputs need one)` answers with one entry per input, each a
    /// tensor of that input's shape, or `None` where the gradient is 0 or not needed. The rule is dropped at
    /// once if no input requires a gradient or inside [`no_grad`](crate::no_grad). It should hold tensors
    /// rather than `Var`s: the inputs are kept alive anyway. The operation is reported to [`trace`].
    ///
    /// ```
    /// # use qgrad::Var;
    /// # use qtensor_core::Tensor;
    /// // Rounding to whole numbers, passing the gradient straight through.
    /// let x = Var::parameter(Tensor::from_vec(vec![0.4, 1.7], &[2])?);
    /// let rounded = x.untraced().map(|v| (v + 0.5).floor());
    /// let y = Var::from_operation("round", &[&x], rounded, |grad, _| Ok(vec![Some(grad.clone())]));
    /// y.backward_with(&Tensor::ones(&[2])?)?;
    /// assert_eq!(x.grad(), Some(Tensor::ones(&[2])?));
    /// # Ok::<(), qgrad::Error>(())
    /// ```
    pub fn from_operation(
        name: &'static str,
        inputs: &[&Var],
        output: Tensor,
        backward: impl Fn(&Tensor, &[bool]) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
    ) -> Var {
        let requires_grad = is_recording_gradients() && inputs.iter().any(|v| v.requires_grad());
        let origin = requires_grad.then(|| Origin {
            name,
            inputs: inputs.iter().map(|&v| v.clone()).collect(),
            backward: Box::new(backward),
        });
        let output = Var(Arc::new(Shared {
            id: VarId::next(),
            value: output,
            requires_grad,
            origin,
            grad: Mutex::new(None),
        }));
        if trace::is_recording() {
            trace::push(Event::Op {
                name,
                inputs: inputs.iter().map(|v| v.id()).collect(),
                output: output.id(),
            });
        }
        output
    }

    /// The number of this value.
    pub fn id(&self) -> VarId {
        self.0.id
    }

    /// The values. A running [`trace`] logs this as [`Event::Read`].
    pub fn tensor(&self) -> &Tensor {
        if trace::is_recording() {
            trace::push(Event::Read { id: self.id() });
        }
        &self.0.value
    }

    /// The values, without a trace noticing: for operations and for those who only watch.
    pub fn untraced(&self) -> &Tensor {
        &self.0.value
    }

    /// The lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        self.0.value.shape()
    }

    /// True for parameters and for what was computed from them while recording.
    pub fn requires_grad(&self) -> bool {
        self.0.requires_grad
    }

    /// The gradient accumulated so far; `None` before the first `backward` and for all but parameters.
    pub fn grad(&self) -> Option<Tensor> {
        self.grad_slot().clone()
    }

    /// Forgets the accumulated gradient.
    pub fn zero_grad(&self) {
        *self.grad_slot() = None;
    }

    /// Replaces the accumulated gradient, as clipping does.
    ///
    /// # Errors
    /// [`Error::GradientShape`] with both shapes.
    pub fn set_grad(&self, grad: Tensor) -> Result<()> {
        check_shape("set_grad", self, &grad)?;
        *self.grad_slot() = Some(grad);
        Ok(())
    }

    /// Becomes a leaf with another value that still requires a gradient if this one did, and has none yet.
    ///
    /// Clones of the old value, and all that was computed from them, keep it: a rule never sees a value that
    /// changed behind its back.
    pub fn replace(&mut self, value: Tensor) {
        *self = Var::leaf(value, self.requires_grad());
    }

    /// The same values as a constant, which no gradient passes.
    pub fn detach(&self) -> Var {
        let constant = Var::from(self.0.value.clone());
        if trace::is_recording() {
            trace::push(Event::Op {
                name: "detach",
                inputs: vec![self.id()],
                output: constant.id(),
            });
        }
        constant
    }

    /// Adds `∂self/∂p` to the gradient of every parameter `p` behind this single-element value.
    ///
    /// # Errors
    /// [`Error::NotScalar`] with the shape, and as [`backward_with`](Self::backward_with).
    pub fn backward(&self) -> Result<()> {
        if self.untraced().numel() != 1 {
            return Err(Error::NotScalar {
                actual: self.untraced().numel(),
                shape: self.shape().to_vec(),
            });
        }
        self.backward_with(&Tensor::ones(self.shape())?)
    }

    /// Adds `Σ grad·∂self/∂p` to the gradient of every parameter `p` behind this value.
    ///
    /// `grad` is the gradient of something else with respect to this value and has its shape. The record
    /// is kept, so this can be called again. On an error, no parameter has changed its gradient.
    ///
    /// # Errors
    /// [`Error::NoGraph`] if no parameter lies behind this value, [`Error::GradientShape`] with both
    /// shapes, and what rules return.
    pub fn backward_with(&self, grad: &Tensor) -> Result<()> {
        if !self.requires_grad() {
            return Err(Error::NoGraph {
                shape: self.shape().to_vec(),
            });
        }
        check_shape("backward_with", self, grad)?;
        let mut leaves = Vec::new();
        let mut pending = BTreeMap::from([(self.id(), (self, grad.clone()))]);
        while let Some((_, (var, grad))) = pending.pop_last() {
            let Some(origin) = &var.0.origin else {
                leaves.push((var, grad));
                continue;
            };
            for (input, grad) in origin.input_gradients(&grad)? {
                let sum = match pending.remove(&input.id()) {
                    Some((_, other)) => qops::float::add(&other, &grad)?,
                    None => grad,
                };
                pending.insert(input.id(), (input, sum));
            }
        }
        // Nothing was written before this point, so an error of a rule leaves all gradients as they were.
        for (leaf, grad) in leaves {
            let mut slot = leaf.grad_slot();
            *slot = Some(match slot.take() {
                Some(before) => qops::float::add(&before, &grad)?,
                None => grad,
            });
        }
        Ok(())
    }

    fn grad_slot(&self) -> MutexGuard<'_, Option<Tensor>> {
        // The slot is only ever replaced as a whole, so a panic elsewhere cannot have left it half done.
        self.0.grad.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// The inputs that require a gradient, with the gradients that the rule gives them.
    fn input_gradients(&self, grad: &Tensor) -> Result<Vec<(&Var, Tensor)>> {
        let needed: Vec<bool> = self.inputs.iter().map(Var::requires_grad).collect();
        let grads = (self.backward)(grad, &needed)?;
        if grads.len() != self.inputs.len() {
            return Err(Error::GradientCount {
                operation: self.name,
                expected: self.inputs.len(),
                actual: grads.len(),
            });
        }
        let mut found = Vec::with_capacity(grads.len());
        for (input, grad) in self.inputs.iter().zip(grads) {
            if let Some(grad) = grad.filter(|_| input.requires_grad()) {
                check_shape(self.name, input, &grad)?;
                found.push((input, grad));
            }
        }
        Ok(found)
    }
}

fn check_shape(operation: &'static str, var: &Var, grad: &Tensor) -> Result<()> {
    if grad.shape() == var.shape() {
        return Ok(());
    }
    Err(Error::GradientShape {
        operation,
        expected: var.shape().to_vec(),
        actual: grad.shape().to_vec(),
    })
}

/// Frees long chains in a loop: dropping each value inside the drop of the next would exhaust the stack.
impl Drop for Shared {
    fn drop(&mut self) {
        let mut orphans: Vec<Var> = Vec::new();
        orphans.extend(self.origin.take().into_iter().flat_map(|o| o.inputs));
        while let Some(var) = orphans.pop() {
            if let Some(mut shared) = Arc::into_inner(var.0) {
                orphans.extend(shared.origin.take().into_iter().flat_map(|o| o.inputs));
            }
        }
    }
}

impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Var")
            .field("id", &self.0.id.0)
            .field("shape", &self.shape())
            .field("requires_grad", &self.requires_grad())
            .field("operation", &self.0.origin.as_ref().map(|o| o.name))
            .finish()
    }
}
