//! Instruction sets: the token that proves one, and the only door through which code compiled for
//! it can be entered.
//!
//! Everything `unsafe` of the crate lives in this directory. An [`Isa`] cannot be made outside
//! [`detect`], so holding one is the proof that its instructions exist, and the functions below
//! rely on nothing else.

#[cfg(target_arch = "x86_64")]
pub(crate) mod add;
#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
#[cfg(target_arch = "x86_64")]
pub(crate) mod depthwise;
mod detect;
#[cfg(target_arch = "x86_64")]
pub(crate) mod grouped;
pub(crate) mod peak;
pub(crate) mod rows;
pub(crate) mod scalar;
pub(crate) mod sgemm;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod sweep;
pub(crate) mod tile;
#[cfg(target_arch = "x86_64")]
pub(crate) mod wide;
#[cfg(target_arch = "x86_64")]
mod ymm;

use crate::error::Result;
use crate::isa::tile::Tile;

/// The environment variable that caps the instruction set, by a name of [`Tier::name`].
pub const ISA_VARIABLE: &str = "QTENSOR_ISA";

/// A level of instruction sets, each one containing those before it.
///
/// | tier | name | dot product | needs |
/// |---|---|---|---|
/// | `Scalar` | `scalar` | plain Rust | nothing, every target |
/// | `Sse2` | `sse2` | `pmaddwd` on 16-bit integers | x86-64 |
/// | `Avx2` | `avx2` | `vpmaddubsw` where exact, else `vpmaddwd` | AVX2 |
/// | `AvxVnni` | `avxvnni` | `vpdpbusd`, 256 bits | AVX2, AVX-VNNI |
/// | `Avx512Vnni` | `avx512vnni` | `vpdpbusd`, 512 bits | AVX-512 F, BW, DQ, VL, VNNI |
/// | `Amx` | `amx` | `tdpbusd` on tiles of 16 × 64 bytes | all of these, AMX-TILE, AMX-INT8, Linux |
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
    /// Matrix tiles.
    Amx,
}

impl Tier {
    /// Every tier, lowest first.
    pub const ALL: [Tier; 6] = [
        Tier::Scalar,
        Tier::Sse2,
        Tier::Avx2,
        Tier::AvxVnni,
        Tier::Avx512Vnni,
        Tier::Amx,
    ];

    /// The name in the environment variable, in benches and in failures.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Scalar => "scalar",
            Tier::Sse2 => "sse2",
            Tier::Avx2 => "avx2",
            Tier::AvxVnni => "avxvnni",
            Tier::Avx512Vnni => "avx512vnni",
            Tier::Amx => "amx",
        }
    }

    /// The CPU features that this tier needs and this CPU, under this operating system, lacks.
    ///
    /// ```
    /// # use qkernels_x86::{Isa, Tier};
    /// assert!(Tier::Scalar.missing().is_empty());
    /// assert_eq!(
    ///     Tier::Avx2.missing().is_empty(),
    ///     Isa::available().iter().any(|isa| isa.tier() == Tier::Avx2)
    /// );
    /// ```
    pub fn missing(self) -> Vec<&'static str> {
        detect::missing(self)
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

    /// What a test or a bench should go through: the tier that `QTENSOR_ISA` names and no other, or
    /// [`Isa::available`] if the variable is unset or empty.
    ///
    /// Unlike [`Isa::active`] this never falls back to a lower tier, so that a run that names a tier
    /// cannot pass without having used it.
    ///
    /// # Errors
    /// [`Error::UnknownIsa`](crate::Error::UnknownIsa) if the variable names no tier,
    /// [`Error::MissingIsa`](crate::Error::MissingIsa) if it names one that this CPU cannot run.
    ///
    /// ```
    /// # use qkernels_x86::Isa;
    /// for isa in Isa::selected()? {
    ///     assert!(Isa::available().contains(&isa));
    /// }
    /// # Ok::<(), qkernels_x86::Error>(())
    /// ```
    pub fn selected() -> Result<Vec<Isa>> {
        detect::selected()
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
            Tier::Scalar | Tier::Sse2 => scalar::vectorize(work),
            // All that AVX-VNNI adds are dot products, which compilers make of no loop here: one function does for both.
            Tier::Avx2 | Tier::AvxVnni => avx2::vectorize(self, work),
            Tier::Avx512Vnni | Tier::Amx => avx512vnni::vectorize(self, work),
        }
        #[cfg(not(target_arch = "x86_64"))]
        scalar::vectorize(work)
    }

    /// Rows that are summed at a time in tiles of 1, 2, ... panels, which are all the numbers of panels
    /// that tiles may have; they may have any height.
    pub(crate) fn tile_rows(self) -> &'static [usize] {
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            Tier::Scalar | Tier::Sse2 | Tier::Avx2 => &[1],
            Tier::AvxVnni => &avxvnni::TILE_ROWS,
            Tier::Avx512Vnni | Tier::Amx => &avx512vnni::TILE_ROWS,
        }
        #[cfg(not(target_arch = "x86_64"))]
        &[1]
    }

    /// Whether tiles can leave out part of a reduction.
    pub(crate) fn leaves_out(self) -> bool {
        matches!(self.0, Tier::Avx512Vnni | Tier::Amx)
    }

    /// Computes a tile of as many panels as [`Isa::tile_rows`] allows.
    pub(crate) fn tile(self, mut tile: Tile) {
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            Tier::Scalar | Tier::Sse2 => scalar::tile(&mut tile),
            Tier::Avx2 => avx2::tile(self, &mut tile),
            Tier::AvxVnni => avxvnni::tile(self, &mut tile),
            Tier::Avx512Vnni | Tier::Amx => avx512vnni::tile(self, &mut tile),
        }
        #[cfg(not(target_arch = "x86_64"))]
        scalar::tile(&mut tile)
    }
}
