//! AVX2, which has no exact dot product of bytes; three tiles make up for it.
//!
//! `vpmaddubsw` takes bytes, but saturates: two products of 255 and 127 do not fit its 16 bits. Where
//! the bytes at hand are known to be small enough it is exact, and [`bytes`] uses it. Otherwise both operands
//! become 16-bit integers for `vpmaddwd`: many rows are widened into scratch memory first ([`wide`]),
//! a few split the bytes of a line into even and odd ones on the fly, which reads weights only once.

pub(super) mod add;
pub(super) mod bytes;
mod half;
pub(super) mod wide;
pub(super) mod winograd;

use super::tile::Tile;
use super::{Isa, Tier, Work};

/// Runs `work` inside a function compiled for AVX2.
#[inline]
#[allow(unsafe_code)]
pub(super) fn vectorize<W: Work>(isa: Isa, work: W) -> W::Output {
    assert!(isa.tier() >= Tier::Avx2);
    #[target_feature(enable = "avx2")]
    fn enter<W: Work>(work: W) -> W::Output {
        work.run()
    }
    // SAFETY: the token, of at least the AVX2 tier by the assertion, proves the feature.
    unsafe { enter(work) }
}

/// Computes a tile of one panel.
pub(super) fn tile(isa: Isa, tile: &mut Tile) {
    if tile.pairs_fit {
        bytes::pairs(isa, tile);
    } else {
        bytes::split(isa, tile);
    }
}
