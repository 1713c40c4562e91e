//! Depthwise convolution: every output channel reads a single input channel.
//!
//! Three ways lead there: column by column ([`columns`]) for square kernels of 3 or 5 where a tier has a kernel for that, from
//! staged rows of the input ([`band`]) for everything else, and by the definition ([`plain`]) where staging would exhaust the
//! memory.
//!
//! Staged rows are widened to 16 bits, a few channels together. For every stride and dilation, the positions that neighbouring
//! outputs meet with one tap are neighbours there ([`geometry`]), so that a line of outputs is a sum of lines times weights, and
//! the innermost loops ([`lines`]) have no cases:
//!
//! ```text
//! padded line, stride 2   a0 b0 a1 b1 a2 b2 …      eight channels each
//! staged                  a0 a1 a2 … | b0 b1 b2 …
//! kernel of 3             w0 · a0 a1 … + w1 · b0 b1 … + w2 · a1 a2 …
//! ```

#[cfg(target_arch = "x86_64")]
use crate::columns::Run;
use crate::context::Context;
use crate::error::{Error, Result, at_least, exactly};
use crate::finish::FromSums;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Tier;
use crate::shape::ConvShape;

mod band;
#[cfg(target_arch = "x86_64")]
mod columns;
mod geometry;
mod lines;
mod plain;
mod taps;

use band::Band;
use geometry::Geometry;
use lines::Word;
use plain::Plain;
pub use taps::DepthwiseTaps;

const OPERATION: &str = "depthwise";

/// Multiplications below which a fork costs more than it saves.
const SERIAL_BELOW: u64 = 1 << 18;

/// Convolves `x[batch][depth][height][width][channel]`, every input channel by itself.
///
/// The sums, which wrap, are `start[c] + Σ x·w`, where elements in the padding are the input's zero point;
/// `from` makes the output of them. `start` may be longer than the channels.
///
/// # Errors
/// Those of [`ConvShape::validate`]; [`Error::Mismatch`] if the shape is not the one packed;
/// [`Error::Length`] for a buffer that does not fit.
#[allow(clippy::too_many_arguments)]
pub(crate) fn depthwise<C: FromSums>(
    ctx: &Context,
    x: &[u8],
    shape: &ConvShape,
    taps: &DepthwiseTaps,
    start: &[i32],
    input_zero_point: u8,
    from: C,
    out: &mut [C::Out],
) -> Result<()> {
    shape.validate()?;
    let channels = taps.out_channels;
    let agreements = [
        ("groups", shape.in_channels, shape.groups),
        ("out_channels", channels, shape.out_channels),
        ("in_channels", channels / taps.multiplier, shape.in_channels),
        ("kernel depth", taps.kernel[0], shape.kernel[0]),
        ("kernel height", taps.kernel[1], shape.kernel[1]),
        ("kernel width", taps.kernel[2], shape.kernel[2]),
    ];
    for (what, expected, actual) in agreements {
        if expected != actual {
            return Err(Error::Mismatch {
                operation: OPERATION,
                what,
                expected,
                actual,
            });
        }
    }
    at_least(OPERATION, "x", shape.input_len(), x.len())?;
    at_least(OPERATION, "start value", channels, start.len())?;
    let rows = shape.output_rows() / shape.output()[2];
    exactly(OPERATION, "out", shape.output_rows() * channels, out.len())?;
    let pieces = ctx.pieces(shape.macs(), SERIAL_BELOW);
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = columns::kernel(ctx.isa, shape) {
        let pixels = shape.output_rows().div_ceil(pieces).max(1);
        Context::chunks(out, pixels * channels, |index, out| {
            let run = Run {
                isa: ctx.isa,
                kernel,
                x,
                shape,
                weights: taps.columns(kernel.form()),
                start,
                input_zero_point,
                from,
                first: index / channels,
            };
            run.compute(out);
        });
        return Ok(());
    }
    let layer = Layer {
        x,
        shape,
        taps,
        start,
        input_zero_point,
        from,
    };
    let rows = rows.div_ceil(pieces).max(1);
    #[cfg(target_arch = "x86_64")]
    if ctx.isa.tier() >= Tier::Avx2 && channels >= 16 {
        staged(ctx.isa, layer, taps.wide(), rows, out);
        return Ok(());
    }
    staged(ctx.isa, layer, taps.words(), rows, out);
    Ok(())
}

/// Computes pieces of that many rows of outputs from staged rows, or by the definition.
fn staged<const L: usize, C: FromSums>(
    isa: Isa,
    layer: Layer<C>,
    weights: &[Word<L>],
    rows: usize,
    out: &mut [C::Out],
) {
    let geometry = Geometry::new(layer.shape, L);
    let row = layer.shape.output()[2] * layer.taps.out_channels;
    Context::chunks(out, rows * row, |index, out| {
        let first_row = index / row;
        match geometry {
            Some(geometry) => Band {
                isa,
                layer,
                geometry,
                weights,
                first_row,
            }
            .compute(out),
            None => isa.vectorize(Plain {
                layer,
                first_row,
                out,
            }),
        }
    });
}

/// What is computed.
#[derive(Clone, Copy)]
struct Layer<'a, C: FromSums> {
    x: &'a [u8],
    shape: &'a ConvShape,
    taps: &'a DepthwiseTaps,
    start: &'a [i32],
    input_zero_point: u8,
    from: C,
}

#[cfg(test)]
mod tests;
