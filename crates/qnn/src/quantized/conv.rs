//! Int8 convolutions and transposed convolutions.

use qobserve::ObserverFactory;
use qops::quantized::{Activation, OutQParams};
use qtensor_core::{QTensor, Tensor};

use crate::config::{ConvGeometry, ConvTransposeGeometry};
use crate::error::Result;
use crate::geometry::{Geometry, PackedWeight};
use crate::module::{Module, Node};
use crate::quantized::{QParams, quantize_weight, same_shape};
use crate::reference::{Reference, Referenced};
use crate::state::{Entry, State};
use crate::value::Value;

/// [`Conv`] and [`ConvTranspose`], which differ in their geometry.
pub struct Convolution<G: Geometry> {
    packed: G::Packed,
    geometry: G,
    output: QParams,
}

/// `y = requantize((x − z_x) ∗ W + b)` over `D` spatial dimensions, u8 × i8 with exact i32 sums.
///
/// The output's qparams are the module's, the bias is rounded to the grid `s_x · s_w[c]`.
pub type Conv<const D: usize> = Convolution<ConvGeometry<D>>;
/// An int8 convolution over `(N, C, L)`.
pub type Conv1d = Conv<1>;
/// An int8 convolution over `(N, C, H, W)`.
pub type Conv2d = Conv<2>;
/// An int8 convolution over `(N, C, D, H, W)`.
pub type Conv3d = Conv<3>;

/// [`float::ConvTranspose`](crate::ConvTranspose) on integers, u8 × i8 with exact i32 sums and one rounding.
///
/// The weight has its output channels first, `[out, in / groups, kernel…]`, so that each of them has its own scale if the
/// observer is per channel, with groups too. (PyTorch's weights of this layer are per tensor.) The output's qparams are the
/// module's, the bias is rounded to the grid `s_x · s_w[o]`.
pub type ConvTranspose<const D: usize> = Convolution<ConvTransposeGeometry<D>>;
/// An int8 transposed convolution over `(N, C, L)`.
pub type ConvTranspose1d = ConvTranspose<1>;
/// An int8 transposed convolution over `(N, C, H, W)`.
pub type ConvTranspose2d = ConvTranspose<2>;
/// An int8 transposed convolution over `(N, C, D, H, W)`.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<G: Geometry> Convolution<G> {
    const KIND: &'static str = G::QUANTIZED;

    /// The counterpart of a float module: its weight quantized with a fresh observer, which sees the output channels along
    /// axis 0, its output with calibrated qparams.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing.
    pub fn from_float(
        conv: &G::Float,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<Convolution<G>> {
        let quantized = quantize_weight(Self::KIND, &conv.weight_by_channel()?, weight)?;
        Convolution::from_parts(quantized, conv.bias_of().cloned(), G::of(conv), output)
    }

    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn from_reference(module: &Reference<G::Float>, output: QParams) -> Result<Convolution<G>> {
        let (weight, bias) = (module.quantized_weight().clone(), module.bias().cloned());
        Convolution::from_parts(weight, bias, G::of(module.float()), output)
    }

    /// A module with given integers `[out, in / groups, kernel…]`.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(
        weight: QTensor,
        bias: Option<Tensor>,
        geometry: G,
        output: QParams,
    ) -> Result<Convolution<G>> {
        Ok(Convolution {
            packed: geometry.pack(Self::KIND, &weight, bias.as_ref())?,
            geometry,
            output,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Convolution<G>> {
        let weight = state.take_qtensor(Self::KIND, G::Float::WEIGHT)?;
        let bias = state.take_optional(Self::KIND, "bias")?;
        let geometry = G::restored(Self::KIND, state, weight.shape())?;
        Convolution::from_parts(weight, bias, geometry, QParams::load(Self::KIND, state)?)
    }

    /// The quantized weight, `[out, in / groups, kernel…]`.
    pub fn weight(&self) -> &QTensor {
        self.packed.weight()
    }

    /// The bias, in float.
    pub fn bias(&self) -> Option<&Tensor> {
        self.packed.bias()
    }

    /// Other integers and another bias; geometry and qparams of the output stay.
    ///
    /// # Errors
    /// [`StateShape`](crate::Error::StateShape) for a weight of another shape, and those of
    /// [`from_parts`](Self::from_parts); the module is as before then.
    pub fn set_weight_bias(&mut self, weight: QTensor, bias: Option<Tensor>) -> Result<()> {
        same_shape(Self::KIND, self.weight(), &weight)?;
        *self = Convolution::from_parts(weight, bias, self.geometry, self.output)?;
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
        let x = self.checked(module, input.quantized(module)?)?;
        Ok(self.packed.run(x, self.output.out(), activation)?.into())
    }

    /// The input, if this module takes its rank and type.
    fn checked<'a>(&self, module: &'static str, x: &'a QTensor) -> Result<&'a QTensor> {
        G::check_rank(module, x.shape())?;
        self.output.check_input(module, x.dtype())?;
        Ok(x)
    }
}

impl<const D: usize> Conv<D> {
    /// As [`run`](Self::run), and adds that to `other`; `sum` says what becomes of it.
    pub(crate) fn run_add_assign(
        &self,
        x: &QTensor,
        activation: Activation,
        other: &mut QTensor,
        sum: (OutQParams, Activation),
    ) -> Result<()> {
        let (x, conv) = (
            self.checked(Self::KIND, x)?,
            (self.output.out(), activation),
        );
        Ok(self.packed.run_add_assign(x, conv, other, sum)?)
    }
}

impl<G: Geometry> Node for Convolution<G> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let [inputs, outputs] = self.geometry.channels(self.weight().shape());
        let (geometry, output) = (self.geometry.described(), self.output);
        format!("{inputs}, {outputs}, {geometry}, {output}")
    }

    fn state(&self) -> State {
        let weight = State::default().with(G::Float::WEIGHT, Entry::QTensor(self.weight().clone()));
        self.output.save(weight.with_tensor("bias", self.bias()))
    }

    fn config(&self) -> State {
        self.geometry.saved(self.weight().shape())
    }
}

impl<G: Geometry> Module for Convolution<G> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input, Activation::None)
    }
}
