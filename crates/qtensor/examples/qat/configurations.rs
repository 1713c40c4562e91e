//! The configurations in which quantization without training fails.

use std::error::Error;

use qtensor::prelude::*;
use qtensor::qobserve::{
    FakeQuantize, LearnableFakeQuantize, MovingAverageMinMaxObserver, ObserverFactory,
};

/// Weights of three bits, one scale a tensor from the extremes; activations as in [`QConfig::x86_qat`].
pub fn hard() -> Result<QConfig, Box<dyn Error>> {
    Ok(QConfig {
        weight: FakeQuantize::factory(three_bits()?),
        ..QConfig::x86_qat()
    })
}

/// As [`hard`], with scales that are learned (LSQ).
pub fn hard_lsq() -> Result<QConfig, Box<dyn Error>> {
    Ok(QConfig {
        weight: LearnableFakeQuantize::factory(three_bits()?),
        ..QConfig::x86_qat()
    })
}

fn three_bits() -> Result<ObserverFactory, Box<dyn Error>> {
    Ok(MovingAverageMinMaxObserver::builder()
        .dtype(DType::QInt8)
        .qscheme(QScheme::PerTensorSymmetric)
        .quant_range(-4, 3)
        .averaging_constant(1.0)
        .factory()?)
}
