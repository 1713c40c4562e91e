//! Results of matrix tiles to which other activations are added, in registers from the sums to the last byte.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use qtensor_core::requant::OutputRange;
use qtensor_core::rounding::MAGIC;

use super::{PITCH, Product, SIDE};
use crate::isa::avx512vnni::add::Sum;
use crate::isa::tile::{Epilogue, Output};
use crate::pack::PANEL;
use crate::shortcut::Shortcut;

/// # Safety
/// Needs AVX-512 F, BW and VL, a checked sum, sums of `height` rows, an epilogue with a byte output that was checked for as many rows
/// and `panels`, 1 or 2, panels, and in `other`, if it is not the output, as many rows of its columns, `width` apart.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn rows(
    sums: &[i32],
    height: usize,
    panels: usize,
    epilogue: &mut Epilogue,
    sum: &Sum,
    other: (Option<&[u8]>, usize),
    beside: &mut Product,
) {
    let whole = epilogue.columns == SIDE * PANEL;
    let centred = sum.inputs[1].1 == 0;
    let rows = match (whole, centred, sum.shortcut) {
        (true, true, Some(_)) => rows_of::<true, true, true>,
        (true, false, Some(_)) => rows_of::<true, false, true>,
        (true, true, None) => rows_of::<true, true, false>,
        (true, false, None) => rows_of::<true, false, false>,
        (false, _, _) => rows_of::<false, false, false>,
    };
    // SAFETY: as for the caller; these are the columns, the zero point, and whether there is a shortcut.
    unsafe { rows(sums, height, panels, epilogue, sum, other, beside) }
}

/// [`rows`], of all columns of two panels if `WHOLE`, and to activations whose zero point is 0 if `CENTRED`: an instruction less
/// of about seventeen for each; with the multipliers of a shortcut, which there must be, if `DIRECT`: two less.
///
/// # Safety
/// As [`rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn rows_of<const WHOLE: bool, const CENTRED: bool, const DIRECT: bool>(
    sums: &[i32],
    height: usize,
    panels: usize,
    epilogue: &mut Epilogue,
    sum: &Sum,
    (other, width): (Option<&[u8]>, usize),
    beside: &mut Product,
) {
    let Output::Bytes {
        multipliers,
        range,
        out,
    } = &mut epilogue.output
    else {
        unreachable!("activations are added to bytes");
    };
    let (sums, out) = (sums.as_ptr(), out.as_mut_ptr());
    let (other, width) = match other {
        Some(other) => (other.as_ptr(), width),
        None => (out.cast_const(), epilogue.stride),
    };
    // With one panel, its own start values and multipliers stand for those of the other.
    let last = (panels - 1) * PANEL;
    // SAFETY: `check` asserted sixteen start values and multipliers for every panel.
    let (start, factors) = unsafe {
        let (start, multipliers) = (epilogue.start.as_ptr(), multipliers.as_ptr());
        (
            [0, last].map(|at| _mm512_loadu_si512(start.add(at).cast())),
            [0, last].map(|at| _mm512_loadu_ps(multipliers.add(at))),
        )
    };
    let stride = epilogue.stride;
    let columns = u32::MAX >> (32 - epilogue.columns);
    let (conv_lo, conv_hi) = range.float_bounds();
    let (conv_lo, conv_hi) = (_mm512_set1_ps(conv_lo), _mm512_set1_ps(conv_hi));
    let factors_of_both = match sum.shortcut {
        Some(Shortcut { a, b }) if DIRECT => [a, b],
        _ => sum.inputs.map(|(scale, _)| scale),
    };
    let [conv_factor, other_factor] = factors_of_both.map(|factor| _mm512_set1_ps(factor));
    let other_zero = _mm512_set1_epi32(sum.inputs[1].1);
    let magic = _mm512_set1_ps(MAGIC);
    let inv_scale = _mm512_set1_ps(sum.inv_scale);
    let OutputRange { zero_point, lo, hi } = sum.range;
    let hi = _mm512_set1_epi8(hi as i8);
    let zero_point = _mm512_set1_epi16(zero_point as i16);
    let lo = _mm512_set1_epi8(lo as i8);
    // Packing works within 128-bit lanes: dword `4 * lane + 2 * row + panel` holds columns of that panel.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let scaled = |m: usize, n: usize| {
        // SAFETY: there are sums of all rows, 64 bytes at a time.
        let conv = unsafe { _mm512_load_si512(sums.add(m * PITCH + n * PANEL).cast()) };
        let conv = _mm512_cvtepi32_ps(_mm512_add_epi32(conv, start[n]));
        // The integer that the convolution alone would store, without its zero point; clamped first, since the bounds
        // are integers.
        let conv = _mm512_min_ps(_mm512_mul_ps(conv, factors[n]), conv_hi);
        // Two instructions for either port round; the one that does is two for the same port.
        let conv = _mm512_add_ps(_mm512_max_ps(conv, conv_lo), magic);
        let conv = _mm512_sub_ps(conv, magic);
        let other = other.wrapping_add(m * width + n * PANEL);
        // SAFETY: `other` and the output have all columns of the row; these are all of the panel, or the mask selects no
        // others.
        let other = unsafe {
            if WHOLE {
                _mm_loadu_si128(other.cast())
            } else {
                let columns = (columns >> (n * PANEL)) as __mmask16;
                _mm_maskz_loadu_epi8(columns, other.cast())
            }
        };
        let mut other = _mm512_cvtepu8_epi32(other);
        if !CENTRED {
            other = _mm512_sub_epi32(other, other_zero);
        }
        let other = _mm512_mul_ps(_mm512_cvtepi32_ps(other), other_factor);
        let scaled = if DIRECT {
            _mm512_fmadd_ps(conv, conv_factor, other)
        } else {
            let both = _mm512_add_ps(_mm512_mul_ps(conv, conv_factor), other);
            _mm512_mul_ps(both, inv_scale)
        };
        _mm512_cvtps_epi32(scaled)
    };
    let mut first = 0;
    while first < height {
        beside.go_on();
        let end = height.min(first + beside.rows());
        for m in (first..end).step_by(2) {
            // The last row of an odd number takes both places.
            let next = (m + 1).min(height - 1);
            let low = _mm512_packs_epi32(scaled(m, 0), scaled(m, 1));
            let high = _mm512_packs_epi32(scaled(next, 0), scaled(next, 1));
            let low = _mm512_adds_epi16(low, zero_point);
            let high = _mm512_adds_epi16(high, zero_point);
            let bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(low, high), lo), hi);
            let bytes = _mm512_permutexvar_epi32(order, bytes);
            // SAFETY: `check` asserted `columns` writable bytes in each row, and the mask selects no others.
            unsafe {
                let [first, second] = [
                    _mm512_castsi512_si256(bytes),
                    _mm512_extracti64x4_epi64::<1>(bytes),
                ];
                _mm256_mask_storeu_epi8(out.add(m * stride).cast(), columns, first);
                _mm256_mask_storeu_epi8(out.add(next * stride).cast(), columns, second);
            }
        }
        first = end;
    }
}
