//! Int8 activations with a scale and zero point of their own.

use qops::quantized;
use qtensor_core::rounding::round_half_even_f64;
use qtensor_core::{QTensor, quantize_per_tensor};

use crate::error::{Error, Result};
use crate::float;
use crate::module::{Module, Node};
use crate::quantized::QParams;
use crate::state::{Entry, State};
use crate::value::Value;

macro_rules! activation {
    (
        $(#[$doc:meta])* $module:ident, $kind:literal, $($field:ident: $type:ty, $save:expr, $load:expr,)?
        |$own:ident, $q:ident, $out:ident| $run:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $module {
            $($field: $type,)?
            output: QParams,
        }

        impl $module {
            const KIND: &'static str = $kind;

            /// With these numbers and these qparams of the output.
            pub fn new($($field: $type,)? output: QParams) -> $module {
                $module { $($field,)? output }
            }

            /// The counterpart of a float module, with calibrated output qparams.
            pub fn from_float(float: &float::$module, output: QParams) -> $module {
                let _ = float;
                $module { $($field: float.$field(),)? output }
            }

            /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together.
            ///
            /// # Errors
            /// A missing entry or one of another type.
            pub fn from_state(state: &mut State) -> Result<$module> {
                $(let $field = $load(state)?;)?
                Ok($module { $($field,)? output: QParams::load(Self::KIND, state)? })
            }

            /// The qparams of the output.
            pub fn output(&self) -> QParams {
                self.output
            }
        }

        impl Node for $module {
            fn kind(&self) -> &'static str {
                Self::KIND
            }

            fn extra_repr(&self) -> String {
                String::new()
                    $(+ &format!("{}={}, ", stringify!($field), self.$field))?
                    + &self.output.to_string()
            }

            fn state(&self) -> State {
                self.output.save(State::default())
            }

            fn config(&self) -> State {
                State::default()$(.with(stringify!($field), $save(self.$field)))?
            }
        }

        impl Module for $module {
            type Input = Value;
            type Output = Value;

            fn forward(&self, input: &Value) -> Result<Value> {
                let ($own, $q, $out) = (self, input.quantized(Self::KIND)?, self.output.out());
                let _ = $own;
                self.output.check_input(Self::KIND, $q.dtype())?;
                Ok($run?.into())
            }
        }
    };
}

fn real(value: f32) -> Entry {
    Entry::Real(value.into())
}

fn size(value: usize) -> Entry {
    Entry::Ints(vec![value as i64])
}

activation! {
    /// `x` where it is positive, else `α · (eˣ − 1)`, from integers to integers.
    ELU, "QuantizedELU",
    alpha: f32, real, |s: &mut State| s.take_real("QuantizedELU", "alpha").map(|v| v as f32),
    |own, q, out| quantized::elu(q, own.alpha, out)
}
activation! {
    /// `x` where it is positive, else `slope · x`, from integers to integers.
    LeakyReLU, "QuantizedLeakyReLU",
    negative_slope: f32, real,
    |s: &mut State| s.take_real("QuantizedLeakyReLU", "negative_slope").map(|v| v as f32),
    |own, q, out| quantized::leaky_relu(q, own.negative_slope, Some(out))
}
activation! {
    /// `x · min(max(x + 3, 0), 6) / 6`, from integers to integers.
    Hardswish, "QuantizedHardswish",
    |own, q, out| quantized::hardswish(q, out)
}
activation! {
    /// `1 / (1 + e⁻ˣ)` with qparams of its own; the float [`Sigmoid`](float::Sigmoid) takes integers too, and answers with
    /// scale 1/256.
    Sigmoid, "QuantizedSigmoid",
    |own, q, out| quantized::sigmoid(q, Some(out))
}
activation! {
    /// `exp(x) / Σ exp(x)` along a dimension with qparams of its own; the float [`Softmax`](float::Softmax) takes integers
    /// too, and answers with scale 1/256.
    Softmax, "QuantizedSoftmax",
    dim: usize, size,
    |s: &mut State| s.take_sizes::<1>("QuantizedSoftmax", "dim").map(|[dim]| dim),
    |own, q, out| quantized::softmax(q, own.dim, out)
}

/// `x` where it is positive, else `weight · x`, from integers to integers.
#[derive(Clone, Debug)]
pub struct PReLU {
    weight: QTensor,
    output: QParams,
}

impl PReLU {
    const KIND: &'static str = "QuantizedPReLU";

    /// The counterpart of a float module, with calibrated output qparams.
    ///
    /// Weights get the type of the output, and a grid that holds all of them, 0 and 1: positive numbers are multiplied by
    /// the integer of 1, so it lies on the grid (PyTorch's weight observer may leave it off that, or beyond it).
    ///
    /// # Errors
    /// [`Error::Config`] for weights that are not finite, or too large to share a grid with 1.
    pub fn from_float(float: &float::PReLU, output: QParams) -> Result<PReLU> {
        let values = float.weight().to_vec();
        let lo = values.iter().copied().fold(0.0, f32::min);
        let hi = values.iter().copied().fold(1.0, f32::max);
        let (qmin, qmax) = output.dtype.range();
        // The number of integers from 0 to 1.
        let steps = (f64::from(qmax) - f64::from(qmin)) / (f64::from(hi) - f64::from(lo));
        let steps = f64::from(steps as u32);
        if values.iter().any(|v| !v.is_finite()) || steps < 1.0 {
            return Err(Error::Config {
                module: Self::KIND,
                what: format!("weights from {lo} to {hi} share no 8-bit grid with 1"),
            });
        }
        let zero = round_half_even_f64(f64::from(qmin) - f64::from(lo) * steps) as i32;
        let weight = quantize_per_tensor(float.weight(), 1.0 / steps, zero, output.dtype)?;
        PReLU::from_parts(weight, output)
    }

    /// A module with given integers.
    ///
    /// # Errors
    /// [`Error::Config`] for weights of more than one dimension or of another type than the output.
    pub fn from_parts(weight: QTensor, output: QParams) -> Result<PReLU> {
        if weight.rank() != 1 || weight.numel() == 0 || weight.dtype() != output.dtype {
            let (shape, dtype) = (weight.shape(), weight.dtype());
            let what = format!(
                "{dtype} weights of shape {shape:?}, expected {} of one dimension",
                output.dtype
            );
            return Err(Error::Config {
                module: Self::KIND,
                what,
            });
        }
        Ok(PReLU { weight, output })
    }

    /// Restores a module that [`state`](Node::state) described.
    ///
    /// # Errors
    /// A missing entry, one of another type, or numbers that contradict each other.
    pub fn from_state(state: &mut State) -> Result<PReLU> {
        let weight = state.take_qtensor(Self::KIND, "weight")?;
        PReLU::from_parts(weight, QParams::load(Self::KIND, state)?)
    }

    /// The quantized weights.
    pub fn weight(&self) -> &QTensor {
        &self.weight
    }

    /// The qparams of the output.
    pub fn output(&self) -> QParams {
        self.output
    }
}

impl Node for PReLU {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn extra_repr(&self) -> String {
        format!("num_parameters={}, {}", self.weight.numel(), self.output)
    }

    fn state(&self) -> State {
        let weight = State::default().with("weight", Entry::QTensor(self.weight.clone()));
        self.output.save(weight)
    }
}

impl Module for PReLU {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        let x = input.quantized(Self::KIND)?;
        self.output.check_input(Self::KIND, x.dtype())?;
        Ok(quantized::prelu(x, &self.weight, self.output.out())?.into())
    }
}
