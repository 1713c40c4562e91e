//! `QuantWrapper`: a module between its own borders of the quantized part.

use crate::error::Result;
use crate::layer::Layer;
use crate::module::{Module, Node};
use crate::stubs::{DeQuantStub, QuantStub};
use crate::value::Value;

/// A module with a [`QuantStub`] in front and a [`DeQuantStub`] behind: float values in and out, also after conversion.
///
/// Its places are named as in PyTorch: `quant`, `module` and `dequant`.
///
/// ```
/// use qnn::{Layer, Linear, Module, QuantWrapper};
/// use qtensor_core::Tensor;
///
/// let net = QuantWrapper::new(Layer::new(Linear::new(3, 2)?));
/// let y = net.forward(&Tensor::zeros(&[1, 3])?.into())?;
/// assert_eq!(y.shape(), [1, 2]);
/// # Ok::<(), qnn::Error>(())
/// ```
pub struct QuantWrapper<M> {
    quant: Layer<QuantStub>,
    module: M,
    dequant: Layer<DeQuantStub>,
}

impl<M: Module<Input = Value, Output = Value>> QuantWrapper<M> {
    /// Wraps a module: a model, or a [`Layer`] so that the module itself can be swapped.
    pub fn new(module: M) -> QuantWrapper<M> {
        QuantWrapper {
            quant: QuantStub.into(),
            module,
            dequant: DeQuantStub.into(),
        }
    }

    /// The module inside.
    pub fn module(&self) -> &M {
        &self.module
    }

    /// The module inside, mutably.
    pub fn module_mut(&mut self) -> &mut M {
        &mut self.module
    }
}

impl<M: Node> Node for QuantWrapper<M> {
    fn kind(&self) -> &'static str {
        "QuantWrapper"
    }

    fn children<'a>(&'a self, visit: &mut dyn FnMut(&str, &'a dyn Node)) {
        visit("quant", &self.quant);
        visit("module", &self.module);
        visit("dequant", &self.dequant);
    }

    fn children_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Node)) {
        visit("quant", &mut self.quant);
        visit("module", &mut self.module);
        visit("dequant", &mut self.dequant);
    }
}

impl<M: Module<Input = Value, Output = Value>> Module for QuantWrapper<M> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = self.quant.forward(input)?;
        self.dequant.forward(&self.module.forward(&x)?)
    }
}
