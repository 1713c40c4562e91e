//! Dynamically quantized transposed convolutions.

use qobserve::QConfig;
use qops::quantized::{Activation, DynamicQuant, PackedConvTranspose};
use qtensor_core::{QTensor, Tensor};

use super::{load_quant, quant_of, repr, save_quant};
use crate::config::ConvTransposeGeometry;
use crate::error::{Error, Result};
use crate::float;
use crate::float::conv::{by_dims, check_rank};
use crate::float::conv_transpose::check_by_channel;
use crate::module::{Module, Node};
use crate::quantized::{TRANSPOSED_WEIGHT, quantize_weight};
use crate::state::{Entry, State};
use crate::value::Value;

/// [`float::ConvTranspose`] on integers whose scale and zero point come from the least and the greatest element of each
/// image; float in, float out, as [`Conv`](super::Conv).
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
pub struct ConvTranspose<const D: usize> {
    packed: PackedConvTranspose,
    geometry: ConvTransposeGeometry<D>,
    quant: DynamicQuant,
}

/// A dynamically quantized transposed convolution over `(N, C, L)`.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A dynamically quantized transposed convolution over `(N, C, H, W)`.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A dynamically quantized transposed convolution over `(N, C, D, H, W)`.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const D: usize> ConvTranspose<D> {
    const KIND: &'static str = by_dims::<D>([
        "DynamicQuantizedConvTranspose1d",
        "DynamicQuantizedConvTranspose2d",
        "DynamicQuantizedConvTranspose3d",
    ]);

    /// The counterpart of a float module; the observer of its weight sees the output channels along axis 0.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing; [`Error::Config`] if `qconfig` is not for dynamic int8.
    pub fn from_float(
        conv: &float::ConvTranspose<D>,
        qconfig: &QConfig,
    ) -> Result<ConvTranspose<D>> {
        let quant = quant_of(Self::KIND, qconfig)?;
        if qconfig.is_float16() {
            return Err(Error::Config {
                module: Self::KIND,
                what: "convolutions have int8 weights; 16-bit floats are for linear layers".into(),
            });
        }
        let weight = conv.weight_by_channel()?;
        let weight = quantize_weight(Self::KIND, &weight, &qconfig.weight)?;
        ConvTranspose::from_parts(weight, conv.bias().cloned(), *conv.geometry(), quant)
    }

    /// A module with given integers `[out, in / groups, kernel…]`.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(
        weight: QTensor,
        bias: Option<Tensor>,
        geometry: ConvTransposeGeometry<D>,
        quant: DynamicQuant,
    ) -> Result<ConvTranspose<D>> {
        check_by_channel(Self::KIND, weight.shape(), bias.as_ref(), &geometry)?;
        let spec = geometry.spec()?;
        Ok(ConvTranspose {
            packed: PackedConvTranspose::by_channel(&weight, bias.as_ref(), &spec)?,
            geometry,
            quant,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<ConvTranspose<D>> {
        let weight = state.take_qtensor(Self::KIND, TRANSPOSED_WEIGHT)?;
        let bias = state.take_optional(Self::KIND, "bias")?;
        let geometry = ConvTransposeGeometry::load(Self::KIND, state, weight.shape())?;
        ConvTranspose::from_parts(weight, bias, geometry, load_quant(Self::KIND, state)?)
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
        check_rank::<D>(module, x.shape())?;
        Ok(self.packed.run_dynamic(x, self.quant, activation)?.into())
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
        let (geometry, quant) = (self.geometry.repr(), repr(self.quant));
        format!("{inputs}, {outputs}, {geometry}, {quant}")
    }

    fn state(&self) -> State {
        let weight = Entry::QTensor(self.weight().clone());
        let state = State::default().with(TRANSPOSED_WEIGHT, weight);
        save_quant(self.quant, state.with_tensor("bias", self.bias()))
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
