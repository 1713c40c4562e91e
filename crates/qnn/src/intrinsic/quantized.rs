//! Int8 counterparts of the fused modules: a rectifier is a clamp of the requantization, another activation is applied before it.

mod conv_add;
pub mod dynamic;

pub use conv_add::{
    ConvAdd, ConvAdd1d, ConvAdd2d, ConvAdd3d, ConvAddReLU1d, ConvAddReLU2d, ConvAddReLU3d,
};

use qobserve::ObserverFactory;

use super::activated::{Activated, Curve};
use super::fused::{self, Rectifier};
use super::rectified::Rectified;
use crate::error::{Error, Result};
use crate::float::{self, LeakyReLU, Tanh};
use crate::module::{Module, Node};
use crate::quantized::{BatchNorm, Conv, ConvTranspose, Linear, QParams};
use crate::reference;
use crate::state::{Entry, State};
use crate::value::Value;

/// An int8 module with a rectifier fused into its clamp.
pub struct Fused<Q> {
    module: Q,
    rectifier: Rectifier,
}

/// An int8 convolution with a rectifier.
pub type ConvReLU<const D: usize> = Fused<Conv<D>>;
/// An int8 convolution over `(N, C, L)` with a rectifier.
pub type ConvReLU1d = ConvReLU<1>;
/// An int8 convolution over `(N, C, H, W)` with a rectifier.
pub type ConvReLU2d = ConvReLU<2>;
/// An int8 convolution over `(N, C, D, H, W)` with a rectifier.
pub type ConvReLU3d = ConvReLU<3>;
/// An int8 transposed convolution with a rectifier.
pub type ConvTransposeReLU<const D: usize> = Fused<ConvTranspose<D>>;
/// An int8 transposed convolution over `(N, C, L)` with a rectifier.
pub type ConvTransposeReLU1d = ConvTransposeReLU<1>;
/// An int8 transposed convolution over `(N, C, H, W)` with a rectifier.
pub type ConvTransposeReLU2d = ConvTransposeReLU<2>;
/// An int8 transposed convolution over `(N, C, D, H, W)` with a rectifier.
pub type ConvTransposeReLU3d = ConvTransposeReLU<3>;
/// An int8 linear layer with a rectifier.
pub type LinearReLU = Fused<Linear>;
/// An int8 linear layer with a leaky ReLU.
pub type LinearLeakyReLU = Activated<Linear, LeakyReLU>;
/// An int8 linear layer with a hyperbolic tangent.
pub type LinearTanh = Activated<Linear, Tanh>;
/// An int8 batch norm with a rectifier.
pub type BNReLU<const D: usize> = Fused<BatchNorm<D>>;
/// An int8 batch norm of `(N, C)` or `(N, C, L)` with a rectifier.
pub type BNReLU1d = BNReLU<1>;
/// An int8 batch norm of `(N, C, H, W)` with a rectifier.
pub type BNReLU2d = BNReLU<2>;
/// An int8 batch norm of `(N, C, D, H, W)` with a rectifier.
pub type BNReLU3d = BNReLU<3>;

impl<const D: usize> ConvReLU<D> {
    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// Those of [`Conv::from_reference`].
    pub fn from_reference(
        fused: &fused::Fused<reference::Conv<D>>,
        output: QParams,
    ) -> Result<ConvReLU<D>> {
        let module = Conv::from_reference(fused.module(), output)?;
        Ok(Fused::new(module, fused.rectifier()))
    }

    /// The counterpart of a fused float convolution.
    ///
    /// # Errors
    /// Those of [`Conv::from_float`].
    pub fn from_float(
        fused: &fused::ConvReLU<D>,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<ConvReLU<D>> {
        let module = Conv::from_float(fused.module(), weight, output)?;
        Ok(Fused {
            module,
            rectifier: fused.rectifier(),
        })
    }
}

impl<const D: usize> ConvTransposeReLU<D> {
    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// Those of [`ConvTranspose::from_reference`].
    pub fn from_reference(
        fused: &fused::Fused<reference::ConvTranspose<D>>,
        output: QParams,
    ) -> Result<ConvTransposeReLU<D>> {
        let module = ConvTranspose::from_reference(fused.module(), output)?;
        Ok(Fused::new(module, fused.rectifier()))
    }

    /// The counterpart of a fused float transposed convolution.
    ///
    /// # Errors
    /// Those of [`ConvTranspose::from_float`].
    pub fn from_float(
        fused: &fused::ConvTransposeReLU<D>,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<ConvTransposeReLU<D>> {
        let module = ConvTranspose::from_float(fused.module(), weight, output)?;
        Ok(Fused {
            module,
            rectifier: fused.rectifier(),
        })
    }
}

impl LinearReLU {
    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// Those of [`Linear::from_reference`].
    pub fn from_reference(
        fused: &fused::Fused<reference::Linear>,
        output: QParams,
    ) -> Result<LinearReLU> {
        let module = Linear::from_reference(fused.module(), output)?;
        Ok(Fused::new(module, fused.rectifier()))
    }

    /// The counterpart of a fused float layer.
    ///
    /// # Errors
    /// Those of [`Linear::from_float`].
    pub fn from_float(
        fused: &fused::LinearReLU,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<LinearReLU> {
        let module = Linear::from_float(fused.module(), weight, output)?;
        Ok(Fused {
            module,
            rectifier: fused.rectifier(),
        })
    }
}

impl<A: Curve> Activated<Linear, A> {
    /// The counterpart of a reference module, with its integers.
    ///
    /// # Errors
    /// Those of [`Linear::from_reference`].
    pub fn from_reference(
        fused: &Activated<reference::Linear, A>,
        output: QParams,
    ) -> Result<Activated<Linear, A>> {
        let module = Linear::from_reference(fused.module(), output)?;
        Ok(Activated::new(module, fused.activation().clone()))
    }

    /// The counterpart of a fused float layer; `output` is for the results of the activation.
    ///
    /// # Errors
    /// Those of [`Linear::from_float`].
    pub fn from_float(
        fused: &Activated<float::Linear, A>,
        weight: &ObserverFactory,
        output: QParams,
    ) -> Result<Activated<Linear, A>> {
        let linear = Linear::from_float(fused.module(), weight, output)?;
        Ok(Activated::new(linear, fused.activation().clone()))
    }
}

impl<const D: usize> BNReLU<D> {
    /// The counterpart of a fused float batch norm.
    pub fn from_float(fused: &fused::BNReLU<D>, output: QParams) -> BNReLU<D> {
        Fused {
            module: BatchNorm::from_float(fused.module(), output),
            rectifier: fused.rectifier(),
        }
    }
}

impl<Q> Fused<Q> {
    /// An int8 module with a rectifier behind it.
    pub fn new(module: Q, rectifier: Rectifier) -> Fused<Q> {
        Fused { module, rectifier }
    }

    /// The module without the rectifier.
    pub fn module(&self) -> &Q {
        &self.module
    }

    /// The rectifier.
    pub fn rectifier(&self) -> Rectifier {
        self.rectifier
    }

    /// Restores a module that [`state`](Node::state) described; `restore` does the inner one.
    ///
    /// # Errors
    /// A missing entry, one of another type, or an unknown rectifier.
    pub fn from_state(
        state: &mut State,
        restore: impl FnOnce(&mut State) -> Result<Q>,
    ) -> Result<Fused<Q>> {
        let module = "fused module";
        let name = state.take_text(module, "rectifier")?;
        let rectifier = Rectifier::from_name(&name).ok_or_else(|| Error::Config {
            module,
            what: format!("unknown rectifier {name:?}"),
        })?;
        Ok(Fused {
            module: restore(state)?,
            rectifier,
        })
    }
}

impl<Q: Rectified> Node for Fused<Q> {
    fn kind(&self) -> &'static str {
        self.rectifier.kind_of::<Q>()
    }

    fn extra_repr(&self) -> String {
        self.module.extra_repr()
    }

    fn config(&self) -> State {
        self.module.config()
    }

    fn state(&self) -> State {
        self.module
            .state()
            .with("rectifier", Entry::Text(self.rectifier.name().into()))
    }
}

macro_rules! forward {
    ([$($generics:tt)*] $module:ty) => {
        impl<$($generics)*> Module for Fused<$module> {
            type Input = Value;
            type Output = Value;

            fn forward(&self, input: &Value) -> Result<Value> {
                self.module.run(self.kind(), input, self.rectifier.activation())
            }
        }
    };
}
forward!([const D: usize] Conv<D>);
forward!([const D: usize] ConvTranspose<D>);
forward!([const D: usize] BatchNorm<D>);
forward!([] Linear);
