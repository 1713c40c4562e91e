//! A linear layer with an activation behind it that is no clamp of integers: LeakyReLU or tanh.

use qgrad::Var;
use qobserve::Observer;

use crate::dynamic;
use crate::error::Result;
use crate::float::{LeakyReLU, Linear, Tanh};
use crate::module::{Module, Node};
use crate::qat;
use crate::quantized;
use crate::reference;
use crate::state::State;
use crate::value::Value;

/// The forms of a linear layer, by which kinds are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// [`Linear`].
    Float,
    /// [`qat::Linear`].
    Qat,
    /// [`quantized::Linear`].
    Quantized,
    /// [`dynamic::Linear`].
    Dynamic,
    /// [`reference::Linear`].
    Reference,
}

/// An activation that [`Activated`] puts behind a linear layer.
pub trait Curve: Module<Input = Value, Output = Value> + Clone {
    /// The kind of such a layer in each form.
    fn kind_of(form: Form) -> &'static str;

    /// The activation that its [`config`](Node::config) describes.
    ///
    /// # Errors
    /// A missing entry or one of another type.
    fn load(module: &'static str, state: &mut State) -> Result<Self>;

    /// The activation of the sums of an int8 layer, which rounds once.
    ///
    /// # Errors
    /// Those of the layer.
    fn of_sums(&self, linear: &quantized::Linear, input: &Value) -> Result<Value>;
}

/// A linear layer that an activation can be put behind.
pub trait Activatable: Node {
    /// The form.
    const FORM: Form;

    /// The layer's result through the activation.
    ///
    /// # Errors
    /// Those of the layer.
    fn activated<A: Curve>(&self, activation: &A, input: &Value) -> Result<Value>;
}

/// A linear layer with an activation behind it, in one place: `y = act(x Wᵀ + b)`.
///
/// The float form, the one for training and the dynamic one compute what layer and activation compute one after the other.
/// The int8 form applies the activation to the exact sums, scaled and with the bias in `f32`, and rounds once
/// ([`PackedLinear::run_tanh`](qops::quantized::PackedLinear::run_tanh)).
///
/// ```
/// use qnn::intrinsic::LinearLeakyReLU;
/// use qnn::{LeakyReLU, Linear, Module};
/// use qtensor_core::Tensor;
///
/// let linear = Linear::from_parts(Tensor::from_vec(vec![1.0, -1.0], &[2, 1])?, None)?;
/// let fused = LinearLeakyReLU::new(linear, LeakyReLU::new(0.25));
/// let y = fused.forward(&Tensor::full(&[1, 1], 4.0)?.into())?;
/// assert_eq!(y.to_tensor().to_vec(), [4.0, -1.0]);
/// # Ok::<(), qnn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Activated<L, A> {
    linear: L,
    activation: A,
}

/// A linear layer and a leaky ReLU.
pub type LinearLeakyReLU = Activated<Linear, LeakyReLU>;
/// A linear layer and a hyperbolic tangent.
pub type LinearTanh = Activated<Linear, Tanh>;

impl<L, A> Activated<L, A> {
    /// The layer, then the activation.
    pub fn new(linear: L, activation: A) -> Activated<L, A> {
        Activated { linear, activation }
    }

    /// The layer without the activation.
    pub fn module(&self) -> &L {
        &self.linear
    }

    /// The activation.
    pub fn activation(&self) -> &A {
        &self.activation
    }
}

impl<L: Activatable, A: Curve> Activated<L, A> {
    /// Restores a module that [`state`](Node::state) and [`config`](Node::config) described together; `restore` does the layer.
    ///
    /// # Errors
    /// A missing entry, one of another type, and those of `restore`.
    pub fn from_state(
        state: &mut State,
        restore: impl FnOnce(&mut State) -> Result<L>,
    ) -> Result<Activated<L, A>> {
        let activation = A::load(A::kind_of(L::FORM), state)?;
        Ok(Activated::new(restore(state)?, activation))
    }
}

impl<L: Activatable, A: Curve> Node for Activated<L, A> {
    fn kind(&self) -> &'static str {
        A::kind_of(L::FORM)
    }

    fn extra_repr(&self) -> String {
        let parts = [self.linear.extra_repr(), self.activation.extra_repr()];
        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn state(&self) -> State {
        self.linear.state()
    }

    fn config(&self) -> State {
        self.linear.config().merged(self.activation.config())
    }

    fn load_state(&mut self, state: &mut State) -> Result<()> {
        self.linear.load_state(state)
    }

    fn set_training(&mut self, training: bool) {
        self.linear.set_training(training);
    }

    fn parameters_mut(&mut self, visit: &mut dyn FnMut(&str, &mut Var)) {
        self.linear.parameters_mut(visit);
    }

    fn observers_mut(&mut self, visit: &mut dyn FnMut(&str, &mut dyn Observer)) {
        self.linear.observers_mut(visit);
    }

    fn observers(&self, visit: &mut dyn FnMut(&str, &dyn Observer)) {
        self.linear.observers(visit);
    }
}

impl<L: Activatable, A: Curve> Module for Activated<L, A> {
    type Input = Value;
    type Output = Value;

    fn forward(&self, input: &Value) -> Result<Value> {
        self.linear.activated(&self.activation, input)
    }
}

macro_rules! one_after_the_other {
    ($($linear:ty, $form:ident;)*) => {$(
        impl Activatable for $linear {
            const FORM: Form = Form::$form;

            fn activated<A: Curve>(&self, activation: &A, input: &Value) -> Result<Value> {
                activation.forward(&self.forward(input)?)
            }
        }
    )*};
}
one_after_the_other! {
    Linear, Float;
    qat::Linear, Qat;
    dynamic::Linear, Dynamic;
    reference::Linear, Reference;
}

impl Activatable for quantized::Linear {
    const FORM: Form = Form::Quantized;

    fn activated<A: Curve>(&self, activation: &A, input: &Value) -> Result<Value> {
        activation.of_sums(self, input)
    }
}

impl Curve for LeakyReLU {
    fn kind_of(form: Form) -> &'static str {
        match form {
            Form::Float => "LinearLeakyReLU",
            Form::Qat => "QatLinearLeakyReLU",
            Form::Quantized => "QuantizedLinearLeakyReLU",
            Form::Dynamic => "DynamicQuantizedLinearLeakyReLU",
            Form::Reference => "ReferenceLinearLeakyReLU",
        }
    }

    fn load(module: &'static str, state: &mut State) -> Result<LeakyReLU> {
        let slope = state.take_real(module, "negative_slope")?;
        Ok(LeakyReLU::new(slope as f32))
    }

    fn of_sums(&self, linear: &quantized::Linear, input: &Value) -> Result<Value> {
        let (packed, x, out) = linear.parts_for(Self::kind_of(Form::Quantized), input)?;
        Ok(packed.run_leaky_relu(x, self.negative_slope(), out)?.into())
    }
}

impl Curve for Tanh {
    fn kind_of(form: Form) -> &'static str {
        match form {
            Form::Float => "LinearTanh",
            Form::Qat => "QatLinearTanh",
            Form::Quantized => "QuantizedLinearTanh",
            Form::Dynamic => "DynamicQuantizedLinearTanh",
            Form::Reference => "ReferenceLinearTanh",
        }
    }

    fn load(_: &'static str, _: &mut State) -> Result<Tanh> {
        Ok(Tanh)
    }

    fn of_sums(&self, linear: &quantized::Linear, input: &Value) -> Result<Value> {
        let (packed, x, out) = linear.parts_for(Self::kind_of(Form::Quantized), input)?;
        Ok(packed.run_tanh(x, out)?.into())
    }
}
