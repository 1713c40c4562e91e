//! Convolutions with rounded weights.

use qobserve::ObserverFactory;

use super::weight::{WeightFakeQuant, through_both};
use crate::error::Result;
use crate::float;
use crate::float::conv::by_dims;
use crate::intrinsic::Rectified;
use crate::module::{Module, Node};
use crate::quantized::{self, QParams};
use crate::value::Value;

/// `y = x ∗ fq(W) + b`, the weight rounded as conversion will round it.
///
/// ```
/// use qnn::{Conv2d, Module, qat};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let conv = Conv2d::config(3, 8, 3).build()?;
/// let qat = qat::Conv2d::from_float(&conv, &QConfig::x86_qat().weight);
/// assert_eq!(qat.forward(&Tensor::zeros(&[1, 3, 5, 5])?.into())?.shape(), [1, 8, 3, 3]);
/// assert_eq!(qat.to_float().weight(), conv.weight());
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv<const D: usize> {
    conv: float::Conv<D>,
    weight_fake_quant: WeightFakeQuant,
}

/// A convolution over `(N, C, L)` with rounded weights.
pub type Conv1d = Conv<1>;
/// A convolution over `(N, C, H, W)` with rounded weights.
pub type Conv2d = Conv<2>;
/// A convolution over `(N, C, D, H, W)` with rounded weights.
pub type Conv3d = Conv<3>;

impl<const D: usize> Conv<D> {
    const KIND: &'static str = by_dims::<D>(["QatConv1d", "QatConv2d", "QatConv3d"]);

    /// The counterpart of a float convolution, with the parameters of that; `weight` makes its fake-quant.
    pub fn from_float(conv: &float::Conv<D>, weight: &ObserverFactory) -> Conv<D> {
        Conv {
            conv: conv.clone(),
            weight_fake_quant: WeightFakeQuant::new(weight),
        }
    }

    /// The float convolution, with unrounded weights.
    pub fn to_float(&self) -> float::Conv<D> {
        self.conv.clone()
    }

    /// The fake-quant of the weight.
    pub fn weight_fake_quant(&self) -> &WeightFakeQuant {
        &self.weight_fake_quant
    }

    /// The int8 convolution, with the integers that training saw.
    ///
    /// # Errors
    /// Those of [`WeightFakeQuant::quantize`] and of packing.
    pub fn to_quantized(&self, output: QParams) -> Result<quantized::Conv<D>> {
        let weight = self
            .weight_fake_quant
            .quantize(Self::KIND, self.conv.weight())?;
        let bias = self.conv.bias().cloned();
        quantized::Conv::from_parts(weight, bias, *self.conv.geometry(), output)
    }
}

impl<const D: usize> Node for Conv<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    through_both!(conv);
}

impl<const D: usize> Module for Conv<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let weights = self.conv.weights();
        let weight = self.weight_fake_quant.forward(weights.weight.var())?;
        let y = self.conv.run(Self::KIND, x, &weight, weights.bias_var())?;
        Ok(y.into())
    }
}

impl<const D: usize> Rectified for Conv<D> {
    const WITH_RELU: &'static str =
        by_dims::<D>(["QatConvReLU1d", "QatConvReLU2d", "QatConvReLU3d"]);
    const WITH_RELU6: &'static str =
        by_dims::<D>(["QatConvReLU6_1d", "QatConvReLU6_2d", "QatConvReLU6_3d"]);
}
