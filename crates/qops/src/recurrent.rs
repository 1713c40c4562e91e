//! Recurrent layers over sequences: one direction of one layer at a time.
//!
//! A step has two products, one with the input and one with the state. Those with the input do not depend on each
//! other, so they are one product over all steps, made first; what is left for each step is the product with the state
//! and the cell ([`qkernels_x86::cell_step`]). Nothing is allocated in a step.
//!
//! Sequences of several lengths lie in the order of their steps: first the first elements of all sequences, longest
//! sequence first, then the second elements of those that have one, and so on. A batch of equal lengths is the special
//! case in which every step has all of them.

mod dynamic;
mod float;

pub use dynamic::DynamicGates;
pub use float::FloatGates;
pub use qkernels_x86::Cell;

use qkernels_x86::{CellState, Context, RowParams, cell_step};
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::spec::argument;

const OPERATION: &str = "recurrent layer";

/// The weights of one direction of one layer, in whatever numbers: what computes gates from inputs and from states.
pub trait Gates: Send + Sync {
    /// Elements of an input.
    fn input_size(&self) -> usize;

    /// All gates of a step: the number of the cell's gates times the elements of a state.
    fn width(&self) -> usize;

    /// `x · W_ihᵀ + b_ih` for `x` of shape `[rows, input]`.
    ///
    /// # Errors
    /// Those of the product.
    fn input(&self, x: &Tensor) -> Result<Tensor>;

    /// `h · W_hhᵀ + b_hh` for `rows` states, into `out`.
    ///
    /// # Errors
    /// Those of the product.
    fn hidden(&self, h: &[f32], rows: usize, scratch: &mut Scratch, out: &mut [f32]) -> Result<()>;
}

/// Memory of a product with the state, kept from step to step.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) params: Vec<RowParams>,
}

/// What a direction reads and changes besides its weights.
#[derive(Debug)]
pub struct Direction<'a> {
    /// The cell.
    pub cell: Cell,
    /// Sequences that have a first, a second, … element; never more than before.
    pub batch_sizes: &'a [usize],
    /// From the last element to the first.
    pub reverse: bool,
    /// The states, `[batch][hidden]`: those before at first, those after the last element of each sequence at last.
    pub h: &'a mut [f32],
    /// The cell states, if the cell has them, else empty.
    pub c: &'a mut [f32],
    /// The outputs, rows of `hidden` elements that begin `stride` apart.
    pub out: &'a mut [f32],
    /// Elements between rows of `out`.
    pub stride: usize,
}

/// Runs one direction of one layer over `x`, `[all elements of all sequences, input]`.
///
/// # Errors
/// [`Error::Argument`] if the weights' width is not that of so many gates, [`Error::Operands`] if `x` does not have the
/// weights' input size, [`Error::Length`] if the batch sizes do not sum up to its rows or grow, or for a state of another length,
/// and those of the kernels for outputs that are too short.
pub fn run_direction(gates: &dyn Gates, x: &Tensor, direction: Direction) -> Result<()> {
    let Direction {
        cell,
        batch_sizes,
        reverse,
        h,
        c,
        out,
        stride,
    } = direction;
    let width = gates.width();
    if !width.is_multiple_of(cell.gates()) {
        let expected = format!("a multiple of the {} gates of the cell", cell.gates());
        return Err(argument(
            OPERATION,
            "the width of the weights",
            expected,
            width,
        ));
    }
    let hidden = width / cell.gates();
    let rows = (batch_sizes.iter()).fold(0usize, |rows, &active| rows.saturating_add(active));
    if x.rank() != 2 || x.shape()[1] != gates.input_size() {
        return Err(Error::Operands {
            operation: OPERATION,
            what: "the number of input features",
            expected: gates.input_size(),
            actual: x.shape().last().copied().unwrap_or(0),
            left: vec![width, gates.input_size()],
            right: x.shape().to_vec(),
        });
    }
    if rows != x.shape()[0] || !batch_sizes.is_sorted_by(|a, b| a >= b) {
        return Err(Error::Length {
            operation: OPERATION,
            what: "the sum of the batch sizes, which must not grow,",
            expected: x.shape()[0],
            actual: rows,
        });
    }
    let most = batch_sizes.first().copied().unwrap_or(0);
    let states = most.saturating_mul(hidden);
    let cells = if cell.has_cell_state() { states } else { 0 };
    exactly("the state h", states, h.len())?;
    exactly("the state c", cells, c.len())?;
    let inputs = gates.input(x)?;
    let inputs = inputs.contiguous();
    let inputs = inputs.as_slice().unwrap_or_default();
    exactly(
        "the product with the input",
        rows.saturating_mul(width),
        inputs.len(),
    )?;
    let (mut scratch, mut products) = (Scratch::default(), vec![0.0; most * width]);
    let context = Context::new()?;
    let mut step = |first: usize, active: usize| -> Result<()> {
        if active == 0 || hidden == 0 {
            return Ok(());
        }
        let products = &mut products[..active * width];
        let h = &mut h[..active * hidden];
        let cells = c.len().min(active * hidden);
        gates.hidden(h, active, &mut scratch, products)?;
        let state = CellState {
            h,
            c: &mut c[..cells],
            out: out
                .get_mut(first.saturating_mul(stride)..)
                .unwrap_or_default(),
            stride,
        };
        let x = &inputs[first * width..][..active * width];
        cell_step(&context, cell, active, hidden, x, products, state)?;
        Ok(())
    };
    if reverse {
        let mut first = rows;
        for &active in batch_sizes.iter().rev() {
            first -= active;
            step(first, active)?;
        }
    } else {
        let mut first = 0;
        for &active in batch_sizes {
            step(first, active)?;
            first += active;
        }
    }
    Ok(())
}

/// Refuses a slice of another length.
fn exactly(what: &'static str, expected: usize, actual: usize) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::Length {
        operation: OPERATION,
        what,
        expected,
        actual,
    })
}
