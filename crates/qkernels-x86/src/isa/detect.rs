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
        return Ok(Tier::Avx512Vnni);
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

/// Whether this CPU, under this operating system, runs `tier`.
fn runs(tier: Tier) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2");
        match tier {
            Tier::Scalar | Tier::Sse2 => true,
            Tier::Avx2 => avx2,
            Tier::AvxVnni => avx2 && is_x86_feature_detected!("avxvnni"),
            Tier::Avx512Vnni => {
                avx2 && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        tier == Tier::Scalar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cap_the_tier_and_unknown_ones_are_refused() {
        assert_eq!(cap(None), Ok(Tier::Avx512Vnni));
        assert_eq!(cap(Some("")), Ok(Tier::Avx512Vnni));
        for tier in Tier::ALL {
            assert_eq!(cap(Some(tier.name())), Ok(tier));
            assert!(best_up_to(tier).tier() <= tier);
        }
        let message = cap(Some("avx9")).map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err(
                "QTENSOR_ISA=\"avx9\" names no instruction set; expected one of \
                 scalar, sse2, avx2, avxvnni, avx512vnni"
                    .to_owned()
            )
        );
    }

    #[test]
    fn tiers_are_listed_in_order_and_scalar_always_runs() {
        let tiers: Vec<Tier> = available().into_iter().map(Isa::tier).collect();
        assert_eq!(tiers.first(), Some(&Tier::Scalar));
        assert!(tiers.is_sorted());
        assert_eq!(best_up_to(Tier::Scalar).tier(), Tier::Scalar);
    }
}
