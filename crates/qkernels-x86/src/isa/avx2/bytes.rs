//! Tiles that read bytes through row pointers.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::isa::tile::{Output, Tile};
use crate::isa::{Isa, Tier, ymm};
use crate::pack::{PANEL, QUAD};
use crate::plan::balanced;

/// Rows summed at a time by [`pairs`]: twelve sums, the ones, a broadcast, a product and a spare.
const PAIRS_ROWS: usize = 6;
/// Rows summed at a time by [`split`], which needs more temporaries.
const SPLIT_ROWS: usize = 3;

/// Computes a tile of one panel whose pairs of products fit 16 bits.
///
/// `vpmaddubsw` adds two products of bytes in 16 bits; times one, `vpmaddwd` adds two such sums in 32.
pub(super) fn pairs(isa: Isa, tile: &mut Tile) {
    assert!(isa.tier() >= Tier::Avx2 && tile.pairs_fit);
    tile.check();
    tile.check_whole();
    assert!(tile.panels == 1);
    for rows in balanced(tile.height, PAIRS_ROWS) {
        let first = rows.start;
        // SAFETY: the token proves AVX2; `check` asserted the lengths that `multiply_pairs` relies on,
        // and each arm passes the number of these rows of the tile.
        unsafe {
            match rows.len() {
                1 => multiply_pairs::<1>(tile, first),
                2 => multiply_pairs::<2>(tile, first),
                3 => multiply_pairs::<3>(tile, first),
                4 => multiply_pairs::<4>(tile, first),
                5 => multiply_pairs::<5>(tile, first),
                _ => multiply_pairs::<6>(tile, first),
            }
        }
    }
}

/// Computes a tile of one panel, whatever the bytes.
pub(super) fn split(isa: Isa, tile: &mut Tile) {
    assert!(isa.tier() >= Tier::Avx2);
    tile.check();
    tile.check_whole();
    assert!(tile.panels == 1);
    for rows in balanced(tile.height, SPLIT_ROWS) {
        // SAFETY: as in `pairs`.
        unsafe {
            match rows.len() {
                1 => multiply_split::<1>(tile, rows.start),
                2 => multiply_split::<2>(tile, rows.start),
                _ => multiply_split::<3>(tile, rows.start),
            }
        }
    }
}

/// # Safety
/// Needs AVX2, a tile of one panel that passed [`Tile::check`], and `first + ROWS` up to its height.
#[target_feature(enable = "avx2")]
unsafe fn multiply_pairs<const ROWS: usize>(tile: &mut Tile, first: usize) {
    let quads = tile.quads();
    let mut weights = tile.lines.as_ptr().cast::<__m256i>();
    let ones = _mm256_set1_epi16(1);
    let mut acc = ymm::start!(ROWS, tile.epilogue, first, 0);
    for segment in 0..tile.rows.segments() {
        let rows = ymm::rows!(ROWS, tile, first, segment);
        for quad in 0..quads {
            // SAFETY: `check` asserted that the lines cover all segments, and that each segment is
            // readable for `quads` times four bytes from the offset on.
            unsafe {
                for (row, acc) in rows.iter().zip(&mut acc) {
                    let x = _mm256_set1_epi32(row.add(quad * QUAD).cast::<i32>().read_unaligned());
                    let pairs = [pairs_at(x, weights), pairs_at(x, weights.add(1))];
                    for (acc, pairs) in acc.iter_mut().zip(pairs) {
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(pairs, ones));
                    }
                }
                weights = weights.add(2);
            }
        }
    }
    ymm::finish!(acc, tile.epilogue, first, 0)
}

/// `vpmaddubsw` with weights in memory. Spelled out, because the compiler would load them into registers
/// first, and then lacks one for the sums.
///
/// # Safety
/// Needs AVX2 and 32 readable bytes at `weights`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs_at(x: __m256i, weights: *const __m256i) -> __m256i {
    let pairs;
    // SAFETY: the instruction reads the bytes that the caller promised, and writes one register.
    unsafe {
        core::arch::asm!(
            "vpmaddubsw {pairs}, {x}, ymmword ptr [{weights}]",
            pairs = lateout(ymm_reg) pairs,
            x = in(ymm_reg) x,
            weights = in(reg) weights,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    pairs
}

/// # Safety
/// As [`multiply_pairs`].
#[target_feature(enable = "avx2")]
unsafe fn multiply_split<const ROWS: usize>(tile: &mut Tile, first: usize) {
    let quads = tile.quads();
    let mut weights = tile.lines.as_ptr().cast::<__m256i>();
    let even_bytes = _mm256_set1_epi16(0xff);
    let mut acc = ymm::start!(ROWS, tile.epilogue, first, 0);
    for segment in 0..tile.rows.segments() {
        let rows = ymm::rows!(ROWS, tile, first, segment);
        for quad in 0..quads {
            // SAFETY: as in `multiply_pairs`.
            unsafe {
                let w = [
                    _mm256_load_si256(weights),
                    _mm256_load_si256(weights.add(1)),
                ];
                let even = [
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w[0])),
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w[1])),
                ];
                let odd = [_mm256_srai_epi16::<8>(w[0]), _mm256_srai_epi16::<8>(w[1])];
                for (row, acc) in rows.iter().zip(&mut acc) {
                    let x = _mm256_set1_epi32(row.add(quad * QUAD).cast::<i32>().read_unaligned());
                    let x_even = _mm256_and_si256(x, even_bytes);
                    let x_odd = _mm256_srli_epi16::<8>(x);
                    for half in 0..2 {
                        let products = _mm256_madd_epi16(x_even, even[half]);
                        acc[half] = _mm256_add_epi32(acc[half], products);
                        let products = _mm256_madd_epi16(x_odd, odd[half]);
                        acc[half] = _mm256_add_epi32(acc[half], products);
                    }
                }
                weights = weights.add(2);
            }
        }
    }
    ymm::finish!(acc, tile.epilogue, first, 0)
}
