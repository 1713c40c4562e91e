//! Additions right after a convolution: one pass through memory once both are int8.

use std::any::Any;

use qops::quantized::Activation;
use qtensor_core::QTensor;

use crate::error::Result;
use crate::float::Identity;
use crate::functional::{FloatFunctional, QFunctional};
use crate::intrinsic::quantized::ConvReLU;
use crate::layer::Layer;
use crate::module::{Module, Node};
use crate::place::Place;
use crate::profile::{self, Called};
use crate::quantized::Conv;
use crate::value::Value;
use crate::watch::watches_values;

/// A module from a value to a value, as a link of a chain.
pub type Link<'a> = &'a dyn Module<Input = Value, Output = Value>;

impl Layer<FloatFunctional> {
    /// `last(… first(x)) + other`, for places that are called one after the other and nowhere else.
    ///
    /// It is [`add`](Self::add) of what the places give. Once the first of them holds an int8 convolution, the others
    /// hold nothing since fusion, and nothing watches them, the convolution's results are added to before they
    /// leave the processor; the integers are the same. If nothing else holds the memory of `other`, sums take its place.
    ///
    /// # Errors
    /// Those of the places and of [`add`](Self::add).
    #[doc(alias = "ConvAdd2d")]
    pub fn add_after(&self, places: &[Link], x: &Value, mut other: Value) -> Result<Value> {
        match self.fused(places, x, &mut other, Activation::None) {
            Some(()) => Ok(other),
            None => self.add(&run(places, x)?, &other),
        }
    }

    /// `max(last(… first(x)) + other, 0)`; see [`add_after`](Self::add_after).
    ///
    /// # Errors
    /// As [`add_after`](Self::add_after).
    ///
    /// ```
    /// use qnn::{BatchNorm2d, Conv2d, FloatFunctional, Layer, Value};
    /// use qtensor_core::Tensor;
    ///
    /// let conv: Layer<Conv2d> = Conv2d::config(3, 3, 1).bias(false).build()?.into();
    /// let norm: Layer<BatchNorm2d> = BatchNorm2d::new(3)?.into();
    /// let add: Layer<FloatFunctional> = FloatFunctional.into();
    /// let x: Value = Tensor::ones(&[1, 3, 4, 4])?.into();
    ///
    /// let sum = add.add_relu_after(&[&conv, &norm], &x, x.clone())?;
    /// let same = add.add_relu(&norm.forward(&conv.forward(&x)?)?, &x)?;
    /// assert_eq!(sum.to_tensor().to_vec(), same.to_tensor().to_vec());
    /// # Ok::<(), qnn::Error>(())
    /// ```
    #[doc(alias = "ConvAddReLU2d")]
    pub fn add_relu_after(&self, places: &[Link], x: &Value, mut other: Value) -> Result<Value> {
        match self.fused(places, x, &mut other, Activation::Relu) {
            Some(()) => Ok(other),
            None => self.add_relu(&run(places, x)?, &other),
        }
    }

    /// Makes `other` the sum in one pass, where that is possible. Anything that would be an error is left to the way place by
    /// place, which names the place.
    fn fused(
        &self,
        places: &[Link],
        x: &Value,
        other: &mut Value,
        activation: Activation,
    ) -> Option<()> {
        if watches_values() {
            return None;
        }
        let entered = profile::enter(x);
        let output = (unwatched(self)?.held() as &dyn Any).downcast_ref::<QFunctional>()?;
        let output = output.output();
        let (&first, others) = places.split_first()?;
        let conv = unwatched(first)?;
        for &other in others {
            (unwatched(other)?.held() as &dyn Any).downcast_ref::<Identity>()?;
        }
        {
            let (Value::Quantized(x), Value::Quantized(other)) = (x, &mut *other) else {
                return None;
            };
            for dtype in [x.dtype(), other.dtype()] {
                output.check_input("QFunctional", dtype).ok()?;
            }
            let (held, sum) = (conv.held() as &dyn Any, (output.out(), activation));
            by_dims::<1>(held, x, other, sum)
                .or_else(|| by_dims::<2>(held, x, other, sum))
                .or_else(|| by_dims::<3>(held, x, other, sum))?;
        }
        if let Some(entered) = entered {
            let called = Called {
                path: conv.path(),
                kind: conv.held().kind(),
                with: &[self.path()],
            };
            entered.leave(called, other);
        }
        Some(())
    }
}

/// Runs the places one after the other.
fn run(places: &[Link], x: &Value) -> Result<Value> {
    let first = x.clone();
    places.iter().try_fold(first, |x, place| place.forward(&x))
}

/// A place that shows its output to nothing.
fn unwatched<N: Node + ?Sized>(place: &N) -> Option<&dyn Place> {
    let place = place.as_place()?;
    // A border in front of a place is the business of the way place by place.
    let alone = !place.is_watched() && place.bridge().is_none();
    alone.then_some(place)
}

fn by_dims<const D: usize>(
    module: &dyn Any,
    x: &QTensor,
    other: &mut QTensor,
    sum: (qops::quantized::OutQParams, Activation),
) -> Option<()> {
    let (conv, activation) = match module.downcast_ref::<ConvReLU<D>>() {
        Some(fused) => (fused.module(), fused.rectifier().activation()),
        None => (module.downcast_ref::<Conv<D>>()?, Activation::None),
    };
    conv.run_add_assign(x, activation, other, sum).ok()
}
