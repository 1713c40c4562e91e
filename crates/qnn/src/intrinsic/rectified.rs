//! What the kinds of fused modules are called.

use crate::dynamic;
use crate::float::conv::by_dims;
use crate::float::{BatchNorm, Conv, ConvTranspose, Linear};
use crate::module::Node;
use crate::quantized;

/// A module that can have a rectifier fused behind it, with the kinds of the fused modules.
pub trait Rectified: Node {
    /// The kind with a ReLU.
    const WITH_RELU: &'static str;
    /// The kind with a ReLU6.
    const WITH_RELU6: &'static str;
}

impl<const D: usize> Rectified for Conv<D> {
    const WITH_RELU: &'static str = by_dims::<D>(["ConvReLU1d", "ConvReLU2d", "ConvReLU3d"]);
    const WITH_RELU6: &'static str = by_dims::<D>(["ConvReLU6_1d", "ConvReLU6_2d", "ConvReLU6_3d"]);
}

impl<const D: usize> Rectified for BatchNorm<D> {
    const WITH_RELU: &'static str = by_dims::<D>(["BNReLU1d", "BNReLU2d", "BNReLU3d"]);
    const WITH_RELU6: &'static str = by_dims::<D>(["BNReLU6_1d", "BNReLU6_2d", "BNReLU6_3d"]);
}

impl Rectified for Linear {
    const WITH_RELU: &'static str = "LinearReLU";
    const WITH_RELU6: &'static str = "LinearReLU6";
}

impl<const D: usize> Rectified for quantized::Conv<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "QuantizedConvReLU1d",
        "QuantizedConvReLU2d",
        "QuantizedConvReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "QuantizedConvReLU6_1d",
        "QuantizedConvReLU6_2d",
        "QuantizedConvReLU6_3d",
    ]);
}

impl<const D: usize> Rectified for quantized::BatchNorm<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "QuantizedBNReLU1d",
        "QuantizedBNReLU2d",
        "QuantizedBNReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "QuantizedBNReLU6_1d",
        "QuantizedBNReLU6_2d",
        "QuantizedBNReLU6_3d",
    ]);
}

impl Rectified for quantized::Linear {
    const WITH_RELU: &'static str = "QuantizedLinearReLU";
    const WITH_RELU6: &'static str = "QuantizedLinearReLU6";
}

impl Rectified for dynamic::Linear {
    const WITH_RELU: &'static str = "DynamicQuantizedLinearReLU";
    const WITH_RELU6: &'static str = "DynamicQuantizedLinearReLU6";
}

impl<const D: usize> Rectified for dynamic::Conv<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "DynamicQuantizedConvReLU1d",
        "DynamicQuantizedConvReLU2d",
        "DynamicQuantizedConvReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "DynamicQuantizedConvReLU6_1d",
        "DynamicQuantizedConvReLU6_2d",
        "DynamicQuantizedConvReLU6_3d",
    ]);
}

impl<const D: usize> Rectified for ConvTranspose<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "ConvTransposeReLU1d",
        "ConvTransposeReLU2d",
        "ConvTransposeReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "ConvTransposeReLU6_1d",
        "ConvTransposeReLU6_2d",
        "ConvTransposeReLU6_3d",
    ]);
}

impl<const D: usize> Rectified for quantized::ConvTranspose<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "QuantizedConvTransposeReLU1d",
        "QuantizedConvTransposeReLU2d",
        "QuantizedConvTransposeReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "QuantizedConvTransposeReLU6_1d",
        "QuantizedConvTransposeReLU6_2d",
        "QuantizedConvTransposeReLU6_3d",
    ]);
}

impl<const D: usize> Rectified for dynamic::ConvTranspose<D> {
    const WITH_RELU: &'static str = by_dims::<D>([
        "DynamicQuantizedConvTransposeReLU1d",
        "DynamicQuantizedConvTransposeReLU2d",
        "DynamicQuantizedConvTransposeReLU3d",
    ]);
    const WITH_RELU6: &'static str = by_dims::<D>([
        "DynamicQuantizedConvTransposeReLU6_1d",
        "DynamicQuantizedConvTransposeReLU6_2d",
        "DynamicQuantizedConvTransposeReLU6_3d",
    ]);
}
