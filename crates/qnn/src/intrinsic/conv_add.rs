//! A convolution and an addition to its result: the end of a residual block in one module.

use crate::error::Result;
use crate::float::Conv;
use crate::float::conv::by_dims;
use crate::functional::FloatFunctional;
use crate::layer::Layer;
use crate::module::{Module, Node};
use crate::quantizable::{observed_conv, observed_functional};
use crate::quantized::{self, QParams};
use crate::value::Value;

/// `conv(x) + other`, or `max(conv(x) + other, 0)` with `RELU`; the input is the pair `(x, other)`.
///
/// Shapes are those of [`Conv`], and `other` has that of its result. Convolution and addition are places, `0` and `add`, because the
/// int8 form ([`quantized::ConvAdd`](super::quantized::ConvAdd)) has integers for the results of both: preparation watches them, and
/// conversion makes one module of the whole. Fold a batch norm into the convolution first ([`fold_conv`](super::fold_conv)).
///
/// ```
/// use qnn::intrinsic::{ConvAdd2d, ConvAddReLU2d};
/// use qnn::{Conv2d, Module, Value};
/// use qtensor_core::Tensor;
///
/// let geometry = *Conv2d::config(1, 1, 1).build()?.geometry();
/// let conv = || Conv2d::from_parts(Tensor::full(&[1, 1, 1, 1], -2.0)?, None, geometry);
/// let x = Value::from(Tensor::ones(&[1, 1, 2, 2])?);
/// let sum = ConvAdd2d::new(conv()?).forward(&(x.clone(), x.clone()))?;
/// assert_eq!(sum.to_tensor().to_vec(), [-1.0; 4]);
/// let sum = ConvAddReLU2d::new(conv()?).forward(&(x.clone(), x))?;
/// assert_eq!(sum.to_tensor().to_vec(), [0.0; 4]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Debug)]
pub struct ConvAdd<const D: usize, const RELU: bool = false> {
    conv: Layer<Conv<D>>,
    add: Layer<FloatFunctional>,
}

/// A convolution over `(N, C, L)` and an addition.
pub type ConvAdd1d = ConvAdd<1>;
/// A convolution over `(N, C, H, W)` and an addition.
pub type ConvAdd2d = ConvAdd<2>;
/// A convolution over `(N, C, D, H, W)` and an addition.
pub type ConvAdd3d = ConvAdd<3>;
/// A convolution over `(N, C, L)`, an addition and a ReLU.
pub type ConvAddReLU1d = ConvAdd<1, true>;
/// A convolution over `(N, C, H, W)`, an addition and a ReLU.
pub type ConvAddReLU2d = ConvAdd<2, true>;
/// A convolution over `(N, C, D, H, W)`, an addition and a ReLU.
pub type ConvAddReLU3d = ConvAdd<3, true>;

/// The kind in float, and behind `Quantized` in int8.
pub(super) const fn kind<const D: usize, const RELU: bool>() -> [&'static str; 2] {
    match RELU {
        false => [
            by_dims::<D>(["ConvAdd1d", "ConvAdd2d", "ConvAdd3d"]),
            by_dims::<D>([
                "QuantizedConvAdd1d",
                "QuantizedConvAdd2d",
                "QuantizedConvAdd3d",
            ]),
        ],
        true => [
            by_dims::<D>(["ConvAddReLU1d", "ConvAddReLU2d", "ConvAddReLU3d"]),
            by_dims::<D>([
                "QuantizedConvAddReLU1d",
                "QuantizedConvAddReLU2d",
                "QuantizedConvAddReLU3d",
            ]),
        ],
    }
}

impl<const D: usize, const RELU: bool> ConvAdd<D, RELU> {
    /// The addition to what `conv` gives.
    pub fn new(conv: Conv<D>) -> ConvAdd<D, RELU> {
        ConvAdd {
            conv: conv.into(),
            add: FloatFunctional.into(),
        }
    }

    /// The place of the convolution.
    pub fn conv(&self) -> &Layer<Conv<D>> {
        &self.conv
    }

    /// The place of the addition.
    pub fn functional(&self) -> &Layer<FloatFunctional> {
        &self.add
    }

    /// The int8 convolution, and the qparams of the sum.
    pub(super) fn observed(&self) -> Result<(quantized::Conv<D>, QParams)> {
        let sum = observed_functional(&self.add)?;
        Ok((observed_conv(&self.conv)?, sum.output()))
    }
}

impl<const D: usize, const RELU: bool> Node for ConvAdd<D, RELU> {
    fn kind(&self) -> &'static str {
        kind::<D, RELU>()[0]
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        visit("0", &self.conv);
        visit("add", &self.add);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        visit("0", &mut self.conv);
        visit("add", &mut self.add);
    }
}

impl<const D: usize, const RELU: bool> Module for ConvAdd<D, RELU> {
    type Input = (Value, Value);
    type Output = Value;

    fn forward(&self, (x, other): &(Value, Value)) -> Result<Value> {
        let other = other.clone();
        match RELU {
            false => self.add.add_after(&[&self.conv], x, other),
            true => self.add.add_relu_after(&[&self.conv], x, other),
        }
    }
}
