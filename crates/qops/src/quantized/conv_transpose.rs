//! Transposed convolutions on integers, in one, two and three spatial dimensions.
//!
//! [`TransposedShape::parts`] says which ordinary convolutions one consists of; each is packed by itself.

use bytemuck::Pod;
use qkernels_x86::{
    Context, ConvShape, PackedWeights, TransposedPart, TransposedShape, conv_f32, linear_f32,
};
use qtensor_core::buffer::Buffer;
use qtensor_core::{IntTensor, MemoryFormat, QTensor, Quantizer, Tensor};

use super::bytes::{Bytes, build};
use super::dynamic::{DynamicQuant, SLACK};
use super::images::{by_images, check_rank, images, output_shape, weight_sizes};
use super::packed::Packed;
use super::params::{Activation, OutQParams};
use super::transposed_weight::by_output_channel_quantized;
use crate::error::{Error, Result};
use crate::spec::ConvTransposeSpec;

const OPERATION: &str = "conv_transpose";

/// A transposed convolution's weights, packed for the kernels, with its stride, paddings, dilation and groups.
///
/// The arithmetic is that of [`PackedConv`](super::PackedConv): exact sums of the products that meet in an output, the bias on
/// the integer grid `s_x · s_w[o]`, one rounding. Outputs that no product reaches are the bias. `Send + Sync`; cloning
/// shares the weights.
///
/// Weights are quantized per tensor or per output channel; with groups too, each output channel may have a scale of its own
/// ([`by_channel`](Self::by_channel)). (PyTorch takes per-tensor weights alone.)
///
/// ```
/// # use qops::{ConvTransposeSpec, quantized::{Activation, OutQParams, PackedConvTranspose, quantize}};
/// # use qtensor_core::{DType, Tensor, quantize_per_tensor};
/// let weight = Tensor::from_vec(vec![0.25; 3 * 2 * 4 * 4], &[3, 2, 4, 4])?;
/// let weight = quantize_per_tensor(&weight, 0.0625, 0, DType::QInt8)?;
/// let spec = ConvTransposeSpec::new(&[2, 2], &[1, 1], &[0, 0], &[1, 1], 1)?;
/// let conv = PackedConvTranspose::new(&weight, None, &spec)?;
///
/// let x = quantize(&Tensor::ones(&[1, 3, 8, 8])?, OutQParams::new(0.5, 10), DType::QUInt8)?;
/// let y = conv.run(&x, OutQParams::new(0.25, 0), Activation::Relu)?;
/// assert_eq!(y.shape(), [1, 2, 16, 16]);
/// assert_eq!(y.get(&[0, 1, 0, 0])?, 0.75); // one tap of three channels
/// assert_eq!(y.get(&[0, 1, 1, 1])?, 3.0); // four taps
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "conv_transpose2d_prepack")]
#[derive(Clone, Debug)]
pub struct PackedConvTranspose {
    /// `[out, in / groups, kernel…]`.
    weight: QTensor,
    bias: Option<Tensor>,
    spec: ConvTransposeSpec,
    /// The geometry with the smallest input and an empty batch.
    shape: TransposedShape,
    /// Spatial dimensions, 1 to 3.
    spatial: usize,
    parts: Vec<(TransposedPart, Packed)>,
    /// What outputs without products are: a linear layer whose weights are zeros.
    bare: Packed,
}

impl PackedConvTranspose {
    /// Packs `qint8` weights in PyTorch's order `[in, out / groups, kernel…]` (per tensor, or per channel along axis 1,
    /// zero points 0) and an `f32` bias `[out]`, for one to three kernel dimensions.
    ///
    /// Along axis 1 there are `out / groups` channels, and each group uses their scales.
    ///
    /// # Errors
    /// As [`by_channel`](Self::by_channel); [`Error::Argument`] if groups do not divide the input channels, or for weights
    /// quantized along another axis.
    pub fn new(
        weight: &QTensor,
        bias: Option<&Tensor>,
        spec: &ConvTransposeSpec,
    ) -> Result<PackedConvTranspose> {
        let rows = by_output_channel_quantized(weight, spec.groups)?;
        PackedConvTranspose::by_channel(&rows, bias, spec)
    }

    /// Packs `qint8` weights that have their output channels first, `[out, in / groups, kernel…]` (per tensor, or per
    /// channel along axis 0, zero points 0), and an `f32` bias `[out]`, for one to three kernel dimensions.
    ///
    /// [`by_output_channel`](super::by_output_channel) brings weights into this order.
    ///
    /// # Errors
    /// [`Rank`](qtensor_core::Error::Rank), [`Error::UnsupportedDType`], [`Error::WeightAxis`],
    /// [`Error::WeightZeroPoint`], [`ShapeMismatch`](qtensor_core::Error::ShapeMismatch) for the bias,
    /// [`Error::Argument`] if it is not finite, for an output padding that is too large, or if `spec` uses axes that the
    /// kernel lacks, [`Error::Kernel`] if groups do not divide the channels, a size is 0, or a sum has over 65 000 products.
    pub fn by_channel(
        weight: &QTensor,
        bias: Option<&Tensor>,
        spec: &ConvTransposeSpec,
    ) -> Result<PackedConvTranspose> {
        let ([out_channels, group_channels], kernel) =
            weight_sizes("conv_transpose weight", weight.shape())?;
        let spatial = weight.rank() - 2;
        spec.validate()?;
        spec.check_spatial(spatial)?;
        let shape = TransposedShape {
            batch: 0,
            in_channels: group_channels.saturating_mul(spec.groups),
            out_channels,
            groups: spec.groups,
            input: std::array::from_fn(|axis| least_input(spec, kernel[axis], axis)),
            kernel,
            stride: spec.stride,
            padding: spec.padding,
            output_padding: spec.output_padding,
            dilation: spec.dilation,
        };
        shape.validate()?;
        let pack = |part: TransposedPart| {
            let packed = pack(&part, &shape, weight, bias)?;
            Ok((part, packed))
        };
        let parts = shape.parts().into_iter().map(pack).collect::<Result<_>>()?;
        let zeros = Tensor::from_vec(vec![0i8; out_channels], &[out_channels, 1])?;
        let zeros = QTensor::from_parts(IntTensor::I8(zeros), weight.quantizer().clone())?;
        let bare = Packed::new(OPERATION, &zeros, bias, |ints| {
            PackedWeights::linear(ints, out_channels, 1)
        })?;
        Ok(PackedConvTranspose {
            weight: weight.clone(),
            bias: bias.cloned(),
            spec: *spec,
            shape,
            spatial,
            parts,
            bare,
        })
    }

    /// The transposed convolution of `x`: `[batch, in, spatial…]` to `[batch, out, spatial…]` in channels-last memory, with
    /// the lengths of [`ConvTransposeSpec::output`].
    ///
    /// `x` is read in channels-last memory, as by [`PackedConv::run`](super::PackedConv::run).
    ///
    /// # Errors
    /// [`Rank`](qtensor_core::Error::Rank) or [`Error::Operands`] if `x` does not fit the weights; [`Error::Argument`] if it
    /// has no elements along an axis, or if the padding leaves no output; [`Error::UnsupportedDType`];
    /// [`QSchemeMismatch`](qtensor_core::Error::QSchemeMismatch) for a per-channel `x`; bad `out` parameters;
    /// [`Error::BiasTooLarge`] and [`Error::Multiplier`] for scales that do not go together.
    pub fn run(&self, x: &QTensor, out: OutQParams, activation: Activation) -> Result<QTensor> {
        let (shape, size) = self.check_shape(x.shape())?;
        let format = MemoryFormat::ChannelsLast;
        let bytes = Bytes::new(OPERATION, x, format)?;
        let (x, zeros) = (bytes.slice(format), [bytes.zero_point as u8; SLACK]);
        build(OPERATION, &size, format, bytes.dtype, out, |y| {
            let context = Context::new()?;
            self.each_part(&context, &shape, y, |packed, conv, y| {
                let prepared = packed.prepare(&bytes, out, activation);
                let prepared = prepared.map_err(|error| self.of_channel(error))?;
                let (weights, requant) = (&prepared.weights, &prepared.requant);
                Ok(match conv {
                    Some(conv) => qkernels_x86::conv(&context, x, conv, weights, requant, y),
                    None => qkernels_x86::linear(&context, &zeros, 1, weights, requant, y),
                }?)
            })
        })
    }

    /// The transposed convolution of floats, which are quantized as they come: `[batch, in, spatial…]` to
    /// `[batch, out, spatial…]` in floats, in channels-last memory.
    ///
    /// The arithmetic is that of [`PackedConv::run_dynamic`](super::PackedConv::run_dynamic): a row, in the terms of
    /// [`DynamicQuant`], is an image, and results are the floats that the sums stand for.
    ///
    /// # Errors
    /// As [`run`](Self::run) for the shape; [`Error::NotFinite`] for NaN or infinity in `x`.
    #[doc(alias = "conv_transpose2d_dynamic")]
    pub fn run_dynamic(
        &self,
        x: &Tensor,
        quant: DynamicQuant,
        activation: Activation,
    ) -> Result<Tensor> {
        let (shape, size) = self.check_shape(x.shape())?;
        by_images(
            OPERATION,
            x,
            &size,
            quant,
            activation,
            |context, batch, params, x, y| {
                let (zeros, images) = ([0; SLACK], TransposedShape { batch, ..shape });
                self.each_part(context, &images, y, |packed, conv, y| {
                    let output = packed.float_output(params, activation.is_rectified());
                    let weights = packed.weights();
                    Ok(match conv {
                        Some(conv) => conv_f32(context, x, conv, weights, &output, y),
                        None => linear_f32(context, &zeros, 1, weights, &output, y),
                    }?)
                })
            },
        )
    }

    /// The quantized weights with their output channels first, `[out, in / groups, kernel…]`.
    pub fn weight(&self) -> &QTensor {
        &self.weight
    }

    /// The bias, as given to the constructor.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Stride, paddings, dilation and groups.
    pub fn spec(&self) -> &ConvTransposeSpec {
        &self.spec
    }

    /// Lets `compute` fill the results of every part, and brings them to their places in `y`; without a geometry it
    /// computes the one row that outputs without products are.
    fn each_part<T: Pod + Send + Sync>(
        &self,
        context: &Context,
        shape: &TransposedShape,
        y: &mut [T],
        compute: impl Fn(&Packed, Option<&ConvShape>, &mut [T]) -> Result<()>,
    ) -> Result<()> {
        if shape.batch == 0 {
            return Ok(());
        }
        if shape.has_bare_outputs() {
            let mut row = vec![T::zeroed(); shape.out_channels];
            compute(&self.bare, None, &mut row)?;
            shape.fill_bare_outputs(context, &row, y)?;
        }
        for (part, packed) in &self.parts {
            let Some(conv) = part.conv(shape) else {
                continue;
            };
            if part.is_whole(shape) {
                compute(packed, Some(&conv), y)?;
                continue;
            }
            conv.validate()?;
            let positions = conv.output().iter().product::<usize>() * conv.batch;
            let bytes = (positions * conv.out_channels).checked_mul(size_of::<T>());
            let mut results = Buffer::recycled(bytes.ok_or(qkernels_x86::Error::TooLarge {
                operation: OPERATION,
            })?);
            let results = results.as_mut_slice::<T>();
            compute(packed, Some(&conv), results)?;
            part.place(context, shape, results, y)?;
        }
        Ok(())
    }

    /// An error about a channel of a part, as one about the channel of this layer.
    fn of_channel(&self, mut error: Error) -> Error {
        if let Error::BiasTooLarge { channel, .. } | Error::Multiplier { channel, .. } = &mut error
        {
            *channel %= self.shape.out_channels;
        }
        error
    }

    /// The geometry of a call and the output's shape for an input of shape `x`.
    fn check_shape(&self, x: &[usize]) -> Result<(TransposedShape, Vec<usize>)> {
        let channels =
            "the number of input channels (weights, output channels first: times groups)";
        let expected = (channels, self.shape.in_channels);
        let (batch, input) = images(OPERATION, x, self.weight.shape(), expected)?;
        let output = self.spec.output(input, self.shape.kernel)?;
        let shape = TransposedShape {
            batch,
            input,
            ..self.shape
        };
        shape.validate()?;
        let size = output_shape(batch, shape.out_channels, output, self.spatial);
        Ok((shape, size))
    }
}

/// The weights of one part, and the bias of each of its channels.
fn pack(
    part: &TransposedPart,
    shape: &TransposedShape,
    weight: &QTensor,
    bias: Option<&Tensor>,
) -> Result<Packed> {
    let conv = part.least(shape);
    let IntTensor::I8(ints) = weight.int_repr() else {
        return Err(Error::UnsupportedDType {
            operation: OPERATION,
            expected: "qint8 weights",
            actual: weight.dtype(),
        });
    };
    let ints = part.weights(shape, &ints.to_vec())?;
    let mut size = vec![conv.out_channels, shape.in_channels / shape.groups];
    size.extend(conv.kernel);
    let quantizer = match weight.quantizer() {
        Quantizer::PerChannel {
            scales,
            zero_points,
            axis: 0,
        } => Quantizer::per_channel(&part.stacked(scales), &part.stacked(zero_points), 0),
        Quantizer::PerChannel { axis, .. } => {
            return Err(Error::WeightAxis {
                operation: OPERATION,
                axis: *axis,
            });
        }
        per_tensor => per_tensor.clone(),
    };
    let ints = IntTensor::I8(Tensor::from_vec(ints, &size)?);
    let stacked = QTensor::from_parts(ints, quantizer)?;
    let bias = bias.map(|bias| {
        // A bias of another length than the channels is refused in its own shape.
        if bias.shape() != [shape.out_channels] {
            return Err(Error::Tensor(qtensor_core::Error::ShapeMismatch {
                operation: OPERATION,
                expected: vec![shape.out_channels],
                actual: bias.shape().to_vec(),
            }));
        }
        let values = part.stacked(&bias.to_vec());
        Ok(Tensor::from_vec(values, &[conv.out_channels])?)
    });
    Packed::new(OPERATION, &stacked, bias.transpose()?.as_ref(), |ints| {
        PackedWeights::conv(ints, &conv)
    })
}

/// The least length of an axis that has an output.
fn least_input(spec: &ConvTransposeSpec, kernel: usize, axis: usize) -> usize {
    let window = spec.dilation[axis]
        .saturating_mul(kernel.saturating_sub(1))
        .saturating_add(spec.output_padding[axis]);
    let missing = spec.padding[axis].saturating_mul(2).saturating_sub(window);
    missing.div_ceil(spec.stride[axis].max(1)).saturating_add(1)
}

/// [`PackedConvTranspose`] for a single call on `[batch, in, length]`, weights in PyTorch's order.
///
/// # Errors
/// Those of [`PackedConvTranspose::new`] and [`PackedConvTranspose::run`], and
/// [`Rank`](qtensor_core::Error::Rank) for a weight of another rank.
pub fn conv_transpose1d(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvTransposeSpec,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    once(1, x, weight, bias, spec, (out, activation))
}

/// [`PackedConvTranspose`] for a single call on `[batch, in, height, width]`, weights in PyTorch's order.
///
/// # Errors
/// As [`conv_transpose1d`].
pub fn conv_transpose2d(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvTransposeSpec,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    once(2, x, weight, bias, spec, (out, activation))
}

/// [`PackedConvTranspose`] for a single call on `[batch, in, depth, height, width]`, weights in PyTorch's order.
///
/// # Errors
/// As [`conv_transpose1d`].
pub fn conv_transpose3d(
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvTransposeSpec,
    out: OutQParams,
    activation: Activation,
) -> Result<QTensor> {
    once(3, x, weight, bias, spec, (out, activation))
}

fn once(
    spatial: usize,
    x: &QTensor,
    weight: &QTensor,
    bias: Option<&Tensor>,
    spec: &ConvTransposeSpec,
    (out, activation): (OutQParams, Activation),
) -> Result<QTensor> {
    let operation = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"][spatial - 1];
    check_rank(operation, weight, spatial)?;
    PackedConvTranspose::new(weight, bias, spec)?.run(x, out, activation)
}
