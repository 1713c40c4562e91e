//! Float convolutions over 1, 2 or 3 spatial dimensions.

use qgrad::Var;
use qtensor_core::Tensor;

use crate::config::{ConvConfig, ConvGeometry, Sizes};
use crate::error::{Error, Result};
use crate::init;
use crate::module::{Module, Node};
use crate::parameter::Weights;
use crate::state::State;
use crate::value::Value;

/// `y = x ∗ W + b` over `D` spatial dimensions.
///
/// Shapes: input `(N, C_in, spatial…)`, weight `(C_out, C_in / groups, kernel…)`, output `(N, C_out, spatial…)`.
///
/// ```
/// use qnn::{Conv2d, Module};
/// use qtensor_core::Tensor;
///
/// let conv = Conv2d::config(3, 8, 3).stride(2).padding(1).build()?;
/// let y = conv.forward(&Tensor::zeros(&[1, 3, 9, 9])?.into())?;
/// assert_eq!(y.shape(), [1, 8, 5, 5]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv<const D: usize> {
    weights: Weights,
    geometry: ConvGeometry<D>,
}

/// A convolution over `(N, C, L)`.
pub type Conv1d = Conv<1>;
/// A convolution over `(N, C, H, W)`.
pub type Conv2d = Conv<2>;
/// A convolution over `(N, C, D, H, W)`.
pub type Conv3d = Conv<3>;

/// The name of a `D`-dimensional module.
pub(crate) const fn by_dims<const D: usize>(names: [&'static str; 3]) -> &'static str {
    match D {
        1 => names[0],
        2 => names[1],
        _ => names[2],
    }
}

impl<const D: usize> Conv<D> {
    const KIND: &'static str = by_dims::<D>(["Conv1d", "Conv2d", "Conv3d"]);

    /// The start of a configuration; end it with [`ConvConfig::build`].
    pub fn config(
        in_channels: usize,
        out_channels: usize,
        kernel_size: impl Into<Sizes<D>>,
    ) -> ConvConfig<D> {
        ConvConfig::new(in_channels, out_channels, kernel_size)
    }

    /// A convolution with drawn parameters.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes that contradict each other.
    pub fn new(config: ConvConfig<D>) -> Result<Conv<D>> {
        config.validate(Self::KIND)?;
        let outputs = config.bias.then_some(config.out_channels);
        let (weight, bias) = init::weight_and_bias(&config.weight_shape(), outputs)?;
        Conv::from_parts(weight, bias, config.geometry)
    }

    /// A convolution with given parameters.
    ///
    /// # Errors
    /// [`Error::Config`] or [`Error::StateShape`] if weight, bias and geometry contradict each other.
    pub fn from_parts(
        weight: Tensor,
        bias: Option<Tensor>,
        geometry: ConvGeometry<D>,
    ) -> Result<Conv<D>> {
        Self::check_parts(weight.shape(), bias.as_ref(), &geometry)?;
        Ok(Conv {
            weights: Weights::new(weight, bias),
            geometry,
        })
    }

    /// Refuses a weight, a bias and a geometry that contradict each other.
    pub(crate) fn check_parts(
        weight: &[usize],
        bias: Option<&Tensor>,
        geometry: &ConvGeometry<D>,
    ) -> Result<()> {
        let module = Self::KIND;
        check_kernel(module, "weight", weight, &geometry.kernel_size)?;
        let out_channels = weight[0];
        ConvConfig {
            in_channels: weight[1].saturating_mul(geometry.groups),
            out_channels,
            bias: bias.is_some(),
            geometry: *geometry,
        }
        .validate(module)?;
        check_bias(module, bias, out_channels)
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        self.weights.weight.tensor()
    }

    /// The bias, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.weights.bias()
    }

    /// Weight and bias as training sees them.
    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The same convolution with another weight and bias, such as rounded ones.
    pub(crate) fn run(
        &self,
        module: &'static str,
        x: &Var,
        weight: &Var,
        bias: Option<&Var>,
    ) -> Result<Var> {
        check_rank::<D>(module, x.shape())?;
        Ok(qgrad::ops::conv(x, weight, bias, &self.geometry.spec()?)?)
    }

    /// Kernel, stride, padding, dilation and groups.
    pub fn geometry(&self) -> &ConvGeometry<D> {
        &self.geometry
    }
}

impl<const D: usize> Node for Conv<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let shape = self.weight().shape();
        let bias = if self.bias().is_some() {
            ""
        } else {
            ", bias=false"
        };
        format!(
            "{}, {}, {}{bias}",
            shape[1] * self.geometry.groups,
            shape[0],
            self.geometry.repr()
        )
    }

    fn state(&self) -> State {
        self.weights.state()
    }

    fn config(&self) -> State {
        self.geometry.save(State::default())
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.weights.load(Self::KIND, state)
    }

    fn set_training(&mut self, training: bool) {
        self.weights.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        self.weights.each(visit);
    }
}

impl<const D: usize> Module for Conv<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let (weight, bias) = (self.weights.weight.var(), self.weights.bias_var());
        Ok(self.run(Self::KIND, x, weight, bias)?.into())
    }
}

/// Refuses a weight of another rank or kernel; its first two dimensions count channels in either order.
pub(crate) fn check_kernel(
    module: &'static str,
    key: &str,
    weight: &[usize],
    kernel: &[usize],
) -> Result<()> {
    if weight.len() == kernel.len() + 2 && weight[2..] == *kernel {
        return Ok(());
    }
    let channels = [0, 1].map(|dim: usize| weight.get(dim).copied().unwrap_or(0));
    Err(Error::StateShape {
        module,
        key: key.into(),
        expected: [&channels, kernel].concat(),
        actual: weight.to_vec(),
    })
}

/// Refuses a bias that does not have one element for each of so many outputs.
pub(crate) fn check_bias(
    module: &'static str,
    bias: Option<&Tensor>,
    outputs: usize,
) -> Result<()> {
    match bias {
        Some(bias) if bias.shape() != [outputs] => Err(Error::StateShape {
            module,
            key: "bias".into(),
            expected: vec![outputs],
            actual: bias.shape().to_vec(),
        }),
        _ => Ok(()),
    }
}

/// Refuses inputs that are not `(N, C, D spatial dimensions)`.
pub(crate) fn check_rank<const D: usize>(module: &'static str, shape: &[usize]) -> Result<()> {
    if shape.len() == D + 2 {
        return Ok(());
    }
    Err(qtensor_core::Error::Rank {
        operation: module,
        expected: format!("{} (batch, channels, {D} spatial)", D + 2),
        actual: shape.len(),
        shape: shape.to_vec(),
    }
    .into())
}
