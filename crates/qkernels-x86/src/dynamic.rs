//! Activations that are quantized as they come: each row by the range of its own elements.

use qtensor_core::choose_qparams::{ChooseOptions, choose_quantization_params};
use qtensor_core::requant::OutputRange;

use crate::context::Context;
use crate::error::{Error, Result, exactly};
use crate::fork::try_fork;
use crate::isa::Work;
use crate::map::{SERIAL_BELOW, Unary};
use crate::quantize::{MinMax, Quantize, min_max, quantize_u8, scan};
use crate::sums::RowParams;

const OPERATION: &str = "quantize_rows_u8";

/// Quantizes rows to `u8`, each by the scale and zero point that its least and greatest element ask for.
///
/// `x` and `out` are cut into `params.len()` rows of equal length, so one element of `params` quantizes
/// everything alike. The parameters are those of
/// [`choose_quantization_params`](qtensor_core::choose_qparams::choose_quantization_params) for the integers
/// `0..=255`, or `0..=127` with `reduce_range`; the integers those of [`quantize_u8`]. A row of no
/// elements counts as one of zeros.
///
/// # Errors
/// [`Error::Parameter`] for the first element that is NaN or infinite, [`Error::Length`] if `x` and `out`
/// differ in length, or that is no multiple of the number of rows. `params` and `out` are unspecified then.
///
/// ```
/// # use qkernels_x86::{Context, RowParams, quantize_rows_u8};
/// let (mut params, mut out) = ([RowParams { scale: 1.0, zero_point: 0 }; 2], [0; 4]);
/// quantize_rows_u8(&Context::new()?, &[0.0, 51.0, -25.5, 25.5], false, &mut params, &mut out)?;
/// assert_eq!(out, [0, 255, 0, 255]);
/// assert_eq!((params[0].scale, params[1].zero_point), (0.2, 128));
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[doc(alias = "quantize_per_tensor_dynamic")]
pub fn quantize_rows_u8(
    ctx: &Context,
    x: &[f32],
    reduce_range: bool,
    params: &mut [RowParams],
    out: &mut [u8],
) -> Result<()> {
    exactly(OPERATION, "input", out.len(), x.len())?;
    let rows = params.len();
    if out.is_empty() {
        params.fill(chosen(MinMax::ZERO, reduce_range)?);
        return Ok(());
    }
    if rows == 0 {
        return exactly(OPERATION, "output of no rows", 0, out.len());
    }
    if !out.len().is_multiple_of(rows) {
        return Err(Error::Indivisible {
            operation: OPERATION,
            what: "number of elements",
            actual: out.len(),
            divisor: rows,
        });
    }
    let done = match params {
        [params] => one_row(ctx, x, reduce_range, params, out),
        params => many_rows(ctx, x, reduce_range, params, out),
    };
    // Whichever thread met one, the element to name is the first.
    done.map_err(|error| {
        let first = x.iter().position(|x| !x.is_finite());
        first.map_or(error, |index| Error::Parameter {
            operation: OPERATION,
            what: "every element",
            expected: "finite",
            actual: x[index],
            index,
        })
    })
}

/// Rows of some length, shared out between threads.
fn many_rows(
    ctx: &Context,
    x: &[f32],
    reduce_range: bool,
    params: &mut [RowParams],
    out: &mut [u8],
) -> Result<()> {
    let length = out.len() / params.len();
    let work = |x, params, out| {
        ctx.isa.vectorize(Rows {
            x,
            length,
            reduce_range,
            params,
            out,
        })
    };
    let pieces = ctx.pieces(out.len() as u64, SERIAL_BELOW);
    if pieces == 1 {
        return work(x, params, out);
    }
    let piece = params.len().div_ceil(pieces);
    let parts = (params.chunks_mut(piece))
        .zip(out.chunks_mut(piece * length))
        .zip(x.chunks(piece * length));
    try_fork(parts, |((params, out), x)| work(x, params, out))
}

/// All elements by one set of parameters, which threads share.
fn one_row(
    ctx: &Context,
    x: &[f32],
    reduce_range: bool,
    params: &mut RowParams,
    out: &mut [u8],
) -> Result<()> {
    *params = chosen(min_max(ctx, x).unwrap_or(MinMax::ZERO), reduce_range)?;
    let zero_point = i32::from(params.zero_point);
    quantize_u8(ctx, x, 1.0 / params.scale, zero_point, out)
}

/// The parameters for a range; an infinite one is an error.
fn chosen(seen: MinMax, reduce_range: bool) -> Result<RowParams> {
    let options = ChooseOptions {
        qmin: 0,
        qmax: 255,
        preserve_sparsity: false,
        reduce_range,
    };
    let min = if seen.nan { f32::NAN } else { seen.min };
    match choose_quantization_params(min, seen.max, options) {
        Ok((scale, zero_point)) => Ok(RowParams {
            scale: scale as f32,
            zero_point: zero_point as u8,
        }),
        Err(_) => Err(Error::Parameter {
            operation: OPERATION,
            what: "every element",
            expected: "finite",
            actual: if min.is_finite() { seen.max } else { min },
            index: 0,
        }),
    }
}

/// Some rows, on one thread.
struct Rows<'a> {
    x: &'a [f32],
    length: usize,
    reduce_range: bool,
    params: &'a mut [RowParams],
    out: &'a mut [u8],
}

impl Work for Rows<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(self) -> Result<()> {
        let rows = self.x.chunks_exact(self.length);
        let places = self.out.chunks_exact_mut(self.length).zip(self.params);
        for (x, (out, params)) in rows.zip(places) {
            *params = chosen(scan(x), self.reduce_range)?;
            let formula = Quantize {
                inv_scale: 1.0 / params.scale,
                range: OutputRange {
                    zero_point: i32::from(params.zero_point),
                    lo: 0,
                    hi: 255,
                },
            };
            for (out, &x) in out.iter_mut().zip(x) {
                *out = formula.apply(x);
            }
        }
        Ok(())
    }
}
