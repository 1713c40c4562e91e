//! The portable tile: safe, plain Rust, the oracle of every other one.

use qtensor_core::requant::requantize;

use super::Work;
use super::tile::{Epilogue, Output, Tile};
use crate::pack::{PANEL, QUAD};

/// Runs `work` with the instructions that every CPU of the target has, in a function of its own: inlined into a caller that
/// holds other tiers' code too, its loops lose their registers.
#[inline(never)]
pub(super) fn vectorize<W: Work>(work: W) -> W::Output {
    work.run()
}

/// Computes a tile of any height and number of panels.
pub(super) fn tile(tile: &mut Tile) {
    tile.check();
    let quads = tile.quads();
    let depth = quads * tile.rows.segments();
    for (panel, lines) in tile.lines.chunks_exact(depth).enumerate() {
        let first = panel * PANEL;
        let epilogue = &mut tile.epilogue;
        for row in 0..tile.height {
            let mut acc = [0i32; PANEL];
            let start = row * epilogue.start_stride + first;
            acc.copy_from_slice(&epilogue.start[start..start + PANEL]);
            for (segment, lines) in lines.chunks_exact(quads).enumerate() {
                let bytes = tile
                    .rows
                    .segment(segment, tile.first + row, tile.offset, quads * QUAD);
                for (line, x) in lines.iter().zip(bytes.as_chunks::<QUAD>().0) {
                    for (acc, w) in acc.iter_mut().zip(line.0.as_chunks::<QUAD>().0) {
                        *acc = acc.wrapping_add(dot(x, w));
                    }
                }
            }
            finish(&acc, epilogue, row, first);
        }
    }
}

/// The sum of four products, written out: where iterators are not inlined, as in builds for tests, they take longer than
/// the products.
#[inline(always)]
fn dot(&[x0, x1, x2, x3]: &[u8; QUAD], &[w0, w1, w2, w3]: &[i8; QUAD]) -> i32 {
    i32::from(x0) * i32::from(w0)
        + i32::from(x1) * i32::from(w1)
        + i32::from(x2) * i32::from(w2)
        + i32::from(x3) * i32::from(w3)
}

/// Delivers the sums of one row of one panel, whose first column within the tile is `first`.
#[inline(always)]
pub(crate) fn finish(acc: &[i32; PANEL], epilogue: &mut Epilogue, row: usize, first: usize) {
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
