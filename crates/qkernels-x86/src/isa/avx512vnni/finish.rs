//! From the sums of a tile to its results, in registers.
//!
//! These are macros for the reason that those of 256-bit tiles are, see `ymm.rs`. Rows are spelled out: a loop that the
//! compiler leaves rolled would index the accumulators and so force them into memory.

/// Repeats a statement for every row below `$rows`.
macro_rules! each_row {
    ($rows:ident, |$m:ident| $body:block) => {
        $crate::isa::avx512vnni::finish::each_row!(@ $rows, $m, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $rows:ident, $m:ident, $body:block, $($row:literal)*) => {
        $( if $row < $rows { const $m: usize = $row; $body } )*
    };
}
pub(super) use each_row;

/// The multipliers of `$panels` panels, for an epilogue that passed its check for these.
macro_rules! factors {
    ($panels:ident, $multipliers:expr) => {{
        let mut factors = [_mm512_setzero_ps(); $panels];
        for (n, factor) in factors.iter_mut().enumerate() {
            // SAFETY: `check` asserted sixteen multipliers for every panel.
            *factor = unsafe { _mm512_loadu_ps($multipliers.add(n * PANEL)) };
        }
        factors
    }};
}
pub(super) use factors;

/// What the bytes of a tile of `$panels` panels are made with, if it becomes bytes: the multipliers, whether all are less than 1
/// in magnitude, the range, and the beginning of the output.
macro_rules! requant {
    ($tile:ident, $panels:ident) => {
        match &mut $tile.epilogue.output {
            Output::Bytes {
                multipliers,
                range,
                out,
            } => {
                let factors = factors!($panels, multipliers.as_ptr());
                Some((factors, are_small(factors), *range, out.as_mut_ptr()))
            }
            _ => None,
        }
    };
}
pub(super) use requant;

/// Stores integers of `$panels` panels as bytes at `$out`, with zero point and clamp of `$range`: `$columns` of them, which are
/// all if `$whole`.
macro_rules! store {
    ($words:ident, $panels:ident, $whole:literal, $range:expr, $columns:ident, $out:expr) => {{
        let zero_point = _mm512_set1_epi16($range.zero_point as i16);
        let lo = _mm512_set1_epi8($range.lo as i8);
        let hi = _mm512_set1_epi8($range.hi as i8);
        // Packing works within 128-bit lanes: dword `4 * lane + panel` holds columns of that panel.
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let low = _mm512_adds_epi16(_mm512_packs_epi32($words[0], $words[1]), zero_point);
        let high = _mm512_adds_epi16(_mm512_packs_epi32($words[2], $words[3]), zero_point);
        let bytes = _mm512_max_epu8(_mm512_packus_epi16(low, high), lo);
        let bytes = _mm512_permutexvar_epi32(order, _mm512_min_epu8(bytes, hi));
        // SAFETY: `check` asserted `columns` writable bytes in each of the tile's rows, and the mask
        // selects no others.
        unsafe {
            // On some cores a masked store takes much longer than another.
            match $panels {
                1 if $whole => _mm_storeu_si128($out.cast(), _mm512_castsi512_si128(bytes)),
                2 if $whole => _mm256_storeu_si256($out.cast(), _mm512_castsi512_si256(bytes)),
                3 if $whole => {
                    _mm256_storeu_si256($out.cast(), _mm512_castsi512_si256(bytes));
                    let rest = _mm512_extracti32x4_epi32::<2>(bytes);
                    _mm_storeu_si128($out.add(32).cast(), rest);
                }
                4 if $whole => _mm512_storeu_si512($out.cast(), bytes),
                _ => _mm512_mask_storeu_epi8($out.cast(), u64::MAX >> (64 - $columns), bytes),
            }
        }
    }};
}
pub(super) use store;

/// Requantizes and stores the sums of `$rows` rows, `$stride` apart from `$out` on; all columns, by factors less than 1 in
/// magnitude, if `$fast`. With others, a conversion could not hold what lies far above; what is far below saturates in the packs.
macro_rules! bytes {
    ($acc:ident, $rows:ident, $panels:ident, $fast:literal, $factors:ident, $range:ident, $columns:ident, $stride:ident, $out:ident) => {{
        let hi = _mm512_set1_ps($range.float_bounds().1);
        each_row!($rows, |M| {
            let mut words = [_mm512_setzero_si512(); 4];
            for n in 0..$panels {
                let sum = _mm512_cvtepi32_ps($acc[M % $rows][n]);
                let scaled = _mm512_mul_ps(sum, $factors[n]);
                words[n] = _mm512_cvtps_epi32(if $fast {
                    scaled
                } else {
                    _mm512_min_ps(scaled, hi)
                });
            }
            store!(
                words,
                $panels,
                $fast,
                $range,
                $columns,
                $out.wrapping_add(M * $stride)
            );
        });
    }};
}
pub(super) use bytes;

/// Requantizes the sums of `$rows` rows, adds what `$added` says in the row `$first` and those after it, and stores the sums of
/// both; all columns if `$whole`, by the multipliers of a shortcut, which there must be, if `$direct`, and with activations whose zero
/// point is 0 if `$centred`.
macro_rules! added {
    ($acc:ident, $rows:ident, $panels:ident, $whole:literal, $direct:literal, $centred:literal, $added:ident, $first:ident, $columns:ident, $stride:ident) => {{
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        let sum = $added.sum;
        let factors = factors!($panels, $added.multipliers.as_ptr());
        let (conv_lo, conv_hi) = $added.range.float_bounds();
        let (conv_lo, conv_hi) = (_mm512_set1_ps(conv_lo), _mm512_set1_ps(conv_hi));
        let (conv_factor, other_factor) = match sum.shortcut {
            Some(Shortcut { a, b }) if $direct => (a, b),
            _ => (sum.inputs[0].0, sum.inputs[1].0),
        };
        let conv_factor = _mm512_set1_ps(conv_factor);
        let other_factor = _mm512_set1_ps(other_factor);
        let inv_scale = _mm512_set1_ps(sum.inv_scale);
        let other_zero = _mm512_set1_epi32(sum.inputs[1].1);
        let out = $added.out.as_mut_ptr().wrapping_add($first * $stride);
        let (others, width) = match $added.other {
            Some(other) => (other.as_ptr().wrapping_add($first * $added.width), $added.width),
            None => (out.cast_const(), $stride),
        };
        let present = u64::MAX >> (64 - $columns);
        let range = sum.range;
        each_row!($rows, |M| {
            let mut words = [_mm512_setzero_si512(); 4];
            for n in 0..$panels {
                let conv = _mm512_mul_ps(_mm512_cvtepi32_ps($acc[M % $rows][n]), factors[n]);
                // The integer that the convolution alone would store, without its zero point; clamped first, since the
                // bounds are integers.
                let conv = _mm512_max_ps(_mm512_min_ps(conv, conv_hi), conv_lo);
                let conv = _mm512_roundscale_ps::<NEAREST>(conv);
                // SAFETY: `check` asserted all columns of the row; the mask selects no others.
                let other = unsafe {
                    let other = others.wrapping_add(M * width + n * PANEL);
                    if $whole {
                        _mm_loadu_si128(other.cast())
                    } else {
                        _mm_maskz_loadu_epi8((present >> (n * PANEL)) as __mmask16, other.cast())
                    }
                };
                let mut other = _mm512_cvtepu8_epi32(other);
                if !$centred {
                    other = _mm512_sub_epi32(other, other_zero);
                }
                let other = _mm512_mul_ps(_mm512_cvtepi32_ps(other), other_factor);
                words[n] = _mm512_cvtps_epi32(if $direct {
                    _mm512_fmadd_ps(conv, conv_factor, other)
                } else {
                    let both = _mm512_add_ps(_mm512_mul_ps(conv, conv_factor), other);
                    _mm512_mul_ps(both, inv_scale)
                });
            }
            store!(words, $panels, $whole, range, $columns, out.wrapping_add(M * $stride));
        });
    }};
}
pub(super) use added;
