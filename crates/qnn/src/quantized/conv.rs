//! Int8 convolutions.

use qobserve::ObserverFactory;
use qops::quantized::{Activation, OutQParams, PackedConv};
use qtensor_core::{QTensor, Tensor};

use crate::config::ConvGeometry;
use crate::error::Result;
use crate::float;
use crate::float::conv::{by_dims, check_rank};
use crate::module::{Module, Node};
use crate::quantized::{QParams, quantize_weight, same_shape};
use crate::reference;
use crate::state::{Entry, State};
use crate::value::Value;

/// `y = requantize((x − z_x) ∗ W + b)` over `D` spatial dimensions, u8 × i8 with exact i32 sums.
///
/// The output's qparams are the module's, the bias is rounded to the grid `s_x · s_w[c]`.
pub struct Conv<const D: usize> {
    packed: PackedConv,
    geometry: ConvGeometry<D>,
    output: QParams,
}

/// An int8 convolution over `(N, C, L)`.
pub type Conv1d = Conv<1>;
/// An int8 convolution over `(N, C, H, W)`.
pub type Conv2d = Conv<2>;
/// An int8 convolution over `(N, C, D, H, W)`.
pub type Conv3d = Conv<3>;

impl<const D: usize> Conv<D> {
    const KIND: &'static str =
        by_dims::<D>(["QuantizedConv1d", "QuantizedConv2d", "QuantizedConv3d"]);

    /// The counterpart of a float convolution: its weight quantized with a fresh observer, its output with
    /// calibrated qparams.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing.
    pub fn from_float(
        conv: &float::Conv<D>,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<Conv<D>> {
        let quantized = quantize_weight(Self::KIND, conv.weight(), weight)?;
        Conv::from_parts(quantized, conv.bias().cloned(), *conv.geometry(), output)
    }

    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn from_reference(module: &reference::Conv<D>, output: QParams) -> Result<Conv<D>> {
        let (weight, bias) = (module.quantized_weight().clone(), module.bias().cloned());
        Conv::from_parts(weight, bias, *module.float().geometry(), output)
    }

    /// A module with given integers.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(
        weight: QTensor,
        bias: Option<Tensor>,
        geometry: ConvGeometry<D>,
        output: QParams,
    ) -> Result<Conv<D>> {
        float::Conv::check_parts(weight.shape(), bias.as_ref(), &geometry)?;
        Ok(Conv {
            packed: PackedConv::new(&weight, bias.as_ref(), &geometry.spec()?)?,
            geometry,
            output,
        })
    }

    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Conv<D>> {
        let weight = state.take_qtensor(Self::KIND, "weight")?;
        let bias = if state.contains("bias") {
            Some(state.take_tensor(Self::KIND, "bias")?)
        } else {
            None
        };
        let geometry = ConvGeometry::load(Self::KIND, state, weight.shape())?;
        Conv::from_parts(weight, bias, geometry, QParams::load(Self::KIND, state)?)
    }

    /// The quantized weight.
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
        *self = Conv::from_parts(weight, bias, self.geometry, self.output)?;
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

    /// As [`run`](Self::run), and adds `other`; `sum` says what becomes of that.
    pub(crate) fn run_add(
        &self,
        x: &QTensor,
        activation: Activation,
        other: &QTensor,
        sum: (OutQParams, Activation),
    ) -> Result<Value> {
        check_rank::<D>(Self::KIND, x.shape())?;
        self.output.check_input(Self::KIND, x.dtype())?;
        let conv = (self.output.out(), activation);
        Ok(self.packed.run_add(x, conv, other, sum)?.into())
    }
}

impl<const D: usize> Node for Conv<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let shape = self.weight().shape();
        let channels = shape[1] * self.geometry.groups;
        format!(
            "{channels}, {}, {}, {}",
            shape[0],
            self.geometry.repr(),
            self.output
        )
    }

    fn state(&self) -> State {
        let weight = State::default().with("weight", Entry::QTensor(self.weight().clone()));
        self.output.save(weight.with_tensor("bias", self.bias()))
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
