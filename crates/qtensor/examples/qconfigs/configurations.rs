//! The configurations that are compared, in three groups.

use std::error::Error;

use qtensor::prelude::*;
use qtensor::qobserve::{
    HistogramObserver, MinMaxObserver, MovingAverageMinMaxObserver, MseObserver, ObserverFactory,
    PerChannelMinMaxObserver, PercentileObserver,
};

/// A configuration with its name in the table.
pub type Named = (String, QConfig);

/// The presets for calibration. `onednn` is left out, which equals `x86`.
pub fn engines() -> Result<Vec<Named>, Box<dyn Error>> {
    let names = ["x86", "minmax", "fbgemm", "qnnpack", "default"];
    let preset = |name: &str| Ok((name.to_owned(), QConfig::by_name(name)?));
    names.into_iter().map(preset).collect()
}

/// Each observer of activations, with the weights of `x86`.
pub fn activations() -> Result<Vec<Named>, Box<dyn Error>> {
    let with = |name: &str, activation: ObserverFactory| {
        let qconfig = QConfig {
            activation,
            ..QConfig::x86()
        };
        (name.to_owned(), qconfig)
    };
    let averaging = MovingAverageMinMaxObserver::builder();
    let mut rows = vec![
        with("MinMax", MinMaxObserver::builder().factory()?),
        with("MovingAverageMinMax", averaging.factory()?),
        with("Histogram", HistogramObserver::builder().factory()?),
        with("Mse", MseObserver::builder().factory()?),
    ];
    for percentile in [99.99, 99.9, 99.0] {
        let observer = PercentileObserver::builder().percentile(percentile);
        rows.push(with(
            &format!("Percentile {percentile}"),
            observer.factory()?,
        ));
    }
    Ok(rows)
}

/// Symmetric weights of fewer bits per channel and per tensor, with the activations of `x86`.
///
/// The integers are those of so many bits, stored in eight.
pub fn weights() -> Result<Vec<Named>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for (bits, most) in [(8, 127), (6, 31), (4, 7), (3, 3)] {
        let channel = PerChannelMinMaxObserver::builder()
            .dtype(DType::QInt8)
            .qscheme(QScheme::PerChannelSymmetric)
            .quant_range(-most - 1, most)
            .factory()?;
        let tensor = MinMaxObserver::builder()
            .dtype(DType::QInt8)
            .qscheme(QScheme::PerTensorSymmetric)
            .quant_range(-most - 1, most)
            .factory()?;
        for (granularity, weight) in [("channel", channel), ("tensor", tensor)] {
            let qconfig = QConfig {
                weight,
                ..QConfig::x86()
            };
            rows.push((format!("{bits} bits per {granularity}"), qconfig));
        }
    }
    Ok(rows)
}
