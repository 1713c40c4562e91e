//! Float transposed convolutions over 1, 2 or 3 spatial dimensions.

use qgrad::Var;
use qops::ConvTransposeSpec;
use qops::quantized::by_output_channel;
use qtensor_core::Tensor;

use super::conv::{by_dims, check_bias, check_kernel, check_rank};
use crate::config::{ConvTransposeConfig, ConvTransposeGeometry, Sizes};
use crate::error::Result;
use crate::init;
use crate::module::{Module, Node};
use crate::parameter::Weights;
use crate::state::State;
use crate::value::Value;

/// The entry of an int8 weight, whose order is another than that of the float module's `weight`.
pub(crate) const WEIGHT_BY_CHANNEL: &str = "weight_by_channel";

/// The adjoint of a convolution over `D` spatial dimensions, plus a bias: each input is multiplied with the whole kernel, and
/// the products are added where they fall.
///
/// Shapes: input `(N, C_in, spatial…)`, weight `(C_in, C_out / groups, kernel…)`, output `(N, C_out, spatial…)` with
/// `(n − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1` elements along a dimension of `n`.
///
/// ```
/// use qnn::{ConvTranspose2d, Module};
/// use qtensor_core::Tensor;
///
/// let up = ConvTranspose2d::config(8, 3, 3).stride(2).padding(1).output_padding(1).build()?;
/// let x = Tensor::zeros(&[1, 8, 5, 5])?.into();
/// assert_eq!(up.forward(&x)?.shape(), [1, 3, 10, 10]);
/// assert_eq!(up.forward_sized(&x, [9, 10])?.shape(), [1, 3, 9, 10]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvTranspose<const D: usize> {
    weights: Weights,
    geometry: ConvTransposeGeometry<D>,
}

/// A transposed convolution over `(N, C, L)`.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A transposed convolution over `(N, C, H, W)`.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A transposed convolution over `(N, C, D, H, W)`.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const D: usize> ConvTranspose<D> {
    const KIND: &'static str =
        by_dims::<D>(["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]);

    /// The start of a configuration; end it with [`ConvTransposeConfig::build`].
    pub fn config(
        in_channels: usize,
        out_channels: usize,
        kernel_size: impl Into<Sizes<D>>,
    ) -> ConvTransposeConfig<D> {
        ConvTransposeConfig::new(in_channels, out_channels, kernel_size)
    }

    /// A transposed convolution with drawn parameters.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) for sizes that contradict each other.
    pub fn new(config: ConvTransposeConfig<D>) -> Result<ConvTranspose<D>> {
        config.validate(Self::KIND)?;
        // PyTorch takes the product of the second dimension and the kernel for the fan-in here too.
        let outputs = config.bias.then_some(config.out_channels);
        let (weight, bias) = init::weight_and_bias(&config.weight_shape(), outputs)?;
        ConvTranspose::from_parts(weight, bias, config.geometry)
    }

    /// A transposed convolution with given parameters, the weight `(C_in, C_out / groups, kernel…)`.
    ///
    /// # Errors
    /// [`Config`](crate::Error::Config) or [`StateShape`](crate::Error::StateShape) if weight, bias and geometry contradict each other.
    pub fn from_parts(
        weight: Tensor,
        bias: Option<Tensor>,
        geometry: ConvTransposeGeometry<D>,
    ) -> Result<ConvTranspose<D>> {
        let first = |dim: usize| weight.shape().get(dim).copied().unwrap_or(0);
        let channels = [first(0), first(1).saturating_mul(geometry.conv.groups)];
        let kernel = &geometry.conv.kernel_size;
        check_kernel(Self::KIND, "weight", weight.shape(), kernel)?;
        check_channels(Self::KIND, channels, bias.as_ref(), &geometry)?;
        Ok(ConvTranspose {
            weights: Weights::new(weight, bias),
            geometry,
        })
    }

    /// The weight.
    pub fn weight(&self) -> &Tensor {
        self.weights.weight.tensor()
    }

    /// The weight with its output channels first, `(C_out, C_in / groups, kernel…)`, as it is quantized.
    ///
    /// # Errors
    /// None for weights that the constructor took.
    pub fn weight_by_channel(&self) -> Result<Tensor> {
        Ok(by_output_channel(self.weight(), self.geometry.conv.groups)?)
    }

    /// The bias, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.weights.bias()
    }

    /// Channels of the input.
    pub fn in_channels(&self) -> usize {
        self.weight().shape()[0]
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.weight().shape()[1] * self.geometry.conv.groups
    }

    /// Kernel, stride, paddings, dilation and groups.
    pub fn geometry(&self) -> &ConvTransposeGeometry<D> {
        &self.geometry
    }

    /// As [`forward`](Module::forward), for an output of the given spatial size, which the output padding of the geometry
    /// does not matter for.
    ///
    /// # Errors
    /// As `forward`, and a size that no output padding below the stride gives.
    #[doc(alias = "output_size")]
    pub fn forward_sized(&self, input: &Value, output_size: [usize; D]) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        check_rank::<D>(Self::KIND, x.shape())?;
        let axes = |sizes: &[usize]| {
            let mut axes = [1; 3];
            axes[3 - D..].copy_from_slice(sizes);
            axes
        };
        let spec = self.geometry.spec()?.with_output_size(
            axes(&x.shape()[2..]),
            axes(&self.geometry.conv.kernel_size),
            &output_size,
        )?;
        let (weight, bias) = (self.weights.weight.var(), self.weights.bias_var());
        Ok(qgrad::ops::conv_transpose(x, weight, bias, &spec)?.into())
    }

    /// Weight and bias as training sees them.
    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The same layer with another weight and bias, such as rounded ones.
    pub(crate) fn run(
        &self,
        module: &'static str,
        x: &Var,
        weight: &Var,
        bias: Option<&Var>,
    ) -> Result<Var> {
        check_rank::<D>(module, x.shape())?;
        let spec: ConvTransposeSpec = self.geometry.spec()?;
        Ok(qgrad::ops::conv_transpose(x, weight, bias, &spec)?)
    }
}

/// Refuses numbers of input and output channels, a bias and a geometry that contradict each other.
pub(crate) fn check_channels<const D: usize>(
    module: &'static str,
    [in_channels, out_channels]: [usize; 2],
    bias: Option<&Tensor>,
    geometry: &ConvTransposeGeometry<D>,
) -> Result<()> {
    let config = ConvTransposeConfig {
        in_channels,
        out_channels,
        bias: bias.is_some(),
        geometry: *geometry,
    };
    config.validate(module)?;
    check_bias(module, bias, out_channels)
}

/// As [`check_kernel`] and [`check_channels`], for an int8 weight `[out, in / groups, kernel…]`.
pub(crate) fn check_by_channel<const D: usize>(
    module: &'static str,
    weight: &[usize],
    bias: Option<&Tensor>,
    geometry: &ConvTransposeGeometry<D>,
) -> Result<()> {
    let kernel = &geometry.conv.kernel_size;
    check_kernel(module, WEIGHT_BY_CHANNEL, weight, kernel)?;
    let channels = [weight[1].saturating_mul(geometry.conv.groups), weight[0]];
    check_channels(module, channels, bias, geometry)
}

impl<const D: usize> Node for ConvTranspose<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let bias = if self.bias().is_some() {
            ""
        } else {
            ", bias=false"
        };
        let (inputs, outputs) = (self.in_channels(), self.out_channels());
        format!("{inputs}, {outputs}, {}{bias}", self.geometry.repr())
    }

    fn state(&self) -> State {
        self.weights.state()
    }

    fn config(&self) -> State {
        let channels = [self.in_channels(), self.out_channels()];
        self.geometry.save(State::default(), channels)
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

impl<const D: usize> Module for ConvTranspose<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let (weight, bias) = (self.weights.weight.var(), self.weights.bias_var());
        Ok(self.run(Self::KIND, x, weight, bias)?.into())
    }
}
