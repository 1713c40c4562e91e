//! A log of what ran on which values, for tools that need to see the structure of a model.
//!
//! [`record`] runs a function and answers with the events of the calling thread: every operation, every
//! look at a tensor from outside ([`Var::tensor`](crate::Var::tensor)), and what other crates
//! [`push`], such as entering and leaving modules. Recordings nest; an outer one also gets the events of the
//! inner one.
//!
//! ```
//! # use qgrad::{Var, ops, trace::{self, Event}};
//! # use qtensor_core::Tensor;
//! let x = Var::from(Tensor::ones(&[2])?);
//! let (y, events) = trace::record(|| ops::relu(&x));
//! let (x, y) = (x.id(), y?.id());
//! assert_eq!(events, [Event::Op { name: "relu", inputs: vec![x], output: y }]);
//! # Ok::<(), qgrad::Error>(())
//! ```

use std::cell::RefCell;

use crate::value::VarId;

/// Something that happened during a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An operation computed `output` from `inputs`.
    Op {
        /// The operation's name, such as `"conv"`.
        name: &'static str,
        /// Its inputs, in the order of its arguments.
        inputs: Vec<VarId>,
        /// Its result.
        output: VarId,
    },
    /// The values of a `Var` were looked at outside of operations.
    Read {
        /// The value.
        id: VarId,
    },
    /// A module, or anything else with a label, begins.
    Enter {
        /// Its label.
        label: String,
        /// What it was called with.
        inputs: Vec<VarId>,
    },
    /// What the matching [`Event::Enter`] began is finished.
    Exit {
        /// Its label.
        label: String,
        /// What it answered.
        outputs: Vec<VarId>,
        /// The number of dimensions of the first answer.
        rank: usize,
    },
}

thread_local! {
    /// The events of each running recording, the innermost last.
    static RECORDINGS: RefCell<Vec<Vec<Event>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` and answers with its result and the events of this thread, in order.
///
/// If `f` unwinds, its events are lost to this recording, but kept for an outer one.
pub fn record<R>(f: impl FnOnce() -> R) -> (R, Vec<Event>) {
    /// Ends the recording even if `f` unwinds.
    struct End;
    impl End {
        fn take(&self) -> Vec<Event> {
            RECORDINGS.with_borrow_mut(|all| all.pop().unwrap_or_default())
        }
    }
    impl Drop for End {
        fn drop(&mut self) {
            let events = self.take();
            RECORDINGS.with_borrow_mut(|all| {
                if let Some(outer) = all.last_mut() {
                    outer.extend(events);
                }
            });
        }
    }
    RECORDINGS.with_borrow_mut(|all| all.push(Vec::new()));
    let end = End;
    let result = f();
    let events = RECORDINGS.with_borrow(|all| all.last().cloned().unwrap_or_default());
    drop(end);
    (result, events)
}

/// True while the calling thread is inside [`record`].
pub fn is_recording() -> bool {
    RECORDINGS.with_borrow(|all| !all.is_empty())
}

/// Adds an event to the innermost recording of this thread; without one, does nothing.
pub fn push(event: Event) {
    RECORDINGS.with_borrow_mut(|all| {
        if let Some(innermost) = all.last_mut() {
            innermost.push(event);
        }
    });
}
