//! `Parameter`: a float tensor that training changes.

use qgrad::Var;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::state::State;

/// A weight or bias. In evaluation mode it is a constant, in training mode a leaf that collects a gradient.
#[derive(Clone, Debug)]
pub struct Parameter {
    var: Var,
}

impl Parameter {
    /// A parameter in evaluation mode.
    pub fn new(tensor: Tensor) -> Parameter {
        Parameter {
            var: Var::from(tensor),
        }
    }

    /// The value for a forward pass.
    pub fn var(&self) -> &Var {
        &self.var
    }

    /// The numbers.
    pub fn tensor(&self) -> &Tensor {
        self.var.untraced()
    }

    /// Replaces the numbers and keeps the mode. The caller has checked the shape.
    pub fn set(&mut self, tensor: Tensor) {
        self.var = if self.var.requires_grad() {
            Var::parameter(tensor)
        } else {
            Var::from(tensor)
        };
    }

    /// The value, for optimizers.
    pub fn var_mut(&mut self) -> &mut Var {
        &mut self.var
    }

    /// Switches between a constant and a leaf with a gradient.
    pub fn set_training(&mut self, training: bool) {
        if training != self.var.requires_grad() {
            let tensor = self.var.untraced().clone();
            self.var = if training {
                Var::parameter(tensor)
            } else {
                Var::from(tensor)
            };
        }
    }
}

impl From<Tensor> for Parameter {
    fn from(tensor: Tensor) -> Parameter {
        Parameter::new(tensor)
    }
}

/// The weight and the optional bias of a convolution or linear layer.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) weight: Parameter,
    pub(crate) bias: Option<Parameter>,
}

impl Weights {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Weights {
        Weights {
            weight: weight.into(),
            bias: bias.map(Parameter::new),
        }
    }

    pub(crate) fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref().map(Parameter::tensor)
    }

    pub(crate) fn bias_var(&self) -> Option<&Var> {
        self.bias.as_ref().map(Parameter::var)
    }

    pub(crate) fn state(&self) -> State {
        State::default()
            .with_tensor("weight", Some(self.weight.tensor()))
            .with_tensor("bias", self.bias())
    }

    /// Takes both from a state, each in the shape that it has.
    pub(crate) fn load(&mut self, module: &'static str, state: &mut State) -> Result<()> {
        self.weight
            .set(state.take_shaped(module, "weight", self.weight.tensor())?);
        if let Some(bias) = &mut self.bias {
            bias.set(state.take_shaped(module, "bias", bias.tensor())?);
        }
        Ok(())
    }

    /// Calls `visit` with the weight and the bias.
    pub(crate) fn each(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        visit("weight", self.weight.var_mut());
        if let Some(bias) = &mut self.bias {
            visit("bias", bias.var_mut());
        }
    }

    pub(crate) fn set_training(&mut self, training: bool) {
        self.weight.set_training(training);
        if let Some(bias) = &mut self.bias {
            bias.set_training(training);
        }
    }
}
