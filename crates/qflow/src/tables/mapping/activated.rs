//! The rows of linear layers with an activation that is no clamp.

use qnn::intrinsic::{Activated, Curve};
use qnn::{Linear, dynamic, erase, qat, quantized};

use super::Mapping;

impl Mapping {
    /// This table with the static rows of linear layers with the activation `A`.
    pub(super) fn with_activated<A: Curve>(self) -> Mapping {
        self.with(|m: &Activated<Linear, A>, t| {
            let int8 = Activated::<quantized::Linear, A>::from_float(m, t.weight, t.output)?;
            Ok(erase(int8))
        })
        .with(|m: &Activated<qat::Linear, A>, t| {
            let linear = m.module().to_quantized(t.output)?;
            Ok(erase(Activated::new(linear, m.activation().clone())))
        })
    }

    /// This table with the dynamic rows of linear layers with the activation `A`.
    pub(super) fn with_dynamic_activated<A: Curve>(self) -> Mapping {
        self.with_dynamic(|m: &Activated<Linear, A>, q| {
            Ok(erase(Activated::<dynamic::Linear, A>::from_float(m, q)?))
        })
        .with_dynamic(|m: &Activated<qat::Linear, A>, q| {
            let linear = m.module().to_dynamic(q)?;
            Ok(erase(Activated::new(linear, m.activation().clone())))
        })
    }
}
