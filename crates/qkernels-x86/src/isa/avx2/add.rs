//! Addition of activations, 32 at a time: the formula of `elementwise.rs`, with packs that saturate instead of clamps.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::isa::avx512vnni::add::Sum;
use crate::isa::{Isa, Tier};

/// Activations added at a time.
const STEP: usize = 32;

/// From here on neighbouring floats are one apart, so that the low bits of one count them.
const ONE_APART: f32 = (1 << 23) as f32;

/// Adds as many whole steps as there are, and answers how many activations that were.
pub(in crate::isa) fn add(isa: Isa, sum: &Sum, a: &[u8], b: &[u8], out: &mut [u8]) -> usize {
    assert!(isa.tier() >= Tier::Avx2);
    assert!(a.len() == out.len() && b.len() == out.len());
    sum.check();
    // SAFETY: the token proves AVX2, and the slices are equally long.
    unsafe { steps(sum, a, b, out) }
    out.len() / STEP * STEP
}

/// # Safety
/// Needs AVX2, and slices of one length.
#[target_feature(enable = "avx2")]
unsafe fn steps(sum: &Sum, a: &[u8], b: &[u8], out: &mut [u8]) {
    let scales = sum.inputs.map(|(scale, _)| _mm256_set1_ps(scale));
    let zeros = (sum.inputs).map(|(_, zero)| _mm256_set1_ps(ONE_APART + zero as f32));
    let inv_scale = _mm256_set1_ps(sum.inv_scale);
    let none = _mm256_setzero_si256();
    let upper = _mm256_set1_epi16((ONE_APART.to_bits() >> 16) as i16);
    let zero_point = _mm256_set1_epi16(sum.range.zero_point as i16);
    let [lo, hi] = [sum.range.lo, sum.range.hi].map(|bound| _mm256_set1_epi8(bound as i8));
    for at in (0..out.len() / STEP * STEP).step_by(STEP) {
        // SAFETY: the slices have 32 bytes from `at` on.
        let inputs = [a, b].map(|x| unsafe { _mm256_loadu_si256(x.as_ptr().add(at).cast()) });
        // A byte below the upper half of `ONE_APART` is the float `ONE_APART` plus the byte, without a conversion; the
        // difference of two such numbers is exact.
        let real = |input: usize, words: __m256i| {
            let floats = [
                _mm256_unpacklo_epi16(words, upper),
                _mm256_unpackhi_epi16(words, upper),
            ];
            floats.map(|float| {
                let centred = _mm256_sub_ps(_mm256_castsi256_ps(float), zeros[input]);
                _mm256_mul_ps(centred, scales[input])
            })
        };
        let sums = |a: __m256i, b: __m256i| {
            let (a, b) = (real(0, a), real(1, b));
            let scaled = |half: usize| {
                let both = _mm256_add_ps(a[half], b[half]);
                _mm256_cvtps_epi32(_mm256_mul_ps(both, inv_scale))
            };
            _mm256_adds_epi16(_mm256_packs_epi32(scaled(0), scaled(1)), zero_point)
        };
        // Packing undoes the order of unpacking.
        let low = inputs.map(|bytes| _mm256_unpacklo_epi8(bytes, none));
        let high = inputs.map(|bytes| _mm256_unpackhi_epi8(bytes, none));
        let bytes = _mm256_packus_epi16(sums(low[0], low[1]), sums(high[0], high[1]));
        let bytes = _mm256_min_epu8(_mm256_max_epu8(bytes, lo), hi);
        // SAFETY: the slice has 32 bytes from `at` on.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(at).cast(), bytes) };
    }
}
