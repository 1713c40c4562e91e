//! Int8 layer, group and instance normalization.

use qops::quantized;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::float;
use crate::float::conv::{by_dims, check_rank};
use crate::module::{Module, Node};
use crate::quantized::QParams;
use crate::state::{Entry, State};
use crate::value::Value;

/// γ and β, if there are any, and the number added to the variance.
#[derive(Clone, Debug)]
struct Parameters {
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    eps: f64,
}

impl Parameters {
    fn load(module: &'static str, state: &mut State) -> Result<Parameters> {
        Ok(Parameters {
            weight: state.take_optional(module, "weight")?,
            bias: state.take_optional(module, "bias")?,
            eps: state.take_real(module, "eps")?,
        })
    }

    fn save(&self) -> State {
        State::default()
            .with_tensor("weight", self.weight.as_ref())
            .with_tensor("bias", self.bias.as_ref())
    }

    fn parts(&self) -> (Option<&Tensor>, Option<&Tensor>, f64) {
        (self.weight.as_ref(), self.bias.as_ref(), self.eps)
    }
}

/// Layer normalization from integers to integers, with statistics from sums of integers.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    normalized: Vec<usize>,
    parameters: Parameters,
    output: QParams,
}

/// Group normalization from integers to integers, with statistics from sums of integers.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    channels: usize,
    parameters: Parameters,
    output: QParams,
}

/// Instance normalization over `D` spatial dimensions from integers to integers, with statistics from sums of integers.
#[derive(Clone, Debug)]
pub struct InstanceNorm<const D: usize>(GroupNorm);

/// Int8 instance normalization of `(N, C, L)`.
pub type InstanceNorm1d = InstanceNorm<1>;
/// Int8 instance normalization of `(N, C, H, W)`.
pub type InstanceNorm2d = InstanceNorm<2>;
/// Int8 instance normalization of `(N, C, D, H, W)`.
pub type InstanceNorm3d = InstanceNorm<3>;

impl LayerNorm {
    const KIND: &'static str = "QuantizedLayerNorm";

    /// The counterpart of a float layer norm, with calibrated output qparams.
    pub fn from_float(norm: &float::LayerNorm, output: QParams) -> LayerNorm {
        LayerNorm {
            normalized: norm.normalized().to_vec(),
            parameters: Parameters {
                weight: Some(norm.weight().clone()),
                bias: Some(norm.bias().clone()),
                eps: norm.eps(),
            },
            output,
        }
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry or one of another type.
    pub fn from_state(state: &mut State) -> Result<LayerNorm> {
        let parameters = Parameters::load(Self::KIND, state)?;
        let shape = parameters.weight.as_ref().map(|w| w.shape().to_vec());
        Ok(LayerNorm {
            normalized: shape.unwrap_or_default(),
            parameters,
            output: QParams::load(Self::KIND, state)?,
        })
    }

    /// The qparams of the output.
    pub fn output(&self) -> QParams {
        self.output
    }
}

impl GroupNorm {
    const KIND: &'static str = "QuantizedGroupNorm";

    /// The counterpart of a float group norm, with calibrated output qparams.
    pub fn from_float(norm: &float::GroupNorm, output: QParams) -> GroupNorm {
        GroupNorm {
            groups: norm.groups(),
            channels: norm.channels(),
            parameters: Parameters {
                weight: norm.weight().cloned(),
                bias: norm.bias().cloned(),
                eps: norm.eps(),
            },
            output,
        }
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry or one of another type.
    pub fn from_state(state: &mut State) -> Result<GroupNorm> {
        GroupNorm::load(Self::KIND, state)
    }

    fn load(module: &'static str, state: &mut State) -> Result<GroupNorm> {
        let [groups] = state.take_sizes::<1>(module, "num_groups")?;
        let [channels] = state.take_sizes::<1>(module, "num_channels")?;
        Ok(GroupNorm {
            groups,
            channels,
            parameters: Parameters::load(module, state)?,
            output: QParams::load(module, state)?,
        })
    }

    /// The qparams of the output.
    pub fn output(&self) -> QParams {
        self.output
    }

    fn repr(&self) -> String {
        let (groups, channels) = (self.groups, self.channels);
        format!("{groups}, {channels}, {}", self.output)
    }

    fn numbers(&self) -> State {
        State::default()
            .with("eps", Entry::Real(self.parameters.eps))
            .with_sizes("num_groups", &[self.groups])
            .with_sizes("num_channels", &[self.channels])
    }

    fn run(&self, module: &'static str, input: &Value) -> Result<Value> {
        let x = input.quantized(module)?;
        self.output.check_input(module, x.dtype())?;
        let (gamma, beta, eps) = self.parameters.parts();
        let (groups, out) = (self.groups, self.output.out());
        Ok(quantized::group_norm(x, groups, gamma, beta, eps, out)?.into())
    }
}

impl<const D: usize> InstanceNorm<D> {
    const KIND: &'static str = by_dims::<D>([
        "QuantizedInstanceNorm1d",
        "QuantizedInstanceNorm2d",
        "QuantizedInstanceNorm3d",
    ]);

    /// The counterpart of a float instance norm, with calibrated output qparams.
    pub fn from_float(norm: &float::InstanceNorm<D>, output: QParams) -> InstanceNorm<D> {
        InstanceNorm(GroupNorm::from_float(norm.as_groups(), output))
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry or one of another type.
    pub fn from_state(state: &mut State) -> Result<InstanceNorm<D>> {
        Ok(InstanceNorm(GroupNorm::load(Self::KIND, state)?))
    }

    /// The qparams of the output.
    pub fn output(&self) -> QParams {
        self.0.output
    }
}

impl Node for LayerNorm {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{:?}, {}", self.normalized, self.output)
    }

    fn state(&self) -> State {
        self.output.save(self.parameters.save())
    }

    fn config(&self) -> State {
        State::default().with("eps", Entry::Real(self.parameters.eps))
    }
}

impl Module for LayerNorm {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.quantized(Self::KIND)?;
        self.output.check_input(Self::KIND, x.dtype())?;
        let (gamma, beta, eps) = self.parameters.parts();
        let (normalized, out) = (&self.normalized, self.output.out());
        Ok(quantized::layer_norm(x, normalized, gamma, beta, eps, out)?.into())
    }
}

impl Node for GroupNorm {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.repr()
    }

    fn state(&self) -> State {
        self.output.save(self.parameters.save())
    }

    fn config(&self) -> State {
        self.numbers()
    }
}

impl Module for GroupNorm {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input)
    }
}

impl<const D: usize> Node for InstanceNorm<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        self.0.repr()
    }

    fn state(&self) -> State {
        self.0.state()
    }

    fn config(&self) -> State {
        self.0.numbers()
    }
}

impl<const D: usize> Module for InstanceNorm<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        check_rank::<D>(Self::KIND, input.shape())?;
        self.0.run(Self::KIND, input)
    }
}
