//! What tiles of 256-bit sums have in common: a row of one panel is two vectors of eight.
//!
//! These are macros because the sums must stay in registers: a function that the compiler does not inline
//! would take them through memory, and functions with target features cannot be forced to be inlined.

/// Start values of rows `first..first + ROWS` of panel `n`, for an epilogue that passed its check for
/// these, in a function compiled for AVX2.
macro_rules! start {
    ($rows:ident, $epilogue:expr, $first:expr, $n:expr) => {{
        let mut acc = [[_mm256_setzero_si256(); 2]; $rows];
        for (m, acc) in acc.iter_mut().enumerate() {
            // SAFETY: `check` asserted sixteen start values for every panel of every row.
            *acc = unsafe {
                let row = ($first + m) * $epilogue.start_stride;
                let start = $epilogue.start.as_ptr().add(row + $n * PANEL);
                [
                    _mm256_loadu_si256(start.cast()),
                    _mm256_loadu_si256(start.add(8).cast()),
                ]
            };
        }
        acc
    }};
}
pub(super) use start;

/// Delivers the sums of rows `first..first + ROWS` of panel `n`, for an epilogue that passed its check
/// for these, in a function compiled for AVX2.
macro_rules! finish {
    ($acc:expr, $epilogue:expr, $first:expr, $n:expr) => {{
        let (stride, column) = ($epilogue.stride, $n * PANEL);
        match &mut $epilogue.output {
            Output::Sums(out) => {
                for (m, acc) in $acc.into_iter().enumerate() {
                    // SAFETY: `check` asserted room for the columns of all panels in each row.
                    unsafe {
                        let out = out.as_mut_ptr().add(($first + m) * stride + column);
                        _mm256_storeu_si256(out.cast(), acc[0]);
                        _mm256_storeu_si256(out.add(8).cast(), acc[1]);
                    }
                }
            }
            Output::Added(_) => unreachable!("only tiles of AVX-512 add"),
            Output::Bytes {
                multipliers,
                range,
                out,
            } => {
                let hi = _mm256_set1_ps(range.float_bounds().1);
                let lo = _mm256_set1_epi8(range.lo as i8);
                let zero_point = _mm256_set1_epi16(range.zero_point as i16);
                // The columns of a row after packing: 0 to 3 and 8 to 11, then the others.
                let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
                // SAFETY: `check` asserted sixteen multipliers for every panel.
                let factors = unsafe {
                    let multipliers = multipliers.as_ptr().add(column);
                    [
                        _mm256_loadu_ps(multipliers),
                        _mm256_loadu_ps(multipliers.add(8)),
                    ]
                };
                let columns = PANEL.min($epilogue.columns - column);
                let rows = $acc.len();
                // Two rows at a time; the upper bound precedes the conversion, which overflows above it,
                // and what is far below saturates in the packs.
                for pair in 0..rows.div_ceil(2) {
                    let second = (2 * pair + 1).min(rows - 1);
                    let mut words = [_mm256_setzero_si256(); 2];
                    for (word, m) in words.iter_mut().zip([2 * pair, second]) {
                        let mut halves = $acc[m];
                        for (half, factor) in halves.iter_mut().zip(factors) {
                            let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(*half), factor);
                            *half = _mm256_cvtps_epi32(_mm256_min_ps(scaled, hi));
                        }
                        let packed = _mm256_packs_epi32(halves[0], halves[1]);
                        *word = _mm256_adds_epi16(packed, zero_point);
                    }
                    let bytes = _mm256_max_epu8(_mm256_packus_epi16(words[0], words[1]), lo);
                    let bytes = _mm256_permutevar8x32_epi32(bytes, order);
                    let bytes = [
                        _mm256_castsi256_si128(bytes),
                        _mm256_extracti128_si256::<1>(bytes),
                    ];
                    for (bytes, m) in bytes.into_iter().zip([2 * pair, second]) {
                        // SAFETY: `check` asserted that the columns of each row are writable.
                        unsafe {
                            let out = out.as_mut_ptr().add(($first + m) * stride + column);
                            if columns == PANEL {
                                _mm_storeu_si128(out.cast(), bytes);
                            } else if columns == PANEL / 2 {
                                _mm_storel_epi64(out.cast(), bytes);
                            } else {
                                let mut row = [0u8; PANEL];
                                _mm_storeu_si128(row.as_mut_ptr().cast(), bytes);
                                core::ptr::copy_nonoverlapping(row.as_ptr(), out, columns);
                            }
                        }
                    }
                }
            }
        }
    }};
}
pub(super) use finish;

/// Pointers to one segment of rows `first..first + ROWS` of a tile, for a tile that passed its check.
macro_rules! rows {
    ($rows:ident, $tile:expr, $first:expr, $segment:expr) => {{
        let base = $segment * $tile.rows.rows() + $tile.first + $first;
        let mut rows = [core::ptr::null::<u8>(); $rows];
        for (m, row) in rows.iter_mut().enumerate() {
            // SAFETY: the table has a pointer for each segment and each of the tile's rows, behind
            // which the offset lies.
            *row = unsafe {
                $tile
                    .rows
                    .pointers()
                    .get_unchecked(base + m)
                    .add($tile.offset)
            };
        }
        rows
    }};
}
pub(super) use rows;
