//! Recurrent weights in `f32`.

use qkernels_x86::{Context, Isa, sgemm};
use qtensor_core::Tensor;

use super::{Gates, OPERATION, Scratch, exactly};
use crate::error::{Error, Result};
use crate::float::linear;

/// Products in `f32`.
#[derive(Clone, Debug)]
pub struct FloatGates {
    input: Tensor,
    hidden: Tensor,
    input_bias: Option<Tensor>,
    hidden_bias: Option<Tensor>,
}

impl FloatGates {
    /// From `W_ih` of shape `[width, input]`, `W_hh` of shape `[width, hidden]`, and biases `[width]`.
    ///
    /// # Errors
    /// [`Error::Operands`] for weights of different widths or biases of other lengths, a rank error for weights that are
    /// no matrices.
    pub fn new(
        input: &Tensor,
        hidden: &Tensor,
        input_bias: Option<&Tensor>,
        hidden_bias: Option<&Tensor>,
    ) -> Result<FloatGates> {
        check_widths(input.shape(), hidden.shape())?;
        for bias in [input_bias, hidden_bias].into_iter().flatten() {
            if bias.shape() != [hidden.shape()[0]] {
                return Err(mismatch(
                    "the width of the gates",
                    hidden.shape(),
                    bias.shape(),
                ));
            }
        }
        Ok(FloatGates {
            input: input.clone(),
            hidden: hidden.contiguous(),
            input_bias: input_bias.cloned(),
            hidden_bias: hidden_bias.map(Tensor::contiguous),
        })
    }
}

/// Refuses weights that are not two matrices of as many rows.
pub(super) fn check_widths(input: &[usize], hidden: &[usize]) -> Result<()> {
    match (input, hidden) {
        ([a, _], [b, _]) if a == b => Ok(()),
        _ => Err(mismatch("the width of the gates", input, hidden)),
    }
}

fn mismatch(what: &'static str, left: &[usize], right: &[usize]) -> Error {
    Error::Operands {
        operation: OPERATION,
        what,
        expected: left.first().copied().unwrap_or(0),
        actual: right.first().copied().unwrap_or(0),
        left: left.to_vec(),
        right: right.to_vec(),
    }
}

impl Gates for FloatGates {
    fn input_size(&self) -> usize {
        self.input.shape()[1]
    }

    fn width(&self) -> usize {
        self.hidden.shape()[0]
    }

    fn input(&self, x: &Tensor) -> Result<Tensor> {
        linear(x, &self.input, self.input_bias.as_ref())
    }

    fn hidden(&self, h: &[f32], rows: usize, _: &mut Scratch, out: &mut [f32]) -> Result<()> {
        let (n, k) = (self.hidden.shape()[0], self.hidden.shape()[1]);
        exactly("the state h", rows.saturating_mul(k), h.len())?;
        let bias = self.hidden_bias.as_ref().and_then(Tensor::as_slice);
        if let Some(bias) = bias.filter(|bias| !bias.is_empty()) {
            out.chunks_exact_mut(n)
                .for_each(|row| row.copy_from_slice(bias));
        }
        let weights = self.hidden.as_slice().unwrap_or_default();
        // The product of a step is too small for a fork.
        sgemm(
            &Context::with(Isa::active()?, 1),
            rows,
            n,
            k,
            h,
            (k, 1),
            weights,
            (1, k),
            out,
            bias.is_some(),
        )?;
        Ok(())
    }
}
