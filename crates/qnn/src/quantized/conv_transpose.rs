//! Int8 transposed convolutions.

use qobserve::ObserverFactory;
use qops::quantized::{Activation, PackedConvTranspose};
use qtensor_core::{QTensor, Tensor};

use crate::config::ConvTransposeGeometry;
use crate::error::Result;
use crate::float;
use crate::float::conv::{by_dims, check_rank};
use crate::float::conv_transpose::check_by_channel;
use crate::module::{Module, Node};
use crate::quantized::{QParams, quantize_weight, same_shape};
use crate::reference;
use crate::state::{Entry, State};
use crate::value::Value;

/// The entry of the weight, whose order is another than that of the float module's `weight`.
pub(crate) const WEIGHT: &str = "weight_by_channel";

/// [`float::ConvTranspose`] on integers, u8 × i8 with exact i32 sums and one rounding.
///
/// The weight has its output channels first, `[out, in / groups, kernel…]`, so that each of them has its own scale if the
/// observer is per channel, with groups too. (PyTorch's weights of this layer are per tensor.) The output's qparams are the
/// module's, the bias is rounded to the grid `s_x · s_w[o]`.
pub struct ConvTranspose<const D: usize> {
    packed: PackedConvTranspose,
    geometry: ConvTransposeGeometry<D>,
    output: QParams,
}

/// An int8 transposed convolution over `(N, C, L)`.
pub type ConvTranspose1d = ConvTranspose<1>;
/// An int8 transposed convolution over `(N, C, H, W)`.
pub type ConvTranspose2d = ConvTranspose<2>;
/// An int8 transposed convolution over `(N, C, D, H, W)`.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const D: usize> ConvTranspose<D> {
    const KIND: &'static str = by_dims::<D>([
        "QuantizedConvTranspose1d",
        "QuantizedConvTranspose2d",
        "QuantizedConvTranspose3d",
    ]);

    /// The counterpart of a float module: its weight quantized with a fresh observer, which sees the output channels along
    /// axis 0, its output with calibrated qparams.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing.
    pub fn from_float(
        conv: &float::ConvTranspose<D>,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<ConvTranspose<D>> {
        let quantized = quantize_weight(Self::KIND, &conv.weight_by_channel()?, weight)?;
        ConvTranspose::from_parts(quantized, conv.bias().cloned(), *conv.geometry(), output)
    }

    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn from_reference(
        module: &reference::ConvTranspose<D>,
        output: QParams,
    ) -> Result<ConvTranspose<D>> {
        let (weight, bias) = (module.quantized_weight().clone(), module.bias().cloned());
        ConvTranspose::from_parts(weight, bias, *module.float().geometry(), output)
    }

    /// A module with given integers `[out, in / groups, kernel…]`.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(
        weight: QTensor,
        bias: Option<Tensor>,
        geometry: ConvTransposeGeometry<D>,
        output: QParams,
    ) -> Result<ConvTranspose<D>> {
        check_by_channel(Self::KIND, weight.shape(), bias.as_ref(), &geometry)?;
        let spec = geometry.spec()?;
        Ok(ConvTranspose {
            packed: PackedConvTranspose::by_channel(&weight, bias.as_ref(), &spec)?,
            geometry,
            output,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<ConvTranspose<D>> {
        let weight = state.take_qtensor(Self::KIND, WEIGHT)?;
        let bias = state.take_optional(Self::KIND, "bias")?;
        let geometry = ConvTransposeGeometry::load(Self::KIND, state, weight.shape())?;
        ConvTranspose::from_parts(weight, bias, geometry, QParams::load(Self::KIND, state)?)
    }

    /// The quantized weight, `[out, in / groups, kernel…]`.
    pub fn weight(&self) -> &QTensor {
        self.packed.weight()
    }

    /// The bias, in float.
    pub fn bias(&self) -> Option<&Tensor> {
        self.packed.bias()
    }

    /// Other integers `[out, in / groups, kernel…]` and another bias; geometry and qparams of the output stay.
    ///
    /// # Errors
    /// [`StateShape`](crate::Error::StateShape) for a weight of another shape, and those of
    /// [`from_parts`](Self::from_parts); the module is as before then.
    pub fn set_weight_bias(&mut self, weight: QTensor, bias: Option<Tensor>) -> Result<()> {
        same_shape(Self::KIND, self.weight(), &weight)?;
        *self = ConvTranspose::from_parts(weight, bias, self.geometry, self.output)?;
        Ok(())
    }

    /// The qparams of the output.
    pub fn output(&self) -> QParams {
        self.output
    }

    /// Runs with a fused activation; the intrinsic modules share it.
    pub(crate) fn run(
        &self,
        module: &'static str,
        input: &Value,
        activation: Activation,
    ) -> Result<Value> {
        let x = input.quantized(module)?;
        check_rank::<D>(module, x.shape())?;
        self.output.check_input(module, x.dtype())?;
        Ok(self.packed.run(x, self.output.out(), activation)?.into())
    }

    /// Input and output channels.
    fn channels(&self) -> [usize; 2] {
        let shape = self.weight().shape();
        [shape[1] * self.geometry.conv.groups, shape[0]]
    }
}

impl<const D: usize> Node for ConvTranspose<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let [inputs, outputs] = self.channels();
        let (geometry, output) = (self.geometry.repr(), self.output);
        format!("{inputs}, {outputs}, {geometry}, {output}")
    }

    fn state(&self) -> State {
        let weight = State::default().with(WEIGHT, Entry::QTensor(self.weight().clone()));
        self.output.save(weight.with_tensor("bias", self.bias()))
    }

    fn config(&self) -> State {
        self.geometry.save(State::default(), self.channels())
    }
}

impl<const D: usize> Module for ConvTranspose<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input, Activation::None)
    }
}
