//! Which modules reference modules are made of.

use qobserve::ObserverFactory;
use qtensor_core::QTensor;

use super::{Reference, Referenced};
use crate::error::Result;
use crate::float;
use crate::intrinsic;
use crate::module::Node;
use crate::qat::{self, WeightFakeQuant};

/// A module that a reference module can be made of: a float one, or one with rounded weights.
pub trait ToReference: Node {
    /// The float module that computes in the reference module.
    type Float: Referenced;

    /// The reference module. `weight` makes the observer of a float module's weight; modules with rounded weights keep the
    /// integers that training saw, and fold their batch norm.
    ///
    /// # Errors
    /// Those of the observer or the fake-quant.
    fn to_reference(&self, weight: &ObserverFactory) -> Result<Reference<Self::Float>>;
}

/// The integers that training saw.
fn trained<M: Referenced>(float: &M, rounding: &WeightFakeQuant) -> Result<Reference<M>> {
    let weight: QTensor = rounding.quantize(M::REFERENCE, &float.weight_by_channel()?)?;
    Reference::new(float, weight)
}

macro_rules! float {
    ($([$($generics:tt)*] $module:ty;)*) => {$(
        impl<$($generics)*> ToReference for $module {
            type Float = $module;

            fn to_reference(&self, weight: &ObserverFactory) -> Result<Reference<$module>> {
                Reference::from_float(self, weight)
            }
        }
    )*};
}
float! {
    [] float::Linear;
    [const D: usize] float::Conv<D>;
    [const D: usize] float::ConvTranspose<D>;
}

macro_rules! trained {
    ($([$($generics:tt)*] $module:ty, $float:ty, |$own:ident| $unrounded:expr;)*) => {$(
        impl<$($generics)*> ToReference for $module {
            type Float = $float;

            fn to_reference(&self, _: &ObserverFactory) -> Result<Reference<$float>> {
                let $own = self;
                trained(&$unrounded, self.weight_fake_quant())
            }
        }
    )*};
}
trained! {
    [] qat::Linear, float::Linear, |own| own.to_float();
    [const D: usize] qat::Conv<D>, float::Conv<D>, |own| own.to_float();
    [const D: usize] qat::ConvTranspose<D>, float::ConvTranspose<D>, |own| own.to_float();
    [const D: usize] intrinsic::qat::ConvBn<D>, float::Conv<D>, |own| own.to_float()?;
    [] intrinsic::qat::LinearBn1d, float::Linear, |own| own.to_float()?;
}
