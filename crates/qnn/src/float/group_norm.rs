//! Float group and instance normalization.

use qgrad::{Var, ops};
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::float::conv::{by_dims, check_rank};
use crate::module::{Module, Node};
use crate::parameter::Parameter;
use crate::state::{Entry, State};
use crate::value::Value;

/// `y = (x − mean) / √(variance + eps) · γ + β` over each of a number of groups of neighbouring channels and all that
/// lies behind them; γ and β are by channel.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    channels: usize,
    affine: Option<[Parameter; 2]>,
    eps: f64,
}

/// `y = (x − mean) / √(variance + eps) · γ + β` over each channel of each sample of `D` spatial dimensions.
///
/// Without γ and β unless [`affine`](Self::affine) adds them. Statistics are always the sample's own.
#[derive(Clone, Debug)]
pub struct InstanceNorm<const D: usize>(GroupNorm);

/// Instance normalization of `(N, C, L)`.
pub type InstanceNorm1d = InstanceNorm<1>;
/// Instance normalization of `(N, C, H, W)`.
pub type InstanceNorm2d = InstanceNorm<2>;
/// Instance normalization of `(N, C, D, H, W)`.
pub type InstanceNorm3d = InstanceNorm<3>;

impl GroupNorm {
    const KIND: &'static str = "GroupNorm";

    /// γ = 1, β = 0, eps = 1e-5.
    ///
    /// # Errors
    /// [`Error::Config`] unless `groups` divides the channels.
    pub fn new(groups: usize, channels: usize) -> Result<GroupNorm> {
        let mut norm = GroupNorm::plain(Self::KIND, groups, channels)?;
        norm.affine = Some([
            Tensor::ones(&[channels])?.into(),
            Tensor::zeros(&[channels])?.into(),
        ]);
        Ok(norm)
    }

    fn plain(module: &'static str, groups: usize, channels: usize) -> Result<GroupNorm> {
        if groups == 0 || channels == 0 || !channels.is_multiple_of(groups) {
            let what = format!("{groups} groups of {channels} channels");
            return Err(Error::Config { module, what });
        }
        Ok(GroupNorm {
            groups,
            channels,
            affine: None,
            eps: 1e-5,
        })
    }

    /// The number added to the variance.
    pub fn with_eps(mut self, eps: f64) -> GroupNorm {
        self.eps = eps;
        self
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// γ, if there is one.
    pub fn weight(&self) -> Option<&Tensor> {
        self.affine.as_ref().map(|[weight, _]| weight.tensor())
    }

    /// β, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.affine.as_ref().map(|[_, bias]| bias.tensor())
    }

    /// The number added to the variance.
    pub fn eps(&self) -> f64 {
        self.eps
    }

    fn run(&self, module: &'static str, x: &Var) -> Result<Value> {
        let shape = x.shape().to_vec();
        if shape.len() < 2 || shape[1] != self.channels {
            return Err(Error::InputShape {
                module,
                what: "the input",
                expected: format!("(batch, {}, …)", self.channels),
                actual: shape,
            });
        }
        let length = shape[1..].iter().product::<usize>() / self.groups;
        let rows = ops::reshape(x, &[shape[0] * self.groups, length])?;
        let rows = ops::layer_norm(&rows, &[length], None, None, self.eps)?;
        let mut y = ops::reshape(&rows, &shape)?;
        if let Some([weight, bias]) = &self.affine {
            let mut along = vec![1; shape.len()];
            along[1] = self.channels;
            y = ops::mul(&y, &ops::reshape(weight.var(), &along)?)?;
            y = ops::add(&y, &ops::reshape(bias.var(), &along)?)?;
        }
        Ok(y.into())
    }
}

impl<const D: usize> InstanceNorm<D> {
    const KIND: &'static str = by_dims::<D>(["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]);

    /// Without γ and β, eps = 1e-5.
    ///
    /// # Errors
    /// [`Error::Config`] without channels.
    pub fn new(channels: usize) -> Result<InstanceNorm<D>> {
        Ok(InstanceNorm(GroupNorm::plain(
            Self::KIND,
            channels,
            channels,
        )?))
    }

    /// With γ = 1 and β = 0, eps = 1e-5.
    ///
    /// # Errors
    /// [`Error::Config`] without channels.
    pub fn affine(channels: usize) -> Result<InstanceNorm<D>> {
        let mut norm = InstanceNorm::new(channels)?;
        norm.0.affine = GroupNorm::new(channels, channels)?.affine;
        Ok(norm)
    }

    /// The number added to the variance.
    pub fn with_eps(mut self, eps: f64) -> InstanceNorm<D> {
        self.0.eps = eps;
        self
    }

    /// The same as a group norm with a group for each channel.
    pub fn as_groups(&self) -> &GroupNorm {
        &self.0
    }
}

macro_rules! node {
    ([$($generics:tt)*] $module:ty, $own:ident => $norm:expr) => {
        impl<$($generics)*> Node for $module {
            fn kind(&self) -> &'static str {
                Self::KIND
            }

            fn extra_repr(&self) -> String {
                let $own = self;
                let norm = &$norm;
                let (groups, channels) = (norm.groups, norm.channels);
                let affine = norm.affine.is_some();
                format!("{groups}, {channels}, eps={}, affine={affine}", norm.eps)
            }

            fn state(&self) -> State {
                let $own = self;
                State::default()
                    .with_tensor("weight", $norm.weight())
                    .with_tensor("bias", $norm.bias())
            }

            fn config(&self) -> State {
                let $own = self;
                State::default()
                    .with("eps", Entry::Real($norm.eps))
                    .with_sizes("num_groups", &[$norm.groups])
                    .with_sizes("num_channels", &[$norm.channels])
            }

            fn load_state(&mut self, state: &mut State) -> Result<()> {
                let $own = self;
                if let Some([weight, bias]) = &mut $norm.affine {
                    weight.set(state.take_shaped(Self::KIND, "weight", weight.tensor())?);
                    bias.set(state.take_shaped(Self::KIND, "bias", bias.tensor())?);
                }
                Ok(())
            }

            fn set_training(&mut self, training: bool) {
                let $own = self;
                for parameter in $norm.affine.iter_mut().flatten() {
                    parameter.set_training(training);
                }
            }

            fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
                let $own = self;
                if let Some([weight, bias]) = &mut $norm.affine {
                    visit("weight", weight.var_mut());
                    visit("bias", bias.var_mut());
                }
            }
        }
    };
}
node!([] GroupNorm, own => own);
node!([const D: usize] InstanceNorm<D>, own => own.0);

impl Module for GroupNorm {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input.float(Self::KIND)?)
    }
}

impl<const D: usize> Module for InstanceNorm<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        check_rank::<D>(Self::KIND, x.shape())?;
        self.0.run(Self::KIND, x)
    }
}
