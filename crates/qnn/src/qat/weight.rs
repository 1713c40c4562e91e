//! `WeightFakeQuant`: the fake-quant of a weight, which a forward pass updates although it takes `&self`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use qgrad::Var;
use qobserve::{FakeQuant, Observer, ObserverFactory};
use qtensor_core::{QTensor, Tensor};

use crate::error::Result;
use crate::quantized::quantize_observed;

/// The fake-quant of a module's weight.
#[derive(Debug)]
pub struct WeightFakeQuant(Mutex<Box<dyn Observer>>);

impl WeightFakeQuant {
    /// A fresh one from a configuration.
    pub fn new(factory: &ObserverFactory) -> WeightFakeQuant {
        WeightFakeQuant(Mutex::new(factory.build()))
    }

    /// The weight as conversion will round it.
    ///
    /// # Errors
    /// NaN or an infinity in the weight, and those of the rounding.
    pub fn forward(&self, weight: &Var) -> Result<Var> {
        Ok(self.lock().forward(weight)?)
    }

    /// The fake-quant.
    pub fn lock(&self) -> MutexGuard<'_, Box<dyn Observer>> {
        // A panic in another thread leaves numbers behind, not broken invariants.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The integers of a weight: with the qparams of the last forward pass, or, while observing, with those that a
    /// pass with this weight would find.
    ///
    /// # Errors
    /// A fake-quant that never saw a weight and no longer observes, or one that is not for `qint8`.
    pub fn quantize(&self, module: &'static str, weight: &Tensor) -> Result<QTensor> {
        let mut observer = self.lock().clone();
        let observing = observer.as_fake_quant().is_none_or(FakeQuant::is_observing);
        if observing || !observer.has_observed() {
            observer.observe(weight)?;
        }
        quantize_observed(module, weight, &*observer)
    }

    pub(crate) fn get_mut(&mut self) -> &mut dyn Observer {
        &mut **self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_training(&mut self, training: bool) {
        if let Some(fake_quant) = self.get_mut().as_fake_quant_mut() {
            fake_quant.set_training(training);
        }
    }

    /// Calls `visit` with the parameters that the fake-quant learns, below `weight_fake_quant.`.
    pub(crate) fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        if let Some(fake_quant) = self.get_mut().as_fake_quant_mut() {
            fake_quant.parameters_mut(&mut |name, var| {
                visit(&format!("weight_fake_quant.{name}"), var);
            });
        }
    }
}

impl Clone for WeightFakeQuant {
    fn clone(&self) -> WeightFakeQuant {
        WeightFakeQuant(Mutex::new(self.lock().clone()))
    }
}

/// The methods of `Node` that a module with one float module and one weight fake-quant answers through both.
macro_rules! through_both {
    ($inner:ident) => {
        fn extra_repr(&self) -> String {
            self.$inner.extra_repr()
        }

        fn state(&self) -> crate::state::State {
            self.$inner.state()
        }

        fn config(&self) -> crate::state::State {
            self.$inner.config()
        }

        fn load_state(&mut self, state: &mut crate::state::State) -> crate::error::Result<()> {
            self.$inner.load_state(state)
        }

        fn set_training(&mut self, training: bool) {
            self.$inner.set_training(training);
            self.weight_fake_quant.set_training(training);
        }

        fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut qgrad::Var)) {
            self.$inner.parameters_mut(visit);
            self.weight_fake_quant.parameters_mut(visit);
        }

        fn observers_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn qobserve::Observer)) {
            visit("weight_fake_quant", self.weight_fake_quant.get_mut());
        }

        fn observers(&self, visit: &mut dyn FnMut(&str, &dyn qobserve::Observer)) {
            visit("weight_fake_quant", &**self.weight_fake_quant.lock());
        }

        fn set_bn_frozen(&mut self, frozen: bool) {
            self.$inner.set_bn_frozen(frozen);
        }
    };
}
pub(crate) use through_both;
