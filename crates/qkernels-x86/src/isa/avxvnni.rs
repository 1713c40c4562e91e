//! AVX-VNNI: `vpdpbusd` on 256-bit vectors, for cores that have it without AVX-512.
//!
//! Tiles are 6 rows by one panel, 3 by two, or a single row by three or four: up to twelve sums hide the
//! latency of the instruction at two a cycle, and with two vectors of weights and a broadcast they fit
//! sixteen registers.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::sync::atomic::{Ordering, compiler_fence};

use super::tile::{Output, Tile};
use super::{Isa, Tier, ymm};
use crate::pack::{PANEL, QUAD};
use crate::plan::balanced;

/// Rows summed at a time with 1, 2, 3 and 4 panels.
pub(super) const TILE_ROWS: [usize; 4] = [6, 3, 1, 1];

/// Computes a tile of at most four panels.
pub(super) fn tile(isa: Isa, tile: &mut Tile) {
    assert!(isa.tier() == Tier::AvxVnni);
    tile.check();
    tile.check_whole();
    assert!(tile.panels <= 4);
    for rows in balanced(tile.height, TILE_ROWS[tile.panels - 1]) {
        let first = rows.start;
        // SAFETY: the token proves the features; `check` asserted the lengths that `multiply` relies
        // on, and each arm passes the tile's panels and the number of these rows of it.
        unsafe {
            match (tile.panels, rows.len()) {
                (1, 1) => multiply::<1, 1>(tile, first),
                (1, 2) => multiply::<2, 1>(tile, first),
                (1, 3) => multiply::<3, 1>(tile, first),
                (1, 4) => multiply::<4, 1>(tile, first),
                (1, 5) => multiply::<5, 1>(tile, first),
                (1, _) => multiply::<6, 1>(tile, first),
                (2, 1) => multiply::<1, 2>(tile, first),
                (2, 2) => multiply::<2, 2>(tile, first),
                (2, _) => multiply::<3, 2>(tile, first),
                (3, _) => multiply::<1, 3>(tile, first),
                _ => multiply::<1, 4>(tile, first),
            }
        }
    }
}

/// # Safety
/// Needs AVX2 and AVX-VNNI, a tile that passed [`Tile::check`], `PANELS` equal to its panels and
/// `first + ROWS` up to its height.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn multiply<const ROWS: usize, const PANELS: usize>(tile: &mut Tile, first: usize) {
    let quads = tile.quads();
    let panel_stride = quads * tile.rows.segments() * 2;
    let mut weights = tile.lines.as_ptr().cast::<__m256i>();
    let mut acc = [[[_mm256_setzero_si256(); 2]; ROWS]; PANELS];
    for (n, acc) in acc.iter_mut().enumerate() {
        *acc = ymm::start!(ROWS, tile.epilogue, first, n);
    }
    for segment in 0..tile.rows.segments() {
        let rows = ymm::rows!(ROWS, tile, first, segment);
        for quad in 0..quads {
            // SAFETY: `check` asserted that the lines cover all segments of all panels, and that each
            // segment is readable for `quads` times four bytes from the offset on.
            unsafe {
                for (n, acc) in acc.iter_mut().enumerate() {
                    // Activations are broadcast for each panel anew: kept for all of them, sums would have to leave the
                    // registers.
                    compiler_fence(Ordering::SeqCst);
                    let line = weights.add(n * panel_stride);
                    let w = [_mm256_load_si256(line), _mm256_load_si256(line.add(1))];
                    for (row, acc) in rows.iter().zip(acc) {
                        let x = row.add(quad * QUAD).cast::<i32>().read_unaligned();
                        let x = _mm256_set1_epi32(x);
                        acc[0] = _mm256_dpbusd_avx_epi32(acc[0], x, w[0]);
                        acc[1] = _mm256_dpbusd_avx_epi32(acc[1], x, w[1]);
                    }
                }
                weights = weights.add(2);
            }
        }
    }
    for (n, acc) in acc.into_iter().enumerate() {
        ymm::finish!(acc, tile.epilogue, first, n)
    }
}
