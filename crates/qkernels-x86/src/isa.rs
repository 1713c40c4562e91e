//! Instruction sets: the token that proves one, and the only door through which code compiled for
//! it can be entered.
//!
//! Everything `unsafe` of the crate lives in this directory. An [`Isa`] cannot be made outside
//! [`detect`], so holding one is the proof that its instructions exist, and the functions below
//! rely on nothing else.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod detect;
pub(crate) mod rows;
mod scalar;
pub(crate) mod sgemm;
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
pub(crate) mod wide;

use crate::error::Result;
use crate::isa::tile::Tile;

/// The environment variable that caps the instruction set, by a name of [`Tier::name`].
pub const ISA_VARIABLE: &str = "QTENSOR_ISA";

/// A level of instruction sets, each one containing those before it.
///
/// | tier | name | dot product | needs |
/// |---|---|---|---|
/// | `Scalar` | `scalar` | plain Rust | nothing, every target |
/// | `Sse2` | `sse2` | plain Rust | x86-64 |
/// | `Avx2` | `avx2` | `vpmaddwd` on 16-bit halves | AVX2 |
/// | `AvxVnni` | `avxvnni` | as AVX2 | AVX2, AVX-VNNI |
/// | `Avx512Vnni` | `avx512vnni` | `vpdpbusd`, 512 bits | AVX-512 F, BW, DQ, VL, VNNI |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// Portable code, on every target.
    Scalar,
    /// The x86-64 baseline.
    Sse2,
    /// 256-bit integers.
    Avx2,
    /// AVX2 with 256-bit int8 dot products.
    AvxVnni,
    /// AVX-512 with int8 dot products.
    Avx512Vnni,
}

impl Tier {
    /// Every tier, lowest first.
    pub const ALL: [Tier; 5] = [
        Tier::Scalar,
        Tier::Sse2,
        Tier::Avx2,
        Tier::AvxVnni,
        Tier::Avx512Vnni,
    ];

    /// The name in the environment variable, in benches and in failures.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Scalar => "scalar",
            Tier::Sse2 => "sse2",
            Tier::Avx2 => "avx2",
            Tier::AvxVnni => "avxvnni",
            Tier::Avx512Vnni => "avx512vnni",
        }
    }
}

/// Proof that this CPU runs the instructions of a [`Tier`].
///
/// ```
/// # use qkernels_x86::{Isa, Tier};
/// assert_eq!(Isa::available()[0].tier(), Tier::Scalar);
/// assert!(Isa::available().contains(&Isa::active()?));
/// # Ok::<(), qkernels_x86::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Isa(Tier);

/// A computation that [`Isa::vectorize`] compiles once per tier.
///
/// Mark `run`, and everything it calls, `#[inline(always)]`: only inlined code is compiled with
/// the instructions of the tier.
pub trait Work {
    /// What the computation answers.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

impl Isa {
    /// The best tier of this CPU, or the best one not above `QTENSOR_ISA`; found once per process.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`](crate::Error::UnknownIsa) if the variable names no tier.
    pub fn active() -> Result<Isa> {
        detect::active()
    }

    /// Every tier this CPU can run, `scalar` first, whatever the environment says.
    pub fn available() -> Vec<Isa> {
        detect::available()
    }

    /// The tier this token proves.
    pub fn tier(self) -> Tier {
        self.0
    }

    /// [`Tier::name`] of [`Isa::tier`].
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Runs `work` compiled with the instructions of this tier.
    #[inline]
    pub fn vectorize<W: Work>(self, work: W) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            Tier::Scalar | Tier::Sse2 => work.run(),
            Tier::Avx2 | Tier::AvxVnni => avx2::vectorize(self, work),
            Tier::Avx512Vnni => avx512vnni::vectorize(self, work),
        }
        #[cfg(not(target_arch = "x86_64"))]
        work.run()
    }

    /// The greatest number of rows of tiles of 1, 2, ... panels.
    pub(crate) fn tile_rows(self) -> &'static [usize] {
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            Tier::Scalar | Tier::Sse2 => &[4],
            Tier::Avx2 | Tier::AvxVnni => &[avx2::TILE_ROWS],
            Tier::Avx512Vnni => &avx512vnni::TILE_ROWS,
        }
        #[cfg(not(target_arch = "x86_64"))]
        &[4]
    }

    /// Computes a tile within [`Isa::tile_rows`].
    pub(crate) fn tile(self, mut tile: Tile) {
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            Tier::Scalar | Tier::Sse2 => scalar::tile(&mut tile),
            Tier::Avx2 | Tier::AvxVnni => avx2::tile(self, &mut tile),
            Tier::Avx512Vnni => avx512vnni::tile(self, &mut tile),
        }
        #[cfg(not(target_arch = "x86_64"))]
        scalar::tile(&mut tile)
    }
}
