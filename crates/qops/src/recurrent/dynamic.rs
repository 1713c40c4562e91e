//! Recurrent weights in int8, with inputs and states that are quantized as they come.

use qtensor_core::{QTensor, Tensor};

use super::float::check_widths;
use super::{Gates, Scratch, exactly};
use crate::error::Result;
use crate::quantized::{Activation, DynamicQuant, PackedLinear};

/// Products of int8 weights with inputs and states whose integers are chosen in every call.
///
/// Both are dynamic linear layers ([`PackedLinear::run_dynamic`]): the input one over all steps at once, the state one
/// in each step.
#[derive(Clone, Debug)]
pub struct DynamicGates {
    input: PackedLinear,
    hidden: PackedLinear,
    quant: DynamicQuant,
}

impl DynamicGates {
    /// From `qint8` weights `W_ih` of shape `[width, input]`, `W_hh` of shape `[width, hidden]`, and `f32` biases
    /// `[width]`.
    ///
    /// # Errors
    /// Those of [`PackedLinear::new`], and [`Error::Operands`](crate::Error::Operands) for weights of different widths.
    pub fn new(
        input: &QTensor,
        hidden: &QTensor,
        input_bias: Option<&Tensor>,
        hidden_bias: Option<&Tensor>,
        quant: DynamicQuant,
    ) -> Result<DynamicGates> {
        check_widths(input.shape(), hidden.shape())?;
        Ok(DynamicGates {
            input: PackedLinear::new(input, input_bias)?,
            hidden: PackedLinear::new(hidden, hidden_bias)?,
            quant,
        })
    }

    /// The layer of the input.
    pub fn input_layer(&self) -> &PackedLinear {
        &self.input
    }

    /// The layer of the state.
    pub fn hidden_layer(&self) -> &PackedLinear {
        &self.hidden
    }

    /// How inputs and states are quantized.
    pub fn quant(&self) -> DynamicQuant {
        self.quant
    }
}

impl Gates for DynamicGates {
    fn input_size(&self) -> usize {
        self.input.in_features()
    }

    fn width(&self) -> usize {
        self.hidden.out_features()
    }

    fn input(&self, x: &Tensor) -> Result<Tensor> {
        self.input.run_dynamic(x, self.quant, Activation::None)
    }

    fn hidden(&self, h: &[f32], rows: usize, scratch: &mut Scratch, out: &mut [f32]) -> Result<()> {
        let states = rows.saturating_mul(self.hidden.in_features());
        exactly("the state h", states, h.len())?;
        let Scratch { bytes, params } = scratch;
        self.hidden
            .run_rows(h, rows, self.quant, (bytes, params), out)
    }
}
