//! Transposed convolutions with rounded weights.

use qgrad::{Var, ops};
use qobserve::ObserverFactory;

use super::weight::{WeightFakeQuant, through_both};
use crate::error::Result;
use crate::float;
use crate::float::conv::by_dims;
use crate::intrinsic::Rectified;
use crate::module::{Module, Node};
use crate::quantized::{self, QParams};
use crate::value::Value;

/// [`float::ConvTranspose`] with its weight rounded as conversion will round it.
///
/// The fake-quant sees the weight with its output channels first, `[out, in / groups, kernel…]`, so that one per channel has
/// a scale for each of them. (PyTorch has no such module.)
///
/// ```
/// use qnn::{ConvTranspose2d, Module, qat};
/// use qobserve::QConfig;
/// use qtensor_core::Tensor;
///
/// let up = ConvTranspose2d::config(3, 8, 2).stride(2).build()?;
/// let qat = qat::ConvTranspose2d::from_float(&up, &QConfig::x86_qat().weight);
/// assert_eq!(qat.forward(&Tensor::zeros(&[1, 3, 5, 5])?.into())?.shape(), [1, 8, 10, 10]);
/// assert_eq!(qat.to_float().weight(), up.weight());
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvTranspose<const D: usize> {
    conv: float::ConvTranspose<D>,
    weight_fake_quant: WeightFakeQuant,
}

/// A transposed convolution over `(N, C, L)` with rounded weights.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A transposed convolution over `(N, C, H, W)` with rounded weights.
pub type ConvTranspose2d = ConvTranspose<2>;
/// A transposed convolution over `(N, C, D, H, W)` with rounded weights.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const D: usize> ConvTranspose<D> {
    const KIND: &'static str = by_dims::<D>([
        "QatConvTranspose1d",
        "QatConvTranspose2d",
        "QatConvTranspose3d",
    ]);

    /// The counterpart of a float module, with the parameters of that; `weight` makes its fake-quant.
    pub fn from_float(
        conv: &float::ConvTranspose<D>,
        weight: &ObserverFactory,
    ) -> ConvTranspose<D> {
        ConvTranspose {
            conv: conv.clone(),
            weight_fake_quant: WeightFakeQuant::new(weight),
        }
    }

    /// The float module, with unrounded weights.
    pub fn to_float(&self) -> float::ConvTranspose<D> {
        self.conv.clone()
    }

    /// The fake-quant of the weight.
    pub fn weight_fake_quant(&self) -> &WeightFakeQuant {
        &self.weight_fake_quant
    }

    /// The int8 module, with the integers that training saw.
    ///
    /// # Errors
    /// Those of [`WeightFakeQuant::quantize`] and of packing.
    pub fn to_quantized(&self, output: QParams) -> Result<quantized::ConvTranspose<D>> {
        let weight = self.conv.weight_by_channel()?;
        let weight = self.weight_fake_quant.quantize(Self::KIND, &weight)?;
        let (bias, geometry) = (self.conv.bias().cloned(), *self.conv.geometry());
        quantized::ConvTranspose::from_parts(weight, bias, geometry, output)
    }
}

/// [`by_output_channel`](qops::quantized::by_output_channel) with a gradient.
fn swapped(weight: &Var, groups: usize) -> Result<Var> {
    let shape = weight.shape().to_vec();
    let taps: usize = shape[2..].iter().product();
    let grouped = ops::reshape(weight, &[groups, shape[0] / groups, shape[1], taps])?;
    let mut to = vec![shape[1] * groups, shape[0] / groups];
    to.extend(&shape[2..]);
    Ok(ops::reshape(&ops::permute(&grouped, &[0, 2, 1, 3])?, &to)?)
}

impl<const D: usize> Node for ConvTranspose<D> {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    through_both!(conv);
}

impl<const D: usize> Module for ConvTranspose<D> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.float(Self::KIND)?;
        let (weights, groups) = (self.conv.weights(), self.conv.geometry().conv.groups);
        let by_channel = swapped(weights.weight.var(), groups)?;
        let rounded = self.weight_fake_quant.forward(&by_channel)?;
        let weight = swapped(&rounded, groups)?;
        let y = self.conv.run(Self::KIND, x, &weight, weights.bias_var())?;
        Ok(y.into())
    }
}

impl<const D: usize> Rectified for ConvTranspose<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "QatConvTransposeReLU1d",
        "QatConvTransposeReLU2d",
        "QatConvTransposeReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "QatConvTransposeReLU6_1d",
        "QatConvTransposeReLU6_2d",
        "QatConvTransposeReLU6_3d",
    ]);
}
