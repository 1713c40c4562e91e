//! Addition of activations, 16 at a time: the formula of `elementwise.rs`, with packs that saturate instead of clamps.

use safe_arch::{
    add_m128, add_saturating_i16_m128i, cast_to_m128_from_m128i, convert_to_i32_m128i_from_m128,
    load_unaligned_m128i, m128, m128i, max_u8_m128i, min_u8_m128i, mul_m128, pack_i16_to_u8_m128i,
    pack_i32_to_i16_m128i, set_splat_i8_m128i, set_splat_i16_m128i, set_splat_m128,
    store_unaligned_m128i, sub_m128, unpack_high_i8_m128i, unpack_high_i16_m128i,
    unpack_low_i8_m128i, unpack_low_i16_m128i,
};

use crate::isa::avx512vnni::add::Sum;

/// Activations added at a time.
const STEP: usize = 16;

/// From here on neighbouring floats are one apart, so that the low bits of one count them.
const ONE_APART: f32 = (1 << 23) as f32;

/// Adds as many whole steps as there are, and answers how many activations that were.
pub(in crate::isa) fn add(sum: &Sum, a: &[u8], b: &[u8], out: &mut [u8]) -> usize {
    sum.check();
    let inputs = sum.inputs.map(|(scale, zero)| {
        let zero = set_splat_m128(ONE_APART + zero as f32);
        (set_splat_m128(scale), zero)
    });
    let inv_scale = set_splat_m128(sum.inv_scale);
    let zero_point = set_splat_i16_m128i(sum.range.zero_point as i16);
    let [lo, hi] = [sum.range.lo, sum.range.hi].map(|bound| set_splat_i8_m128i(bound as i8));
    let (out, _) = out.as_chunks_mut::<STEP>();
    let inputs_of_steps = a.as_chunks::<STEP>().0.iter().zip(b.as_chunks::<STEP>().0);
    for (out, (a, b)) in out.iter_mut().zip(inputs_of_steps) {
        let (a, b) = (real(a, inputs[0]), real(b, inputs[1]));
        let scaled = |quarter: usize| {
            let both = add_m128(a[quarter], b[quarter]);
            convert_to_i32_m128i_from_m128(mul_m128(both, inv_scale))
        };
        let words = [[0, 1], [2, 3]].map(|[first, second]| {
            let packed = pack_i32_to_i16_m128i(scaled(first), scaled(second));
            add_saturating_i16_m128i(packed, zero_point)
        });
        let bytes = pack_i16_to_u8_m128i(words[0], words[1]);
        store_unaligned_m128i(out, min_u8_m128i(max_u8_m128i(bytes, lo), hi));
    }
    out.len() * STEP
}

/// The real values of sixteen activations, of which scale and `ONE_APART` plus zero point are given.
///
/// A byte below the upper half of `ONE_APART` is the float `ONE_APART` plus the byte, without a conversion; the
/// difference of two such numbers is exact.
#[inline(always)]
fn real(bytes: &[u8; STEP], (scale, zero): (m128, m128)) -> [m128; 4] {
    let bytes = load_unaligned_m128i(bytes);
    let (none, upper) = (
        m128i::default(),
        set_splat_i16_m128i((ONE_APART.to_bits() >> 16) as i16),
    );
    let low = unpack_low_i8_m128i(bytes, none);
    let high = unpack_high_i8_m128i(bytes, none);
    [
        unpack_low_i16_m128i(low, upper),
        unpack_high_i16_m128i(low, upper),
        unpack_low_i16_m128i(high, upper),
        unpack_high_i16_m128i(high, upper),
    ]
    .map(|float| mul_m128(sub_m128(cast_to_m128_from_m128i(float), zero), scale))
}
