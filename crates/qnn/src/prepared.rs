//! `Prepared`: what a place carries between preparation and conversion.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use qobserve::{Observer, QConfig};

use crate::error::Result;
use crate::value::Value;

/// The configuration that conversion will use for a place, and the observer of its output.
#[derive(Debug)]
pub struct Prepared {
    qconfig: QConfig,
    observer: Option<Mutex<Box<dyn Observer>>>,
    passed_by: AtomicBool,
}

impl Prepared {
    /// For a place whose output is observed.
    pub fn observed(qconfig: QConfig) -> Prepared {
        let observer = qconfig.activation.build();
        Prepared {
            qconfig,
            observer: Some(Mutex::new(observer)),
            passed_by: AtomicBool::new(false),
        }
    }

    /// For a place that is converted without looking at its output, such as a `DeQuantStub`.
    pub fn unobserved(qconfig: QConfig) -> Prepared {
        Prepared {
            qconfig,
            observer: None,
            passed_by: AtomicBool::new(false),
        }
    }

    /// The configuration.
    pub fn qconfig(&self) -> &QConfig {
        &self.qconfig
    }

    /// The observer of the output, locked.
    pub fn observer(&self) -> Option<MutexGuard<'_, Box<dyn Observer>>> {
        // A panic in another thread leaves numbers behind, not broken invariants; the lock is taken anyway.
        self.observer
            .as_ref()
            .map(|o| o.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True if a pass came by whose output has no range of its own (a scalar operation of a functional).
    pub fn passed_by(&self) -> bool {
        self.passed_by.load(Ordering::Relaxed)
    }

    /// Shows the observer the float value that a pass gave.
    pub(crate) fn observe(&self, value: Option<&Value>) -> Result<()> {
        if let (Some(mut observer), Some(Value::Float(var))) = (self.observer(), value) {
            observer.observe(var.untraced())?;
        }
        Ok(())
    }

    /// Takes note of a pass that is not to be observed.
    pub(crate) fn pass_by(&self) {
        self.passed_by.store(true, Ordering::Relaxed);
    }
}
