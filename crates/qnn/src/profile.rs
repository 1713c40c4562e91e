//! Profiling: how long each place of a model takes in a forward pass.
//!
//! ```
//! use qnn::{Flatten, Linear, Module, Sequential, profile};
//! use qtensor_core::Tensor;
//!
//! let net = Sequential::new().push(Flatten::new()).push(Linear::new(12, 5)?);
//! let x = Tensor::zeros(&[2, 3, 4])?.into();
//! let (y, visits) = profile::record(|| net.forward(&x));
//! y?;
//! assert_eq!((visits[1].path.as_str(), visits[1].kind), ("1", "Linear"));
//! assert_eq!((visits[1].input.as_slice(), visits[1].output.as_slice()), (&[2, 12][..], &[2, 5][..]));
//! # Ok::<(), qnn::Error>(())
//! ```

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::value::Flow;

/// One call of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The dotted name of the place, if it has been told ([`name_places`](crate::name_places)).
    pub path: String,
    /// The kind of module in it.
    pub kind: &'static str,
    /// The names of the other places whose work the call has done as well; the output is the last one's. These are additions of
    /// [`add_after`](crate::Layer::add_after), without places between that hold nothing since fusion.
    pub with: Vec<String>,
    /// The shape of the first value that went in.
    pub input: Vec<usize>,
    /// The shape of the first value that came out.
    pub output: Vec<usize>,
    /// From entry to exit, with everything below the place.
    pub time: Duration,
}

thread_local! {
    static VISITS: RefCell<Option<Vec<Visit>>> = const { RefCell::new(None) };
}

/// Runs `f`; answers with its result and the calls of places on this thread, in the order in which they ended.
///
/// Calls that failed are left out. A recording inside `f` keeps its calls for itself.
pub fn record<R>(f: impl FnOnce() -> R) -> (R, Vec<Visit>) {
    /// Gives the outer recording its turn again, even if `f` unwinds.
    struct Restore(Option<Vec<Visit>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            VISITS.with(|v| v.replace(self.0.take()));
        }
    }
    let restore = Restore(VISITS.with(|v| v.replace(Some(Vec::new()))));
    let result = f();
    let visits = VISITS.with(|v| v.replace(None)).unwrap_or_default();
    drop(restore);
    (result, visits)
}

/// The beginning of a call, while this thread records.
pub(crate) struct Entered {
    input: Vec<usize>,
    start: Instant,
}

/// Notes that a call begins.
pub(crate) fn enter(input: &impl Flow) -> Option<Entered> {
    VISITS.with(|v| v.borrow().is_some()).then(|| Entered {
        input: shape(input),
        start: Instant::now(),
    })
}

/// A place that is called, or several in one.
pub(crate) struct Called<'a> {
    pub path: &'a str,
    pub kind: &'static str,
    /// See [`Visit::with`].
    pub with: &'a [&'a str],
}

impl Entered {
    /// Notes that the call has ended.
    pub(crate) fn leave(self, called: Called, output: &impl Flow) {
        let time = self.start.elapsed();
        let visit = Visit {
            path: called.path.to_string(),
            kind: called.kind,
            with: called.with.iter().map(|path| path.to_string()).collect(),
            input: self.input,
            output: shape(output),
            time,
        };
        VISITS.with(|v| {
            if let Some(visits) = v.borrow_mut().as_mut() {
                visits.push(visit);
            }
        });
    }
}

fn shape(flow: &impl Flow) -> Vec<usize> {
    flow.observed().map_or(Vec::new(), |v| v.shape().to_vec())
}
