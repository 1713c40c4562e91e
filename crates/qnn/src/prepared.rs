//! `Prepared`: what a place carries between preparation and conversion.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use qobserve::{FakeQuant, Observer, ObserverFactory, QConfig};

use crate::error::Result;
use crate::value::{Flow, Value};

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

    /// Lets another observer find the qparams of the weight at conversion.
    pub fn set_weight(&mut self, weight: ObserverFactory) {
        self.qconfig.weight = weight;
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

    /// Sets what [`passed_by`](Self::passed_by) answers, for a state from a file.
    pub fn set_passed_by(&mut self, passed_by: bool) {
        *self.passed_by.get_mut() = passed_by;
    }

    /// The observer as a fake-quant, if it is one.
    pub(crate) fn fake_quant_mut(&mut self) -> Option<&mut dyn FakeQuant> {
        self.observer_mut()?.as_fake_quant_mut()
    }

    /// The observer of the output.
    pub(crate) fn observer_mut(&mut self) -> Option<&mut dyn Observer> {
        let observer = self.observer.as_mut()?;
        let observer = observer.get_mut().unwrap_or_else(PoisonError::into_inner);
        Some(&mut **observer)
    }

    pub(crate) fn set_training(&mut self, training: bool) {
        if let Some(fake_quant) = self.fake_quant_mut() {
            fake_quant.set_training(training);
        }
    }

    /// Shows the observer the first float value that a pass gave; answers with the output in which a fake-quant has
    /// rounded that value.
    pub(crate) fn observe<F: Flow>(&self, output: F) -> Result<F> {
        let (Some(mut observer), Some(Value::Float(var))) = (self.observer(), output.observed())
        else {
            return Ok(output);
        };
        if observer.as_fake_quant().is_none() {
            observer.observe(var.untraced())?;
            return Ok(output);
        }
        let mut rounded = Some(Value::from(observer.forward(var)?));
        output.map(&mut |value| Ok(rounded.take().unwrap_or_else(|| value.clone())))
    }

    /// Takes note of a pass that is not to be observed.
    pub(crate) fn pass_by(&self) {
        self.passed_by.store(true, Ordering::Relaxed);
    }
}
