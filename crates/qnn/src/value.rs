//! `Value`: what flows through a model, float or quantized.

use qgrad::{Var, VarId};
use qtensor_core::{QTensor, Tensor};

use crate::error::{Error, Result};
use crate::quantized::QParams;

/// Whether a value is float or quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `f32` numbers.
    Float,
    /// Integers with their affine map.
    Quantized,
}

impl std::fmt::Display for ValueKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ValueKind::Float => "float",
            ValueKind::Quantized => "quantized",
        })
    }
}

/// A float value, which may record a gradient, or a quantized tensor.
#[derive(Clone, Debug)]
pub enum Value {
    /// `f32`, autograd-aware.
    Float(Var),
    /// Quantized; never recorded.
    Quantized(QTensor),
}

impl Value {
    /// Which of the two it is.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::Float(_) => ValueKind::Float,
            Value::Quantized(_) => ValueKind::Quantized,
        }
    }

    /// The float value.
    ///
    /// # Errors
    /// [`Error::WrongKind`], naming `module` and the stub that is missing.
    pub fn float(&self, module: &'static str) -> Result<&Var> {
        match self {
            Value::Float(var) => Ok(var),
            Value::Quantized(_) => Err(Error::WrongKind {
                module,
                expected: ValueKind::Float,
                actual: ValueKind::Quantized,
            }),
        }
    }

    /// The quantized tensor.
    ///
    /// # Errors
    /// [`Error::WrongKind`], naming `module` and the stub that is missing.
    pub fn quantized(&self, module: &'static str) -> Result<&QTensor> {
        match self {
            Value::Quantized(q) => Ok(q),
            Value::Float(_) => Err(Error::WrongKind {
                module,
                expected: ValueKind::Quantized,
                actual: ValueKind::Float,
            }),
        }
    }

    /// The lengths of the dimensions.
    pub fn shape(&self) -> &[usize] {
        match self {
            Value::Float(var) => var.shape(),
            Value::Quantized(q) => q.shape(),
        }
    }

    /// The numbers as a float tensor, dequantized if need be.
    pub fn to_tensor(&self) -> Tensor {
        match self {
            Value::Float(var) => var.tensor().clone(),
            Value::Quantized(q) => q.dequantize(),
        }
    }

    /// Merges the dimensions from `start` on into one.
    ///
    /// # Errors
    /// Those of the tensor's `flatten`.
    pub fn flatten(&self, start: usize) -> Result<Value> {
        Ok(match self {
            Value::Float(var) => Value::Float(qgrad::ops::flatten(var, start)?),
            Value::Quantized(q) => Value::Quantized(q.flatten(start)?),
        })
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// Those of the tensor's `reshape`.
    pub fn reshape(&self, shape: &[usize]) -> Result<Value> {
        Ok(match self {
            Value::Float(var) => Value::Float(qgrad::ops::reshape(var, shape)?),
            Value::Quantized(q) => Value::Quantized(q.reshape(shape)?),
        })
    }

    /// The elements from `start` to before `end` along `dim`.
    ///
    /// # Errors
    /// Those of the tensor's `slice`.
    pub fn slice(&self, dim: usize, start: usize, end: usize) -> Result<Value> {
        Ok(match self {
            Value::Float(var) => Value::Float(qgrad::ops::slice(var, dim, start, end, 1)?),
            Value::Quantized(q) => Value::Quantized(q.slice(dim, start, end, 1)?),
        })
    }

    /// The dimensions in another order.
    ///
    /// # Errors
    /// Those of the tensor's `permute`.
    pub fn permute(&self, order: &[usize]) -> Result<Value> {
        Ok(match self {
            Value::Float(var) => Value::Float(qgrad::ops::permute(var, order)?),
            Value::Quantized(q) => Value::Quantized(q.permute(order)?),
        })
    }

    /// The values side by side along `dim`, all float or all quantized.
    ///
    /// Quantized ones keep their scale and zero point where those are the same; others get a map that covers all of
    /// theirs. (PyTorch's `cat` takes the first one's, in which the others may saturate.)
    ///
    /// # Errors
    /// No values, values of both kinds, shapes that differ elsewhere.
    pub fn cat(values: &[Value], dim: usize) -> Result<Value> {
        if let [one] = values {
            return Ok(one.clone());
        }
        if let Some(Value::Quantized(first)) = values.first() {
            let parts = values.iter().map(|v| v.quantized("cat"));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            let out = QParams::covering(first.dtype(), &parts)?;
            return Ok(qops::quantized::cat(&parts, dim, Some(out.out()))?.into());
        }
        let parts = values.iter().map(|v| v.float("cat"));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        Ok(qgrad::ops::cat(&parts, dim)?.into())
    }

    /// The identity of a float value in a trace. Quantized values have none.
    pub(crate) fn id(&self) -> Option<VarId> {
        match self {
            Value::Float(var) => Some(var.id()),
            Value::Quantized(_) => None,
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Value {
        Value::Float(Var::from(tensor))
    }
}

impl From<Var> for Value {
    fn from(var: Var) -> Value {
        Value::Float(var)
    }
}

impl From<QTensor> for Value {
    fn from(q: QTensor) -> Value {
        Value::Quantized(q)
    }
}

/// Inputs and outputs of modules: a [`Value`], or a structure of them (a state beside an output, a list).
///
/// Observers watch the first value of an output; tools that convert or trace reach all of them.
pub trait Flow: Send + Sync + 'static {
    /// Calls `visit` with every value inside.
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value));

    /// The same structure with every value replaced.
    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Self>
    where
        Self: Sized;

    /// The value that an observer watches.
    fn observed(&self) -> Option<&Value> {
        let mut first = None;
        self.values(&mut |v| {
            first.get_or_insert(v);
        });
        first
    }
}

impl Flow for Value {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        visit(self);
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Value> {
        f(self)
    }
}

/// Indices into a table: no values, so nothing to observe or to convert.
impl Flow for Tensor<i64> {
    fn values<'a>(&'a self, _: &mut dyn FnMut(&'a Value)) {}

    fn map(&self, _: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Tensor<i64>> {
        Ok(self.clone())
    }
}

impl<A: Flow, B: Flow> Flow for (A, B) {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        self.0.values(visit);
        self.1.values(visit);
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<(A, B)> {
        Ok((self.0.map(f)?, self.1.map(f)?))
    }
}

impl<A: Flow> Flow for Option<A> {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        self.iter().for_each(|a| a.values(visit));
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Option<A>> {
        self.as_ref().map(|a| a.map(f)).transpose()
    }
}

impl<A: Flow> Flow for Vec<A> {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        self.iter().for_each(|a| a.values(visit));
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Vec<A>> {
        self.iter().map(|a| a.map(f)).collect()
    }
}
