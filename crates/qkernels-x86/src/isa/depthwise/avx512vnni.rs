//! 512-bit `vpdpbusd`: 32 channels in two vectors, four rows of the kernel a lane.
//!
//! The order of channels is that of [`avxvnni`](super::avxvnni), over four quarters of a vector: the first one
//! holds the lower four channels of every eight, the second one the upper four.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use qtensor_core::requant::OutputRange;

use super::Form;
use super::avxvnni::Quads;
use super::window::{self, Lanes};
use crate::isa::sweep::{Results, Sweep};
use crate::isa::tile::Output;
use crate::isa::{Isa, Tier};

/// Channels computed together.
pub(super) const CHANNELS: usize = 32;

/// Computes a sweep.
pub(super) fn sweep(isa: Isa, sweep: &mut Sweep) {
    assert!(isa.tier() >= Tier::Avx512Vnni);
    sweep.check(Form::WideQuads.block(sweep.rows.len()));
    // SAFETY: the token proves the features, and `check` asserted the lengths.
    unsafe { by_shape::<WideQuads>(sweep) }
}

/// Computes a sweep of [`Form::Quads`], for fewer channels than a wide one has.
pub(super) fn narrow_sweep(isa: Isa, sweep: &mut Sweep) {
    assert!(isa.tier() >= Tier::Avx512Vnni);
    sweep.check(Form::Quads.block(sweep.rows.len()));
    // SAFETY: as in `sweep`.
    unsafe { by_shape::<Quads<true>>(sweep) }
}

/// # Safety
/// Needs the features of the tier, and a sweep checked for the form of `L`.
unsafe fn by_shape<L: Lanes>(sweep: &mut Sweep) {
    let sums = matches!(sweep.output, Output::Sums(_));
    // SAFETY: the caller's promise; each arm passes the kernel, the stride and the output of the sweep.
    unsafe {
        match (sweep.rows.len(), sweep.stride, sums) {
            (3, 1, false) => enter::<L, 3, 1, 1, 3, false>(sweep),
            (3, 1, true) => enter::<L, 3, 1, 1, 3, true>(sweep),
            (3, _, false) => enter::<L, 3, 1, 2, 2, false>(sweep),
            (3, _, true) => enter::<L, 3, 1, 2, 2, true>(sweep),
            (_, 1, false) => enter::<L, 5, 2, 1, 5, false>(sweep),
            (_, 1, true) => enter::<L, 5, 2, 1, 5, true>(sweep),
            (_, _, false) => enter::<L, 5, 2, 2, 3, false>(sweep),
            (_, _, true) => enter::<L, 5, 2, 2, 3, true>(sweep),
        }
    }
}

/// # Safety
/// As [`window::sweep`].
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn enter<
    L: Lanes,
    const K: usize,
    const R: usize,
    const S: usize,
    const A: usize,
    const SUMS: bool,
>(
    sweep: &mut Sweep,
) {
    // SAFETY: the caller's promise.
    unsafe { window::sweep::<L, K, R, S, A, 2, SUMS>(sweep) }
}

/// Sixteen lanes of four bytes, twice.
struct WideQuads;

#[derive(Clone, Copy)]
struct Requant {
    multipliers: [__m512; 2],
    hi: __m512,
    zero_point: __m512i,
    lo: __m512i,
}

/// The lower and the upper four values of every eight.
///
/// # Safety
/// Needs AVX-512 F and 32 values.
#[inline(always)]
unsafe fn spread(values: *const i32) -> [__m512i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let (low, high) = (
            _mm512_loadu_si512(values.cast()),
            _mm512_loadu_si512(values.add(16).cast()),
        );
        [
            _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high),
        ]
    }
}

/// The bytes of two rows from row `row` on, of one and zeros, or only zeros, as 32 words.
///
/// # Safety
/// Needs AVX-512 F and BW, and 32 bytes in each row.
#[inline(always)]
unsafe fn words<const K: usize>(rows: [*const u8; K], row: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        if row >= K {
            return _mm512_setzero_si512();
        }
        let even = _mm512_cvtepu8_epi16(_mm256_loadu_si256(rows[row].cast()));
        if row + 1 >= K {
            return even;
        }
        let odd = _mm512_cvtepu8_epi16(_mm256_loadu_si256(rows[row + 1].cast()));
        _mm512_or_si512(even, _mm512_slli_epi16::<8>(odd))
    }
}

impl Results for WideQuads {
    type Sums = [__m512i; 2];
    type Requant = Requant;

    #[inline(always)]
    unsafe fn start(values: *const i32) -> [__m512i; 2] {
        // SAFETY: 32 channels, as promised by the caller.
        unsafe { spread(values) }
    }

    #[inline(always)]
    unsafe fn sums(sums: [__m512i; 2], out: *mut i32) {
        // SAFETY: 32 channels, as promised by the caller.
        unsafe {
            // Pairs of quadwords alternate between the two vectors.
            let low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
            let high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
            let low = _mm512_permutex2var_epi64(sums[0], low, sums[1]);
            let high = _mm512_permutex2var_epi64(sums[0], high, sums[1]);
            _mm512_storeu_si512(out.cast(), low);
            _mm512_storeu_si512(out.add(16).cast(), high);
        }
    }

    #[inline(always)]
    unsafe fn requant(multipliers: *const f32, range: OutputRange) -> Requant {
        // SAFETY: 32 channels, as promised by the caller; the range is one of bytes.
        unsafe {
            let [even, odd] = spread(multipliers.cast());
            Requant {
                multipliers: [_mm512_castsi512_ps(even), _mm512_castsi512_ps(odd)],
                hi: _mm512_set1_ps(range.float_bounds().1),
                zero_point: _mm512_set1_epi16(range.zero_point as i16),
                lo: _mm512_set1_epi8(range.lo as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(sums: [__m512i; 2], requant: &Requant) -> [__m512i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            let mut scaled = sums;
            for (scaled, multipliers) in scaled.iter_mut().zip(requant.multipliers) {
                let product = _mm512_mul_ps(_mm512_cvtepi32_ps(*scaled), multipliers);
                *scaled = _mm512_cvtps_epi32(_mm512_min_ps(product, requant.hi));
            }
            scaled
        }
    }

    #[inline(always)]
    unsafe fn bytes<const G: usize>(
        scaled: [[__m512i; 2]; G],
        requant: &Requant,
        out: *mut u8,
        pitch: usize,
        count: usize,
    ) {
        // SAFETY: 32 bytes are writable at each of the first `count` multiples of `pitch`.
        unsafe {
            let mut words = [requant.zero_point; G];
            for (words, vectors) in words.iter_mut().zip(scaled) {
                let packed = _mm512_packs_epi32(vectors[0], vectors[1]);
                *words = _mm512_add_epi16(packed, *words);
            }
            let bytes = _mm512_max_epu8(_mm512_packus_epi16(words[0], words[1]), requant.lo);
            let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            let bytes = _mm512_permutexvar_epi64(order, bytes);
            _mm256_storeu_si256(out.cast(), _mm512_castsi512_si256(bytes));
            if count > 1 {
                let second = _mm512_extracti64x4_epi64::<1>(bytes);
                _mm256_storeu_si256(out.add(pitch).cast(), second);
            }
        }
    }
}

impl Lanes for WideQuads {
    const FORM: Form = Form::WideQuads;

    #[inline(always)]
    unsafe fn zero() -> [__m512i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe { [_mm512_setzero_si512(); 2] }
    }

    #[inline(always)]
    unsafe fn weights(weights: *const u8) -> [__m512i; 2] {
        let weights = weights.cast::<__m512i>();
        // SAFETY: aligned, as promised by the caller.
        unsafe {
            [
                _mm512_load_si512(weights.cast()),
                _mm512_load_si512(weights.add(1).cast()),
            ]
        }
    }

    #[inline(always)]
    unsafe fn column<const K: usize, const R: usize>(rows: [*const u8; K]) -> [[__m512i; 2]; R] {
        // SAFETY: each row has a byte for each of the 32 channels.
        unsafe {
            let mut column = [Self::zero(); R];
            for (r, column) in column.iter_mut().enumerate() {
                let (first, second) = (words(rows, 4 * r), words(rows, 4 * r + 2));
                *column = [
                    _mm512_unpacklo_epi16(first, second),
                    _mm512_unpackhi_epi16(first, second),
                ];
            }
            column
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: [__m512i; 2], x: [__m512i; 2], w: [__m512i; 2]) -> [__m512i; 2] {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            [
                _mm512_dpbusd_epi32(sums[0], x[0], w[0]),
                _mm512_dpbusd_epi32(sums[1], x[1], w[1]),
            ]
        }
    }
}
