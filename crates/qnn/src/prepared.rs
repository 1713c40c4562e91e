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
    visited: AtomicBool,
}

impl Prepared {
    /// For a place whose output is observed.
    pub fn observed(qconfig: QConfig) -> Prepared {
        let observer = qconfig.activation.build();
        Prepared {
            qconfig,
            observer: Some(Mutex::new(observer)),
            visited: AtomicBool::new(false),
        }
    }

    /// For a place that is converted without looking at its output, such as a `DeQuantStub`.
    pub fn unobserved(qconfig: QConfig) -> Prepared {
        Prepared {
            qconfig,
            observer: None,
            visited: AtomicBool::new(false),
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

    /// True if a forward pass came by.
    pub fn visited(&self) -> bool {
        self.visited.load(Ordering::Relaxed)
    }

    /// Takes note of a pass and of the float value that it gave, if that is to be observed.
    pub(crate) fn see(&self, value: Option<&Value>) -> Result<()> {
        self.visited.store(true, Ordering::Relaxed);
        if let (Some(mut observer), Some(Value::Float(var))) = (self.observer(), value) {
            observer.observe(var.untraced())?;
        }
        Ok(())
    }
}
