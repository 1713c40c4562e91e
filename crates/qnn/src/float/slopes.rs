//! Activations whose results have ranges of their own: they compute in float, and need integers for their output to
//! become int8 modules ([`quantized::ELU`](crate::quantized::ELU) and its neighbours).

use qgrad::{Var, ops};
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::module::{Module, Node};
use crate::parameter::Parameter;
use crate::state::{Entry, State};
use crate::value::Value;

/// `x` where it is positive, else `α · (eˣ − 1)`.
#[derive(Clone, Copy, Debug)]
pub struct ELU {
    alpha: f32,
}

/// `x · min(max(x + 3, 0), 6) / 6`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hardswish;

/// `x` where it is positive, else `slope · x`.
#[derive(Clone, Copy, Debug)]
pub struct LeakyReLU {
    negative_slope: f32,
}

/// `x` where it is positive, else `weight · x`, with one learned weight for all or one for each channel (dimension 1).
#[derive(Clone, Debug)]
pub struct PReLU {
    weight: Parameter,
}

impl ELU {
    /// With this α; PyTorch's default is 1.
    pub fn new(alpha: f32) -> ELU {
        ELU { alpha }
    }

    /// α.
    pub fn alpha(&self) -> f32 {
        self.alpha
    }
}

impl Default for ELU {
    fn default() -> ELU {
        ELU::new(1.0)
    }
}

impl LeakyReLU {
    /// With this slope below zero; PyTorch's default is 0.01.
    pub fn new(negative_slope: f32) -> LeakyReLU {
        LeakyReLU { negative_slope }
    }

    /// The slope below zero.
    pub fn negative_slope(&self) -> f32 {
        self.negative_slope
    }
}

impl Default for LeakyReLU {
    fn default() -> LeakyReLU {
        LeakyReLU::new(0.01)
    }
}

impl PReLU {
    const KIND: &'static str = "PReLU";

    /// One weight for all channels, or one for each; 0.25 to begin with.
    ///
    /// # Errors
    /// [`Error::Config`] without a weight.
    pub fn new(num_parameters: usize) -> Result<PReLU> {
        if num_parameters == 0 {
            return Err(Error::Config {
                module: Self::KIND,
                what: "0 weights".into(),
            });
        }
        Ok(PReLU {
            weight: Tensor::full(&[num_parameters], 0.25)?.into(),
        })
    }

    /// The weights.
    pub fn weight(&self) -> &Tensor {
        self.weight.tensor()
    }
}

/// `α · (eˣ − 1)` below zero, with its derivative.
fn elu(x: &Var, alpha: f32) -> Var {
    let input = x.untraced().clone();
    let y = input.map(|v| if v > 0.0 { v } else { alpha * v.exp_m1() });
    Var::from_operation("elu", &[x], y, move |grad, _| {
        let slope = input.map(|v| if v > 0.0 { 1.0 } else { alpha * v.exp() });
        Ok(vec![Some(qops::float::mul(grad, &slope)?)])
    })
}

/// `relu(x) − weight · relu(−x)`.
fn leaky(x: &Var, weight: &Var) -> qgrad::Result<Var> {
    let below = ops::relu(&ops::mul_scalar(x, -1.0)?)?;
    ops::sub(&ops::relu(x)?, &ops::mul(&below, weight)?)
}

impl Node for ELU {
    fn kind(&self) -> &'static str {
        "ELU"
    }

    fn extra_repr(&self) -> String {
        format!("alpha={}", self.alpha)
    }

    fn config(&self) -> State {
        State::default().with("alpha", Entry::Real(self.alpha.into()))
    }
}

impl Module for ELU {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(elu(input.float("ELU")?, self.alpha).into())
    }
}

impl Node for Hardswish {
    fn kind(&self) -> &'static str {
        "Hardswish"
    }
}

impl Module for Hardswish {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        Ok(ops::hardswish(input.float("Hardswish")?)?.into())
    }
}

impl Node for LeakyReLU {
    fn kind(&self) -> &'static str {
        "LeakyReLU"
    }

    fn extra_repr(&self) -> String {
        format!("negative_slope={}", self.negative_slope)
    }

    fn config(&self) -> State {
        State::default().with("negative_slope", Entry::Real(self.negative_slope.into()))
    }
}

impl Module for LeakyReLU {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let slope = Tensor::scalar(self.negative_slope).into();
        Ok(leaky(input.float("LeakyReLU")?, &slope)?.into())
    }
}

impl Node for PReLU {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("num_parameters={}", self.weight().numel())
    }

    fn state(&self) -> State {
        State::default().with_tensor("weight", Some(self.weight()))
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        let weight = state.take_shaped(Self::KIND, "weight", self.weight())?;
        self.weight.set(weight);
        Ok(())
    }

    fn set_training(&mut self, training: bool) {
        self.weight.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        visit("weight", self.weight.var_mut());
    }
}

impl Module for PReLU {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let mut weight = self.weight.var().clone();
        if self.weight().numel() > 1 {
            let mut shape = vec![1; x.shape().len().max(2)];
            shape[1] = self.weight().numel();
            weight = ops::reshape(&weight, &shape)?;
        }
        Ok(leaky(x, &weight)?.into())
    }
}
