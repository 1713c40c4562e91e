//! The linear layer with rounded weights.

use qobserve::{ObserverFactory, QConfig};

use super::weight::{WeightFakeQuant, through_both};
use crate::dynamic::{self, quant_of};
use crate::error::Result;
use crate::float;
use crate::intrinsic::Rectified;
use crate::module::{Module, Node};
use crate::quantized::{self, QParams};
use crate::value::Value;

/// `y = x · fq(W)ᵀ + b`, the weight rounded as conversion will round it.
#[derive(Clone, Debug)]
pub struct Linear {
    linear: float::Linear,
    weight_fake_quant: WeightFakeQuant,
}

impl Linear {
    const KIND: &'static str = "QatLinear";

    /// The counterpart of a float layer, with the parameters of that; `weight` makes its fake-quant.
    pub fn from_float(linear: &float::Linear, weight: &ObserverFactory) -> Linear {
        Linear {
            linear: linear.clone(),
            weight_fake_quant: WeightFakeQuant::new(weight),
        }
    }

    /// The float layer, with unrounded weights.
    pub fn to_float(&self) -> float::Linear {
        self.linear.clone()
    }

    /// The fake-quant of the weight.
    pub fn weight_fake_quant(&self) -> &WeightFakeQuant {
        &self.weight_fake_quant
    }

    /// The int8 layer, with the integers that training saw.
    ///
    /// # Errors
    /// Those of [`WeightFakeQuant::quantize`] and of packing.
    pub fn to_quantized(&self, output: QParams) -> Result<quantized::Linear> {
        let weight = self
            .weight_fake_quant
            .quantize(Self::KIND, self.linear.weight())?;
        quantized::Linear::from_parts(weight, self.linear.bias().cloned(), output)
    }

    /// The layer that quantizes its input in every call, with the weight's integers that training saw.
    ///
    /// # Errors
    /// Those of [`WeightFakeQuant::quantize`] and of packing, and a configuration that is not dynamic.
    #[doc(alias = "qat.dynamic.Linear")]
    pub fn to_dynamic(&self, qconfig: &QConfig) -> Result<dynamic::Linear> {
        let quant = quant_of(Self::KIND, qconfig)?;
        let weight = self
            .weight_fake_quant
            .quantize(Self::KIND, self.linear.weight())?;
        dynamic::Linear::from_parts(weight, self.linear.bias().cloned(), quant)
    }
}

impl Node for Linear {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    through_both!(linear);
}

impl Module for Linear {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let weights = self.linear.weights();
        let weight = self.weight_fake_quant.forward(weights.weight.var())?;
        Ok(qgrad::ops::linear(x, &weight, weights.bias_var())?.into())
    }
}

impl Rectified for Linear {
    const WITH_RELU: &'static str = "QatLinearReLU";
    const WITH_RELU6: &'static str = "QatLinearReLU6";
}
