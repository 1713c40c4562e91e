//! The portable tile: safe, plain Rust, in a form that compilers vectorize, whatever the vectors are.
//!
//! A product of a byte and a weight fits 16 bits, so sixteen columns are multiplied in lanes of that size. Their sums do not
//! fit. Two integers of 16 bits are kept for each, the sum of the products, which may wrap, and the sum of their upper
//! bytes, which is exact for [`PRODUCTS`] products; what the lower bytes sum up to is less than 2^16 and follows from both:
//!
//! ```text
//! sum = 256 · upper + lower        lower = (sum - 256 · upper) mod 2^16
//! ```

use core::ops::Range;

use qtensor_core::requant::requantize;

use super::Work;
use super::tile::{Epilogue, Output, Tile};
use crate::pack::{Line, PANEL, QUAD};
use crate::plan::balanced;

/// Lines whose products are summed in 16 bits.
const LINES: usize = 64;

/// Products of those: their upper bytes sum up to at least 256 · -128, their lower ones to at most 256 · 255.
const PRODUCTS: usize = LINES * QUAD;

/// Rows summed at a time: twelve vectors of eight sums, two of weights, one of activations.
const ROWS: usize = 3;

/// Rows that share widened weights.
const BAND: usize = 64;

/// Rows that are too few for widening to pay: each reads the weights as bytes.
const FEW: usize = 2;

/// Weights of a line whose products are summed at a time: four vectors of sums and four of upper bytes.
const LANES: usize = 32;

/// Widened weights, whose vectors must not cross cache lines.
#[repr(align(64))]
struct Widened([[i16; PANEL]; PRODUCTS]);

/// Four activations twice, one vector: what meets the weights of two columns.
type Twice = [i16; 2 * QUAD];

/// Runs `work` with the instructions that every CPU of the target has, in a function of its own: inlined into a caller that
/// holds other tiers' code too, its loops lose their registers.
#[inline(never)]
pub(super) fn vectorize<W: Work>(work: W) -> W::Output {
    work.run()
}

/// Computes a tile of any height and number of panels.
pub(super) fn tile(tile: &mut Tile) {
    tile.check();
    tile.check_whole();
    for panel in 0..tile.panels {
        if tile.height <= FEW {
            for row in 0..tile.height {
                single(tile, panel, row);
            }
            continue;
        }
        for rows in balanced(tile.height, BAND) {
            band(tile, panel, rows);
        }
    }
}

/// Computes one row of a panel.
#[inline(never)]
fn single(tile: &mut Tile, panel: usize, row: usize) {
    let (quads, column) = (tile.quads(), panel * PANEL);
    let start = row * tile.epilogue.start_stride + column;
    let mut sums = [0; PANEL];
    sums.copy_from_slice(&tile.epilogue.start[start..start + PANEL]);
    let mut activations = [[0; 2 * QUAD]; LINES];
    let depth = quads * tile.rows.segments();
    let lines = &tile.lines[panel * depth..][..depth];
    for (segment, lines) in lines.chunks_exact(quads).enumerate() {
        for (part, lines) in lines.chunks(LINES).enumerate() {
            let offset = tile.offset + part * PRODUCTS;
            let bytes = (tile.rows).segment(segment, tile.first + row, offset, lines.len() * QUAD);
            let activations = &mut activations[..lines.len()];
            for (twice, quad) in activations.iter_mut().zip(bytes.as_chunks::<QUAD>().0) {
                *twice = core::array::from_fn(|i| i16::from(quad[i % QUAD]));
            }
            add_lines(activations, lines, &mut sums);
        }
    }
    finish(&sums, &mut tile.epilogue, row, column);
}

/// Adds the products of a row and lines to the sums of the columns.
#[inline(never)]
fn add_lines(activations: &[Twice], lines: &[Line], sums: &mut [i32; PANEL]) {
    let parts = sums.as_chunks_mut::<{ LANES / QUAD }>().0;
    for (part, sums) in parts.iter_mut().enumerate() {
        let (mut all, mut upper) = ([0i16; LANES], [0i16; LANES]);
        for (x, line) in activations.iter().zip(lines) {
            let weights = &line.0.as_chunks::<LANES>().0[part];
            // Vector by vector: one loop over all lanes stays scalar.
            for first in (0..LANES).step_by(x.len()) {
                for (i, &x) in x.iter().enumerate() {
                    let lane = first + i;
                    let product = x.wrapping_mul(i16::from(weights[lane]));
                    all[lane] = all[lane].wrapping_add(product);
                    upper[lane] = upper[lane].wrapping_add(product >> 8);
                }
            }
        }
        for (i, (&all, &upper)) in all.iter().zip(&upper).enumerate() {
            sums[i / QUAD] = sums[i / QUAD].wrapping_add(whole(all, upper));
        }
    }
}

/// A sum of the wrapped sum of products and the sum of their upper bytes.
#[inline(always)]
pub(crate) fn whole(all: i16, upper: i16) -> i32 {
    let lower = all.wrapping_sub(upper << 8) as u16;
    i32::from(upper) * 256 + i32::from(lower)
}

/// Computes some rows of a panel.
fn band(tile: &mut Tile, panel: usize, band: Range<usize>) {
    let (quads, column) = (tile.quads(), panel * PANEL);
    let mut sums = [[0; PANEL]; BAND];
    for (row, sums) in band.clone().zip(&mut sums) {
        let start = row * tile.epilogue.start_stride + column;
        sums.copy_from_slice(&tile.epilogue.start[start..start + PANEL]);
    }
    let mut weights = Widened([[0; PANEL]; PRODUCTS]);
    let depth = quads * tile.rows.segments();
    let lines = &tile.lines[panel * depth..][..depth];
    for (segment, lines) in lines.chunks_exact(quads).enumerate() {
        for (part, lines) in lines.chunks(LINES).enumerate() {
            let weights = widen(lines, &mut weights.0);
            let bytes = |row: usize| {
                let (row, offset) = (tile.first + band.start + row, part * PRODUCTS);
                let offset = tile.offset + offset;
                tile.rows.segment(segment, row, offset, weights.len())
            };
            for rows in balanced(band.len(), ROWS) {
                let (first, last) = (rows.start, rows.end - 1);
                let sums = &mut sums[rows];
                // A single row is multiplied twice: the loop for one is not vectorized well.
                match sums.len() {
                    1 | 2 => add_products([bytes(first), bytes(last)], weights, sums),
                    _ => add_products([first, first + 1, last].map(bytes), weights, sums),
                }
            }
        }
    }
    for (row, sums) in band.zip(&sums) {
        finish(sums, &mut tile.epilogue, row, column);
    }
}

/// The weights of lines as 16-bit integers, the columns of each product together.
#[inline(never)]
fn widen<'a>(lines: &[Line], out: &'a mut [[i16; PANEL]]) -> &'a [[i16; PANEL]] {
    let out = &mut out[..lines.len() * QUAD];
    for (line, out) in lines.iter().zip(out.as_chunks_mut::<QUAD>().0) {
        let quads: &[[u8; QUAD]; PANEL] = bytemuck::cast_ref(&line.0);
        for (i, out) in out.iter_mut().enumerate() {
            let above = 8 * (QUAD - 1 - i);
            *out = quads.map(|quad| (i32::from_le_bytes(quad) << above >> 24) as i16);
        }
    }
    out
}

/// Adds products to the sums of as many rows as there are sums.
#[inline(never)]
fn add_products<const ROWS: usize>(
    rows: [&[u8]; ROWS],
    weights: &[[i16; PANEL]],
    sums: &mut [[i32; PANEL]],
) {
    let rows = rows.map(|row| &row[..weights.len()]);
    let (mut all, mut upper) = ([[0i16; PANEL]; ROWS], [[0i16; PANEL]; ROWS]);
    for (k, weights) in weights.iter().enumerate() {
        let x = rows.map(|row| i16::from(row[k]));
        // Columns outside, rows inside: the other way the compiler unrolls the columns before it makes vectors of them.
        for column in 0..PANEL {
            for row in 0..ROWS {
                let product = x[row].wrapping_mul(weights[column]);
                all[row][column] = all[row][column].wrapping_add(product);
                upper[row][column] = upper[row][column].wrapping_add(product >> 8);
            }
        }
    }
    for (sums, (all, upper)) in sums.iter_mut().zip(all.iter().zip(&upper)) {
        for (sum, (&all, &upper)) in sums.iter_mut().zip(all.iter().zip(upper)) {
            *sum = sum.wrapping_add(whole(all, upper));
        }
    }
}

/// Delivers the sums of one row of one panel, whose first column within the tile is `first`.
fn finish(acc: &[i32; PANEL], epilogue: &mut Epilogue, row: usize, first: usize) {
    let width = PANEL.min(epilogue.columns - first);
    let start = row * epilogue.stride + first;
    match &mut epilogue.output {
        Output::Sums(out) => out[start..start + PANEL].copy_from_slice(acc),
        #[cfg(target_arch = "x86_64")]
        Output::Added(_) => unreachable!("only tiles of AVX-512 add"),
        Output::Bytes {
            multipliers,
            range,
            out,
        } => {
            let out = &mut out[start..start + width];
            for ((out, &acc), &multiplier) in out.iter_mut().zip(acc).zip(&multipliers[first..]) {
                *out = requantize(acc, multiplier, *range) as u8;
            }
        }
    }
}
