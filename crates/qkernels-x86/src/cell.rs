//! The elementwise half of a recurrent step: from gates to the new state.
//!
//! The products of a step with the input and with the state are made elsewhere. What is left is a handful of formulas
//! over numbers that lie in the first-level cache, in passes of few streams each, because the compiler vectorizes
//! those without checks.

use crate::context::Context;
use crate::curves::{Fraction, SERIAL_BELOW, tanh};
use crate::error::{Result, at_least, exactly, product};
use crate::fork::fork;
use crate::isa::Work;

const OPERATION: &str = "cell_step";

/// A kind of recurrent cell: how gates become a state.
///
/// With `x` the products with the input and `h` those with the state, biases included:
///
/// | kind | gates | new state |
/// |---|---|---|
/// | `RnnTanh` | 1 | `h' = tanh(x + h)` |
/// | `RnnRelu` | 1 | `h' = max(x + h, 0)` |
/// | `Lstm` | `i f g o` | `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')` |
/// | `Gru` | `r z n` | `n = tanh(x_n + σ(r)·h_n)`, `h' = (h − n)·σ(z) + n` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// One gate and the hyperbolic tangent.
    RnnTanh,
    /// One gate and a rectifier.
    RnnRelu,
    /// Long short-term memory.
    Lstm,
    /// A gated recurrent unit.
    Gru,
}

impl Cell {
    /// The number of gates.
    pub fn gates(self) -> usize {
        match self {
            Cell::RnnTanh | Cell::RnnRelu => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// Whether there is a cell state `c` besides `h`.
    pub fn has_cell_state(self) -> bool {
        self == Cell::Lstm
    }
}

/// What a step changes: the state of each row, and a copy of `h` in the output of the sequence.
#[derive(Debug)]
pub struct CellState<'a> {
    /// `[rows][hidden]`.
    pub h: &'a mut [f32],
    /// `[rows][hidden]` for cells that have one, else empty.
    pub c: &'a mut [f32],
    /// Rows of `hidden` elements, `stride` apart.
    pub out: &'a mut [f32],
    /// Elements between rows of `out`.
    pub stride: usize,
}

/// Replaces the states of `rows` rows by those after one step.
///
/// `x` and `gates` are `[rows][gates][hidden]`, the products with the input and with the state; `gates` is used up.
/// The formulas of the functions are those of [`Curve`](crate::Curve): the same bits on every instruction set and with
/// any number of threads.
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) for buffers that do not fit.
///
/// ```
/// # use qkernels_x86::{Cell, CellState, Context, cell_step};
/// let (mut h, mut out) = ([0.0; 2], [0.0; 2]);
/// let state = CellState { h: &mut h, c: &mut [], out: &mut out, stride: 2 };
/// cell_step(&Context::new()?, Cell::RnnRelu, 1, 2, &[1.0, -3.0], &mut [0.5, 1.0], state)?;
/// assert_eq!((h, out), ([1.5, 0.0], [1.5, 0.0]));
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn cell_step(
    ctx: &Context,
    cell: Cell,
    rows: usize,
    hidden: usize,
    x: &[f32],
    gates: &mut [f32],
    state: CellState,
) -> Result<()> {
    let width = product(OPERATION, &[cell.gates(), hidden])?;
    let all = product(OPERATION, &[rows, width])?;
    exactly(OPERATION, "input gate", all, x.len())?;
    exactly(OPERATION, "state gate", all, gates.len())?;
    exactly(OPERATION, "h", rows * hidden, state.h.len())?;
    let cells = if cell.has_cell_state() { hidden } else { 0 };
    exactly(OPERATION, "c", rows * cells, state.c.len())?;
    if rows == 0 || hidden == 0 {
        return Ok(());
    }
    at_least(OPERATION, "output stride", hidden, state.stride)?;
    let last = product(OPERATION, &[rows - 1, state.stride])?;
    at_least(
        OPERATION,
        "output",
        last.saturating_add(hidden),
        state.out.len(),
    )?;
    let pieces = ctx.pieces(all as u64, SERIAL_BELOW).min(rows);
    let work = |x, gates, state| {
        ctx.isa.vectorize(Rows {
            cell,
            hidden,
            x,
            gates,
            state,
        });
    };
    if pieces == 1 {
        work(x, gates, state);
        return Ok(());
    }
    let piece = rows.div_ceil(pieces);
    // Cells without `c` get as many empty slices as there are pieces.
    let mut empty: Vec<&mut [f32]> = Vec::new();
    let c: Vec<&mut [f32]> = if cells > 0 {
        state.c.chunks_mut(piece * cells).collect()
    } else {
        empty.resize_with(pieces, || &mut []);
        empty
    };
    let stride = state.stride;
    let parts = (x.chunks(piece * width))
        .zip(gates.chunks_mut(piece * width))
        .zip(state.h.chunks_mut(piece * hidden))
        .zip(state.out.chunks_mut(piece * stride))
        .zip(c);
    fork(parts, |((((x, gates), h), out), c)| {
        work(x, gates, CellState { h, c, out, stride });
    });
    Ok(())
}

/// Some rows, on one thread.
struct Rows<'a> {
    cell: Cell,
    hidden: usize,
    x: &'a [f32],
    gates: &'a mut [f32],
    state: CellState<'a>,
}

impl Work for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Rows {
            cell,
            hidden,
            x,
            gates,
            state,
        } = self;
        let width = cell.gates() * hidden;
        let rows = x.chunks_exact(width).zip(gates.chunks_exact_mut(width));
        for (row, (x, gates)) in rows.enumerate() {
            let h = &mut state.h[row * hidden..][..hidden];
            match cell {
                Cell::RnnTanh => tanh_row(x, gates, h),
                Cell::RnnRelu => relu_row(x, gates, h),
                Cell::Lstm => lstm_row(x, gates, h, &mut state.c[row * hidden..][..hidden]),
                Cell::Gru => gru_row(x, gates, h),
            }
            state.out[row * state.stride..][..hidden].copy_from_slice(h);
        }
    }
}

#[inline(always)]
fn tanh_row(x: &[f32], gates: &[f32], h: &mut [f32]) {
    for (h, (&x, &g)) in h.iter_mut().zip(x.iter().zip(gates)) {
        *h = tanh(x + g);
    }
}

#[inline(always)]
fn relu_row(x: &[f32], gates: &[f32], h: &mut [f32]) {
    for (h, (&x, &g)) in h.iter_mut().zip(x.iter().zip(gates)) {
        let sum = x + g;
        // Unlike `max`, this keeps NaN.
        *h = if sum < 0.0 { 0.0 } else { sum };
    }
}

/// All gates of a unit at once: what is multiplied in the end shares a division.
#[inline(always)]
fn lstm_row(x: &[f32], gates: &[f32], h: &mut [f32], c: &mut [f32]) {
    let n = h.len();
    let (xi, rest) = x.split_at(n);
    let (xf, rest) = rest.split_at(n);
    let (xg, xo) = rest.split_at(n);
    let (hi, rest) = gates.split_at(n);
    let (hf, rest) = rest.split_at(n);
    let (hg, ho) = rest.split_at(n);
    let (xo, ho, c) = (&xo[..n], &ho[..n], &mut c[..n]);
    for u in 0..n {
        let input = Fraction::sigmoid(xi[u] + hi[u]).times(Fraction::tanh(xg[u] + hg[u]));
        let kept = Fraction::sigmoid(xf[u] + hf[u]);
        let cell = c[u] * kept.value() + input.value();
        let shown = Fraction::sigmoid(xo[u] + ho[u]).times(Fraction::tanh(cell));
        c[u] = cell;
        h[u] = shown.value();
    }
}

#[inline(always)]
fn gru_row(x: &[f32], gates: &[f32], h: &mut [f32]) {
    let n = h.len();
    let (xr, rest) = x.split_at(n);
    let (xz, xn) = rest.split_at(n);
    let (hr, rest) = gates.split_at(n);
    let (hz, hn) = rest.split_at(n);
    let (xn, hn) = (&xn[..n], &hn[..n]);
    for u in 0..n {
        let reset = Fraction::sigmoid(xr[u] + hr[u]).value();
        let new = Fraction::tanh(xn[u] + reset * hn[u]).value();
        let kept = Fraction::sigmoid(xz[u] + hz[u]).value();
        h[u] = (h[u] - new) * kept + new;
    }
}
