//! Linear layers: a matrix of activations times packed weights.

use core::ops::Range;

#[cfg(target_arch = "x86_64")]
use crate::amx;
use crate::context::Context;
use crate::driver::{self, Job};
use crate::error::{Error, Result, at_least, exactly, product};
use crate::finish::{Bytes, Finish};
use crate::gather::{Gather, Input};
use crate::pack::{Dense, Form, Kind, PackedWeights, QUAD};
use crate::requant::Requant;
use crate::source::Segments;

const OPERATION: &str = "linear";

/// `out[i][j] = requantize(bias[j] + sum over c of (x[i][c] - input zero point) * w[j][c])`.
///
/// `x` is `[m][k]` and may be longer, `out` is `[m][n]`; no rows are legal. Four bytes of slack after
/// the last row save a copy of it.
///
/// # Errors
/// [`Error::Length`] for buffers that do not fit, [`Error::Packing`] if the weights were packed for a
/// convolution, [`Error::Mismatch`] if `requant` was built for another number of outputs.
///
/// ```
/// # use qkernels_x86::{Context, OutputRange, PackedWeights, Requant, linear};
/// let weights = PackedWeights::linear(&[1, 2, 3, 4, 5, -6], 2, 3)?;
/// let range = OutputRange { zero_point: 0, lo: 0, hi: 255 };
/// let requant = Requant::new(&weights, &[0, 10], &[0.5, 1.0], 0, range)?;
/// let mut out = [0; 2];
/// linear(&Context::new()?, &[10, 20, 30], 1, &weights, &requant, &mut out)?;
/// assert_eq!(out, [70, 0]); // 140 / 2, and 10 + 40 + 100 - 180 clamped to 0
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
pub fn linear(
    ctx: &Context,
    x: &[u8],
    m: usize,
    weights: &PackedWeights,
    requant: &Requant,
    out: &mut [u8],
) -> Result<()> {
    let dense = linear_weights(OPERATION, weights)?;
    check_requant(OPERATION, weights, requant)?;
    let (n, k) = (weights.outputs(), dense.channels);
    at_least(OPERATION, "input", product(OPERATION, &[m, k])?, x.len())?;
    exactly(OPERATION, "output", product(OPERATION, &[m, n])?, out.len())?;
    let zero_point = requant.input_zero_point();
    rows(ctx, x, m, dense, zero_point, Bytes(requant), out);
    Ok(())
}

/// The panels of a linear layer's weights.
pub(crate) fn linear_weights<'a>(
    operation: &'static str,
    weights: &'a PackedWeights,
) -> Result<&'a Dense> {
    match (weights.kind(), weights.form()) {
        (Kind::Linear { .. }, Form::Dense(dense)) => Ok(dense),
        _ => Err(Error::Packing {
            operation,
            expected: "a linear layer",
            actual: "a convolution",
        }),
    }
}

/// Refuses an epilogue built for other weights.
pub(crate) fn check_requant(
    operation: &'static str,
    weights: &PackedWeights,
    requant: &Requant,
) -> Result<()> {
    let (expected, actual) = (weights.outputs(), requant.outputs());
    if expected != actual || requant.start().len() != weights.spread_len() {
        let what = "number of outputs the requantization was built for";
        return Err(Error::Mismatch {
            operation,
            what,
            expected,
            actual,
        });
    }
    Ok(())
}

/// The product itself, for weights of one segment, lengths having been checked.
pub(crate) fn rows<F: Finish>(
    ctx: &Context,
    x: &[u8],
    m: usize,
    dense: &Dense,
    zero_point: u8,
    finish: F,
    out: &mut [F::Out],
) {
    let k = dense.channels;
    #[cfg(target_arch = "x86_64")]
    if let Some(amx) = amx::worthwhile(ctx.isa, dense, m, m * k, x) {
        let geometry = amx::Geometry::matrix(m, k);
        return amx::run(amx, ctx, Job::new(ctx, dense, finish), x, &geometry, out);
    }
    let input = Input::new(x, m * k, dense.quads() * QUAD, zero_point);
    let fill = |rows: Range<usize>, gather: &mut Gather| {
        let mut places = gather.segment(0, rows.len(), 0..rows.len());
        places.inputs(rows.start * k, k);
    };
    let source = Segments { input, dense, fill };
    driver::run(
        ctx,
        Job::new(ctx, dense, finish),
        &source,
        zero_point,
        m,
        out,
    );
}
