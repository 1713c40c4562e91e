//! The table of loaders: which kind in a model file is restored by which constructor.

use qnn::intrinsic::quantized::{BNReLU, ConvReLU, Fused, LinearReLU};
use qnn::quantized::{BatchNorm, Conv, DeQuantize, Linear, Quantize};
use qnn::{Erased, Identity, QFunctional, Result, State, erase};

/// The module of that kind from its state; `None` for kinds that are not restored but only filled in place.
pub(crate) fn restore(kind: &str, state: &mut State) -> Option<Result<Erased>> {
    Some(match kind {
        "Identity" => Ok(erase(Identity)),
        "Quantize" => Quantize::from_state(state).map(erase),
        "DeQuantize" => Ok(erase(DeQuantize)),
        "QFunctional" => QFunctional::from_state(state).map(erase),
        "QuantizedLinear" => Linear::from_state(state).map(erase),
        "QuantizedLinearReLU" | "QuantizedLinearReLU6" => linear_relu(state).map(erase),
        "QuantizedConv1d" => Conv::<1>::from_state(state).map(erase),
        "QuantizedConv2d" => Conv::<2>::from_state(state).map(erase),
        "QuantizedConv3d" => Conv::<3>::from_state(state).map(erase),
        "QuantizedConvReLU1d" | "QuantizedConvReLU6_1d" => conv_relu::<1>(state).map(erase),
        "QuantizedConvReLU2d" | "QuantizedConvReLU6_2d" => conv_relu::<2>(state).map(erase),
        "QuantizedConvReLU3d" | "QuantizedConvReLU6_3d" => conv_relu::<3>(state).map(erase),
        "QuantizedBatchNorm1d" => BatchNorm::<1>::from_state(state).map(erase),
        "QuantizedBatchNorm2d" => BatchNorm::<2>::from_state(state).map(erase),
        "QuantizedBatchNorm3d" => BatchNorm::<3>::from_state(state).map(erase),
        "QuantizedBNReLU1d" | "QuantizedBNReLU6_1d" => bn_relu::<1>(state).map(erase),
        "QuantizedBNReLU2d" | "QuantizedBNReLU6_2d" => bn_relu::<2>(state).map(erase),
        "QuantizedBNReLU3d" | "QuantizedBNReLU6_3d" => bn_relu::<3>(state).map(erase),
        _ => return None,
    })
}

fn conv_relu<const D: usize>(state: &mut State) -> Result<ConvReLU<D>> {
    Fused::from_state(state, Conv::from_state)
}

fn bn_relu<const D: usize>(state: &mut State) -> Result<BNReLU<D>> {
    Fused::from_state(state, BatchNorm::from_state)
}

fn linear_relu(state: &mut State) -> Result<LinearReLU> {
    Fused::from_state(state, Linear::from_state)
}
