//! The transforms of minimal filtering, see `winograd.rs`: sixteen channels or columns at a time.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::isa::tile::{Epilogue, Output};
use crate::isa::{Isa, Tier, ymm};
use crate::pack::PANEL;

/// Channels of a vector of 16-bit integers.
const CHANNELS: usize = 16;

/// As [`Wide::winograd_input`](crate::isa::wide::Wide::winograd_input).
pub(crate) fn input(isa: Isa, pixels: &[&[u8]; 16], out: &mut [i16], position_stride: usize) {
    assert!(isa.tier() >= Tier::Avx2);
    let channels = pixels[0].len();
    assert!(channels.is_multiple_of(CHANNELS));
    assert!(pixels.iter().all(|pixel| pixel.len() == channels));
    let last = position_stride.checked_mul(15);
    let room = out.len().checked_sub(channels);
    assert!(
        last.is_some() && room.is_some() && last <= room,
        "every position needs room for the channels"
    );
    // SAFETY: the token proves AVX2; the lengths are asserted above.
    unsafe { transform_input(pixels, channels, out.as_mut_ptr(), position_stride) }
}

/// # Safety
/// Needs AVX2, sixteen pixels of `channels` bytes, a multiple of [`CHANNELS`], and room for that many
/// elements at each of sixteen multiples of `stride` behind `out`.
#[target_feature(enable = "avx2")]
unsafe fn transform_input(pixels: &[&[u8]; 16], channels: usize, out: *mut i16, stride: usize) {
    for first in (0..channels).step_by(CHANNELS) {
        // The rows of Bᵀ: which two inputs, and whether they are added.
        for (i, (a, b, add)) in [(0, 2, false), (1, 2, true), (2, 1, false), (1, 3, false)]
            .into_iter()
            .enumerate()
        {
            let mut t = [_mm256_setzero_si256(); 4];
            for (j, t) in t.iter_mut().enumerate() {
                // SAFETY: `first` leaves room for sixteen channels in each pixel.
                let (a, b) = unsafe {
                    let a = pixels[a * 4 + j].as_ptr().add(first);
                    let b = pixels[b * 4 + j].as_ptr().add(first);
                    (
                        _mm256_cvtepu8_epi16(_mm_loadu_si128(a.cast())),
                        _mm256_cvtepu8_epi16(_mm_loadu_si128(b.cast())),
                    )
                };
                *t = if add {
                    _mm256_add_epi16(a, b)
                } else {
                    _mm256_sub_epi16(a, b)
                };
            }
            let v = [
                _mm256_sub_epi16(t[0], t[2]),
                _mm256_add_epi16(t[1], t[2]),
                _mm256_sub_epi16(t[2], t[1]),
                _mm256_sub_epi16(t[1], t[3]),
            ];
            for (j, v) in v.into_iter().enumerate() {
                // SAFETY: the caller promised room for the channels at each position.
                unsafe {
                    let out = out.add((i * 4 + j) * stride + first);
                    _mm256_storeu_si256(out.cast(), v);
                }
            }
        }
    }
}

/// As [`Wide::winograd_output`](crate::isa::wide::Wide::winograd_output).
pub(crate) fn output(isa: Isa, sums: &[i32], epilogue: &mut Epilogue) {
    assert!(isa.tier() >= Tier::Avx2);
    let tiles = sums.len() / (16 * PANEL);
    assert!(tiles >= 1);
    epilogue.check(tiles * 4, 1);
    for tile in 0..tiles {
        // SAFETY: the token proves AVX2; the sums hold this tile, and the epilogue passed its check for
        // four rows of each tile.
        unsafe { transform_output(sums.as_ptr().add(tile * 16 * PANEL), tile * 4, epilogue) }
    }
}

/// # Safety
/// Needs AVX2, sixteen times sixteen sums, and an epilogue checked for one panel and the four rows from
/// `first` on.
#[target_feature(enable = "avx2")]
unsafe fn transform_output(sums: *const i32, first: usize, epilogue: &mut Epilogue) {
    const ROWS: usize = 4;
    let mut acc = ymm::start!(ROWS, epilogue, first, 0);
    // An index, because it also selects the columns of the sums.
    #[allow(clippy::needless_range_loop)]
    for half in 0..2 {
        let mut upper = [_mm256_setzero_si256(); 4];
        let mut lower = upper;
        for j in 0..4 {
            let mut m = [_mm256_setzero_si256(); 4];
            for (i, m) in m.iter_mut().enumerate() {
                // SAFETY: sixteen positions of sixteen columns.
                *m = unsafe { _mm256_loadu_si256(sums.add((i * 4 + j) * PANEL + half * 8).cast()) };
            }
            let (sum, difference) = (_mm256_add_epi32(m[1], m[2]), _mm256_sub_epi32(m[1], m[2]));
            upper[j] = _mm256_add_epi32(m[0], sum);
            lower[j] = _mm256_sub_epi32(difference, m[3]);
        }
        for (i, t) in [upper, lower].into_iter().enumerate() {
            let (sum, difference) = (_mm256_add_epi32(t[1], t[2]), _mm256_sub_epi32(t[1], t[2]));
            // Exactly divisible by four.
            let left = _mm256_srai_epi32::<2>(_mm256_add_epi32(t[0], sum));
            let right = _mm256_srai_epi32::<2>(_mm256_sub_epi32(difference, t[3]));
            acc[2 * i][half] = _mm256_add_epi32(acc[2 * i][half], left);
            acc[2 * i + 1][half] = _mm256_add_epi32(acc[2 * i + 1][half], right);
        }
    }
    ymm::finish!(acc, epilogue, first, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isa() -> Option<Isa> {
        Isa::available()
            .into_iter()
            .find(|isa| isa.tier() == Tier::Avx2)
    }

    #[test]
    fn pixels_of_other_lengths_and_short_outputs_are_refused() {
        let Some(isa) = isa() else { return };
        let run = |last: usize, room: usize, stride: usize| {
            let bytes = [0; 32];
            let mut pixels = [&bytes[..16]; 16];
            pixels[15] = &bytes[..last];
            std::panic::catch_unwind(|| input(isa, &pixels, &mut vec![0; room], stride)).is_ok()
        };
        assert!(run(16, 256, 16));
        assert!(!run(15, 256, 16) && !run(32, 256, 16));
        assert!(!run(16, 255, 16) && !run(16, 256, usize::MAX / 8));
    }
}
