//! `Parameter`: a float tensor that training changes.

use qgrad::Var;
use qtensor_core::Tensor;

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
