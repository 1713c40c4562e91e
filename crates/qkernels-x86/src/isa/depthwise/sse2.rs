//! SSE2: as AVX2, eight channels and two rows of the kernel as 16-bit integers, in pairs of vectors.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use qtensor_core::requant::OutputRange;

use super::Form;
use super::window::{self, Lanes};
use crate::isa::sweep::{Results, Sweep};
use crate::isa::tile::Output;

/// Computes a sweep.
pub(super) fn sweep(sweep: &mut Sweep) {
    sweep.check(Form::Pairs.block(sweep.rows.len()));
    let sums = matches!(sweep.output, Output::Sums(_));
    match (sweep.rows.len(), sweep.stride, sums) {
        (3, 1, false) => enter::<3, 2, 1, 3, false>(sweep),
        (3, 1, true) => enter::<3, 2, 1, 3, true>(sweep),
        (3, _, false) => enter::<3, 2, 2, 2, false>(sweep),
        (3, _, true) => enter::<3, 2, 2, 2, true>(sweep),
        (_, 1, false) => enter::<5, 3, 1, 5, false>(sweep),
        (_, 1, true) => enter::<5, 3, 1, 5, true>(sweep),
        (_, _, false) => enter::<5, 3, 2, 3, false>(sweep),
        (_, _, true) => enter::<5, 3, 2, 3, true>(sweep),
    }
}

/// As [`window::sweep`], of a sweep of this kernel, stride and output.
#[inline(never)]
fn enter<const K: usize, const R: usize, const S: usize, const A: usize, const SUMS: bool>(
    sweep: &mut Sweep,
) {
    // SAFETY: x86-64 has SSE2; the only caller has asserted the lengths, and passes the kernel, the stride and the output of
    // the sweep.
    unsafe { window::sweep::<Pairs, K, R, S, A, 2, SUMS>(sweep) }
}

/// Eight lanes of two 16-bit integers.
struct Pairs;

#[derive(Clone, Copy)]
struct Requant {
    multipliers: [__m128; 2],
    hi: __m128,
    zero_point: __m128i,
    lo: __m128i,
}

impl Results for Pairs {
    type Sums = [__m128i; 2];
    type Requant = Requant;

    #[inline(always)]
    unsafe fn start(values: *const i32) -> [__m128i; 2] {
        // SAFETY: eight channels, as promised by the caller.
        unsafe { [0, 4].map(|i| _mm_loadu_si128(values.add(i).cast())) }
    }

    #[inline(always)]
    unsafe fn sums(sums: [__m128i; 2], out: *mut i32) {
        // SAFETY: eight channels, as promised by the caller.
        unsafe {
            _mm_storeu_si128(out.cast(), sums[0]);
            _mm_storeu_si128(out.add(4).cast(), sums[1]);
        }
    }

    #[inline(always)]
    unsafe fn requant(multipliers: *const f32, range: OutputRange) -> Requant {
        // SAFETY: eight channels, as promised by the caller; the range is one of bytes.
        unsafe {
            Requant {
                multipliers: [0, 4].map(|i| _mm_loadu_ps(multipliers.add(i))),
                hi: _mm_set1_ps(range.float_bounds().1),
                zero_point: _mm_set1_epi16(range.zero_point as i16),
                lo: _mm_set1_epi8(range.lo as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(sums: [__m128i; 2], requant: &Requant) -> [__m128i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            let scale = |sums, multipliers| {
                let scaled = _mm_mul_ps(_mm_cvtepi32_ps(sums), multipliers);
                _mm_cvtps_epi32(_mm_min_ps(scaled, requant.hi))
            };
            [
                scale(sums[0], requant.multipliers[0]),
                scale(sums[1], requant.multipliers[1]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn bytes<const G: usize>(
        scaled: [[__m128i; 2]; G],
        requant: &Requant,
        out: *mut u8,
        pitch: usize,
        count: usize,
    ) {
        // SAFETY: eight bytes are writable at each of the first `count` multiples of `pitch`.
        unsafe {
            let words = |[low, high]: [__m128i; 2]| {
                _mm_add_epi16(_mm_packs_epi32(low, high), requant.zero_point)
            };
            let bytes = _mm_packus_epi16(words(scaled[0]), words(scaled[1]));
            let bytes = _mm_max_epu8(bytes, requant.lo);
            _mm_storel_epi64(out.cast(), bytes);
            if count > 1 {
                _mm_storeh_pd(out.add(pitch).cast(), _mm_castsi128_pd(bytes));
            }
        }
    }
}

impl Lanes for Pairs {
    const FORM: Form = Form::Pairs;

    #[inline(always)]
    unsafe fn zero() -> [__m128i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe { [_mm_setzero_si128(); 2] }
    }

    #[inline(always)]
    unsafe fn weights(weights: *const u8) -> [__m128i; 2] {
        // SAFETY: aligned, as promised by the caller.
        unsafe { [0, 16].map(|i| _mm_load_si128(weights.add(i).cast())) }
    }

    #[inline(always)]
    unsafe fn column<const K: usize, const R: usize>(rows: [*const u8; K]) -> [[__m128i; 2]; R] {
        // SAFETY: each row has a byte for each of the eight channels.
        unsafe {
            let zero = _mm_setzero_si128();
            let mut column = [[zero; 2]; R];
            for (r, column) in column.iter_mut().enumerate() {
                let even = _mm_loadl_epi64(rows[2 * r].cast());
                *column = if 2 * r + 1 < K {
                    let odd = _mm_loadl_epi64(rows[2 * r + 1].cast());
                    let both = _mm_unpacklo_epi8(even, odd);
                    [_mm_unpacklo_epi8(both, zero), _mm_unpackhi_epi8(both, zero)]
                } else {
                    let words = _mm_unpacklo_epi8(even, zero);
                    [
                        _mm_unpacklo_epi16(words, zero),
                        _mm_unpackhi_epi16(words, zero),
                    ]
                };
            }
            column
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: [__m128i; 2], x: [__m128i; 2], w: [__m128i; 2]) -> [__m128i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            [
                _mm_add_epi32(sums[0], _mm_madd_epi16(x[0], w[0])),
                _mm_add_epi32(sums[1], _mm_madd_epi16(x[1], w[1])),
            ]
        }
    }
}
