//! The int8 fully connected layer.

use qobserve::ObserverFactory;
use qops::quantized::{Activation, OutQParams, PackedLinear};
use qtensor_core::{QTensor, Tensor};

use crate::error::Result;
use crate::float;
use crate::module::{Module, Node};
use crate::quantized::{QParams, quantize_weight, same_shape};
use crate::reference;
use crate::state::{Entry, State};
use crate::value::Value;

/// `y = requantize((x − z_x) Wᵀ + b)`, u8 × i8 with exact i32 sums.
pub struct Linear {
    packed: PackedLinear,
    output: QParams,
}

impl Linear {
    const KIND: &'static str = "QuantizedLinear";

    /// The counterpart of a float layer: its weight quantized with a fresh observer, its output with
    /// calibrated qparams.
    ///
    /// # Errors
    /// Those of [`quantize_weight`] and of packing.
    pub fn from_float(
        linear: &float::Linear,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<Linear> {
        let quantized = quantize_weight(Self::KIND, linear.weight(), weight)?;
        Linear::from_parts(quantized, linear.bias().cloned(), output)
    }

    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn from_reference(module: &reference::Linear, output: QParams) -> Result<Linear> {
        let weight = module.quantized_weight().clone();
        Linear::from_parts(weight, module.bias().cloned(), output)
    }

    /// A module with given integers.
    ///
    /// # Errors
    /// Those of packing: a weight that is not qint8 with zero points 0, shapes that do not fit.
    pub fn from_parts(weight: QTensor, bias: Option<Tensor>, output: QParams) -> Result<Linear> {
        Ok(Linear {
            packed: PackedLinear::new(&weight, bias.as_ref())?,
            output,
        })
    }

    /// Restores a module that [`state`](Node::state) described.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<Linear> {
        let weight = state.take_qtensor(Self::KIND, "weight")?;
        let bias = if state.contains("bias") {
            Some(state.take_tensor(Self::KIND, "bias")?)
        } else {
            None
        };
        Linear::from_parts(weight, bias, QParams::load(Self::KIND, state)?)
    }

    /// The quantized weight.
    pub fn weight(&self) -> &QTensor {
        self.packed.weight()
    }

    /// The bias, in float.
    pub fn bias(&self) -> Option<&Tensor> {
        self.packed.bias()
    }

    /// Other integers and another bias; the qparams of the output stay.
    ///
    /// # Errors
    /// [`StateShape`](crate::Error::StateShape) for a weight of another shape, and those of
    /// [`from_parts`](Self::from_parts); the layer is as before then.
    pub fn set_weight_bias(&mut self, weight: QTensor, bias: Option<Tensor>) -> Result<()> {
        same_shape(Self::KIND, self.weight(), &weight)?;
        *self = Linear::from_parts(weight, bias, self.output)?;
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
        let (packed, x, out) = self.parts_for(module, input)?;
        Ok(packed.run(x, out, activation)?.into())
    }

    /// What a run takes: the weights, the checked input and the qparams of the output.
    pub(crate) fn parts_for<'a>(
        &'a self,
        module: &'static str,
        input: &'a Value,
    ) -> Result<(&'a PackedLinear, &'a QTensor, OutQParams)> {
        let x = input.quantized(module)?;
        self.output.check_input(module, x.dtype())?;
        Ok((&self.packed, x, self.output.out()))
    }
}

impl Node for Linear {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        let shape = self.weight().shape();
        format!(
            "in_features={}, out_features={}, {}",
            shape[1], shape[0], self.output
        )
    }

    fn state(&self) -> State {
        let weight = State::default().with("weight", Entry::QTensor(self.weight().clone()));
        self.output.save(weight.with_tensor("bias", self.bias()))
    }
}

impl Module for Linear {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.run(Self::KIND, input, Activation::None)
    }
}
