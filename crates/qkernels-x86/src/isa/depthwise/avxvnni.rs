//! 256-bit `vpdpbusd`: sixteen channels in two vectors, four rows of the kernel a lane.
//!
//! Unpacking works within halves of vectors, so the first vector holds channels 0 to 3 and 8 to 11, the second
//! one 4 to 7 and 12 to 15. Packing undoes just that.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use qtensor_core::requant::OutputRange;

use super::Form;
use super::window::{self, Lanes};
use crate::isa::sweep::{Results, Sweep};
use crate::isa::tile::Output;
use crate::isa::{Isa, Tier};

/// Channels computed together.
pub(super) const CHANNELS: usize = 16;

/// Computes a sweep.
pub(super) fn sweep(isa: Isa, sweep: &mut Sweep) {
    assert!(isa.tier() == Tier::AvxVnni);
    sweep.check(Form::Quads.block(sweep.rows.len()));
    let sums = matches!(sweep.output, Output::Sums(_));
    // SAFETY: the token proves the features, `check` asserted the lengths, and each arm passes the kernel, the
    // stride and the output of the sweep.
    unsafe {
        match (sweep.rows.len(), sweep.stride, sums) {
            (3, 1, false) => enter::<3, 1, 1, 3, false>(sweep),
            (3, 1, true) => enter::<3, 1, 1, 3, true>(sweep),
            (3, _, false) => enter::<3, 1, 2, 2, false>(sweep),
            (3, _, true) => enter::<3, 1, 2, 2, true>(sweep),
            (_, 1, false) => enter::<5, 2, 1, 5, false>(sweep),
            (_, 1, true) => enter::<5, 2, 1, 5, true>(sweep),
            (_, _, false) => enter::<5, 2, 2, 3, false>(sweep),
            (_, _, true) => enter::<5, 2, 2, 3, true>(sweep),
        }
    }
}

/// # Safety
/// As [`window::sweep`].
#[target_feature(enable = "avx2,avxvnni")]
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
    unsafe { window::sweep::<Quads<false>, K, R, S, A, 2, SUMS>(sweep) }
}

/// Eight lanes of four bytes, twice; `EVEX` for the instruction of AVX-512 VL instead of that of AVX-VNNI.
pub(super) struct Quads<const EVEX: bool>;

#[derive(Clone, Copy)]
pub(super) struct Requant {
    multipliers: [__m256; 2],
    hi: __m256,
    zero_point: __m256i,
    lo: __m256i,
}

/// Eight values of the channels `first..first + 4` and `first + 8..first + 12`.
///
/// # Safety
/// Needs AVX2 and sixteen values.
#[inline(always)]
unsafe fn spread(values: *const i32) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let (low, high) = (
            _mm256_loadu_si256(values.cast()),
            _mm256_loadu_si256(values.add(8).cast()),
        );
        [
            _mm256_permute2x128_si256::<0x20>(low, high),
            _mm256_permute2x128_si256::<0x31>(low, high),
        ]
    }
}

/// The bytes of two rows from row `row` on, of one and zeros, or only zeros, as sixteen words.
///
/// # Safety
/// Needs AVX2, and sixteen bytes in each row.
#[inline(always)]
unsafe fn words<const K: usize>(rows: [*const u8; K], row: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        if row >= K {
            return _mm256_setzero_si256();
        }
        let even = _mm_loadu_si128(rows[row].cast());
        if row + 1 >= K {
            return _mm256_cvtepu8_epi16(even);
        }
        let odd = _mm_loadu_si128(rows[row + 1].cast());
        _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd))
    }
}

impl<const EVEX: bool> Results for Quads<EVEX> {
    type Sums = [__m256i; 2];
    type Requant = Requant;

    #[inline(always)]
    unsafe fn start(values: *const i32) -> [__m256i; 2] {
        // SAFETY: sixteen channels, as promised by the caller.
        unsafe { spread(values) }
    }

    #[inline(always)]
    unsafe fn sums(sums: [__m256i; 2], out: *mut i32) {
        // SAFETY: sixteen channels, as promised by the caller.
        unsafe {
            let low = _mm256_permute2x128_si256::<0x20>(sums[0], sums[1]);
            let high = _mm256_permute2x128_si256::<0x31>(sums[0], sums[1]);
            _mm256_storeu_si256(out.cast(), low);
            _mm256_storeu_si256(out.add(8).cast(), high);
        }
    }

    #[inline(always)]
    unsafe fn requant(multipliers: *const f32, range: OutputRange) -> Requant {
        // SAFETY: sixteen channels, as promised by the caller; the range is one of bytes.
        unsafe {
            let [even, odd] = spread(multipliers.cast());
            Requant {
                multipliers: [_mm256_castsi256_ps(even), _mm256_castsi256_ps(odd)],
                hi: _mm256_set1_ps(range.float_bounds().1),
                zero_point: _mm256_set1_epi16(range.zero_point as i16),
                lo: _mm256_set1_epi8(range.lo as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(sums: [__m256i; 2], requant: &Requant) -> [__m256i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            let mut scaled = sums;
            for (scaled, multipliers) in scaled.iter_mut().zip(requant.multipliers) {
                let product = _mm256_mul_ps(_mm256_cvtepi32_ps(*scaled), multipliers);
                *scaled = _mm256_cvtps_epi32(_mm256_min_ps(product, requant.hi));
            }
            scaled
        }
    }

    #[inline(always)]
    unsafe fn bytes<const G: usize>(
        scaled: [[__m256i; 2]; G],
        requant: &Requant,
        out: *mut u8,
        pitch: usize,
        count: usize,
    ) {
        // SAFETY: sixteen bytes are writable at each of the first `count` multiples of `pitch`.
        unsafe {
            let mut words = [requant.zero_point; G];
            for (words, vectors) in words.iter_mut().zip(scaled) {
                let packed = _mm256_packs_epi32(vectors[0], vectors[1]);
                *words = _mm256_add_epi16(packed, *words);
            }
            let bytes = _mm256_max_epu8(_mm256_packus_epi16(words[0], words[1]), requant.lo);
            let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
            _mm_storeu_si128(out.cast(), _mm256_castsi256_si128(bytes));
            if count > 1 {
                let second = _mm256_extracti128_si256::<1>(bytes);
                _mm_storeu_si128(out.add(pitch).cast(), second);
            }
        }
    }
}

impl<const EVEX: bool> Lanes for Quads<EVEX> {
    const FORM: Form = Form::Quads;

    #[inline(always)]
    unsafe fn zero() -> [__m256i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn weights(weights: *const u8) -> [__m256i; 2] {
        let weights = weights.cast::<__m256i>();
        // SAFETY: aligned, as promised by the caller.
        unsafe {
            [
                _mm256_load_si256(weights),
                _mm256_load_si256(weights.add(1)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn column<const K: usize, const R: usize>(rows: [*const u8; K]) -> [[__m256i; 2]; R] {
        // SAFETY: each row has a byte for each of the sixteen channels.
        unsafe {
            let mut column = [Self::zero(); R];
            for (r, column) in column.iter_mut().enumerate() {
                let (first, second) = (words(rows, 4 * r), words(rows, 4 * r + 2));
                *column = [
                    _mm256_unpacklo_epi16(first, second),
                    _mm256_unpackhi_epi16(first, second),
                ];
            }
            column
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: [__m256i; 2], x: [__m256i; 2], w: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            if EVEX {
                [
                    _mm256_dpbusd_epi32(sums[0], x[0], w[0]),
                    _mm256_dpbusd_epi32(sums[1], x[1], w[1]),
                ]
            } else {
                [
                    _mm256_dpbusd_avx_epi32(sums[0], x[0], w[0]),
                    _mm256_dpbusd_avx_epi32(sums[1], x[1], w[1]),
                ]
            }
        }
    }
}
