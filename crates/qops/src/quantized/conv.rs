//! Convolutions on integers, in one, two and three spatial dimensions.

use qkernels_x86::{Context, ConvShape, PackedWeights, Residual, conv_add};
use qtensor_core::affine::inverse_scale;
use qtensor_core::{DType, MemoryFormat, QTensor, Quantizer, Tensor};

use super::bytes::{Bytes, build};
use super::dynamic::DynamicQuant;
use super::elementwise;
use super::images::{by_images, check_rank, images, output_shape, weight_sizes};
use super::packed::Packed;
use super::params::{Activation, OutQParams, byte_zero_point};
use crate::error::Result;
use crate::spec::ConvSpec;

const OPERATION: &str = "conv";

/// A convolution's weights, packed for the kernels, with its stride, padding, dilation and groups.
///
/// The arithmetic is that of [`PackedLinear`](super::PackedLinear) over each window; padding
/// contributes real zeros, that is, input zero points. `Send + Sync`; cloning shares the weights.
///
/// ```
/// # use qops::{ConvSpec, quantized::{Activation, OutQParams, PackedConv, quantize}};
/// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
/// let weight = Tensor::from_vec(vec![0.25; 2 * 3 * 3 * 3], &[2, 3, 3, 3])?;
/// let weight = quantize_per_tensor(&weight, 0.0625, 0, DType::QInt8)?;
/// let spec = ConvSpec::new(&[2, 2], &[1, 1], &[1, 1], 1)?;
/// let conv = PackedConv::new(&weight, None, &spec)?;
///
/// let x = quantize(&Tensor::ones(&[1, 3, 8, 8])?, OutQParams::new(0.5, 10), DType::QUInt8)?;
/// let y = conv.run(&x, OutQParams::new(0.25, 0), Activation::Relu)?;
/// assert_eq!(y.shape(), [1, 2, 4, 4]);
/// assert_eq!(y.get(&[0, 1, 0, 0])?, 3.0); // 12 of the 27 taps lie inside
/// assert_eq!(y.get(&[0, 1, 1, 1])?, 6.75);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "conv2d_prepack")]
#[derive(Clone, Debug)]
pub struct PackedConv {
    packed: Packed,
    spec: ConvSpec,
    /// The geometry with the smallest input and an empty batch.
    shape: ConvShape,
    /// Spatial dimensions, 1 to 3.
    spatial: usize,
}

impl PackedConv {
    /// Packs `qint8` weights `[out, in / groups, kernel…]` (per tensor, or per channel along axis 0, zero
    /// points 0) and an `f32` bias `[out]`, for one to three kernel dimensions.
    ///
    /// # Errors
    /// [`Rank`](qtensor_core::Error::Rank), [`UnsupportedDType`](crate::Error::UnsupportedDType), [`WeightAxis`](crate::Error::WeightAxis),
    /// [`WeightZeroPoint`](crate::Error::WeightZeroPoint), [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) for the bias,
    /// [`Argument`](crate::Error::Argument) if it is not finite or if `spec` uses axes that the kernel lacks,
    /// [`Kernel`](crate::Error::Kernel) if groups do not divide the channels, a size is 0, or a sum has over 65 000 products.
    pub fn new(weight: &QTensor, bias: Option<&Tensor>, spec: &ConvSpec) -> Result<PackedConv> {
        let ([out_channels, group_channels], kernel) = weight_sizes("conv weight", weight.shape())?;
        let spatial = weight.rank() - 2;
        spec.validate()?;
        spec.check_spatial(spatial)?;
        let mut shape = ConvShape {
            batch: 0,
            in_channels: group_channels.saturating_mul(spec.groups),
            out_channels,
            groups: spec.groups,
            input: [1; 3],
            kernel,
            stride: spec.stride,
            padding: spec.padding,
            dilation: spec.dilation,
        };
        // The smallest input with an output; calls put their own in its place.
        shape.input = std::array::from_fn(|axis| {
            spec.dilation[axis]
                .saturating_mul(kernel[axis].saturating_sub(1))
                .saturating_add(1)
        });
        let packed = Packed::new(OPERATION, weight, bias, |ints| {
            PackedWeights::conv(ints, &shape)
        })?;
        Ok(PackedConv {
            packed,
            spec: *spec,
            shape,
            spatial,
        })
    }

    /// The convolution of `x`: `[batch, in, spatial…]` to `[batch, out, spatial…]` in channels-last memory.
    ///
    /// `x` is read in channels-last memory. A row-major one is transposed first, which reads and writes
    /// every byte once more: little beside a dense 3×3, as much as the work of a small depthwise
    /// convolution. Results of convolutions, pools and [`quantize`](super::quantize) need no transposition.
    ///
    /// # Errors
    /// [`Rank`](qtensor_core::Error::Rank) or [`Operands`](crate::Error::Operands) if `x` does not fit the weights;
    /// [`UnsupportedDType`](crate::Error::UnsupportedDType); [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) for a per-channel
    /// `x`; [`Kernel`](crate::Error::Kernel) if the window exceeds the padded input; bad `out` parameters;
    /// [`BiasTooLarge`](crate::Error::BiasTooLarge) and [`Multiplier`](crate::Error::Multiplier) for scales that do not go together.
    pub fn run(&self, x: &QTensor, out: OutQParams, activation: Activation) -> Result<QTensor> {
        let (shape, size) = self.check_shape(x.shape())?;
        let format = MemoryFormat::ChannelsLast;
        let bytes = Bytes::new(OPERATION, x, format)?;
        let prepared = self.packed.prepare(&bytes, out, activation)?;
        build(OPERATION, &size, format, bytes.dtype, out, |y| {
            if shape.batch > 0 {
                let (context, x) = (Context::new()?, bytes.slice(format));
                qkernels_x86::conv(&context, x, &shape, &prepared.weights, &prepared.requant, y)?;
            }
            Ok(())
        })
    }

    /// The convolution of `x`, rounded to the map `conv`, plus `other`: the integers of [`run`](Self::run) and of
    /// [`add`](super::add) or [`add_relu`](super::add_relu) after it.
    ///
    /// Where `other` has the shape of the result, results are added to while they are in registers or in a near
    /// cache; otherwise the two run one after the other, and shapes broadcast.
    ///
    /// # Errors
    /// Those of the two.
    ///
    /// ```
    /// # use qops::{ConvSpec, quantized::{Activation, OutQParams, PackedConv, add_relu, quantize}};
    /// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
    /// let weight = Tensor::from_vec(vec![0.25; 4], &[2, 2, 1, 1])?;
    /// let weight = quantize_per_tensor(&weight, 0.0625, 0, DType::QInt8)?;
    /// let conv = PackedConv::new(&weight, None, &ConvSpec::new(&[1, 1], &[0, 0], &[1, 1], 1)?)?;
    /// let (inner, out) = (OutQParams::new(0.5, 64), OutQParams::new(0.25, 0));
    /// let x = quantize(&Tensor::ones(&[1, 2, 3, 3])?, OutQParams::new(0.5, 10), DType::QUInt8)?;
    /// let (plain, relu) = (Activation::None, Activation::Relu);
    /// let sum = conv.run_add(&x, (inner, plain), &x, (out, relu))?;
    /// assert_eq!(sum.get(&[0, 0, 0, 0])?, 1.5);
    /// let after = add_relu(&conv.run(&x, inner, plain)?, &x, out)?;
    /// assert_eq!(sum.dequantize().to_vec(), after.dequantize().to_vec());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "conv2d_add")]
    #[doc(alias = "conv2d_add_relu")]
    pub fn run_add(
        &self,
        x: &QTensor,
        (conv, conv_activation): (OutQParams, Activation),
        other: &QTensor,
        (out, activation): (OutQParams, Activation),
    ) -> Result<QTensor> {
        let mut sum = other.clone();
        self.run_add_assign(x, (conv, conv_activation), &mut sum, (out, activation))?;
        Ok(sum)
    }

    /// As [`run_add`](Self::run_add), `other` becoming the sum.
    ///
    /// Sums take the place of what they are made of, byte by byte, if `other` is `quint8` in channels-last memory that no other
    /// tensor shares: a third less way through memory, and none to be found for the result.
    ///
    /// # Errors
    /// As [`run_add`](Self::run_add); `other` is as it was then.
    ///
    /// ```
    /// # use qops::{ConvSpec, quantized::{Activation, OutQParams, PackedConv, quantize}};
    /// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
    /// let weight = Tensor::from_vec(vec![0.5], &[1, 1, 1, 1])?;
    /// let weight = quantize_per_tensor(&weight, 0.0625, 0, DType::QInt8)?;
    /// let conv = PackedConv::new(&weight, None, &ConvSpec::new(&[1, 1], &[0, 0], &[1, 1], 1)?)?;
    /// let map = OutQParams::new(0.5, 10);
    /// let x = quantize(&Tensor::ones(&[1, 1, 3, 3])?, map, DType::QUInt8)?;
    /// let mut sum = quantize(&Tensor::full(&[1, 1, 3, 3], 2.0)?, map, DType::QUInt8)?;
    /// let plain = Activation::None;
    /// conv.run_add_assign(&x, (map, plain), &mut sum, (OutQParams::new(0.25, 0), plain))?;
    /// assert_eq!(sum.get(&[0, 0, 2, 2])?, 2.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "conv2d_add_")]
    #[doc(alias = "conv2d_add_relu_")]
    pub fn run_add_assign(
        &self,
        x: &QTensor,
        (conv, conv_activation): (OutQParams, Activation),
        other: &mut QTensor,
        (out, activation): (OutQParams, Activation),
    ) -> Result<()> {
        let (shape, size) = self.check_shape(x.shape())?;
        if other.dtype() != x.dtype() || other.shape() != size || shape.batch == 0 {
            let y = self.run(x, conv, conv_activation)?;
            *other = elementwise::sum("add", &y, other, out, activation)?;
            return Ok(());
        }
        let format = MemoryFormat::ChannelsLast;
        let bytes = Bytes::new(OPERATION, x, format)?;
        let dtype = bytes.dtype;
        out.validate("add", dtype)?;
        let prepared = self.packed.prepare(&bytes, conv, conv_activation)?;
        let (scale, zero_point) = other.per_tensor("add")?;
        let residual = Residual {
            other: None,
            other_params: (scale as f32, byte_zero_point(dtype, zero_point)),
            conv_scale: conv.scale as f32,
            inv_scale: inverse_scale(out.scale as f32),
            range: out.byte_range(dtype, activation),
        };
        let add = |other: Option<&[u8]>, y: &mut [u8]| -> Result<()> {
            let residual = Residual { other, ..residual };
            let (weights, requant) = (&prepared.weights, &prepared.requant);
            let (context, x) = (Context::new()?, bytes.slice(format));
            Ok(conv_add(
                &context, x, &shape, weights, requant, &residual, y,
            )?)
        };
        if dtype == DType::QUInt8
            && let Some(held) = other.dense_bytes_mut(format)
        {
            add(None, held)?;
            let map = Quantizer::PerTensor {
                scale: out.scale,
                zero_point: out.zero_point,
            };
            *other = QTensor::from_parts(other.int_repr().clone(), map)?;
            return Ok(());
        }
        let held = Bytes::new("add", other, format)?;
        *other = build("add", &size, format, dtype, out, |y| {
            add(Some(held.exact(format)), y)
        })?;
        Ok(())
    }

    /// The convolution of floats, which are quantized as they come: `[batch, in, spatial…]` to
    /// `[batch, out, spatial…]` in floats, in channels-last memory.
    ///
    /// The arithmetic is that of [`PackedLinear::run_dynamic`](super::PackedLinear::run_dynamic) over each window; a row,
    /// in the terms of [`DynamicQuant`], is an image. Results stay the floats that the sums stand for (PyTorch's
    /// dynamic convolutions round them to the input's 8-bit grid, which loses most of their accuracy).
    ///
    /// # Errors
    /// As [`run`](Self::run) for the shape; [`NotFinite`](crate::Error::NotFinite) for NaN or infinity in `x`.
    #[doc(alias = "conv2d_dynamic")]
    pub fn run_dynamic(
        &self,
        x: &Tensor,
        quant: DynamicQuant,
        activation: Activation,
    ) -> Result<Tensor> {
        let (shape, size) = self.check_shape(x.shape())?;
        let weights = self.packed.weights();
        by_images(
            OPERATION,
            x,
            &size,
            quant,
            activation,
            |context, batch, params, x, y| {
                let output = self.packed.float_output(params, activation.is_rectified());
                let part = ConvShape { batch, ..shape };
                Ok(qkernels_x86::conv_f32(
                    context, x, &part, weights, &output, y,
                )?)
            },
        )
    }

    /// The quantized weights, as given to [`new`](Self::new).
    pub fn weight(&self) -> &QTensor {
        self.packed.weight()
    }

    /// The bias, as given to [`new`](Self::new).
    pub fn bias(&self) -> Option<&Tensor> {
        self.packed.bias()
    }

    /// The geometry of a call and the output's shape for an input of shape `x`.
    fn check_shape(&self, x: &[usize]) -> Result<(ConvShape, Vec<usize>)> {
        let channels = "the number of input channels (weights: times groups)";
        let expected = (channels, self.shape.in_channels);
        let (batch, input) = images(OPERATION, x, self.weight().shape(), expected)?;
        let shape = ConvShape {
            batch,
            input,
            ..self.shape
        };
        shape.validate()?;
        let size = output_shape(batch, shape.out_channels, shape.output(), self.spatial);
        Ok((shape, size))
    }

    /// Stride, padding, dilation and groups.
    pub fn spec(&self) -> &ConvSpec {
        &self.spec
    }
}

/// [`PackedConv`] for a single call on `[batch, in, length]`.
///
/// # Errors
/// Those of [`PackedConv::new`] and [`PackedConv::run`]; [`Rank`](qtensor_core::Error::Rank) for other ranks.
pub fn conv1d(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvSpec,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    once("conv1d", 1, x, weight, bias, spec, (out, activation))
}

/// [`PackedConv`] for a single call on `[batch, in, height, width]`.
///
/// # Errors
/// As [`conv1d`].
pub fn conv2d(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvSpec,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    once("conv2d", 2, x, weight, bias, spec, (out, activation))
}

/// [`PackedConv`] for a single call on `[batch, in, depth, height, width]`.
///
/// # Errors
/// As [`conv1d`].
pub fn conv3d(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvSpec,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    once("conv3d", 3, x, weight, bias, spec, (out, activation))
}

fn once(
    operation: &'static str,
    spatial: usize,
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvSpec,
    (out, activation): (OutQParams, Activation),
) -> Result<QTensor> {
    check_rank(operation, weight, spatial)?;
    PackedConv::new(weight, bias, spec)?.run(x, out, activation)
}
