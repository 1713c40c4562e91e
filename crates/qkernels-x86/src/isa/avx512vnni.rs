//! AVX-512 with VNNI.
#![allow(unsafe_code)]

use super::{Isa, Tier, Work};

/// Runs `work` inside a function compiled for AVX-512.
#[inline]
pub(super) fn vectorize<W: Work>(isa: Isa, work: W) -> W::Output {
    assert!(isa.tier() == Tier::Avx512Vnni);
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn enter<W: Work>(work: W) -> W::Output {
        work.run()
    }
    // SAFETY: the token, of the AVX-512 VNNI tier by the assertion, proves the features.
    unsafe { enter(work) }
}
