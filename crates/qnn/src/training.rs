//! Switches of a whole model for training: mode, parameters, observers, batch norms.

use qgrad::Var;
use qgrad::optim::ParameterSet;
use qobserve::FakeQuant;

use crate::module::{Node, join, walk_mut};

/// Switches a model to training: parameters collect gradients, batch norms use the batch's statistics, dropout drops.
#[doc(alias = "Module.train")]
pub fn train(model: &mut dyn Node) {
    walk_mut(model, &mut |_, node| node.set_training(true));
}

/// Switches a model to evaluation: parameters are constants, batch norms use running statistics, dropout passes.
#[doc(alias = "Module.eval")]
pub fn eval(model: &mut dyn Node) {
    walk_mut(model, &mut |_, node| node.set_training(false));
}

/// The parameters of a model under their dotted names, for optimizers and clipping.
///
/// Only a model in training mode has parameters that require gradients. Places that share one name in files have
/// one name here too.
///
/// ```
/// use qgrad::optim::{Optimizer, Sgd};
/// use qnn::{Linear, Module, Sequential, parameters, train};
/// use qtensor_core::Tensor;
///
/// let mut net = Sequential::new().push(Linear::new(3, 1)?);
/// train(&mut net);
/// let mut optimizer = Sgd::config(0.1).build()?;
/// let y = net.forward(&Tensor::ones(&[2, 3])?.into())?;
/// qgrad::ops::mean(y.float("loss")?, &[], false)?.backward()?;
/// optimizer.step(&mut parameters(&mut net))?;
/// # Ok::<(), qnn::Error>(())
/// ```
pub fn parameters(model: &mut dyn Node) -> Parameters<'_> {
    Parameters { model }
}

/// The parameters of a model: see [`parameters`].
pub struct Parameters<'a> {
    model: &'a mut dyn Node,
}

impl ParameterSet for Parameters<'_> {
    fn each(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        walk_mut(self.model, &mut |path, node| {
            node.parameters_mut(&mut |name, var| visit(&join(path, name), var));
        });
    }
}

/// Calls `f` with the dotted name of each fake-quant of a model, and the fake-quant: those of outputs and those of
/// weights.
pub fn for_each_fake_quant(model: &mut dyn Node, f: &mut dyn FnMut(&str, &mut dyn FakeQuant)) {
    walk_mut(model, &mut |path, node| {
        node.observers_mut(&mut |name, observer| {
            if let Some(fake_quant) = observer.as_fake_quant_mut() {
                f(&join(path, name), fake_quant);
            }
        });
    });
}

/// Switches the observation of all fake-quants: off, qparams stay as they are.
#[doc(alias = "enable_observer")]
#[doc(alias = "disable_observer")]
pub fn set_observing(model: &mut dyn Node, on: bool) {
    for_each_fake_quant(model, &mut |_, fake_quant| fake_quant.set_observing(on));
}

/// Switches the rounding of all fake-quants: off, the model computes in float.
#[doc(alias = "enable_fake_quant")]
#[doc(alias = "disable_fake_quant")]
pub fn set_quantizing(model: &mut dyn Node, on: bool) {
    for_each_fake_quant(model, &mut |_, fake_quant| fake_quant.set_quantizing(on));
}

/// Freezes the statistics of all batch norms: training normalizes with the running ones and keeps them.
///
/// Switching between training and evaluation does not take it back; [`update_bn_stats`] does.
pub fn freeze_bn_stats(model: &mut dyn Node) {
    walk_mut(model, &mut |_, node| node.set_bn_frozen(true));
}

/// Takes [`freeze_bn_stats`] back.
pub fn update_bn_stats(model: &mut dyn Node) {
    walk_mut(model, &mut |_, node| node.set_bn_frozen(false));
}
