//! 512-bit `vpdpbusd`: sixteen channels a vector, four inputs a lane.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use qtensor_core::requant::OutputRange;

use super::avxvnni::patterns;
use super::tile::{self, Dots};
use super::{Form, check};
use crate::isa::sweep::{Results, Sweep};
use crate::isa::{Isa, Tier};
use crate::pack::Line;

/// Channels computed together.
pub(super) const CHANNELS: usize = 16;

/// Computes a sweep.
pub(super) fn sweep(isa: Isa, group: usize, sweep: &mut Sweep) {
    assert!(isa.tier() >= Tier::Avx512Vnni);
    check(sweep, Form::WideQuads, group);
    // SAFETY: the token proves the features, the checks asserted the lengths, and each arm passes the group and the
    // stride.
    unsafe {
        match (group, sweep.stride) {
            (4, 1) => enter::<4, 1>(sweep),
            (4, _) => enter::<4, 2>(sweep),
            (_, 1) => enter::<8, 1>(sweep),
            (_, _) => enter::<8, 2>(sweep),
        }
    }
}

/// # Safety
/// As [`tile::sweep`].
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn enter<const GROUP: usize, const S: usize>(sweep: &mut Sweep) {
    // SAFETY: the caller's promise.
    unsafe { tile::sweep::<WideQuads<GROUP>, S>(sweep) }
}

/// Sixteen lanes of four bytes.
struct WideQuads<const GROUP: usize>;

impl<const GROUP: usize> Dots for WideQuads<GROUP> {
    const FORM: Form = Form::WideQuads;
    const GROUP: usize = GROUP;
    const BYTES: usize = size_of::<__m512i>();
    type Results = Sixteen;
    type Vector = __m512i;
    const PATTERNS: [Line; 4] = patterns(GROUP);

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        // SAFETY: aligned, as promised by the caller.
        unsafe { _mm512_load_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn spread(pixel: *const u8, _: usize, pattern: __m512i) -> __m512i {
        // SAFETY: sixteen channels, as promised by the caller.
        unsafe {
            let pixel = _mm512_castsi128_si512(_mm_loadu_si128(pixel.cast()));
            _mm512_permutexvar_epi32(pattern, pixel)
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
        // SAFETY: the tier, as promised by the caller.
        unsafe { _mm512_dpbusd_epi32(sums, x, w) }
    }
}

/// A vector of sixteen sums.
struct Sixteen;

#[derive(Clone, Copy)]
struct Requant {
    multipliers: __m512,
    hi: __m512,
    zero_point: __m512i,
    lo: __m512i,
}

impl Results for Sixteen {
    type Sums = __m512i;
    type Requant = Requant;

    #[inline(always)]
    unsafe fn start(values: *const i32) -> __m512i {
        // SAFETY: sixteen channels, as promised by the caller.
        unsafe { _mm512_loadu_si512(values.cast()) }
    }

    #[inline(always)]
    unsafe fn sums(sums: __m512i, out: *mut i32) {
        // SAFETY: sixteen channels, as promised by the caller.
        unsafe { _mm512_storeu_si512(out.cast(), sums) }
    }

    #[inline(always)]
    unsafe fn requant(multipliers: *const f32, range: OutputRange) -> Requant {
        // SAFETY: sixteen channels, as promised by the caller; the range is one of bytes.
        unsafe {
            Requant {
                multipliers: _mm512_loadu_ps(multipliers),
                hi: _mm512_set1_ps(range.float_bounds().1),
                zero_point: _mm512_set1_epi16(range.zero_point as i16),
                lo: _mm512_set1_epi8(range.lo as i8),
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(sums: __m512i, requant: &Requant) -> __m512i {
        // SAFETY: the tier, as promised by the caller.
        unsafe {
            let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), requant.multipliers);
            _mm512_cvtps_epi32(_mm512_min_ps(scaled, requant.hi))
        }
    }

    #[inline(always)]
    unsafe fn bytes<const G: usize>(
        scaled: [__m512i; G],
        requant: &Requant,
        out: *mut u8,
        pitch: usize,
        count: usize,
    ) {
        // SAFETY: sixteen bytes are writable at each of the first `count` multiples of `pitch`.
        unsafe {
            // Each quarter of a vector packs four channels of all outputs.
            let low = _mm512_packs_epi32(scaled[0], scaled[1]);
            let high = _mm512_packs_epi32(scaled[2], scaled[3]);
            let low = _mm512_add_epi16(low, requant.zero_point);
            let high = _mm512_add_epi16(high, requant.zero_point);
            let bytes = _mm512_max_epu8(_mm512_packus_epi16(low, high), requant.lo);
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let bytes = _mm512_permutexvar_epi32(order, bytes);
            _mm_storeu_si128(out.cast(), _mm512_castsi512_si128(bytes));
            if count > 1 {
                let second = _mm512_extracti32x4_epi32::<1>(bytes);
                _mm_storeu_si128(out.add(pitch).cast(), second);
            }
            if count > 2 {
                let third = _mm512_extracti32x4_epi32::<2>(bytes);
                _mm_storeu_si128(out.add(2 * pitch).cast(), third);
            }
            if count > 3 {
                let fourth = _mm512_extracti32x4_epi32::<3>(bytes);
                _mm_storeu_si128(out.add(3 * pitch).cast(), fourth);
            }
        }
    }
}
