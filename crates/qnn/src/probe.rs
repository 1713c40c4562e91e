//! Probing: a forward pass that notes every value of the wrong kind and goes on.
//!
//! `qflow::check` runs a sample under [`collect`] to report all missing stubs at once. A place whose module
//! refuses a value is noted, the value is converted on the spot, and the pass continues.

use std::cell::RefCell;

use qtensor_core::DType;
use qtensor_core::choose_qparams::{DEFAULT_EPS, QuantRange, calculate_qparams};

use crate::error::{Error, Result, cure};
use crate::value::{Value, ValueKind};

/// One place that got a value of the wrong kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The dotted name of the place.
    pub path: String,
    /// The kind of module in it.
    pub module: String,
    /// What the module takes.
    pub expected: ValueKind,
    /// What came.
    pub actual: ValueKind,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Misfit {
            path,
            module,
            expected,
            actual,
        } = self;
        write!(
            f,
            "{path} ({module}) takes {expected} values and gets {actual} ones: {}",
            cure(module, *expected)
        )
    }
}

thread_local! {
    static NOTES: RefCell<Option<Vec<Misfit>>> = const { RefCell::new(None) };
}

/// Runs `f` with probing on; returns its result and every place that got a value of the wrong kind.
pub fn collect<R>(f: impl FnOnce() -> R) -> (R, Vec<Misfit>) {
    struct Restore(Option<Vec<Misfit>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            NOTES.with(|n| n.replace(self.0.take()));
        }
    }
    let restore = Restore(NOTES.with(|n| n.replace(Some(Vec::new()))));
    let result = f();
    let notes = NOTES.with(|n| n.replace(None)).unwrap_or_default();
    drop(restore);
    (result, notes)
}

pub(crate) fn is_active() -> bool {
    NOTES.with(|n| n.borrow().is_some())
}

/// Notes the error if it is about a value's kind; answers the kind that the module wants.
pub(crate) fn note(path: &str, module: &str, error: &Error) -> Option<ValueKind> {
    let Error::WrongKind {
        expected, actual, ..
    } = error
    else {
        return None;
    };
    let misfit = Misfit {
        path: path.into(),
        module: module.into(),
        expected: *expected,
        actual: *actual,
    };
    NOTES.with(|n| {
        if let Some(notes) = n.borrow_mut().as_mut()
            && !notes.contains(&misfit)
        {
            notes.push(misfit);
        }
    });
    Some(*expected)
}

/// Converts a value to the kind that a module wants; the range of a quantized one is the value's own.
pub(crate) fn coerce(value: &Value, wanted: ValueKind) -> Result<Value> {
    Ok(match (value, wanted) {
        (Value::Quantized(q), ValueKind::Float) => q.dequantize().into(),
        (Value::Float(var), ValueKind::Quantized) => {
            let x = var.untraced();
            let finite = x.to_vec().into_iter().filter(|v| v.is_finite());
            let (min, max) = finite.fold((0f32, 0f32), |(lo, hi), v| (lo.min(v), hi.max(v)));
            let range = QuantRange::of(DType::QUInt8, false);
            let (scale, zero_point) =
                calculate_qparams(min, max, DType::QUInt8, range, false, DEFAULT_EPS)?;
            qtensor_core::quantize_per_tensor(x, scale.into(), zero_point, DType::QUInt8)?.into()
        }
        (same, _) => same.clone(),
    })
}
