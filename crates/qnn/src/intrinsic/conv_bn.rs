//! Chains with a batch norm that is trained and not folded: what `fuse_modules_qat` makes.

use qgrad::Var;

use super::fold::{check_channels, fold_conv, fold_linear};
use super::rectified::Rectified;
use crate::error::Result;
use crate::float::conv::by_dims;
use crate::float::{BatchNorm, Conv, Linear};
use crate::module::{Module, Node};
use crate::state::State;
use crate::value::Value;

/// A convolution and its batch norm, side by side in one place.
#[derive(Clone, Debug)]
pub struct ConvBn<const D: usize> {
    pub(crate) conv: Conv<D>,
    pub(crate) bn: BatchNorm<D>,
}

/// A convolution over `(N, C, L)` and its batch norm.
pub type ConvBn1d = ConvBn<1>;
/// A convolution over `(N, C, H, W)` and its batch norm.
pub type ConvBn2d = ConvBn<2>;
/// A convolution over `(N, C, D, H, W)` and its batch norm.
pub type ConvBn3d = ConvBn<3>;

/// A linear layer and its batch norm, for values `(N, C)`.
#[derive(Clone, Debug)]
pub struct LinearBn1d {
    pub(crate) linear: Linear,
    pub(crate) bn: BatchNorm<1>,
}

impl<const D: usize> ConvBn<D> {
    /// The convolution, then the batch norm.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the channel counts differ.
    pub fn new(conv: Conv<D>, bn: BatchNorm<D>) -> Result<ConvBn<D>> {
        check_channels(
            by_dims::<D>(["ConvBn1d", "ConvBn2d", "ConvBn3d"]),
            conv.weight(),
            &bn,
        )?;
        Ok(ConvBn { conv, bn })
    }

    /// The convolution.
    pub fn conv(&self) -> &Conv<D> {
        &self.conv
    }

    /// The batch norm.
    pub fn bn(&self) -> &BatchNorm<D> {
        &self.bn
    }

    /// Both as one convolution, the batch norm folded with its running statistics.
    ///
    /// # Errors
    /// None for modules that fit each other, as these do.
    pub fn folded(&self) -> Result<Conv<D>> {
        fold_conv(&self.conv, &self.bn)
    }
}

impl LinearBn1d {
    /// The linear layer, then the batch norm.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the channel counts differ.
    pub fn new(linear: Linear, bn: BatchNorm<1>) -> Result<LinearBn1d> {
        check_channels("LinearBn1d", linear.weight(), &bn)?;
        Ok(LinearBn1d { linear, bn })
    }

    /// The linear layer.
    pub fn linear(&self) -> &Linear {
        &self.linear
    }

    /// The batch norm.
    pub fn bn(&self) -> &BatchNorm<1> {
        &self.bn
    }

    /// Both as one linear layer, the batch norm folded with its running statistics.
    ///
    /// # Errors
    /// None for modules that fit each other, as these do.
    pub fn folded(&self) -> Result<Linear> {
        fold_linear(&self.linear, &self.bn)
    }
}

/// The state of a layer with that of a batch norm below `bn.`.
pub(crate) fn joint_state(layer: State, bn: &State) -> State {
    bn.iter().fold(layer, |state, (key, entry)| {
        state.with(&format!("bn.{key}"), entry.clone())
    })
}

/// Gives each of a layer and its batch norm their entries of a [`joint_state`].
pub(crate) fn load_joint(layer: &mut dyn Node, bn: &mut dyn Node, state: &mut State) -> Result<()> {
    let mut inner = State::default();
    for (key, _) in bn.state().iter() {
        let joint = format!("bn.{key}");
        if state.contains(&joint) {
            inner.insert(key, state.take_entry(bn.kind(), &joint)?);
        }
    }
    layer.load_state(state)?;
    bn.load_state(&mut inner)
}

/// Calls `visit` with the parameters of a layer, and with those of a batch norm below `bn.`.
pub(crate) fn joint_parameters(
    layer: &mut dyn Node,
    bn: &mut dyn Node,
    visit: &mut dyn FnMut(&str, &mut Var),
) {
    layer.parameters_mut(visit);
    bn.parameters_mut(&mut |name, var| visit(&format!("bn.{name}"), var));
}

macro_rules! chain {
    ([$($generics:tt)*] $module:ty, $layer:ident, $kind:expr) => {
        impl<$($generics)*> Node for $module {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn extra_repr(&self) -> String {
                format!("{}, bn: {}", self.$layer.extra_repr(), self.bn.extra_repr())
            }

            fn state(&self) -> State {
                joint_state(self.$layer.state(), &self.bn.state())
            }

            fn config(&self) -> State {
                joint_state(self.$layer.config(), &self.bn.config())
            }

            fn load_state(&mut self, state: &mut State) -> Result<()> {
                load_joint(&mut self.$layer, &mut self.bn, state)
            }

            fn set_training(&mut self, training: bool) {
                self.$layer.set_training(training);
                self.bn.set_training(training);
            }

            fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
                joint_parameters(&mut self.$layer, &mut self.bn, visit);
            }

            fn set_bn_frozen(&mut self, frozen: bool) {
                self.bn.set_bn_frozen(frozen);
            }
        }

        impl<$($generics)*> Module for $module {
            type Input = Value;
            type Output = Value;

            fn forward(&self, input: &Value) -> Result<Value> {
                self.bn.forward(&self.$layer.forward(input)?)
            }
        }
    };
}
chain!([const D: usize] ConvBn<D>, conv, by_dims::<D>(["ConvBn1d", "ConvBn2d", "ConvBn3d"]));
chain!([] LinearBn1d, linear, "LinearBn1d");

impl<const D: usize> Rectified for ConvBn<D> {
    const WITH_RELU: &'static str = by_dims::<D>(["ConvBnReLU1d", "ConvBnReLU2d", "ConvBnReLU3d"]);
    const WITH_RELU6: &'static str =
        by_dims::<D>(["ConvBnReLU6_1d", "ConvBnReLU6_2d", "ConvBnReLU6_3d"]);
}

impl Rectified for LinearBn1d {
    const WITH_RELU: &'static str = "LinearBnReLU1d";
    const WITH_RELU6: &'static str = "LinearBnReLU6_1d";
}
