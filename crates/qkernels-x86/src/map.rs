//! Drives elementwise formulas: a scalar formula, written once, runs over whole slices.
//!
//! A formula is a small value with an `#[inline(always)]` method for one element. The drivers cut the
//! output into pieces for the threads and hand every piece to the tier, whose compilation of the loop
//! around the formula is the vector kernel. So all tiers compute the same formula.
//!
//! The loops are plain on purpose: one over blocks of fixed size is unrolled before it is vectorized.

use crate::context::Context;
use crate::error::{Result, at_least};
use crate::isa::{Isa, Work};

/// Below this many elements the fork costs more than it saves.
pub(crate) const SERIAL_BELOW: u64 = 1 << 15;

/// A formula of one element.
pub(crate) trait Unary<X, Y>: Copy + Sync {
    /// The formula; implementations are `#[inline(always)]`.
    fn apply(self, x: X) -> Y;
}

/// A formula of two elements.
pub(crate) trait Binary<X, Y>: Copy + Sync {
    /// The formula; implementations are `#[inline(always)]`.
    fn apply(self, a: X, b: X) -> Y;

    /// Computes the elements for which the tier has a kernel of its own, the first ones, and answers how many they are.
    fn start(self, _isa: Isa, _a: &[X], _b: &[X], _out: &mut [Y]) -> usize {
        0
    }
}

/// `out[i] = formula(x[i])` for each element of `out`; `x` may be longer.
pub(crate) fn unary<X, Y, F>(
    ctx: &Context,
    operation: &'static str,
    formula: F,
    x: &[X],
    out: &mut [Y],
) -> Result<()>
where
    X: Copy + Sync,
    Y: Copy + Send,
    F: Unary<X, Y>,
{
    at_least(operation, "x", out.len(), x.len())?;
    Context::chunks(out, piece_len(ctx, out.len()), |start, out| {
        let x = &x[start..start + out.len()];
        ctx.isa.vectorize(UnaryWork { formula, x, out });
    });
    Ok(())
}

/// `out[i] = formula(a[i], b[i])` for each element of `out`; `a` and `b` may be longer.
pub(crate) fn binary<X, Y, F>(
    ctx: &Context,
    operation: &'static str,
    formula: F,
    [a, b]: [&[X]; 2],
    out: &mut [Y],
) -> Result<()>
where
    X: Copy + Sync,
    Y: Copy + Send,
    F: Binary<X, Y>,
{
    at_least(operation, "a", out.len(), a.len())?;
    at_least(operation, "b", out.len(), b.len())?;
    Context::chunks(out, piece_len(ctx, out.len()), |start, out| {
        let end = start + out.len();
        serially(ctx.isa, formula, &a[start..end], &b[start..end], out);
    });
    Ok(())
}

/// As [`binary`], of slices of one length, on the calling thread.
pub(crate) fn serially<X: Copy, Y: Copy>(
    isa: Isa,
    formula: impl Binary<X, Y>,
    a: &[X],
    b: &[X],
    out: &mut [Y],
) {
    let done = formula.start(isa, a, b, out);
    let (a, b, out) = (&a[done..], &b[done..], &mut out[done..]);
    isa.vectorize(BinaryWork { formula, a, b, out });
}

/// The length of one thread's piece of `len` elements, in whole cache lines of bytes.
pub(crate) fn piece_len(ctx: &Context, len: usize) -> usize {
    let pieces = ctx.pieces(len as u64, SERIAL_BELOW);
    if pieces <= 1 {
        return len.max(1);
    }
    len.div_ceil(pieces).next_multiple_of(64)
}

struct UnaryWork<'a, X, Y, F> {
    formula: F,
    x: &'a [X],
    out: &'a mut [Y],
}

impl<X: Copy, Y: Copy, F: Unary<X, Y>> Work for UnaryWork<'_, X, Y, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (out, &x) in self.out.iter_mut().zip(self.x) {
            *out = self.formula.apply(x);
        }
    }
}

struct BinaryWork<'a, X, Y, F> {
    formula: F,
    a: &'a [X],
    b: &'a [X],
    out: &'a mut [Y],
}

impl<X: Copy, Y: Copy, F: Binary<X, Y>> Work for BinaryWork<'_, X, Y, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((out, &a), &b) in self.out.iter_mut().zip(self.a).zip(self.b) {
            *out = self.formula.apply(a, b);
        }
    }
}
