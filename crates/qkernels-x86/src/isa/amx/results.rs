//! Results of the sums of matrix tiles, which stand in memory: what the other tiers do in registers.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{PITCH, Product};
use crate::isa::tile::{Epilogue, Output};
use crate::pack::PANEL;

/// # Safety
/// Needs AVX-512 F, BW and VL, sums of `height` rows, and an epilogue with a byte output that was checked for as many rows and
/// `panels`, 1 or 2, panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn rows(
    sums: &[i32],
    height: usize,
    panels: usize,
    epilogue: &mut Epilogue,
    beside: &mut Product,
) {
    let Output::Bytes { multipliers, .. } = &epilogue.output else {
        unreachable!("sums stand in memory already");
    };
    // With one panel, its own start values and multipliers stand for those of the other.
    let places = [0, (panels - 1) * PANEL];
    // SAFETY: `check` asserted sixteen start values and multipliers for every panel.
    let (start, factors) = unsafe {
        let (start, multipliers) = (epilogue.start.as_ptr(), multipliers.as_ptr());
        (
            places.map(|at| _mm512_loadu_si512(start.add(at).cast())),
            places.map(|at| _mm512_loadu_ps(multipliers.add(at))),
        )
    };
    let one = _mm512_set1_ps(1.0);
    let small = factors
        .map(|factors| _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(factors), one) == u16::MAX);
    let bytes = match small {
        [true, true] => bytes_of::<true>,
        _ => bytes_of::<false>,
    };
    // SAFETY: as for the caller; these are the multipliers, and whether all are small.
    unsafe { bytes(sums, height, start, factors, epilogue, beside) }
}

/// Bytes, by `factors` that are less than 1 in magnitude if `SMALL`: an instruction less of about seven for each.
///
/// # Safety
/// As [`rows`], of which these are the start values and multipliers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn bytes_of<const SMALL: bool>(
    sums: &[i32],
    height: usize,
    start: [__m512i; 2],
    factors: [__m512; 2],
    epilogue: &mut Epilogue,
    beside: &mut Product,
) {
    let Output::Bytes { range, out, .. } = &mut epilogue.output else {
        unreachable!("sums stand in memory already");
    };
    let (sums, out, stride) = (sums.as_ptr(), out.as_mut_ptr(), epilogue.stride);
    let (_, highest) = range.float_bounds();
    let highest = _mm512_set1_ps(highest);
    let zero_point = _mm512_set1_epi16(range.zero_point as i16);
    let (lo, hi) = (
        _mm512_set1_epi8(range.lo as i8),
        _mm512_set1_epi8(range.hi as i8),
    );
    // Packing works within 128-bit lanes: dword `4 * lane + 2 * row + panel` holds columns of that panel.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let columns = u32::MAX >> (32 - epilogue.columns);
    let scale = |m: usize, n: usize| {
        // SAFETY: there are sums of all rows, 64 bytes at a time.
        let sum = unsafe { _mm512_load_si512(sums.add(m * PITCH + n * PANEL).cast()) };
        let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(sum, start[n]));
        let mut scaled = _mm512_mul_ps(sum, factors[n]);
        // Beyond the range, packing saturates; but what is no integer of 32 bits is converted to the least of them, which
        // is right below the range alone. Small factors leave all below 2^31.
        if !SMALL {
            scaled = _mm512_min_ps(scaled, highest);
        }
        _mm512_cvtps_epi32(scaled)
    };
    let mut first = 0;
    while first < height {
        beside.go_on();
        let end = height.min(first + beside.rows());
        for m in (first..end).step_by(2) {
            // The last row of an odd number takes both places.
            let next = (m + 1).min(height - 1);
            let low = _mm512_packs_epi32(scale(m, 0), scale(m, 1));
            let high = _mm512_packs_epi32(scale(next, 0), scale(next, 1));
            let low = _mm512_adds_epi16(low, zero_point);
            let high = _mm512_adds_epi16(high, zero_point);
            let bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(low, high), lo), hi);
            let bytes = _mm512_permutexvar_epi32(order, bytes);
            // SAFETY: `check` asserted `columns` writable bytes in each row, and the mask selects no others.
            unsafe {
                _mm256_mask_storeu_epi8(
                    out.add(m * stride).cast(),
                    columns,
                    _mm512_castsi512_si256(bytes),
                );
                _mm256_mask_storeu_epi8(
                    out.add(next * stride).cast(),
                    columns,
                    _mm512_extracti64x4_epi64::<1>(bytes),
                );
            }
        }
        first = end;
    }
}
