//! Addition of activations, 64 at a time: the formula of `elementwise.rs`, whose loop compilers pack less tightly.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use qtensor_core::requant::OutputRange;

use crate::isa::{Isa, Tier};
use crate::shortcut::Shortcut;

/// Activations added at a time.
const STEP: usize = 64;

/// Scales and zero points of a sum.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    /// Scale and zero point of the inputs.
    pub(crate) inputs: [(f32, i32); 2],
    /// The reciprocal of the output's scale.
    pub(crate) inv_scale: f32,
    /// Zero point and clamp of the output.
    pub(crate) range: OutputRange,
    /// Multipliers that give the same bytes, if some are known.
    pub(crate) shortcut: Option<Shortcut>,
}

impl Sum {
    /// Whether no quotient leaves the range of integers, so that packing can clamp it.
    pub(crate) fn converts(&self) -> bool {
        let [(a_scale, _), (b_scale, _)] = self.inputs;
        (a_scale.abs() + b_scale.abs()) * 255.0 * self.inv_scale.abs() < (1 << 30) as f32
    }

    /// Asserts what the loops rely on.
    pub(in crate::isa) fn check(&self) {
        let OutputRange { lo, hi, .. } = self.range;
        assert!(0 <= lo && lo <= hi && hi <= 255, "results must be bytes");
        assert!(self.converts(), "quotients must be integers");
    }
}

/// Adds as many whole steps of 64 as there are, if the tier has AVX-512, and answers how many activations that were.
pub(crate) fn add(isa: Isa, sum: Sum, a: &[u8], b: &[u8], out: &mut [u8]) -> usize {
    if isa.tier() < Tier::Avx512Vnni || !sum.converts() {
        return 0;
    }
    assert!(a.len() == out.len() && b.len() == out.len());
    sum.check();
    // SAFETY: the tier includes AVX-512 F and BW, and the slices are equally long.
    unsafe { steps(sum, a, b, out) }
    out.len() / STEP * STEP
}

/// # Safety
/// Needs AVX-512 F and BW, and slices of one length.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn steps(sum: Sum, a: &[u8], b: &[u8], out: &mut [u8]) {
    let [(a_scale, a_zero), (b_scale, b_zero)] = sum.inputs;
    let scales = [a_scale, b_scale].map(|scale| _mm512_set1_ps(scale));
    let zeros = [a_zero, b_zero].map(|zero| _mm512_set1_epi32(zero));
    let inv_scale = _mm512_set1_ps(sum.inv_scale);
    let zero_point = _mm512_set1_epi16(sum.range.zero_point as i16);
    let [lo, hi] = [sum.range.lo, sum.range.hi].map(|bound| _mm512_set1_epi8(bound as i8));
    // Packing works within 128-bit lanes: dword `4 * lane + quarter` holds activations of that quarter.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for at in (0..out.len() / STEP * STEP).step_by(STEP) {
        let real = |x: &[u8], input: usize, quarter: usize| {
            // SAFETY: the slice has 64 bytes from `at` on.
            let bytes = unsafe { _mm_loadu_si128(x.as_ptr().add(at + quarter * 16).cast()) };
            let centred = _mm512_sub_epi32(_mm512_cvtepu8_epi32(bytes), zeros[input]);
            _mm512_mul_ps(_mm512_cvtepi32_ps(centred), scales[input])
        };
        let scaled = |quarter: usize| {
            let both = _mm512_add_ps(real(a, 0, quarter), real(b, 1, quarter));
            _mm512_cvtps_epi32(_mm512_mul_ps(both, inv_scale))
        };
        let low = _mm512_adds_epi16(_mm512_packs_epi32(scaled(0), scaled(1)), zero_point);
        let high = _mm512_adds_epi16(_mm512_packs_epi32(scaled(2), scaled(3)), zero_point);
        let bytes = _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(low, high), lo), hi);
        let bytes = _mm512_permutexvar_epi32(order, bytes);
        // SAFETY: the slice has 64 bytes from `at` on.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(at).cast(), bytes) };
    }
}
