//! Finds out what the CPU can do. The only place that reads CPU features or the environment, and
//! the only one that makes an [`Isa`].

use std::sync::OnceLock;

use super::{ISA_VARIABLE, Isa, Tier};
use crate::error::{Error, Result};

/// See [`Isa::active`].
pub(super) fn active() -> Result<Isa> {
    static ACTIVE: OnceLock<Result<Isa>> = OnceLock::new();
    ACTIVE
        .get_or_init(|| {
            let value = std::env::var_os(ISA_VARIABLE);
            let value = value.as_ref().map(|text| text.to_string_lossy());
            Ok(best_up_to(cap(value.as_deref())?))
        })
        .clone()
}

/// See [`Isa::available`].
pub(super) fn available() -> Vec<Isa> {
    Tier::ALL
        .into_iter()
        .filter(|&tier| runs(tier))
        .map(Isa)
        .collect()
}

/// The tier named by the environment; an unset or empty variable caps nothing.
fn cap(value: Option<&str>) -> Result<Tier> {
    let Some(name) = value.filter(|text| !text.is_empty()) else {
        return Ok(Tier::Amx);
    };
    Tier::ALL
        .into_iter()
        .find(|tier| tier.name() == name)
        .ok_or_else(|| Error::UnknownIsa {
            variable: ISA_VARIABLE,
            value: name.to_owned(),
            allowed: Tier::ALL.map(Tier::name).join(", "),
        })
}

/// The best tier of this CPU that is not above `cap`.
fn best_up_to(cap: Tier) -> Isa {
    available()
        .into_iter()
        .rfind(|isa| isa.tier() <= cap)
        .unwrap_or(Isa(Tier::Scalar))
}

/// See [`Isa::selected`].
pub(super) fn selected() -> Result<Vec<Isa>> {
    let value = std::env::var_os(ISA_VARIABLE);
    let value = value.as_ref().map(|text| text.to_string_lossy());
    choose(value.as_deref())
}

/// The tier that the environment names, or every one if it names none.
fn choose(value: Option<&str>) -> Result<Vec<Isa>> {
    let Some(name) = value.filter(|text| !text.is_empty()) else {
        return Ok(available());
    };
    let tier = cap(Some(name))?;
    let missing = missing(tier);
    if missing.is_empty() {
        return Ok(vec![Isa(tier)]);
    }
    Err(Error::MissingIsa {
        tier: tier.name(),
        missing: missing.join(", "),
    })
}

/// Whether this CPU, under this operating system, runs `tier`.
fn runs(tier: Tier) -> bool {
    missing(tier).is_empty()
}

/// What `tier` needs and this CPU, under this operating system, lacks.
#[cfg(target_arch = "x86_64")]
pub(super) fn missing(tier: Tier) -> Vec<&'static str> {
    /// Those of the named features that are absent; a macro, because detection takes literals only.
    macro_rules! absent {
        ($($name:tt)*) => {
            [$((!is_x86_feature_detected!($name)).then_some($name)),*].into_iter().flatten().collect()
        };
    }
    match tier {
        Tier::Scalar | Tier::Sse2 => Vec::new(),
        Tier::Avx2 => absent!("avx2"),
        Tier::AvxVnni => absent!("avx2" "avxvnni"),
        Tier::Avx512Vnni => {
            absent!("avx2" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vnni")
        }
        Tier::Amx => {
            let mut missing = missing(Tier::Avx512Vnni);
            missing.extend(missing_tiles());
            missing
        }
    }
}

/// What the tiles of AMX need and this CPU, or its operating system, lacks.
///
/// Linux gives the 8 KiB of tiles to processes that ask for them
/// (<https://docs.kernel.org/arch/x86/xstate.html>), so finding out is asking.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[allow(unsafe_code)]
fn missing_tiles() -> Vec<&'static str> {
    use core::arch::asm;
    use core::arch::x86_64::__cpuid_count;

    // Safe in newer compilers, unsafe in the oldest that this crate supports.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 CPU has the instruction.
    let features = unsafe { __cpuid_count(7, 0) }.edx;
    let absent = [("amx-tile", 24), ("amx-int8", 25)]
        .into_iter()
        .filter(|&(_, bit)| features >> bit & 1 == 0)
        .map(|(name, _)| name);
    let absent: Vec<_> = absent.collect();
    if !absent.is_empty() {
        return absent;
    }
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call touches no memory of the process; it changes the registers that are declared.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    if result == 0 {
        Vec::new()
    } else {
        vec!["the system's permission to use AMX"]
    }
}

/// What the tiles of AMX need: a system that this crate knows how to ask for them.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn missing_tiles() -> Vec<&'static str> {
    vec!["Linux"]
}

/// What `tier` needs and this CPU lacks: all of x86-64, for every tier but the portable one.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn missing(tier: Tier) -> Vec<&'static str> {
    if tier == Tier::Scalar {
        Vec::new()
    } else {
        vec!["x86-64"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cap_the_tier_and_unknown_ones_are_refused() {
        assert_eq!(cap(None), Ok(Tier::Amx));
        assert_eq!(cap(Some("")), Ok(Tier::Amx));
        for tier in Tier::ALL {
            assert_eq!(cap(Some(tier.name())), Ok(tier));
            assert!(best_up_to(tier).tier() <= tier);
        }
        let message = cap(Some("avx9")).map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err(
                "QTENSOR_ISA=\"avx9\" names no instruction set; expected one of \
                 scalar, sse2, avx2, avxvnni, avx512vnni, amx"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_named_tier_is_chosen_alone_or_refused_with_what_it_lacks() {
        assert_eq!(choose(None), Ok(available()));
        assert_eq!(choose(Some("")), Ok(available()));
        assert!(matches!(
            choose(Some("avx9")),
            Err(Error::UnknownIsa { .. })
        ));
        for tier in Tier::ALL {
            let want = if available().contains(&Isa(tier)) {
                Ok(vec![Isa(tier)])
            } else {
                Err(Error::MissingIsa {
                    tier: tier.name(),
                    missing: missing(tier).join(", "),
                })
            };
            assert_eq!(choose(Some(tier.name())), want);
        }
    }

    #[test]
    fn tiers_are_listed_in_order_and_scalar_always_runs() {
        let tiers: Vec<Tier> = available().into_iter().map(Isa::tier).collect();
        assert_eq!(tiers.first(), Some(&Tier::Scalar));
        assert!(tiers.is_sorted());
        assert_eq!(best_up_to(Tier::Scalar).tier(), Tier::Scalar);
    }
}
