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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Var, ops};
    use qtensor_core::Tensor;

    fn enter(label: &str) -> Event {
        Event::Enter {
            label: label.to_owned(),
            inputs: Vec::new(),
        }
    }

    #[test]
    fn operations_and_reads_are_logged_only_while_recording() {
        let x = Var::from(Tensor::ones(&[2]).unwrap());
        assert!(!is_recording());
        push(enter("ignored"));
        let (y, events) = record(|| {
            assert!(is_recording());
            let y = ops::add(&x, &x).unwrap();
            y.tensor().to_vec();
            y.untraced().to_vec();
            y
        });
        assert!(!is_recording());
        y.tensor();
        let op = Event::Op {
            name: "add",
            inputs: vec![x.id(), x.id()],
            output: y.id(),
        };
        assert_eq!(events, [op, Event::Read { id: y.id() }]);
    }

    #[test]
    fn detaching_is_visible() {
        let x = Var::parameter(Tensor::ones(&[2]).unwrap());
        let (y, events) = record(|| x.detach());
        let op = Event::Op {
            name: "detach",
            inputs: vec![x.id()],
            output: y.id(),
        };
        assert_eq!(events, [op]);
    }

    #[test]
    fn recordings_nest_and_end_on_unwinding() {
        let ((), events) = record(|| {
            push(enter("a"));
            let ((), inner) = record(|| push(enter("b")));
            assert_eq!(inner, [enter("b")]);
            let unwound = std::panic::catch_unwind(|| {
                record(|| {
                    push(enter("c"));
                    std::panic::resume_unwind(Box::new(1))
                })
                .1
            });
            assert!(unwound.is_err());
            push(enter("d"));
        });
        assert_eq!(events, ["a", "b", "c", "d"].map(enter));
        assert!(!is_recording());
    }

    #[test]
    fn other_threads_do_not_mix_in() {
        let ((), events) = record(|| {
            std::thread::scope(|s| {
                s.spawn(|| push(enter("elsewhere")));
            });
        });
        assert_eq!(events, []);
    }
}
