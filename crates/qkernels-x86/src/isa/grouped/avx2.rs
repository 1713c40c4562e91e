//! AVX2: eight channels a vector, two inputs a lane, as 16-bit integers for `vpmaddwd`.
//!
//! A shuffle within halves of a vector, into both of which a pixel is broadcast, spreads two bytes of each group and sets
//! zeros between them at once.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::tile::{self, Dots};
use super::{Form, check};
use crate::isa::depthwise;
use crate::isa::sweep::Sweep;
use crate::isa::{Isa, Tier};
use crate::pack::Line;

/// Channels computed together.
pub(super) const CHANNELS: usize = 8;

/// Computes a sweep.
pub(super) fn sweep(isa: Isa, group: usize, sweep: &mut Sweep) {
    assert!(isa.tier() >= Tier::Avx2);
    check(sweep, Form::Pairs, group);
    // SAFETY: the token proves AVX2, the checks asserted the lengths, and each arm passes the group and the stride.
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
#[target_feature(enable = "avx2")]
unsafe fn enter<const GROUP: usize, const S: usize>(sweep: &mut Sweep) {
    // SAFETY: the caller's promise.
    unsafe { tile::sweep::<Pairs<GROUP>, S>(sweep) }
}

/// Eight lanes of two 16-bit integers.
struct Pairs<const GROUP: usize>;

/// For each pair of inputs of groups of `group` channels, the shuffle of bytes; those of which there is no byte become zero.
const fn patterns(group: usize) -> [Line; 4] {
    let mut patterns = [Line([-1; 64]); 4];
    let mut at = 0;
    while at < 4 * CHANNELS {
        let (pair, lane) = (at / CHANNELS, at % CHANNELS);
        let first = lane / group * group + 2 * pair % group;
        patterns[pair].0[4 * lane] = first as i8;
        patterns[pair].0[4 * lane + 2] = first as i8 + 1;
        at += 1;
    }
    patterns
}

impl<const GROUP: usize> Dots for Pairs<GROUP> {
    const FORM: Form = Form::Pairs;
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
    unsafe fn spread(pixel: *const u8, _: usize, pattern: __m256i) -> __m256i {
        // SAFETY: eight channels, as promised by the caller.
        unsafe {
            let pixel = _mm256_set1_epi64x(pixel.cast::<i64>().read_unaligned());
            _mm256_shuffle_epi8(pixel, pattern)
        }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the tier, as promised by the caller.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(x, w)) }
    }
}
