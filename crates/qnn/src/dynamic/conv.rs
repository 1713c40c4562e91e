//! Dynamically quantized convolutions.

use qobserve::QConfig;
use qops::quantized::{Activation, DynamicQuant, PackedConv};
use qtensor_core::{QTensor, Tensor};

use super::{load_quant, quant_of, repr, save_quant};
use crate::config::ConvGeometry;
use crate::error::{Error, Result};
use crate::float;
use crate::float::conv::{by_dims, check_rank};
use crate::module::{Module, Node};
use crate::quantized::quantize_weight;
use crate::state::{Entry, State};
use crate::value::Value;

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
pub struct Conv<const D: usize> {
    packed: PackedConv,
    geometry: ConvGeometry<D>,
    quant: DynamicQuant,
}

/// A dynamically quantized convolution over `(N, C, L)`.
pub type Conv1d = Conv<1>;
/// A dynamically quantized convolution over `(N, C, H, W)`.
pub type Conv2d = Conv<2>;
/// A dynamically quantized convolution over `(N, C, D, H, W)`.
pub type Conv3d = Conv<3>;

impl<const D: usize> Conv<D> {
    const KIND: &'static str = by_dims::<D>([
        "DynamicQuantizedConv1d",
        "DynamicQuantizedConv2d",
        "DynamicQuantizedConv3d",
    ]);

    /// The counterpart of a float convolution.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing; [`Error::Config`] if `qconfig` is not for dynamic int8.
    pub fn from_float(conv: &float::Conv<D>, qconfig: &QConfig) -> Result<Conv<D>> {
        let quant = quant_of(Self::KIND, qconfig)?;
        if qconfig.is_float16() {
            return Err(Error::Config {
                module: Self::KIND,
                what: "convolutions have int8 weights; 16-bit floats are for linear layers".into(),
            });
        }
        let weight = quantize_weight(Self::KIND, conv.weight(), &qconfig.weight)?;
        Conv::from_parts(weight, conv.bias().cloned(), *conv.geometry(), quant)
    }

    /// A module with given integers.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(
        weight: QTensor,
        bias: Option<Tensor>,
        geometry: ConvGeometry<D>,
        quant: DynamicQuant,
    ) -> Result<Conv<D>> {
        float::Conv::check_parts(weight.shape(), bias.as_ref(), &geometry)?;
        Ok(Conv {
            packed: PackedConv::new(&weight, bias.as_ref(), &geometry.spec()?)?,
            geometry,
            quant,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Conv<D>> {
        let weight = state.take_qtensor(Self::KIND, "weight")?;
        let bias = state.take_optional(Self::KIND, "bias")?;
        let geometry = ConvGeometry::load(Self::KIND, state, weight.shape())?;
        Conv::from_parts(weight, bias, geometry, load_quant(Self::KIND, state)?)
    }

    /// The quantized weight.
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
}

impl<const D: usize> Node for Conv<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let shape = self.weight().shape();
        let channels = shape[1] * self.geometry.groups;
        let (geometry, quant) = (self.geometry.repr(), repr(self.quant));
        format!("{channels}, {}, {geometry}, {quant}", shape[0])
    }

    fn state(&self) -> State {
        let weight = Entry::QTensor(self.weight().clone());
        let state = State::default().with("weight", weight);
        save_quant(self.quant, state.with_tensor("bias", self.bias()))
    }

    fn config(&self) -> State {
        self.geometry.save(State::default())
    }
}

impl<const D: usize> Module for Conv<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input, Activation::None)
    }
}
