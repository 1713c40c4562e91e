//! How fast this CPU multiplies at best: a measuring aid, against which benches hold the kernels.
//!
//! For each tier, a loop of its dot product on registers alone, with twelve sums that do not wait for each
//! other. The loops are written in assembly, because their operands never change: a compiler would take the
//! products out of a loop of intrinsics.

use core::hint::black_box;
use std::time::{Duration, Instant};

use super::{Isa, Tier};

/// What one core did at best; see [`Isa::measure_peak`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Products of two integers, added up, in a second.
    pub macs_per_second: f64,
    /// Cycles in a second, on targets where they can be measured.
    pub hz: Option<f64>,
}

impl Peak {
    /// Products in a cycle, where cycles can be measured.
    pub fn macs_per_cycle(self) -> Option<f64> {
        self.hz.map(|hz| self.macs_per_second / hz)
    }
}

impl Isa {
    /// Measures the peak of the calling thread's core for about `budget`: the best of many short rounds.
    ///
    /// | tier | loop | products of one step |
    /// |---|---|---|
    /// | `scalar` | plain Rust, operands in the first-level cache | 64 |
    /// | `sse2` | `pmaddwd`, `paddd` | 8 |
    /// | `avx2` | `vpmaddwd`, `vpaddd` | 16 |
    /// | `avxvnni` | `vpdpbusd`, 256 bits | 32 |
    /// | `avx512vnni` | `vpdpbusd`, 512 bits | 64 |
    /// | `amx` | `tdpbusd`, four tiles of sums | 16,384 |
    ///
    /// The clock is that of a chain of additions, each of which takes a cycle, in turns with the products, so that
    /// both see the same frequency. On AVX2, a layer that may use `vpmaddubsw` can be faster than this peak.
    ///
    /// ```
    /// # use qkernels_x86::Isa;
    /// let peak = Isa::active()?.measure_peak(std::time::Duration::from_millis(1));
    /// println!("{:.1} GMAC/s", peak.macs_per_second / 1e9);
    /// # Ok::<(), qkernels_x86::Error>(())
    /// ```
    pub fn measure_peak(self, budget: Duration) -> Peak {
        let start = Instant::now();
        let mut best = Peak {
            macs_per_second: 0.0,
            hz: None,
        };
        loop {
            best.macs_per_second = best.macs_per_second.max(rate(|| products(self)));
            #[cfg(target_arch = "x86_64")]
            {
                let hz = rate(x86::additions);
                best.hz = Some(best.hz.map_or(hz, |best| best.max(hz)));
            }
            if start.elapsed() >= budget {
                return best;
            }
        }
    }
}

/// What `work` counts, in a second.
fn rate(work: impl FnOnce() -> u64) -> f64 {
    let start = Instant::now();
    let count = work();
    // A clock too coarse for a round would make the rate infinite.
    count as f64 / start.elapsed().as_secs_f64().max(1e-9)
}

/// A round of the tier's loop; answers with the number of products.
fn products(isa: Isa) -> u64 {
    #[cfg(target_arch = "x86_64")]
    match isa.tier() {
        Tier::Scalar => plain(),
        Tier::Sse2 => x86::sse2(),
        Tier::Avx2 => x86::avx2(isa),
        Tier::AvxVnni => x86::avxvnni(isa),
        Tier::Avx512Vnni => x86::avx512vnni(isa),
        Tier::Amx => super::amx::peak(isa),
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        assert!(isa.tier() == Tier::Scalar);
        plain()
    }
}

/// The inner loop of the portable tile: four bytes of activations with sixteen columns of weights.
fn plain() -> u64 {
    const ROUNDS: u64 = 5_000;
    let (x, w) = ([200u8; 4], [[-100i8; 4]; 16]);
    let mut acc = [0i32; 16];
    for _ in 0..ROUNDS {
        // Operands that the compiler cannot know stay in the loop.
        let (x, w) = black_box((&x, &w));
        for (acc, w) in acc.iter_mut().zip(w) {
            let sum: i32 = x
                .iter()
                .zip(w)
                .map(|(&x, &w)| i32::from(x) * i32::from(w))
                .sum();
            *acc = acc.wrapping_add(sum);
        }
    }
    black_box(acc);
    ROUNDS * 64
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    //! The loops. Registers 0 to 11 hold sums, 12 products, 14 and 15 the operands.

    use core::arch::asm;
    use core::arch::x86_64::*;

    use super::{Isa, Tier, black_box};

    /// Passes of a loop: some ten microseconds.
    const ROUNDS: u64 = 10_000;
    /// Sums of a loop, more than the latency of a product times the products that start in a cycle.
    const SUMS: u64 = 12;

    /// The lines of a macro for each of the sums, as one text.
    macro_rules! each_sum {
        ($line:ident) => {
            concat!(
                $line!("0"),
                $line!("1"),
                $line!("2"),
                $line!("3"),
                $line!("4"),
                $line!("5"),
                $line!("6"),
                $line!("7"),
                $line!("8"),
                $line!("9"),
                $line!("10"),
                $line!("11")
            )
        };
    }

    /// Repeats the lines [`ROUNDS`] times, with operands in the given registers, and declares all that they change.
    macro_rules! repeat {
        ($line:ident, $x:ident in $x_register:tt, $w:ident in $w_register:tt, changes $($changed:tt)*) => {
            asm!(
                "2:",
                each_sum!($line),
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) ROUNDS => _,
                in($x_register) $x,
                in($w_register) $w,
                $(out($changed) _,)*
                options(nomem, nostack)
            )
        };
    }

    macro_rules! pmaddwd {
        ($sum:literal) => {
            concat!(
                "movdqa xmm12, xmm14\n",
                "pmaddwd xmm12, xmm15\n",
                "paddd xmm",
                $sum,
                ", xmm12\n"
            )
        };
    }

    macro_rules! vpmaddwd {
        ($sum:literal) => {
            concat!(
                "vpmaddwd ymm12, ymm14, ymm15\n",
                "vpaddd ymm",
                $sum,
                ", ymm",
                $sum,
                ", ymm12\n"
            )
        };
    }

    macro_rules! vpdpbusd_ymm {
        ($sum:literal) => {
            // Without the prefix, an assembler may choose the encoding of AVX-512.
            concat!("{{vex}} vpdpbusd ymm", $sum, ", ymm14, ymm15\n")
        };
    }

    macro_rules! vpdpbusd_zmm {
        ($sum:literal) => {
            concat!("vpdpbusd zmm", $sum, ", zmm14, zmm15\n")
        };
    }

    pub(super) fn sse2() -> u64 {
        #[target_feature(enable = "sse2")]
        fn enter() {
            let (x, w) = black_box((_mm_set1_epi16(200), _mm_set1_epi16(-100)));
            // SAFETY: the loop changes no memory and only the registers that are declared.
            unsafe {
                repeat!(pmaddwd, x in "xmm14", w in "xmm15", changes
                    "xmm0" "xmm1" "xmm2" "xmm3" "xmm4" "xmm5" "xmm6" "xmm7" "xmm8" "xmm9" "xmm10" "xmm11" "xmm12");
            }
        }
        // SAFETY: every x86-64 CPU has SSE2.
        unsafe { enter() };
        ROUNDS * SUMS * 8
    }

    pub(super) fn avx2(isa: Isa) -> u64 {
        assert!(isa.tier() >= Tier::Avx2);
        #[target_feature(enable = "avx2")]
        fn enter() {
            let (x, w) = black_box((_mm256_set1_epi16(200), _mm256_set1_epi16(-100)));
            // SAFETY: the loop changes no memory and only the registers that are declared.
            unsafe {
                repeat!(vpmaddwd, x in "ymm14", w in "ymm15", changes
                    "ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7" "ymm8" "ymm9" "ymm10" "ymm11" "ymm12");
            }
        }
        // SAFETY: the token, of at least the AVX2 tier by the assertion, proves the feature.
        unsafe { enter() };
        ROUNDS * SUMS * 16
    }

    pub(super) fn avxvnni(isa: Isa) -> u64 {
        assert!(isa.tier() == Tier::AvxVnni);
        #[target_feature(enable = "avx2,avxvnni")]
        fn enter() {
            let (x, w) = black_box((_mm256_set1_epi8(100), _mm256_set1_epi8(-100)));
            // SAFETY: the loop changes no memory and only the registers that are declared.
            unsafe {
                repeat!(vpdpbusd_ymm, x in "ymm14", w in "ymm15", changes
                    "ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7" "ymm8" "ymm9" "ymm10" "ymm11");
            }
        }
        // SAFETY: the token, of the AVX-VNNI tier by the assertion, proves the features.
        unsafe { enter() };
        ROUNDS * SUMS * 32
    }

    pub(super) fn avx512vnni(isa: Isa) -> u64 {
        assert!(isa.tier() >= Tier::Avx512Vnni);
        #[target_feature(enable = "avx512f,avx512vnni")]
        fn enter() {
            let (x, w) = black_box((_mm512_set1_epi8(100), _mm512_set1_epi8(-100)));
            // SAFETY: the loop changes no memory and only the registers that are declared.
            unsafe {
                repeat!(vpdpbusd_zmm, x in "zmm14", w in "zmm15", changes
                    "zmm0" "zmm1" "zmm2" "zmm3" "zmm4" "zmm5" "zmm6" "zmm7" "zmm8" "zmm9" "zmm10" "zmm11");
            }
        }
        // SAFETY: the token, of at least the AVX-512 VNNI tier by the assertion, proves the features.
        unsafe { enter() };
        ROUNDS * SUMS * 64
    }

    macro_rules! add {
        ($link:literal) => {
            "add {chain}, {step}\n"
        };
    }

    /// A round of additions, each of which needs the one before; answers with their number. The step is a
    /// register, because some CPUs add constants to a chain without taking a cycle.
    pub(super) fn additions() -> u64 {
        let chain: u64;
        // SAFETY: the loop changes no memory and only the registers that are declared.
        unsafe {
            asm!(
                "2:",
                each_sum!(add),
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) ROUNDS => _,
                chain = inout(reg) 0u64 => chain,
                step = in(reg) black_box(3u64),
                options(nomem, nostack)
            );
        }
        assert!(chain == 3 * ROUNDS * SUMS);
        ROUNDS * SUMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_has_a_peak_that_is_a_number() {
        for isa in Isa::available() {
            let peak = isa.measure_peak(Duration::ZERO);
            let name = isa.name();
            assert!(
                peak.macs_per_second.is_finite() && peak.macs_per_second > 0.0,
                "{name}: {peak:?}"
            );
            assert_eq!(
                peak.hz.is_some(),
                cfg!(target_arch = "x86_64"),
                "{name}: {peak:?}"
            );
            let cycle = peak.macs_per_cycle();
            assert!(
                cycle.is_none_or(|macs| macs.is_finite() && macs > 0.0),
                "{name}: {peak:?}"
            );
        }
    }
}
