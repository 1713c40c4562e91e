//! Convolution and batch norm, trained together with the weight rounded as after folding.

use qgrad::ops;
use qobserve::ObserverFactory;

use super::{along, scale_factor};
use crate::error::Result;
use crate::float;
use crate::float::conv::by_dims;
use crate::intrinsic::{self, Rectified};
use crate::module::{Module, Node};
use crate::qat::{WeightFakeQuant, through_both};
use crate::quantized::{self, QParams};
use crate::value::Value;

/// `y = BN(x ∗ fq(W · f) / f + b)` with `f = γ / √(running var + eps)` for each output channel.
///
/// The weight is rounded as it will be when the batch norm is folded into it, while the batch norm still learns from the
/// batch. In evaluation, and while statistics are frozen, this is the folded convolution. With `γ = 0` outputs and
/// gradients stay finite.
///
/// ```
/// use qnn::intrinsic::{self, qat};
/// use qnn::{BatchNorm2d, Conv2d, Module, Node};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let fused = intrinsic::ConvBn2d::new(Conv2d::config(1, 4, 3).build()?, BatchNorm2d::new(4)?)?;
/// let mut qat = qat::ConvBn2d::from_float(&fused, &QConfig::x86_qat().weight);
/// qat.set_training(true);
/// assert_eq!(qat.forward(&Tensor::ones(&[2, 1, 5, 5])?.into())?.shape(), [2, 4, 3, 3]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvBn<const D: usize> {
    fused: intrinsic::ConvBn<D>,
    weight_fake_quant: WeightFakeQuant,
}

/// A convolution over `(N, C, L)` and a trained batch norm.
pub type ConvBn1d = ConvBn<1>;
/// A convolution over `(N, C, H, W)` and a trained batch norm.
pub type ConvBn2d = ConvBn<2>;
/// A convolution over `(N, C, D, H, W)` and a trained batch norm.
pub type ConvBn3d = ConvBn<3>;

impl<const D: usize> ConvBn<D> {
    const KIND: &'static str = by_dims::<D>(["QatConvBn1d", "QatConvBn2d", "QatConvBn3d"]);

    /// The counterpart of a convolution with its batch norm, with the parameters of both.
    pub fn from_float(fused: &intrinsic::ConvBn<D>, weight: &ObserverFactory) -> ConvBn<D> {
        ConvBn {
            fused: fused.clone(),
            weight_fake_quant: WeightFakeQuant::new(weight),
        }
    }

    /// One float convolution, the batch norm folded with its running statistics.
    ///
    /// # Errors
    /// Those of [`folded`](intrinsic::ConvBn::folded).
    pub fn to_float(&self) -> Result<float::Conv<D>> {
        self.fused.folded()
    }

    /// The convolution and the batch norm.
    pub fn fused(&self) -> &intrinsic::ConvBn<D> {
        &self.fused
    }

    /// The fake-quant of the scaled weight.
    pub fn weight_fake_quant(&self) -> &WeightFakeQuant {
        &self.weight_fake_quant
    }

    /// The int8 convolution, with the integers that training saw.
    ///
    /// # Errors
    /// Those of [`WeightFakeQuant::quantize`] and of packing.
    pub fn to_quantized(&self, output: QParams) -> Result<quantized::Conv<D>> {
        let conv = self.to_float()?;
        let weight = self.weight_fake_quant.quantize(Self::KIND, conv.weight())?;
        quantized::Conv::from_parts(weight, conv.bias().cloned(), *conv.geometry(), output)
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

impl<const D: usize> Node for ConvBn<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    through_both!(fused);
}

impl<const D: usize> Module for ConvBn<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let (conv, bn) = (&self.fused.conv, &self.fused.bn);
        let weights = conv.weights();
        let factor = scale_factor(bn)?;
        let scaled = ops::mul(weights.weight.var(), &along(&factor, 0, D + 2)?)?;
        let weight = self.weight_fake_quant.forward(&scaled)?;
        let y = conv.run(Self::KIND, x, &weight, None)?;
        let mut y = ops::div(&y, &along(&factor, 1, D + 2)?)?;
        if let Some(bias) = weights.bias_var() {
            y = ops::add(&y, &along(bias, 1, D + 2)?)?;
        }
        bn.forward(&y.into())
    }
}

impl<const D: usize> Rectified for ConvBn<D> {
    const WITH_RELU: &'static str =
        by_dims::<D>(["QatConvBnReLU1d", "QatConvBnReLU2d", "QatConvBnReLU3d"]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "QatConvBnReLU6_1d",
        "QatConvBnReLU6_2d",
        "QatConvBnReLU6_3d",
    ]);
}
