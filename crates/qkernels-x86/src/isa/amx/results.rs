//! Results of the sums of matrix tiles, which stand in memory: what the other tiers do in registers.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{PITCH, Product};
use crate::isa::tile::{Epilogue, Output};
use crate::pack::PANEL;

/// # Safety
/// Needs AVX-512 F, BW and VL, sums of `height` rows, and an epilogue that was checked for as many rows and
/// `panels`, 1 or 2, panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn rows(
    sums: &[i32],
    height: usize,
    panels: usize,
    epilogue: &mut Epilogue,
    beside: &mut Product,
) {
    let sums = sums.as_ptr();
    // With one panel, its own start values and multipliers stand for those of the other.
    let last = (panels - 1) * PANEL;
    // SAFETY: `check` asserted sixteen start values for every panel.
    let start =
        [0, last].map(|at| unsafe { _mm512_loadu_si512(epilogue.start.as_ptr().add(at).cast()) });
    let stride = epilogue.stride;
    let (multipliers, range, out) = match &mut epilogue.output {
        Output::Bytes {
            multipliers,
            range,
            out,
        } => (multipliers.as_ptr(), *range, out.as_mut_ptr()),
        Output::Sums(out) => {
            let out = out.as_mut_ptr();
            let add = |m: usize, n: usize| {
                // SAFETY: there are sums of all rows, and `check` asserted room for all columns of the panels.
                unsafe {
                    let sum = _mm512_load_si512(sums.add(m * PITCH + n * PANEL).cast());
                    let out = out.add(m * stride + n * PANEL);
                    _mm512_storeu_si512(out.cast(), _mm512_add_epi32(sum, start[n]));
                }
            };
            for m in 0..height {
                add(m, 0);
                if last > 0 {
                    add(m, 1);
                }
            }
            return;
        }
    };
    // SAFETY: `check` asserted sixteen multipliers for every panel.
    let factors = [0, last].map(|at| unsafe { _mm512_loadu_ps(multipliers.add(at)) });
    let (_, hi) = range.float_bounds();
    let hi = _mm512_set1_ps(hi);
    let zero_point = _mm512_set1_epi16(range.zero_point as i16);
    let lo = _mm512_set1_epi8(range.lo as i8);
    // Packing works within 128-bit lanes: dword `4 * lane + 2 * row + panel` holds columns of that panel.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let columns = u32::MAX >> (32 - epilogue.columns);
    // Far below the range, packing saturates; the bound from above is needed before the conversion, which overflows.
    let scale = |m: usize, n: usize| {
        // SAFETY: there are sums of all rows, 64 bytes at a time.
        let sum = unsafe { _mm512_load_si512(sums.add(m * PITCH + n * PANEL).cast()) };
        let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(sum, start[n]));
        _mm512_cvtps_epi32(_mm512_min_ps(_mm512_mul_ps(sum, factors[n]), hi))
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
            let bytes = _mm512_max_epu8(_mm512_packus_epi16(low, high), lo);
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
