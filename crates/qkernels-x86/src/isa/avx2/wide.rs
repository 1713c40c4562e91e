//! Tiles of widened operands, and the widening.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::half;
use crate::isa::rows::RowTable;
use crate::isa::tile::Output;
use crate::isa::wide::{WideLine, WideTile};
use crate::isa::{Isa, Tier, ymm};
use crate::pack::{Line, PANEL, QUAD};
use crate::plan::balanced;

/// Rows summed at a time: twelve sums, two vectors of weights, a broadcast and a product.
const ROWS: usize = 6;

/// Computes a tile from widened operands.
pub(crate) fn tile(isa: Isa, tile: &mut WideTile) {
    assert!(isa.tier() >= Tier::Avx2);
    tile.check();
    if tile.epilogue.columns <= half::HALF {
        // SAFETY: the token proves AVX2; `check` asserted the lengths, and that sums are those of whole panels.
        return unsafe { half::tile(tile) };
    }
    for rows in balanced(tile.height, ROWS) {
        let first = rows.start;
        // SAFETY: the token proves AVX2; `check` asserted the lengths that `multiply` relies on, and
        // each arm passes the number of these rows of the tile.
        unsafe {
            match rows.len() {
                1 => multiply::<1>(tile, first),
                2 => multiply::<2>(tile, first),
                3 => multiply::<3>(tile, first),
                4 => multiply::<4>(tile, first),
                5 => multiply::<5>(tile, first),
                _ => multiply::<6>(tile, first),
            }
        }
    }
}

/// As [`Wide::rows`](crate::isa::wide::Wide::rows), whose checks it relies on.
pub(crate) fn widen_rows(
    isa: Isa,
    rows: &RowTable,
    [first, count]: [usize; 2],
    [offset, quads]: [usize; 2],
    row_lines: usize,
    out: &mut [WideLine],
) {
    assert!(isa.tier() >= Tier::Avx2);
    check_widening(rows, [first, count], [offset, quads], row_lines, out.len());
    // SAFETY: the token proves AVX2; `check_widening` asserted the lengths relied on.
    unsafe { widen_rows_impl(rows, [first, count], [offset, quads * QUAD], row_lines, out) }
}

/// Asserts that what [`widen_rows`] reads lies within the segments, and what it writes within `lines` lines.
/// By division and subtraction, because release builds wrap around on overflow.
fn check_widening(
    rows: &RowTable,
    [first, count]: [usize; 2],
    [offset, quads]: [usize; 2],
    row_lines: usize,
    lines: usize,
) {
    assert!(
        first <= rows.rows() && count <= rows.rows() - first,
        "the rows must lie within the block"
    );
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
        count == 0 || row_lines <= lines / count,
        "the output must hold every row"
    );
}

/// As [`Wide::panel`](crate::isa::wide::Wide::panel).
pub(crate) fn widen_panel(isa: Isa, lines: &[Line], out: &mut [WideLine]) {
    assert!(isa.tier() >= Tier::Avx2);
    assert!(lines.len() <= out.len() / 2);
    // SAFETY: the token proves AVX2; the length is asserted above.
    unsafe { widen_panel_impl(lines, out) }
}

/// # Safety
/// Needs AVX2, a tile that passed [`WideTile::check`], and `first + ROWS` up to its height.
#[target_feature(enable = "avx2")]
unsafe fn multiply<const ROWS: usize>(tile: &mut WideTile, first: usize) {
    let mut weights = tile.lines.as_ptr().cast::<__m256i>();
    let mut rows = [core::ptr::null::<u8>(); ROWS];
    for (m, row) in rows.iter_mut().enumerate() {
        let line = (first + m) * tile.row_lines;
        // SAFETY: `check` asserted lines for every row.
        *row = unsafe { tile.rows.as_ptr().add(line).cast() };
    }
    let mut acc = ymm::start!(ROWS, tile.epilogue, first, 0);
    let end = tile.lines.len() * QUAD;
    let mut k = 0;
    // One line a step: unrolled by two, the compiler runs out of registers and is a third slower.
    while k < end {
        // SAFETY: `check` asserted that each row holds four bytes for every wide line; `k` runs over these bytes while `weights` runs over the wide lines.
        unsafe {
            let (w0, w1) = (
                _mm256_load_si256(weights),
                _mm256_load_si256(weights.add(1)),
            );
            for (row, acc) in rows.iter().zip(&mut acc) {
                let x = _mm256_set1_epi32(row.add(k).cast::<i32>().read());
                acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(x, w0));
                acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(x, w1));
            }
            weights = weights.add(2);
        }
        k += QUAD;
    }
    ymm::finish!(acc, tile.epilogue, first, 0)
}

/// # Safety
/// Needs AVX2 and the lengths asserted by [`check_widening`].
#[target_feature(enable = "avx2")]
unsafe fn widen_rows_impl(
    rows: &RowTable,
    [first, count]: [usize; 2],
    [offset, len]: [usize; 2],
    row_lines: usize,
    out: &mut [WideLine],
) {
    let pointers = rows.pointers();
    let mut line = out.as_mut_ptr();
    if rows.segments() == 1 {
        // Short rows would take longer to be found than to be widened.
        for pointer in &pointers[first..first + count] {
            // SAFETY: `offset + len` bytes behind the pointer are readable, and `out` holds `row_lines` lines, which `len`
            // elements fit into, for each of the rows.
            unsafe {
                widen(pointer.add(offset), line.cast(), len);
                line = line.add(row_lines);
            }
        }
        return;
    }
    for row in 0..count {
        // SAFETY: as above, of all segments together; the table has a pointer for every segment and row.
        unsafe {
            let mut to = line.add(row * row_lines).cast::<i16>();
            for segment in 0..rows.segments() {
                let from = pointers.get_unchecked(segment * rows.rows() + first + row);
                widen(from.add(offset), to, len);
                to = to.add(len);
            }
        }
    }
}

/// Writes `len` bytes as 16-bit integers.
///
/// # Safety
/// Needs AVX2, `len` readable bytes, a multiple of four, and as many writable elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widen(mut from: *const u8, mut to: *mut i16, len: usize) {
    // SAFETY: the loops touch `len` bytes and elements.
    unsafe {
        for _ in 0..len / 32 {
            let low = _mm_loadu_si128(from.cast());
            let high = _mm_loadu_si128(from.add(16).cast());
            _mm256_storeu_si256(to.cast(), _mm256_cvtepu8_epi16(low));
            _mm256_storeu_si256(to.add(16).cast(), _mm256_cvtepu8_epi16(high));
            (from, to) = (from.add(32), to.add(32));
        }
        if len & 16 != 0 {
            let bytes = _mm_loadu_si128(from.cast());
            _mm256_storeu_si256(to.cast(), _mm256_cvtepu8_epi16(bytes));
            (from, to) = (from.add(16), to.add(16));
        }
        for _ in 0..len % 16 / QUAD {
            let bytes = _mm_cvtsi32_si128(from.cast::<i32>().read_unaligned());
            _mm_storel_epi64(to.cast(), _mm_cvtepu8_epi16(bytes));
            (from, to) = (from.add(QUAD), to.add(QUAD));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::rows::RowBuffer;

    /// Two rows of two segments of twelve bytes.
    fn widen(offset: usize, quads: usize, row_lines: usize, lines: usize) {
        let mut buffer = RowBuffer::default();
        let rows = buffer.table(&[0; 36], &[], &[0, 12, 6, 24], 2, 12);
        check_widening(&rows, [0, 2], [offset, quads], row_lines, lines);
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
