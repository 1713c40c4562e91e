//! The static rows of activations and norms whose results have ranges of their own.

use qnn::{ELU, GroupNorm, Hardswish, InstanceNorm, LayerNorm, LeakyReLU, PReLU, erase, quantized};

use super::Mapping;

impl Mapping {
    /// This table with [`ELU`], [`Hardswish`], [`LeakyReLU`], [`PReLU`], [`LayerNorm`], [`GroupNorm`] and [`InstanceNorm`].
    pub(super) fn with_slopes(self) -> Mapping {
        self.with(|m: &ELU, t| Ok(erase(quantized::ELU::from_float(m, t.output))))
            .with(|m: &Hardswish, t| Ok(erase(quantized::Hardswish::from_float(m, t.output))))
            .with(|m: &LeakyReLU, t| Ok(erase(quantized::LeakyReLU::from_float(m, t.output))))
            .with(|m: &PReLU, t| Ok(erase(quantized::PReLU::from_float(m, t.output)?)))
            .with(|m: &LayerNorm, t| Ok(erase(quantized::LayerNorm::from_float(m, t.output))))
            .with(|m: &GroupNorm, t| Ok(erase(quantized::GroupNorm::from_float(m, t.output))))
            .with_instance_norm::<1>()
            .with_instance_norm::<2>()
            .with_instance_norm::<3>()
    }

    fn with_instance_norm<const D: usize>(self) -> Mapping {
        self.with(|m: &InstanceNorm<D>, t| {
            Ok(erase(quantized::InstanceNorm::from_float(m, t.output)))
        })
    }
}
