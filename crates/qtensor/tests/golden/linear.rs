//! `linear`: the packed operation, the functional one, and the quantized modules.

use qnn::intrinsic::Rectifier;
use qnn::intrinsic::quantized::LinearReLU;
use qnn::quantized::{Linear, QParams};
use qnn::{Module, Value};
use qops::ConvSpec;
use qops::quantized::{Activation, OutQParams, PackedLinear, linear};
use qtensor_core::QTensor;

use crate::compare::equal_quantized;
use crate::exact::{Layer, expected};
use crate::group::Verdict;
use crate::store::{Case, Fallible};

/// `y` from `x`, `w` and `bias`, with or without ReLU.
pub fn check(case: &Case) -> Fallible<Verdict> {
    let (x, w, want) = (
        case.quantized("x")?,
        case.quantized("w")?,
        case.quantized("y")?,
    );
    let bias = case.optional_float("bias")?;
    let relu = case.flag("relu")?;
    let (out, activation) = (OutQParams::of(&want)?, activation(relu));
    let layer = Layer {
        x: &x,
        w: &w,
        bias: bias.as_ref(),
        spec: ConvSpec::new(&[1], &[0], &[1], 1)?,
        relu,
    };
    let (want, deviation) = expected(&layer, &want)?;
    let packed = PackedLinear::new(&w, bias.as_ref())?;
    // The second call takes its requantization from the cache.
    for call in ["first call", "second call"] {
        equal_quantized(call, &packed.run(&x, out, activation)?, &want)?;
    }
    let once = linear(&x, &w, bias.as_ref(), out, activation)?;
    equal_quantized("functional", &once, &want)?;
    let module = Linear::from_parts(w, bias, qparams(&want)?)?;
    let module: Box<dyn Module<Input = Value, Output = Value>> = if relu {
        Box::new(LinearReLU::new(module, Rectifier::ReLU))
    } else {
        Box::new(module)
    };
    let y = module.forward(&x.into())?;
    equal_quantized(module.kind(), y.quantized("the comparison")?, &want)?;
    Ok(deviation.map_or(Verdict::Equal, Verdict::Accepted))
}

/// The activation of a case.
pub fn activation(relu: bool) -> Activation {
    if relu {
        Activation::Relu
    } else {
        Activation::None
    }
}

/// The qparams of a module whose output should be `want`.
pub fn qparams(want: &QTensor) -> Fallible<QParams> {
    Ok(QParams {
        scale: want.q_scale()?,
        zero_point: want.q_zero_point()?,
        dtype: want.dtype(),
    })
}
