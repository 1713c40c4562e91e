//! AVX2.
#![allow(unsafe_code)]

use super::{Isa, Tier, Work};

/// Runs `work` inside a function compiled for AVX2.
#[inline]
pub(super) fn vectorize<W: Work>(isa: Isa, work: W) -> W::Output {
    assert!(isa.tier() >= Tier::Avx2);
    #[target_feature(enable = "avx2")]
    fn enter<W: Work>(work: W) -> W::Output {
        work.run()
    }
    // SAFETY: the token, of at least the AVX2 tier by the assertion, proves the feature.
    unsafe { enter(work) }
}
