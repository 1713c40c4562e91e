//! Tiles of widened operands of which eight columns count, half a panel.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::isa::tile::Output;
use crate::isa::wide::WideTile;
use crate::pack::{PANEL, QUAD};
use crate::plan::balanced;

/// Columns.
pub(super) const HALF: usize = PANEL / 2;

/// Rows summed at a time: more pointers would not fit the general registers.
const ROWS: usize = 8;

/// Computes a tile of at most eight columns.
///
/// # Safety
/// Needs AVX2, and a tile of bytes that passed [`WideTile::check`] and has at most eight columns.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn tile(tile: &mut WideTile) {
    for rows in balanced(tile.height, ROWS) {
        let first = rows.start;
        // SAFETY: the caller's promise; each arm passes the number of these rows of the tile.
        unsafe {
            match rows.len() {
                1 => multiply::<1>(tile, first),
                2 => multiply::<2>(tile, first),
                3 => multiply::<3>(tile, first),
                4 => multiply::<4>(tile, first),
                5 => multiply::<5>(tile, first),
                6 => multiply::<6>(tile, first),
                7 => multiply::<7>(tile, first),
                _ => multiply::<8>(tile, first),
            }
        }
    }
}

/// Apart from its caller, so that it can be found in the disassembly.
///
/// # Safety
/// As [`tile`], and `first + ROWS` up to its height.
#[inline(never)]
#[target_feature(enable = "avx2")]
unsafe fn multiply<const ROWS: usize>(tile: &mut WideTile, first: usize) {
    let mut weights = tile.lines.as_ptr().cast::<__m256i>();
    let mut rows = [core::ptr::null::<u8>(); ROWS];
    let mut acc = [_mm256_setzero_si256(); ROWS];
    for (m, (row, acc)) in rows.iter_mut().zip(&mut acc).enumerate() {
        let line = (first + m) * tile.row_lines;
        let start = (first + m) * tile.epilogue.start_stride;
        // SAFETY: `check` asserted lines and sixteen start values for every row.
        unsafe {
            *row = tile.rows.as_ptr().add(line).cast();
            *acc = _mm256_loadu_si256(tile.epilogue.start.as_ptr().add(start).cast());
        }
    }
    let end = tile.lines.len() * QUAD;
    let mut k = 0;
    while k < end {
        // SAFETY: `check` asserted that each row holds four bytes for every wide line; `k` runs over these bytes while
        // `weights` runs over the wide lines.
        unsafe {
            let w = _mm256_load_si256(weights);
            for (row, acc) in rows.iter().zip(&mut acc) {
                let x = _mm256_set1_epi32(row.add(k).cast::<i32>().read());
                *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, w));
            }
            weights = weights.add(2);
        }
        k += QUAD;
    }
    let (stride, columns) = (tile.epilogue.stride, tile.epilogue.columns);
    let Output::Bytes {
        multipliers,
        range,
        out,
    } = &mut tile.epilogue.output
    else {
        unreachable!("sums are written by whole panels");
    };
    let hi = _mm256_set1_ps(range.float_bounds().1);
    let lo = _mm256_set1_epi8(range.lo as i8);
    let zero_point = _mm256_set1_epi16(range.zero_point as i16);
    // The columns of four rows after packing: 0 to 3 of each row, then the others.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    // SAFETY: `check` asserted sixteen multipliers.
    let factors = unsafe { _mm256_loadu_ps(multipliers.as_ptr()) };
    // As in `ymm::finish`, with four rows at a time.
    for four in 0..ROWS.div_ceil(4) {
        let scaled = |m: usize| {
            let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[m.min(ROWS - 1)]), factors);
            _mm256_cvtps_epi32(_mm256_min_ps(scaled, hi))
        };
        let words = [4 * four, 4 * four + 2]
            .map(|m| _mm256_adds_epi16(_mm256_packs_epi32(scaled(m), scaled(m + 1)), zero_point));
        let bytes = _mm256_max_epu8(_mm256_packus_epi16(words[0], words[1]), lo);
        let bytes = _mm256_permutevar8x32_epi32(bytes, order);
        let pairs = [
            _mm256_castsi256_si128(bytes),
            _mm256_extracti128_si256::<1>(bytes),
        ];
        for (pair, bytes) in pairs.into_iter().enumerate() {
            let halves = [bytes, _mm_unpackhi_epi64(bytes, bytes)];
            for (half, bytes) in halves.into_iter().enumerate() {
                let m = 4 * four + 2 * pair + half;
                if m >= ROWS {
                    continue;
                }
                // SAFETY: `check` asserted that the columns of each row are writable.
                unsafe {
                    let out = out.as_mut_ptr().add((first + m) * stride);
                    if columns == HALF {
                        _mm_storel_epi64(out.cast(), bytes);
                    } else {
                        let mut row = [0u8; HALF];
                        _mm_storel_epi64(row.as_mut_ptr().cast(), bytes);
                        core::ptr::copy_nonoverlapping(row.as_ptr(), out, columns.min(HALF));
                    }
                }
            }
        }
    }
}
