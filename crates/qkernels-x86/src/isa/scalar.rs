//! The portable tile: safe, plain Rust, the oracle of every other one.

use qtensor_core::requant::requantize;

use super::tile::Tile;
use crate::pack::{PANEL, QUAD};

/// Computes a tile of any height and number of panels.
pub(super) fn tile(tile: &mut Tile) {
    tile.check();
    let quads = tile.quads();
    let depth = quads * tile.rows.segments();
    for (panel, lines) in tile.lines.chunks_exact(depth).enumerate() {
        let first = panel * PANEL;
        let epilogue = &mut tile.epilogue;
        let width = PANEL.min(epilogue.columns - first);
        for row in 0..tile.height {
            let mut acc = [0i32; PANEL];
            acc.copy_from_slice(&epilogue.start[first..first + PANEL]);
            for (segment, lines) in lines.chunks_exact(quads).enumerate() {
                let bytes = tile
                    .rows
                    .segment(segment, tile.first + row, tile.offset, quads * QUAD);
                for (line, x) in lines.iter().zip(bytes.chunks_exact(QUAD)) {
                    for (acc, w) in acc.iter_mut().zip(line.0.chunks_exact(QUAD)) {
                        let sum: i32 = x
                            .iter()
                            .zip(w)
                            .map(|(&x, &w)| i32::from(x) * i32::from(w))
                            .sum();
                        *acc = acc.wrapping_add(sum);
                    }
                }
            }
            let start = row * epilogue.stride + first;
            let out = &mut epilogue.out[start..start + width];
            for ((out, &acc), &multiplier) in
                out.iter_mut().zip(&acc).zip(&epilogue.multipliers[first..])
            {
                *out = requantize(acc, multiplier, epilogue.range) as u8;
            }
        }
    }
}
