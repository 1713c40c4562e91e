//! Dynamically quantized convolutions and transposed convolutions.

use qobserve::QConfig;
use qops::quantized::{Activation, DynamicQuant};
use qtensor_core::{QTensor, Tensor};

use super::{load_quant, quant_of, repr, save_quant};
use crate::config::{ConvGeometry, ConvTransposeGeometry};
use crate::error::{Error, Result};
use crate::geometry::{Geometry, PackedWeight};
use crate::module::{Module, Node};
use crate::quantized::quantize_weight;
use crate::reference::Referenced;
use crate::state::{Entry, State};
use crate::value::Value;

/// [`Conv`] and [`ConvTranspose`], which differ in their geometry.
pub struct Convolution<G: Geometry> {
    packed: G::Packed,
    geometry: G,
    quant: DynamicQuant,
}

/// `y = f32((q_x − z) ∗ q_w) · (s · s_w[c]) + b[c]` over `D` spatial dimensions, where the scale `s` and the zero point
/// `z` of each image come from its own least and greatest element.
///
/// Float in, float out: results are the numbers that the exact sums stand for. (PyTorch's dynamic convolutions round
/// them to the 8-bit grid of the input.)
///
/// # Errors
/// Its `forward` refuses another rank or number of channels, NaN and infinities.
///
/// ```
/// use qnn::{Conv2d, Module, dynamic};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let float = Conv2d::config(3, 8, 3).padding(1).build()?;
/// let int8 = dynamic::Conv2d::from_float(&float, &QConfig::dynamic())?;
/// assert_eq!(int8.forward(&Tensor::ones(&[2, 3, 5, 5])?.into())?.shape(), [2, 8, 5, 5]);
/// # Ok::<(), qnn::Error>(())
/// ```
pub type Conv<const D: usize> = Convolution<ConvGeometry<D>>;
/// A dynamically quantized convolution over `(N, C, L)`.
pub type Conv1d = Conv<1>;
/// A dynamically quantized convolution over `(N, C, H, W)`.
pub type Conv2d = Conv<2>;
/// A dynamically quantized convolution over `(N, C, D, H, W)`.
pub type Conv3d = Conv<3>;

/// [`float::ConvTranspose`](crate::ConvTranspose) on integers whose scale and zero point come from the least and the greatest
/// element of each image; float in, float out, as [`Conv`].
///
/// # Errors
/// Its `forward` refuses another rank or number of channels, NaN and infinities.
///
/// ```
/// use qnn::{ConvTranspose2d, Module, dynamic};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let float = ConvTranspose2d::config(3, 8, 4).stride(2).padding(1).build()?;
/// let int8 = dynamic::ConvTranspose2d::from_float(&float, &QConfig::dynamic())?;
/// assert_eq!(int8.forward(&Tensor::ones(&[2, 3, 5, 5])?.into())?.shape(), [2, 8, 10, 10]);
/// # Ok::<(), qnn::Error>(())
/// ```
pub type ConvTranspose<const D: usize> = Convolution<ConvTransposeGeometry<D>>;
/// A dynamically quantized transposed convolution over `(N, C, L)`.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A dynamically quantized transposed convolution over `(N, C, H, W)`.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A dynamically quantized transposed convolution over `(N, C, D, H, W)`.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<G: Geometry> Convolution<G> {
    const KIND: &'static str = G::DYNAMIC;

    /// The counterpart of a float module; the observer of its weight sees the output channels along axis 0.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing; [`Error::Config`] if `qconfig` is not for dynamic int8.
    pub fn from_float(conv: &G::Float, qconfig: &QConfig) -> Result<Convolution<G>> {
        let quant = quant_of(Self::KIND, qconfig)?;
        if qconfig.is_float16() {
            return Err(Error::Config {
                module: Self::KIND,
                what: "convolutions have int8 weights; 16-bit floats are for linear layers".into(),
            });
        }
        let weight = quantize_weight(Self::KIND, &conv.weight_by_channel()?, &qconfig.weight)?;
        Convolution::from_parts(weight, conv.bias_of().cloned(), G::of(conv), quant)
    }

    /// A module with given integers `[out, in / groups, kernel…]`.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(
        weight: QTensor,
        bias: Option<Tensor>,
        geometry: G,
        quant: DynamicQuant,
    ) -> Result<Convolution<G>> {
        Ok(Convolution {
            packed: geometry.pack(Self::KIND, &weight, bias.as_ref())?,
            geometry,
            quant,
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
        Convolution::from_parts(weight, bias, geometry, load_quant(Self::KIND, state)?)
    }

    /// The quantized weight, `[out, in / groups, kernel…]`.
    pub fn weight(&self) -> &QTensor {
        self.packed.weight()
    }

    /// The bias.
    pub fn bias(&self) -> Option<&Tensor> {
        self.packed.bias()
    }

    /// Runs with a fused activation; the intrinsic modules share it.
    pub(crate) fn run(
        &self,
        module: &'static str,
        input: &Value,
        activation: Activation,
    ) -> Result<Value> {
        let x = input.float(module)?.tensor();
        G::check_rank(module, x.shape())?;
        Ok(self.packed.run_dynamic(x, self.quant, activation)?.into())
    }
}

impl<G: Geometry> Node for Convolution<G> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let [inputs, outputs] = self.geometry.channels(self.weight().shape());
        let (geometry, quant) = (self.geometry.described(), repr(self.quant));
        format!("{inputs}, {outputs}, {geometry}, {quant}")
    }

    fn state(&self) -> State {
        let weight = State::default().with(G::Float::WEIGHT, Entry::QTensor(self.weight().clone()));
        save_quant(self.quant, weight.with_tensor("bias", self.bias()))
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
