//! Linear layers and convolutions with a weight that integers stand for.

use qobserve::ObserverFactory;
use qops::quantized::by_output_channel;
use qtensor_core::{QTensor, Tensor};

use crate::config::{ConvGeometry, ConvTransposeGeometry};
use crate::error::{Error, Result};
use crate::float;
use crate::float::conv::by_dims;
use crate::float::conv_transpose::WEIGHT_BY_CHANNEL;
use crate::float::conv_transpose::check_by_channel;
use crate::intrinsic::Rectified;
use crate::module::{Module, Node};
use crate::quantized::quantize_weight;
use crate::state::{Entry, State};
use crate::value::Value;

/// A float module with one weight that can be quantized.
pub trait Referenced: Module<Input = Value, Output = Value> + Clone {
    /// The kind of its reference module.
    const REFERENCE: &'static str;
    /// The entry of the integers in files.
    const WEIGHT: &'static str;

    /// The weight with its output channels first, as it is quantized.
    ///
    /// # Errors
    /// None for a sound module.
    fn weight_by_channel(&self) -> Result<Tensor>;

    /// The bias, if there is one.
    fn bias_of(&self) -> Option<&Tensor>;

    /// The module with another weight, output channels first.
    ///
    /// # Errors
    /// A weight of another shape.
    fn with_weight(&self, by_channel: &Tensor) -> Result<Self>;

    /// The module of a weight, a bias and the [`config`](Node::config) in `state`.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    fn restore(by_channel: &Tensor, bias: Option<Tensor>, state: &mut State) -> Result<Self>;
}

/// The reference module of a float one: the same arithmetic, with a weight that integers stand for.
///
/// Gradients pass to the input; the weight is not trained.
///
/// ```
/// use qnn::quantized::QParams;
/// use qnn::{Linear, Module, quantized, reference};
/// use qobserve::QConfig;
/// use qtensor_core::{DType, Tensor};
///
/// let float = Linear::from_parts(Tensor::from_vec(vec![0.1, 1.27], &[1, 2])?, None)?;
/// let module = reference::Linear::from_float(&float, &QConfig::x86().weight)?;
/// assert_eq!(module.quantized_weight().int_repr().to_i32_vec(), [10, 127]);
/// let output = QParams { scale: 0.02, zero_point: 0, dtype: DType::QUInt8 };
/// let int8 = quantized::Linear::from_reference(&module, output)?;
/// assert_eq!(int8.weight(), module.quantized_weight());
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reference<M> {
    weight: QTensor,
    float: M,
}

/// A linear layer with a weight that integers stand for.
pub type Linear = Reference<float::Linear>;
/// A convolution with a weight that integers stand for.
pub type Conv<const D: usize> = Reference<float::Conv<D>>;
/// A convolution over `(N, C, L)` with a weight that integers stand for.
pub type Conv1d = Conv<1>;
/// A convolution over `(N, C, H, W)` with a weight that integers stand for.
pub type Conv2d = Conv<2>;
/// A convolution over `(N, C, D, H, W)` with a weight that integers stand for.
pub type Conv3d = Conv<3>;
/// A transposed convolution with a weight that integers stand for.
pub type ConvTranspose<const D: usize> = Reference<float::ConvTranspose<D>>;
/// A transposed convolution over `(N, C, L)` with a weight that integers stand for.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A transposed convolution over `(N, C, H, W)` with a weight that integers stand for.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A transposed convolution over `(N, C, D, H, W)` with a weight that integers stand for.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<M: Referenced> Reference<M> {
    /// The counterpart of a float module: its weight quantized with a fresh observer.
    ///
    /// # Errors
    /// Those of [`quantize_weight`].
    pub fn from_float(float: &M, weight: &ObserverFactory) -> Result<Reference<M>> {
        let weight = quantize_weight(M::REFERENCE, &float.weight_by_channel()?, weight)?;
        Reference::new(float, weight)
    }

    /// The counterpart of a float module with given integers, output channels first.
    ///
    /// # Errors
    /// [`Error::StateShape`] for integers of another shape than the weight.
    pub fn new(float: &M, weight: QTensor) -> Result<Reference<M>> {
        let own = float.weight_by_channel()?;
        if own.shape() != weight.shape() {
            return Err(Error::StateShape {
                module: M::REFERENCE,
                key: M::WEIGHT.into(),
                expected: own.shape().to_vec(),
                actual: weight.shape().to_vec(),
            });
        }
        let mut float = float.with_weight(&weight.dequantize())?;
        float.set_training(false);
        Ok(Reference { weight, float })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Reference<M>> {
        let weight = state.take_qtensor(M::REFERENCE, M::WEIGHT)?;
        let bias = state.take_optional(M::REFERENCE, "bias")?;
        let float = M::restore(&weight.dequantize(), bias, state)?;
        Ok(Reference { weight, float })
    }

    /// The integers of the weight, output channels first.
    #[doc(alias = "get_quantized_weight")]
    pub fn quantized_weight(&self) -> &QTensor {
        &self.weight
    }

    /// The float module that computes, with the weight that the integers stand for.
    #[doc(alias = "get_weight")]
    pub fn float(&self) -> &M {
        &self.float
    }

    /// The bias, if there is one.
    pub fn bias(&self) -> Option<&Tensor> {
        self.float.bias_of()
    }
}

impl<M: Referenced> Node for Reference<M> {
    fn kind(&self) -> &'static str {
        M::REFERENCE
    }

    fn extra_repr(&self) -> String {
        let qscheme = self.weight.qscheme();
        format!("{}, weight={qscheme:?}", self.float.extra_repr())
    }

    fn state(&self) -> State {
        State::default()
            .with(M::WEIGHT, Entry::QTensor(self.weight.clone()))
            .with_tensor("bias", self.bias())
    }

    fn config(&self) -> State {
        self.float.config()
    }
}

impl<M: Referenced> Module for Reference<M> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.float.forward(input)
    }
}

impl Referenced for float::Linear {
    const REFERENCE: &'static str = "ReferenceLinear";
    const WEIGHT: &'static str = "weight";

    fn weight_by_channel(&self) -> Result<Tensor> {
        Ok(self.weight().clone())
    }

    fn bias_of(&self) -> Option<&Tensor> {
        self.bias()
    }

    fn with_weight(&self, by_channel: &Tensor) -> Result<float::Linear> {
        float::Linear::from_parts(by_channel.clone(), self.bias().cloned())
    }

    fn restore(by_channel: &Tensor, bias: Option<Tensor>, _: &mut State) -> Result<float::Linear> {
        float::Linear::from_parts(by_channel.clone(), bias)
    }
}

impl<const D: usize> Referenced for float::Conv<D> {
    const REFERENCE: &'static str =
        by_dims::<D>(["ReferenceConv1d", "ReferenceConv2d", "ReferenceConv3d"]);
    const WEIGHT: &'static str = "weight";

    fn weight_by_channel(&self) -> Result<Tensor> {
        Ok(self.weight().clone())
    }

    fn bias_of(&self) -> Option<&Tensor> {
        self.bias()
    }

    fn with_weight(&self, by_channel: &Tensor) -> Result<float::Conv<D>> {
        float::Conv::from_parts(by_channel.clone(), self.bias().cloned(), *self.geometry())
    }

    fn restore(
        by_channel: &Tensor,
        bias: Option<Tensor>,
        state: &mut State,
    ) -> Result<float::Conv<D>> {
        let geometry = ConvGeometry::load(Self::REFERENCE, state, by_channel.shape())?;
        float::Conv::from_parts(by_channel.clone(), bias, geometry)
    }
}

impl<const D: usize> Referenced for float::ConvTranspose<D> {
    const REFERENCE: &'static str = by_dims::<D>([
        "ReferenceConvTranspose1d",
        "ReferenceConvTranspose2d",
        "ReferenceConvTranspose3d",
    ]);
    const WEIGHT: &'static str = WEIGHT_BY_CHANNEL;

    fn weight_by_channel(&self) -> Result<Tensor> {
        self.weight_by_channel()
    }

    fn bias_of(&self) -> Option<&Tensor> {
        self.bias()
    }

    fn with_weight(&self, by_channel: &Tensor) -> Result<float::ConvTranspose<D>> {
        let (bias, geometry) = (self.bias().cloned(), *self.geometry());
        let weight = by_output_channel(by_channel, geometry.conv.groups)?;
        float::ConvTranspose::from_parts(weight, bias, geometry)
    }

    fn restore(
        by_channel: &Tensor,
        bias: Option<Tensor>,
        state: &mut State,
    ) -> Result<float::ConvTranspose<D>> {
        let module = Self::REFERENCE;
        let geometry = ConvTransposeGeometry::load(module, state, by_channel.shape())?;
        check_by_channel(module, by_channel.shape(), bias.as_ref(), &geometry)?;
        let weight = by_output_channel(by_channel, geometry.conv.groups)?;
        float::ConvTranspose::from_parts(weight, bias, geometry)
    }
}

impl Rectified for Linear {
    const WITH_RELU: &'static str = "ReferenceLinearReLU";
    const WITH_RELU6: &'static str = "ReferenceLinearReLU6";
}

impl<const D: usize> Rectified for Conv<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "ReferenceConvReLU1d",
        "ReferenceConvReLU2d",
        "ReferenceConvReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "ReferenceConvReLU6_1d",
        "ReferenceConvReLU6_2d",
        "ReferenceConvReLU6_3d",
    ]);
}

impl<const D: usize> Rectified for ConvTranspose<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "ReferenceConvTransposeReLU1d",
        "ReferenceConvTransposeReLU2d",
        "ReferenceConvTransposeReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "ReferenceConvTransposeReLU6_1d",
        "ReferenceConvTransposeReLU6_2d",
        "ReferenceConvTransposeReLU6_3d",
    ]);
}
