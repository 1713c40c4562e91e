//! AVX2: exact int8 products from `vpmaddwd`, which multiplies and adds pairs of 16-bit integers.
//!
//! `vpmaddubsw` would take bytes, but saturates: two products of 255 and 127 do not fit its 16 bits.
//! So both operands are widened. Blocks of many rows widen activations and one panel of weights into
//! scratch memory first and multiply from there (22 products per cycle and core on Zen 3); a few rows
//! split the bytes of a line into even and odd ones on the fly (15), which touches weights only once.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::rows::RowTable;
use super::tile::{Epilogue, Tile};
use super::wide::{WideLine, WideTile};
use super::{Isa, Tier, Work};
use crate::pack::{Line, PANEL, QUAD};

/// The greatest height of a [`tile`].
pub(super) const TILE_ROWS: usize = 4;
/// The greatest height of a [`wide_tile`].
pub(super) const WIDE_ROWS: usize = 6;

/// Runs `work` inside a function compiled for AVX2.
#[inline]
pub(super) fn vectorize<W: Work>(isa: Isa, work: W) -> W::Output {
    assert!(isa.tier() >= Tier::Avx2);
    #[target_feature(enable = "avx2")]
    fn enter<W: Work>(work: W) -> W::Output {
        work.run()
    }
    // SAFETY: the token, of at least the AVX2 tier by the assertion, proves the feature.
    unsafe { enter(work) }
}

/// Computes a tile of one panel and at most [`TILE_ROWS`] rows.
pub(super) fn tile(isa: Isa, tile: &mut Tile) {
    assert!(isa.tier() >= Tier::Avx2);
    tile.check();
    assert!(tile.panels == 1 && tile.height <= TILE_ROWS);
    // SAFETY: the token proves AVX2; `check` asserted the lengths that `split_tile` relies on, and
    // each arm passes the height of the tile.
    unsafe {
        match tile.height {
            1 => split_tile::<1>(tile),
            2 => split_tile::<2>(tile),
            3 => split_tile::<3>(tile),
            _ => split_tile::<4>(tile),
        }
    }
}

/// Computes a tile of at most [`WIDE_ROWS`] rows from widened operands.
pub(super) fn wide_tile(isa: Isa, tile: &mut WideTile) {
    assert!(isa.tier() >= Tier::Avx2);
    tile.check();
    assert!(tile.height <= WIDE_ROWS);
    // SAFETY: as in `tile`.
    unsafe {
        match tile.height {
            1 => multiply_wide::<1>(tile),
            2 => multiply_wide::<2>(tile),
            3 => multiply_wide::<3>(tile),
            4 => multiply_wide::<4>(tile),
            5 => multiply_wide::<5>(tile),
            _ => multiply_wide::<6>(tile),
        }
    }
}

/// Writes `quads * 4` bytes of every segment of every row, from byte `offset` on, as 16-bit integers;
/// a row begins every `row_lines` lines.
pub(super) fn widen_rows(
    isa: Isa,
    rows: &RowTable,
    offset: usize,
    quads: usize,
    row_lines: usize,
    out: &mut [WideLine],
) {
    assert!(isa.tier() >= Tier::Avx2);
    check_widening(rows, offset, quads, row_lines, out.len());
    let len = quads * QUAD;
    // SAFETY: the token proves AVX2; `check_widening` asserted the lengths relied on.
    unsafe { widen_rows_impl(rows, offset, len, row_lines, out) }
}

/// Asserts that what [`widen_rows`] reads lies within the segments, and what it writes within `lines` lines.
/// By division and subtraction, because release builds wrap around on overflow.
fn check_widening(rows: &RowTable, offset: usize, quads: usize, row_lines: usize, lines: usize) {
    assert!(
        offset <= rows.span() && quads <= (rows.span() - offset) / QUAD,
        "the group must lie within the segment"
    );
    let len = quads * QUAD;
    assert!(
        len == 0 || rows.segments() <= row_lines.saturating_mul(32) / len,
        "a row's segments must fit into its lines"
    );
    assert!(
        row_lines <= lines / rows.rows(),
        "the output must hold every row"
    );
}

/// Splits every line of a panel into its first and last two products, as 16-bit integers.
pub(super) fn widen_panel(isa: Isa, lines: &[Line], out: &mut [WideLine]) {
    assert!(isa.tier() >= Tier::Avx2);
    assert!(lines.len() <= out.len() / 2);
    // SAFETY: the token proves AVX2; the length is asserted above.
    unsafe { widen_panel_impl(lines, out) }
}

/// # Safety
/// Needs AVX2 and the lengths asserted by [`check_widening`].
#[target_feature(enable = "avx2")]
unsafe fn widen_rows_impl(
    rows: &RowTable,
    offset: usize,
    len: usize,
    row_lines: usize,
    out: &mut [WideLine],
) {
    let pointers = rows.pointers();
    for row in 0..rows.rows() {
        // SAFETY: `out` holds `row_lines` lines for each row, and a row's segments fit into them.
        let mut to = unsafe { out.as_mut_ptr().add(row * row_lines) }.cast::<i16>();
        for segment in 0..rows.segments() {
            // SAFETY: the table has a pointer for every segment and row; `offset + len` bytes behind
            // it are readable, and the loops touch `len` of them and write as many elements.
            unsafe {
                let from = pointers
                    .get_unchecked(segment * rows.rows() + row)
                    .add(offset);
                let mut i = 0;
                while i + 16 <= len {
                    let bytes = _mm_loadu_si128(from.add(i).cast());
                    _mm256_storeu_si256(to.add(i).cast(), _mm256_cvtepu8_epi16(bytes));
                    i += 16;
                }
                while i < len {
                    let bytes = _mm_cvtsi32_si128(from.add(i).cast::<i32>().read_unaligned());
                    _mm_storel_epi64(to.add(i).cast(), _mm_cvtepu8_epi16(bytes));
                    i += QUAD;
                }
                to = to.add(len);
            }
        }
    }
}

/// # Safety
/// Needs AVX2 and the length asserted by [`widen_panel`].
#[target_feature(enable = "avx2")]
unsafe fn widen_panel_impl(lines: &[Line], out: &mut [WideLine]) {
    let mut to = out.as_mut_ptr().cast::<__m256i>();
    for line in lines {
        // SAFETY: a line has 64 bytes, and `out` 128 bytes for each one.
        unsafe {
            let from = line.0.as_ptr().cast::<__m128i>();
            // Each quarter holds the four products of four columns: after widening, dwords
            // alternate between a column's first and last two.
            let q0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(from));
            let q1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(1)));
            let q2 = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(2)));
            let q3 = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(3)));
            _mm256_store_si256(to, firsts(q0, q1));
            _mm256_store_si256(to.add(1), firsts(q2, q3));
            _mm256_store_si256(to.add(2), lasts(q0, q1));
            _mm256_store_si256(to.add(3), lasts(q2, q3));
            to = to.add(4);
        }
    }
}

/// The even dwords of two vectors, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn firsts(a: __m256i, b: __m256i) -> __m256i {
    let mixed = _mm256_shuffle_ps::<0b10_00_10_00>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_castps_si256(mixed))
}

/// The odd dwords of two vectors, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn lasts(a: __m256i, b: __m256i) -> __m256i {
    let mixed = _mm256_shuffle_ps::<0b11_01_11_01>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_castps_si256(mixed))
}

/// # Safety
/// Needs AVX2, a tile of one panel that passed [`WideTile::check`], and `ROWS` equal to its height.
#[target_feature(enable = "avx2")]
unsafe fn multiply_wide<const ROWS: usize>(tile: &mut WideTile) {
    let stride = tile.row_lines * size_of::<WideLine>();
    let mut weights = tile.lines.as_ptr().cast::<__m256i>();
    let rows = tile.rows.as_ptr().cast::<u8>();
    // SAFETY: `check` asserted sixteen start values.
    let (low, high) = unsafe { load_start(&tile.epilogue) };
    let mut acc = [[low, high]; ROWS];
    let end = tile.lines.len() * QUAD;
    let mut k = 0;
    // One line a step: unrolled by two, the compiler runs out of registers and is a third slower.
    while k < end {
        // SAFETY: `check` asserted that a row holds four bytes for every wide line, and that there
        // are `ROWS` rows; `k` runs over these bytes while `weights` runs over the wide lines.
        unsafe {
            let (w0, w1) = (
                _mm256_load_si256(weights),
                _mm256_load_si256(weights.add(1)),
            );
            for (m, acc) in acc.iter_mut().enumerate() {
                let x = _mm256_set1_epi32(rows.add(m * stride + k).cast::<i32>().read());
                acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(x, w0));
                acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(x, w1));
            }
            weights = weights.add(2);
        }
        k += QUAD;
    }
    for (m, acc) in acc.into_iter().enumerate() {
        // SAFETY: `m` is a row of the tile, whose epilogue passed `check`.
        unsafe { finish(acc, &mut tile.epilogue, m) }
    }
}

/// # Safety
/// Needs AVX2, a tile of one panel that passed [`Tile::check`], and `ROWS` equal to its height.
#[target_feature(enable = "avx2")]
unsafe fn split_tile<const ROWS: usize>(tile: &mut Tile) {
    let quads = tile.quads();
    let (block, segments) = (tile.rows.rows(), tile.rows.segments());
    let pointers = tile.rows.pointers();
    let mut weights = tile.lines.as_ptr().cast::<__m256i>();
    let even_bytes = _mm256_set1_epi16(0xff);
    // SAFETY: `check` asserted sixteen start values.
    let (low, high) = unsafe { load_start(&tile.epilogue) };
    let mut acc = [[low, high]; ROWS];
    for segment in 0..segments {
        let base = segment * block + tile.first;
        // SAFETY: the table has a pointer for each segment and each of the tile's rows.
        let rows: [*const u8; ROWS] =
            core::array::from_fn(|m| unsafe { pointers.get_unchecked(base + m).add(tile.offset) });
        for quad in 0..quads {
            // SAFETY: `check` asserted that the lines cover all segments, and that each segment is
            // readable for `quads` times four bytes from the offset on.
            unsafe {
                let (w0, w1) = (
                    _mm256_load_si256(weights),
                    _mm256_load_si256(weights.add(1)),
                );
                let even = [
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w0)),
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w1)),
                ];
                let odd = [_mm256_srai_epi16::<8>(w0), _mm256_srai_epi16::<8>(w1)];
                for (row, acc) in rows.iter().zip(&mut acc) {
                    let x = _mm256_set1_epi32(row.add(quad * QUAD).cast::<i32>().read_unaligned());
                    let (x_even, x_odd) =
                        (_mm256_and_si256(x, even_bytes), _mm256_srli_epi16::<8>(x));
                    for half in 0..2 {
                        acc[half] =
                            _mm256_add_epi32(acc[half], _mm256_madd_epi16(x_even, even[half]));
                        acc[half] =
                            _mm256_add_epi32(acc[half], _mm256_madd_epi16(x_odd, odd[half]));
                    }
                }
                weights = weights.add(2);
            }
        }
    }
    for (m, acc) in acc.into_iter().enumerate() {
        // SAFETY: `m` is a row of the tile, whose epilogue passed `check`.
        unsafe { finish(acc, &mut tile.epilogue, m) }
    }
}

/// # Safety
/// Needs AVX2 and sixteen start values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_start(epilogue: &Epilogue) -> (__m256i, __m256i) {
    let start = epilogue.start.as_ptr().cast::<__m256i>();
    // SAFETY: two vectors are sixteen values.
    unsafe { (_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))) }
}

/// Requantizes and stores row `m`.
///
/// # Safety
/// Needs AVX2 and an epilogue checked for one panel and more than `m` rows.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn finish(acc: [__m256i; 2], epilogue: &mut Epilogue, m: usize) {
    let (lo, hi) = epilogue.range.float_bounds();
    let (lo, hi) = (_mm256_set1_ps(lo), _mm256_set1_ps(hi));
    let zero_point = _mm256_set1_epi32(epilogue.range.zero_point);
    let multipliers = epilogue.multipliers.as_ptr();
    // SAFETY: there are sixteen multipliers, and `columns` bytes from the row's start are writable.
    unsafe {
        let requantize = |acc: __m256i, first: usize| {
            let scaled = _mm256_mul_ps(
                _mm256_cvtepi32_ps(acc),
                _mm256_loadu_ps(multipliers.add(first)),
            );
            let bounded = _mm256_max_ps(_mm256_min_ps(scaled, hi), lo);
            _mm256_add_epi32(_mm256_cvtps_epi32(bounded), zero_point)
        };
        // The bounds leave 0..=255, so neither pack saturates.
        let words = _mm256_packs_epi32(requantize(acc[0], 0), requantize(acc[1], 8));
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        let bytes = _mm_packus_epi16(
            _mm256_castsi256_si128(words),
            _mm256_extracti128_si256::<1>(words),
        );
        let out = epilogue.out.as_mut_ptr().add(m * epilogue.stride);
        if epilogue.columns == PANEL {
            _mm_storeu_si128(out.cast(), bytes);
        } else {
            let mut row = [0u8; PANEL];
            _mm_storeu_si128(row.as_mut_ptr().cast(), bytes);
            core::ptr::copy_nonoverlapping(row.as_ptr(), out, epilogue.columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::rows::RowBuffer;

    /// Two rows of two segments of twelve bytes.
    fn widen(offset: usize, quads: usize, row_lines: usize, lines: usize) {
        let mut buffer = RowBuffer::default();
        let rows = buffer.table(&[0; 36], &[], &[0, 12, 6, 24], 2, 12);
        check_widening(&rows, offset, quads, row_lines, lines);
    }

    #[test]
    fn rows_that_fit_pass() {
        widen(0, 3, 1, 2);
        widen(4, 2, 1, 3);
    }

    #[test]
    #[should_panic(expected = "within the segment")]
    fn an_offset_that_wraps_is_refused() {
        widen(usize::MAX - 3, 1, 1, 2);
    }

    #[test]
    #[should_panic(expected = "within the segment")]
    fn quads_that_wrap_are_refused() {
        widen(0, 1 << (usize::BITS - 2), 1, 2);
    }

    #[test]
    #[should_panic(expected = "into its lines")]
    fn rows_without_lines_are_refused() {
        widen(0, 3, 0, 2);
    }

    #[test]
    #[should_panic(expected = "hold every row")]
    fn lines_that_wrap_are_refused() {
        widen(0, 3, 1 << (usize::BITS - 1), 2);
    }
}
