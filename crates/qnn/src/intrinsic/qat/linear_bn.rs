//! Linear layer and batch norm, trained together with the weight rounded as after folding.

use qgrad::ops;
use qobserve::ObserverFactory;

use super::{along, scale_factor};
use crate::error::Result;
use crate::float;
use crate::intrinsic::{self, Rectified};
use crate::module::{Module, Node};
use crate::qat::{WeightFakeQuant, through_both};
use crate::quantized::{self, QParams};
use crate::value::Value;

/// `y = BN(x · fq(W · f)ᵀ / f + b)` with `f = γ / √(running var + eps)` for each output feature, for values `(N, C)`.
///
/// See [`ConvBn`](super::ConvBn), which does the same for convolutions.
#[derive(Clone, Debug)]
pub struct LinearBn1d {
    fused: intrinsic::LinearBn1d,
    weight_fake_quant: WeightFakeQuant,
}

impl LinearBn1d {
    const KIND: &'static str = "QatLinearBn1d";

    /// The counterpart of a linear layer with its batch norm, with the parameters of both.
    pub fn from_float(fused: &intrinsic::LinearBn1d, weight: &ObserverFactory) -> LinearBn1d {
        LinearBn1d {
            fused: fused.clone(),
            weight_fake_quant: WeightFakeQuant::new(weight),
        }
    }

    /// One float layer, the batch norm folded with its running statistics.
    ///
    /// # Errors
    /// Those of [`folded`](intrinsic::LinearBn1d::folded).
    pub fn to_float(&self) -> Result<float::Linear> {
        self.fused.folded()
    }

    /// The linear layer and the batch norm.
    pub fn fused(&self) -> &intrinsic::LinearBn1d {
        &self.fused
    }

    /// The fake-quant of the scaled weight.
    pub fn weight_fake_quant(&self) -> &WeightFakeQuant {
        &self.weight_fake_quant
    }

    /// The int8 layer, with the integers that training saw.
    ///
    /// # Errors
    /// Those of [`WeightFakeQuant::quantize`] and of packing.
    pub fn to_quantized(&self, output: QParams) -> Result<quantized::Linear> {
        let linear = self.to_float()?;
        let weight = self
            .weight_fake_quant
            .quantize(Self::KIND, linear.weight())?;
        quantized::Linear::from_parts(weight, linear.bias().cloned(), output)
    }

    /// Normalizes with the running statistics and keeps them.
    pub fn freeze_bn_stats(&mut self) {
        self.fused.bn.set_bn_frozen(true);
    }

    /// Forgets the running statistics of the batch norm: mean 0, variance 1.
    ///
    /// # Errors
    /// None: the shapes are the module's own.
    pub fn reset_running_stats(&mut self) -> Result<()> {
        self.fused.bn.reset_running_stats()
    }

    /// [`reset_running_stats`](Self::reset_running_stats), and γ = 1, β = 0.
    ///
    /// # Errors
    /// None: the shapes are the module's own.
    pub fn reset_bn_parameters(&mut self) -> Result<()> {
        self.fused.bn.reset_parameters()
    }

    /// Takes [`freeze_bn_stats`](Self::freeze_bn_stats) back.
    pub fn update_bn_stats(&mut self) {
        self.fused.bn.set_bn_frozen(false);
    }
}

impl Node for LinearBn1d {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    through_both!(fused);
}

impl Module for LinearBn1d {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let weights = self.fused.linear.weights();
        let factor = scale_factor(&self.fused.bn)?;
        let scaled = ops::mul(weights.weight.var(), &along(&factor, 0, 2)?)?;
        let weight = self.weight_fake_quant.forward(&scaled)?;
        let y = ops::linear(x, &weight, None)?;
        let mut y = ops::div(&y, &factor)?;
        if let Some(bias) = weights.bias_var() {
            y = ops::add(&y, bias)?;
        }
        self.fused.bn.forward(&y.into())
    }
}

impl Rectified for LinearBn1d {
    const WITH_RELU: &'static str = "QatLinearBnReLU1d";
    const WITH_RELU6: &'static str = "QatLinearBnReLU6_1d";
}
