//! AVX2: eight channels a vector, two rows of the kernel a lane, as 16-bit integers for `vpmaddwd`.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use qtensor_core::requant::OutputRange;

use super::Form;
use super::window::{self, Lanes};
use crate::isa::sweep::{Results, Sweep};
use crate::isa::tile::Output;
use crate::isa::{Isa, Tier};

/// Channels computed together.
pub(super) const CHANNELS: usize = 8;

/// Computes a sweep.
pub(super) fn sweep(isa: Isa, sweep: &mut Sweep) {
    assert!(isa.tier() >= Tier::Avx2);
    sweep.check(Form::Pairs.block(sweep.rows.len()));
    let sums = matches!(sweep.output, Output::Sums(_));
    // SAFETY: the token proves AVX2, `check` asserted the lengths, and each arm passes the kernel, the stride
    // and the output of the sweep.
    unsafe {
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
}

/// # Safety
/// As [`window::sweep`].
#[target_feature(enable = "avx2")]
unsafe fn enter<
    const K: usize,
    const R: usize,
    const S: usize,
    const A: usize,
    const SUMS: bool,
>(
    sweep: &mut Sweep,
) {
    // SAFETY: the caller's promise.
    unsafe { window::sweep::<Pairs, K, R, S, A, 4, SUMS>(sweep) }
}

/// Eight lanes of two 16-bit integers.
pub(in crate::isa) struct Pairs;

#[derive(Clone, Copy)]
pub(in crate::isa) struct Requant {
    multipliers: __m256,
    hi: __m256,
    zero_point: __m256i,
    lo: __m256i,
}

impl Results for Pairs {
    type Sums = __m256i;
    type Requant = Requant;

    #[inline(always)]
    unsafe fn start(values: *const i32) -> __m256i {
        // SAFETY: eight channels, as promised by the caller.
        unsafe { _mm256_loadu_si256(values.cast()) }
    }

    #[inline(always)]
    unsafe fn sums(sums: __m256i, out: *mut i32) {
        // SAFETY: eight channels, as promised by the caller.
        unsafe { _mm256_storeu_si256(out.cast(), sums) }
    }

    #[inline(always)]
    unsafe fn requant(multipliers: *const f32, range: OutputRange) -> Requant {
        // SAFETY: eight channels, as promised by the caller; the range is one of bytes.
        unsafe {
            Requant {
                multipliers: _mm256_loadu_ps(multipliers),
                hi: _mm256_set1_ps(range.float_bounds().1),
                zero_point: _mm256_set1_epi16(range.zero_point as i16),
                lo: _mm256_set1_epi8(range.lo as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(sums: __m256i, requant: &Requant) -> __m256i {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), requant.multipliers);
            _mm256_cvtps_epi32(_mm256_min_ps(scaled, requant.hi))
        }
    }

    #[inline(always)]
    unsafe fn bytes<const G: usize>(
        scaled: [__m256i; G],
        requant: &Requant,
        out: *mut u8,
        pitch: usize,
        count: usize,
    ) {
        // SAFETY: eight bytes are writable at each of the first `count` multiples of `pitch`.
        unsafe {
            // Each half of a vector packs four channels of all outputs.
            let low = _mm256_packs_epi32(scaled[0], scaled[1]);
            let high = _mm256_packs_epi32(scaled[2], scaled[3]);
            let low = _mm256_add_epi16(low, requant.zero_point);
            let high = _mm256_add_epi16(high, requant.zero_point);
            let bytes = _mm256_max_epu8(_mm256_packus_epi16(low, high), requant.lo);
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(bytes, order);
            let (low, high) = (
                _mm256_castsi256_si128(bytes),
                _mm256_extracti128_si256::<1>(bytes),
            );
            _mm_storel_epi64(out.cast(), low);
            if count > 1 {
                _mm_storeh_pd(out.add(pitch).cast(), _mm_castsi128_pd(low));
            }
            if count > 2 {
                _mm_storel_epi64(out.add(2 * pitch).cast(), high);
            }
            if count > 3 {
                _mm_storeh_pd(out.add(3 * pitch).cast(), _mm_castsi128_pd(high));
            }
        }
    }
}

impl Lanes for Pairs {
    const FORM: Form = Form::Pairs;

    #[inline(always)]
    unsafe fn zero() -> __m256i {
        // SAFETY: the tier, as promised by the caller.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn weights(weights: *const u8) -> __m256i {
        // SAFETY: aligned, as promised by the caller.
        unsafe { _mm256_load_si256(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn column<const K: usize, const R: usize>(rows: [*const u8; K]) -> [__m256i; R] {
        // SAFETY: each row has a byte for each of the eight channels.
        unsafe {
            let mut column = [_mm256_setzero_si256(); R];
            for (r, column) in column.iter_mut().enumerate() {
                let even = _mm_loadl_epi64(rows[2 * r].cast());
                *column = if 2 * r + 1 < K {
                    let odd = _mm_loadl_epi64(rows[2 * r + 1].cast());
                    _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(even, odd))
                } else {
                    _mm256_cvtepu8_epi32(even)
                };
            }
            column
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the tier, as promised by the caller.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(x, w)) }
    }
}
