//! `FloatFunctional` and `QFunctional`: operations between values that need an output scale of their own.
//!
//! An addition of two quantized values has a result with its own range, which must be observed somewhere.
//! Hence additions, products and concatenations go through a place, one for each use in the model.

use qops::quantized;
use qtensor_core::{QTensor, Tensor};

use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::module::{Module, Node};
use crate::quantized::QParams;
use crate::state::State;
use crate::value::{Flow, Value};

/// What to do with the arguments of a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// `a + b`.
    Add,
    /// `max(a + b, 0)`.
    AddRelu,
    /// `a · b`.
    Mul,
    /// `max(a · b, 0)`.
    MulRelu,
    /// Values side by side along a dimension.
    Cat {
        /// The dimension.
        dim: usize,
    },
    /// Values side by side along a dimension, negative ones made 0.
    CatRelu {
        /// The dimension.
        dim: usize,
    },
    /// The matrix product.
    Matmul,
    /// `a + c`. Not observed: the result's scale follows from the input's.
    AddScalar(f64),
    /// `a · c`. Not observed: the result's scale follows from the input's.
    MulScalar(f64),
    /// `max(a + c, 0)`. Not observed, as the one without `max`.
    AddScalarRelu(f64),
    /// `max(a · c, 0)`. Not observed, as the one without `max`.
    MulScalarRelu(f64),
}

impl Operation {
    /// Whether the result's scale follows from the input's.
    fn is_scalar(self) -> bool {
        matches!(
            self,
            Operation::AddScalar(_)
                | Operation::MulScalar(_)
                | Operation::AddScalarRelu(_)
                | Operation::MulScalarRelu(_)
        )
    }
}

/// An operation with its arguments: what a functional place takes.
#[derive(Clone, Debug)]
pub struct Call {
    operation: Operation,
    args: Vec<Value>,
}

impl Call {
    /// An operation and its arguments.
    pub fn new(operation: Operation, args: &[&Value]) -> Call {
        let args = args.iter().map(|&v| v.clone()).collect();
        Call { operation, args }
    }
}

impl Flow for Call {
    fn values<'a>(&'a self, visit: &mut dyn FnMut(&'a Value)) {
        self.args.values(visit);
    }

    fn map(&self, f: &mut dyn FnMut(&Value) -> Result<Value>) -> Result<Call> {
        Ok(Call {
            operation: self.operation,
            args: self.args.map(f)?,
        })
    }
}

/// Operations on float values, observed at their output.
///
/// ```
/// use qnn::{FloatFunctional, Layer, Value};
/// use qtensor_core::Tensor;
///
/// let add: Layer<FloatFunctional> = FloatFunctional.into();
/// let x: Value = Tensor::ones(&[2])?.into();
/// assert_eq!(add.add(&x, &x)?.to_tensor().to_vec(), [2.0, 2.0]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FloatFunctional;

/// Operations on quantized values, with the output's scale and zero point from calibration.
#[derive(Clone, Copy, Debug)]
pub struct QFunctional {
    output: QParams,
}

impl QFunctional {
    /// The counterpart of a calibrated [`FloatFunctional`].
    pub fn new(output: QParams) -> QFunctional {
        QFunctional { output }
    }

    /// The scale and zero point of results.
    pub fn output(&self) -> QParams {
        self.output
    }

    /// Restores one that [`state`](Node::state) described.
    ///
    /// # Errors
    /// A missing entry or one of another type.
    pub fn from_state(state: &mut State) -> Result<QFunctional> {
        Ok(QFunctional {
            output: QParams::load("QFunctional", state)?,
        })
    }
}

impl Node for FloatFunctional {
    fn kind(&self) -> &'static str {
        "FloatFunctional"
    }
}

impl Module for FloatFunctional {
    type Input = Call;
    type Output = Value;

    fn forward(&self, call: &Call) -> Result<Value> {
        let args = call
            .args
            .iter()
            .map(|v| v.float("FloatFunctional"))
            .collect::<Result<Vec<_>>>()?;
        let result = match (call.operation, args.as_slice()) {
            (Operation::Add, [a, b]) => qgrad::ops::add(a, b)?,
            (Operation::AddRelu, [a, b]) => qgrad::ops::relu(&qgrad::ops::add(a, b)?)?,
            (Operation::Mul, [a, b]) => qgrad::ops::mul(a, b)?,
            (Operation::MulRelu, [a, b]) => qgrad::ops::relu(&qgrad::ops::mul(a, b)?)?,
            (Operation::Matmul, [a, b]) => qgrad::ops::matmul(a, b)?,
            (Operation::AddScalar(c), [a]) => qgrad::ops::add(a, &Tensor::scalar(c as f32).into())?,
            (Operation::MulScalar(c), [a]) => qgrad::ops::mul(a, &Tensor::scalar(c as f32).into())?,
            (Operation::AddScalarRelu(c), [a]) => {
                qgrad::ops::relu(&qgrad::ops::add_scalar(a, c as f32)?)?
            }
            (Operation::MulScalarRelu(c), [a]) => {
                qgrad::ops::relu(&qgrad::ops::mul_scalar(a, c as f32)?)?
            }
            (Operation::Cat { dim }, args) => qgrad::ops::cat(args, dim)?,
            (Operation::CatRelu { dim }, args) => qgrad::ops::relu(&qgrad::ops::cat(args, dim)?)?,
            (operation, args) => return Err(wrong_count("FloatFunctional", operation, args.len())),
        };
        Ok(result.into())
    }

    fn observes(&self, call: &Call) -> bool {
        !call.operation.is_scalar()
    }
}

impl Node for QFunctional {
    fn kind(&self) -> &'static str {
        "QFunctional"
    }

    fn extra_repr(&self) -> String {
        self.output.to_string()
    }

    fn state(&self) -> State {
        self.output.save(State::default())
    }
}

impl Module for QFunctional {
    type Input = Call;
    type Output = Value;

    fn forward(&self, call: &Call) -> Result<Value> {
        let args = call
            .args
            .iter()
            .map(|v| v.quantized("QFunctional"))
            .collect::<Result<Vec<&QTensor>>>()?;
        for arg in &args {
            self.output.check_input("QFunctional", arg.dtype())?;
        }
        let out = self.output.out();
        let result = match (call.operation, args.as_slice()) {
            (Operation::Add, [a, b]) => quantized::add(a, b, out)?,
            (Operation::AddRelu, [a, b]) => quantized::add_relu(a, b, out)?,
            (Operation::Mul, [a, b]) => quantized::mul(a, b, out)?,
            (Operation::MulRelu, [a, b]) => quantized::mul_relu(a, b, out)?,
            (Operation::Matmul, [a, b]) => quantized::matmul(a, b, out)?,
            (Operation::AddScalar(c), [a]) => quantized::add_scalar(a, c)?,
            (Operation::MulScalar(c), [a]) => quantized::mul_scalar(a, c)?,
            (Operation::AddScalarRelu(c), [a]) => quantized::relu(&quantized::add_scalar(a, c)?)?,
            (Operation::MulScalarRelu(c), [a]) => quantized::relu(&quantized::mul_scalar(a, c)?)?,
            (Operation::Cat { dim }, args) => quantized::cat(args, dim, Some(out))?,
            (Operation::CatRelu { dim }, args) => quantized::cat_relu(args, dim, Some(out))?,
            (operation, args) => return Err(wrong_count("QFunctional", operation, args.len())),
        };
        Ok(result.into())
    }
}

fn wrong_count(module: &'static str, operation: Operation, count: usize) -> Error {
    Error::Config {
        module,
        what: format!("{operation:?} does not take {count} arguments"),
    }
}

/// The operations, under PyTorch's names. All return the errors of the module in the place.
impl Layer<FloatFunctional> {
    fn call(&self, operation: Operation, args: &[&Value]) -> Result<Value> {
        self.forward(&Call::new(operation, args))
    }

    /// `a + b`, with broadcasting.
    ///
    /// # Errors
    /// Shapes that do not broadcast, values of the wrong kind.
    pub fn add(&self, a: &Value, b: &Value) -> Result<Value> {
        self.call(Operation::Add, &[a, b])
    }

    /// `max(a + b, 0)`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_relu(&self, a: &Value, b: &Value) -> Result<Value> {
        self.call(Operation::AddRelu, &[a, b])
    }

    /// `a · b`, with broadcasting.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn mul(&self, a: &Value, b: &Value) -> Result<Value> {
        self.call(Operation::Mul, &[a, b])
    }

    /// The values side by side along `dim`.
    ///
    /// # Errors
    /// No values, shapes that differ elsewhere, values of the wrong kind.
    pub fn cat(&self, values: &[&Value], dim: usize) -> Result<Value> {
        self.call(Operation::Cat { dim }, values)
    }

    /// The matrix product.
    ///
    /// # Errors
    /// Shapes that do not multiply, values of the wrong kind.
    pub fn matmul(&self, a: &Value, b: &Value) -> Result<Value> {
        self.call(Operation::Matmul, &[a, b])
    }

    /// `a + c`.
    ///
    /// # Errors
    /// A value of the wrong kind.
    pub fn add_scalar(&self, a: &Value, c: f64) -> Result<Value> {
        self.call(Operation::AddScalar(c), &[a])
    }

    /// `a · c`.
    ///
    /// # Errors
    /// A value of the wrong kind.
    pub fn mul_scalar(&self, a: &Value, c: f64) -> Result<Value> {
        self.call(Operation::MulScalar(c), &[a])
    }

    /// `max(a · b, 0)`, with broadcasting.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn mul_relu(&self, a: &Value, b: &Value) -> Result<Value> {
        self.call(Operation::MulRelu, &[a, b])
    }

    /// The values side by side along `dim`, negative ones made 0.
    ///
    /// # Errors
    /// As [`cat`](Self::cat).
    pub fn cat_relu(&self, values: &[&Value], dim: usize) -> Result<Value> {
        self.call(Operation::CatRelu { dim }, values)
    }

    /// `max(a + c, 0)`.
    ///
    /// # Errors
    /// A value of the wrong kind.
    pub fn add_scalar_relu(&self, a: &Value, c: f64) -> Result<Value> {
        self.call(Operation::AddScalarRelu(c), &[a])
    }

    /// `max(a · c, 0)`.
    ///
    /// # Errors
    /// A value of the wrong kind.
    pub fn mul_scalar_relu(&self, a: &Value, c: f64) -> Result<Value> {
        self.call(Operation::MulScalarRelu(c), &[a])
    }
}
