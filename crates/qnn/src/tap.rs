//! Taps: the outputs of all places in a forward pass, noted, and replaced by those of another pass.
//!
//! Comparing two models place by place needs both: [`record`] notes what each place of one model gave, and
//! [`replay`] runs the other with those outputs in place of its own, so that every place of both gets the same
//! inputs and a difference is one place's own.
//!
//! ```
//! use qnn::{Linear, Module, ReLU, Sequential, tap};
//! use qtensor_core::Tensor;
//!
//! let net = Sequential::new().push(Linear::new(3, 2)?).push(ReLU);
//! let x = Tensor::ones(&[1, 3])?.into();
//! let (y, outputs) = tap::record(|| net.forward(&x));
//! assert_eq!(outputs[1].1.to_tensor(), y?.to_tensor());
//! let (_, own) = tap::replay(outputs.clone(), || net.forward(&x));
//! assert_eq!(own[1].1.to_tensor(), outputs[1].1.to_tensor());
//! # Ok::<(), qnn::Error>(())
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;

use qtensor_core::quantize_with;

use crate::error::Result;
use crate::value::{Flow, Value};

/// Place names with the first value that each gave, in the order in which places ended.
pub type Outputs = Vec<(String, Value)>;

/// What is noted on a thread, and what takes the outputs' place.
#[derive(Default)]
struct Tap {
    seen: Outputs,
    given: VecDeque<(String, Value)>,
}

thread_local! {
    static TAP: RefCell<Option<Tap>> = const { RefCell::new(None) };
    static INPUTS: RefCell<Option<Inputs>> = const { RefCell::new(None) };
}

/// Runs `f`; answers with its result and the output of every place that ran on this thread.
///
/// A tap inside `f` keeps its outputs for itself.
pub fn record<R>(f: impl FnOnce() -> R) -> (R, Outputs) {
    replay(Outputs::new(), f)
}

/// As [`record`], and replaces the output of each place by the given one, where the next of those has its name.
///
/// Quantized values are given as float ones to a place whose own output is float, and float ones on the grid of the
/// place's own output where that is quantized.
pub fn replay<R>(given: Outputs, f: impl FnOnce() -> R) -> (R, Outputs) {
    /// Gives the outer tap its turn again, even if `f` unwinds.
    struct Restore(Option<Tap>);
    impl Drop for Restore {
        fn drop(&mut self) {
            TAP.with(|tap| tap.replace(self.0.take()));
        }
    }
    let tap = Tap {
        seen: Vec::new(),
        given: given.into(),
    };
    let restore = Restore(TAP.with(|slot| slot.replace(Some(tap))));
    let result = f();
    let tap = TAP.with(|slot| slot.replace(None)).unwrap_or_default();
    drop(restore);
    (result, tap.seen)
}

/// Place names with the values that came to each, in the order in which places began.
pub type Inputs = Vec<(String, Vec<Value>)>;

/// Runs `f`; answers with its result and the inputs of every place that ran on this thread, as they came, before any
/// [`Bridge`](crate::Bridge).
///
/// A recording inside `f` keeps its inputs for itself.
pub fn record_inputs<R>(f: impl FnOnce() -> R) -> (R, Inputs) {
    /// Gives the outer recording its turn again, even if `f` unwinds.
    struct Restore(Option<Inputs>);
    impl Drop for Restore {
        fn drop(&mut self) {
            INPUTS.with(|inputs| inputs.replace(self.0.take()));
        }
    }
    let restore = Restore(INPUTS.with(|slot| slot.replace(Some(Inputs::new()))));
    let result = f();
    let inputs = INPUTS.with(|slot| slot.replace(None)).unwrap_or_default();
    drop(restore);
    (result, inputs)
}

/// Notes a place's input, while this thread records them.
pub(crate) fn enter(path: &str, input: &impl Flow) {
    INPUTS.with(|slot| {
        if let Some(noted) = slot.borrow_mut().as_mut() {
            let mut values = Vec::new();
            input.values(&mut |value| values.push(value.clone()));
            noted.push((path.to_string(), values));
        }
    });
}

/// Whether outputs of this thread are noted.
pub(crate) fn is_active() -> bool {
    TAP.with(|tap| tap.borrow().is_some())
}

/// Notes a place's output and answers with the one that goes on.
pub(crate) fn pass<F: Flow>(path: &str, output: F) -> Result<F> {
    if !is_active() {
        return Ok(output);
    }
    let Some(value) = output.observed().cloned() else {
        return Ok(output);
    };
    let given = TAP.with(|tap| {
        let mut tap = tap.borrow_mut();
        let tap = tap.as_mut()?;
        tap.seen.push((path.to_string(), value.clone()));
        let next = tap.given.front().is_some_and(|(name, _)| name == path);
        if next { tap.given.pop_front() } else { None }.map(|(_, value)| value)
    });
    let Some(given) = given else {
        return Ok(output);
    };
    let given = match (&value, given) {
        (Value::Float(_), quantized @ Value::Quantized(_)) => quantized.to_tensor().into(),
        (Value::Quantized(own), Value::Float(var)) => {
            quantize_with(var.untraced(), own.quantizer().clone(), own.dtype())?.into()
        }
        (_, other) => other,
    };
    let mut first = Some(given);
    output.map(&mut |v| Ok(first.take().unwrap_or_else(|| v.clone())))
}
