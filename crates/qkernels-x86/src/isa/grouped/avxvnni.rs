//! 256-bit `vpdpbusd`: eight channels a vector, four inputs a lane.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::avx2::CHANNELS;
use super::tile::{self, Dots};
use super::{Form, check};
use crate::isa::depthwise;
use crate::isa::sweep::Sweep;
use crate::isa::{Isa, Tier};
use crate::pack::{Line, QUAD};

/// Computes a sweep.
pub(super) fn sweep(isa: Isa, group: usize, sweep: &mut Sweep) {
    assert!(isa.tier() == Tier::AvxVnni);
    check(sweep, Form::Quads, group);
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
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn enter<const GROUP: usize, const S: usize>(sweep: &mut Sweep) {
    // SAFETY: the caller's promise.
    unsafe { tile::sweep::<Quads<GROUP>, S>(sweep) }
}

/// For each quad of inputs of groups of `group` channels, the dword that each of up to sixteen lanes takes.
pub(super) const fn patterns(group: usize) -> [Line; 4] {
    let mut patterns = [Line([0; 64]); 4];
    let quads = group / QUAD;
    let mut at = 0;
    while at < quads * 16 {
        let (quad, lane) = (at / 16, at % 16);
        patterns[quad].0[lane * 4] = (lane / group * quads + quad) as i8;
        at += 1;
    }
    patterns
}

/// Eight lanes of four bytes.
struct Quads<const GROUP: usize>;

impl<const GROUP: usize> Dots for Quads<GROUP> {
    const FORM: Form = Form::Quads;
    const GROUP: usize = GROUP;
    const BYTES: usize = size_of::<__m256i>();
    type Results = depthwise::avx2::Pairs;
    type Vector = __m256i;
    const PATTERNS: [Line; 4] = patterns(GROUP);

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m256i {
        // SAFETY: aligned, as promised by the caller.
        unsafe { _mm256_load_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn spread(pixel: *const u8, part: usize, pattern: __m256i) -> __m256i {
        // SAFETY: eight channels, as promised by the caller: two groups of four, or one with two parts.
        unsafe {
            if GROUP == CHANNELS {
                let quad = pixel.add(part * QUAD).cast::<i32>();
                return _mm256_set1_epi32(quad.read_unaligned());
            }
            let pixel = _mm256_castsi128_si256(_mm_loadl_epi64(pixel.cast()));
            _mm256_permutevar8x32_epi32(pixel, pattern)
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the tier, as promised by the caller.
        unsafe { _mm256_dpbusd_avx_epi32(sums, x, w) }
    }
}
