//! Int8 residual additions within the convolution before them.

use qobserve::ObserverFactory;
use qops::quantized::Activation;

use crate::error::Result;
use crate::float;
use crate::intrinsic::conv_add::{self, kind};
use crate::module::{Module, Node};
use crate::quantized::{Conv, QParams};
use crate::state::State;
use crate::value::Value;

/// `requantize(conv(x) + other)`, clamped at real zero with `RELU`; the input is the pair `(x, other)`.
///
/// The convolution's results are rounded to integers of their own, as those of [`Conv`] and of an addition behind it are, and leave
/// the processor as sums: the integers are the same, and memory is passed once. (oneDNN, on which PyTorch's module runs, adds
/// before any rounding, and has no integers between.)
///
/// # Errors
/// `forward` refuses float values, those of another type than the output's, and shapes that do not go together.
pub struct ConvAdd<const D: usize, const RELU: bool = false> {
    conv: Conv<D>,
    output: QParams,
}

/// An int8 convolution over `(N, C, L)` and an addition.
pub type ConvAdd1d = ConvAdd<1>;
/// An int8 convolution over `(N, C, H, W)` and an addition.
pub type ConvAdd2d = ConvAdd<2>;
/// An int8 convolution over `(N, C, D, H, W)` and an addition.
pub type ConvAdd3d = ConvAdd<3>;
/// An int8 convolution over `(N, C, L)`, an addition and a ReLU.
pub type ConvAddReLU1d = ConvAdd<1, true>;
/// An int8 convolution over `(N, C, H, W)`, an addition and a ReLU.
pub type ConvAddReLU2d = ConvAdd<2, true>;
/// An int8 convolution over `(N, C, D, H, W)`, an addition and a ReLU.
pub type ConvAddReLU3d = ConvAdd<3, true>;

/// The name of the convolution in files.
const CONV: &str = "conv";

impl<const D: usize, const RELU: bool> ConvAdd<D, RELU> {
    const KIND: &'static str = kind::<D, RELU>()[1];

    /// The addition, with these qparams of the sum, behind a convolution that has those of its results.
    pub fn new(conv: Conv<D>, output: QParams) -> ConvAdd<D, RELU> {
        ConvAdd { conv, output }
    }

    /// The counterpart of a float convolution and an addition: `inner` is for the results of the convolution, `output` for the
    /// sums.
    ///
    /// # Errors
    /// Those of [`Conv::from_float`].
    pub fn from_float(
        conv: &float::Conv<D>,
        weight: &ObserverFactory,
        inner: QParams,
        output: QParams,
    ) -> Result<ConvAdd<D, RELU>> {
        Ok(ConvAdd::new(Conv::from_float(conv, weight, inner)?, output))
    }

    /// The counterpart of a calibrated or trained module.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the place that was not prepared or calibrated; those of quantizing the weight.
    pub fn from_observed(module: &conv_add::ConvAdd<D, RELU>) -> Result<ConvAdd<D, RELU>> {
        let (conv, output) = module.observed()?;
        Ok(ConvAdd::new(conv, output))
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<ConvAdd<D, RELU>> {
        let conv = state.take_below(CONV, Conv::from_state)?;
        Ok(ConvAdd::new(conv, QParams::load(Self::KIND, state)?))
    }

    /// The convolution.
    pub fn conv(&self) -> &Conv<D> {
        &self.conv
    }

    /// The qparams of the sum.
    pub fn output(&self) -> QParams {
        self.output
    }
}

impl<const D: usize, const RELU: bool> Node for ConvAdd<D, RELU> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("{}, sum: {}", self.conv.extra_repr(), self.output)
    }

    fn state(&self) -> State {
        let conv = State::default().with_below(CONV, &self.conv.state());
        self.output.save(conv)
    }

    fn config(&self) -> State {
        State::default().with_below(CONV, &self.conv.config())
    }
}

impl<const D: usize, const RELU: bool> Module for ConvAdd<D, RELU> {
    type Input = (Value, Value);
    type Output = Value;

    fn forward(&self, (x, other): &(Value, Value)) -> Result<Value> {
        let (x, other) = (x.quantized(Self::KIND)?, other.quantized(Self::KIND)?);
        for value in [x, other] {
            self.output.check_input(Self::KIND, value.dtype())?;
        }
        let activation = match RELU {
            false => Activation::None,
            true => Activation::Relu,
        };
        let sum = (self.output.out(), activation);
        let mut other = other.clone();
        (self.conv).run_add_assign(x, Activation::None, &mut other, sum)?;
        Ok(other.into())
    }
}
