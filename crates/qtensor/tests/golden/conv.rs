//! `conv`: one, two and three dimensions; the packed operation, the functionals, and the quantized modules.

use qnn::intrinsic::Rectifier;
use qnn::intrinsic::quantized::ConvReLU;
use qnn::quantized::Conv;
use qnn::{ConvGeometry, Module, Value};
use qops::ConvSpec;
use qops::quantized::{Activation, OutQParams, PackedConv, conv1d, conv2d, conv3d};
use qtensor_core::{QTensor, Tensor};

use crate::compare::{equal_quantized, in_each_format};
use crate::exact::{Layer, expected};
use crate::group::Verdict;
use crate::linear::{activation, qparams};
use crate::store::{Case, Fallible};

/// A functional convolution.
type Functional = fn(
    &QTensor,
    &QTensor,
    Option<&Tensor>,
    &ConvSpec,
    OutQParams,
    Activation,
) -> qops::Result<QTensor>;

/// `y` from `x`, `w` and `bias`, with or without ReLU, for an input in both memory formats.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let (x, w, want) = (
        case.quantized("x")?,
        case.quantized("w")?,
        case.quantized("y")?,
    );
    let bias = case.optional_float("bias")?;
    let spec = ConvSpec::new(
        &case.sizes("stride")?,
        &case.sizes("padding")?,
        &case.sizes("dilation")?,
        case.size("groups")?,
    )?;
    let relu = case.flag("relu")?;
    let layer = Layer {
        x: &x,
        w: &w,
        bias: bias.as_ref(),
        spec,
        relu,
    };
    let (want, deviation) = expected(&layer, &want)?;
    let (out, activation) = (OutQParams::of(&want)?, activation(relu));
    let dims = case.size("dims")?;
    let (functional, module) = match dims {
        1 => (conv1d as Functional, module::<1>(case)?),
        2 => (conv2d as Functional, module::<2>(case)?),
        3 => (conv3d as Functional, module::<3>(case)?),
        _ => return Err(format!("malformed case: {dims} dimensions").into()),
    };
    let packed = PackedConv::new(&w, bias.as_ref(), &spec)?;
    for (format, x) in in_each_format(&x)? {
        let y = packed.run(&x, out, activation)?;
        equal_quantized(&format!("packed, {format}"), &y, &want)?;
        let y = functional(&x, &w, bias.as_ref(), &spec, out, activation)?;
        equal_quantized(&format!("functional, {format}"), &y, &want)?;
        let y = module.forward(&x.into())?;
        let what = format!("{}, {format}", module.kind());
        equal_quantized(&what, y.quantized("the comparison")?, &want)?;
    }
    Ok(deviation.map_or(Verdict::Equal, Verdict::Accepted))
}

/// The quantized module of the case.
fn module<const D: usize>(case: &Case) -> Fallible<Box<dyn Module<Input = Value, Output = Value>>> {
    let weight = case.quantized("w")?;
    let geometry = ConvGeometry::<D> {
        kernel_size: axes(weight.shape().get(2..).unwrap_or(&[]))?,
        stride: axes(&case.sizes("stride")?)?,
        padding: axes(&case.sizes("padding")?)?,
        dilation: axes(&case.sizes("dilation")?)?,
        groups: case.size("groups")?,
    };
    let output = qparams(&case.quantized("y")?)?;
    let conv = Conv::from_parts(weight, case.optional_float("bias")?, geometry, output)?;
    if !case.flag("relu")? {
        return Ok(Box::new(conv));
    }
    Ok(Box::new(ConvReLU::new(conv, Rectifier::ReLU)))
}

fn axes<const D: usize>(sizes: &[usize]) -> Fallible<[usize; D]> {
    let wrong = |_| format!("malformed case: {sizes:?} are not {D} sizes").into();
    sizes.try_into().map_err(wrong)
}
