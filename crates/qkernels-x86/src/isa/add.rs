//! Addition of activations with the instructions of the tier: the door to it.

use super::avx512vnni::add::Sum;
use super::{Isa, Tier, avx2, avx512vnni, sse2};

/// Adds as many whole steps as there are, if the tier has a kernel for that, and answers how many activations that were.
pub(crate) fn add(isa: Isa, sum: Sum, a: &[u8], b: &[u8], out: &mut [u8]) -> usize {
    match isa.tier() {
        _ if !sum.converts() => 0,
        Tier::Scalar => 0,
        Tier::Sse2 => sse2::add::add(&sum, a, b, out),
        Tier::Avx2 | Tier::AvxVnni => avx2::add::add(isa, &sum, a, b, out),
        Tier::Avx512Vnni | Tier::Amx => avx512vnni::add::add(isa, sum, a, b, out),
    }
}
