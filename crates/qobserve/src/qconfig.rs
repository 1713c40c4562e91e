//! `QConfig`: which observers watch activations and weights, with PyTorch's presets and our own.

mod engines;
mod pytorch;

use qtensor_core::QScheme;

use crate::error::{Error, Result};
use crate::factory::ObserverFactory;
use crate::fake_quant::LearnableFakeQuantize;
use crate::min_max::MinMaxObserver;
use crate::presets;
use crate::settings::Settings;

pub use engines::{ENGINES, get_default_qat_qconfig, get_default_qconfig};
pub use pytorch::qconfig_equals;

/// The observers of a module: one for its output, one for its weight.
///
/// | preset | activations (`quint8`, affine) | weights (`qint8`, symmetric) |
/// |---|---|---|
/// | [`x86`](Self::x86) | histogram, 0..255 | per channel |
/// | [`fbgemm`](Self::fbgemm) | histogram, 0..127 | per channel |
/// | [`onednn`](Self::onednn) | histogram, 0..255 | per channel |
/// | [`qnnpack`](Self::qnnpack) | histogram, 0..255 | per tensor |
/// | [`default_qconfig`](Self::default_qconfig) | min/max, 0..127 | per tensor |
/// | [`minmax`](Self::minmax) | min/max, 0..255 | per channel |
///
/// Weights use −128..127 and channel axis 0 in all of them.
///
/// For quantization-aware training, both observers are [fake-quants](crate::FakeQuant):
///
/// | preset | activations | weights |
/// |---|---|---|
/// | [`x86_qat`](Self::x86_qat) | fused moving average, 0..255 | per channel, without memory |
/// | [`fbgemm_qat`](Self::fbgemm_qat) | fused moving average, 0..127 | fused moving average, per channel |
/// | [`qnnpack_qat`](Self::qnnpack_qat) | fused moving average, 0..255 | fused moving average, per tensor |
/// | [`lsq`](Self::lsq) | fused moving average, 0..255 | learned scales, per channel |
///
/// Two configurations are equal if their factories make the same observers with the same settings.
#[derive(Clone, Debug, PartialEq)]
pub struct QConfig {
    /// Makes the observers of outputs.
    pub activation: ObserverFactory,
    /// Makes the observers of weights.
    pub weight: ObserverFactory,
}

/// A preset and its name.
type Preset = (&'static str, fn() -> QConfig);

const PRESETS: [Preset; 10] = [
    ("x86", QConfig::x86),
    ("fbgemm", QConfig::fbgemm),
    ("onednn", QConfig::onednn),
    ("qnnpack", QConfig::qnnpack),
    ("default", QConfig::default_qconfig),
    ("minmax", QConfig::minmax),
    ("x86_qat", QConfig::x86_qat),
    ("fbgemm_qat", QConfig::fbgemm_qat),
    ("qnnpack_qat", QConfig::qnnpack_qat),
    ("lsq", QConfig::lsq),
];

impl QConfig {
    /// The preset for this library's kernels: histograms over the full integer range, weights per channel.
    ///
    /// PyTorch's preset of this name keeps one bit free (it equals [`fbgemm`](Self::fbgemm)), because some
    /// of its kernels saturate. Ours are exact on every CPU, and a full range halves the rounding error.
    pub fn x86() -> QConfig {
        QConfig {
            activation: presets::histogram(false),
            weight: presets::default_per_channel_weight_observer(),
        }
    }

    /// PyTorch's preset for FBGEMM, and its default on x86: activations in 0..127.
    #[doc(alias = "get_default_qconfig")]
    pub fn fbgemm() -> QConfig {
        QConfig {
            activation: presets::histogram(true),
            weight: presets::default_per_channel_weight_observer(),
        }
    }

    /// PyTorch's preset for oneDNN: the full range, weights per channel. Equals [`x86`](Self::x86).
    pub fn onednn() -> QConfig {
        QConfig::x86()
    }

    /// PyTorch's preset for QNNPACK: the full range, weights per tensor.
    pub fn qnnpack() -> QConfig {
        QConfig {
            activation: presets::histogram(false),
            weight: presets::default_weight_observer(),
        }
    }

    /// PyTorch's `default_qconfig`: min/max in 0..127, weights per tensor.
    pub fn default_qconfig() -> QConfig {
        QConfig {
            activation: presets::default_observer(),
            weight: presets::default_weight_observer(),
        }
    }

    /// The cheapest calibration: min/max over the full range, weights per channel.
    pub fn minmax() -> QConfig {
        QConfig {
            activation: ObserverFactory::of::<MinMaxObserver>(Settings::activations(false)),
            weight: presets::default_per_channel_weight_observer(),
        }
    }

    /// For training with this library's kernels: activations in the full integer range, and weights whose scales follow
    /// each step, so that what is trained is what conversion quantizes.
    ///
    /// PyTorch's weight fake-quants average ranges over a hundred steps, and a weight that grew in the last ones
    /// saturates in conversion.
    #[doc(alias = "get_default_qat_qconfig")]
    pub fn x86_qat() -> QConfig {
        let weight = Settings {
            averaging_constant: 1.0,
            ..Settings::weights(QScheme::PerChannelSymmetric)
        };
        QConfig {
            activation: presets::fused(Settings::activations(false)),
            weight: presets::averaged(weight),
        }
    }

    /// PyTorch's default for training on x86: activations in 0..127, weights per channel.
    #[doc(alias = "default_qat_qconfig_v2")]
    pub fn fbgemm_qat() -> QConfig {
        QConfig {
            activation: presets::fused(Settings::activations(true)),
            weight: presets::fused(Settings::weights(QScheme::PerChannelSymmetric)),
        }
    }

    /// PyTorch's default for training for QNNPACK: activations in 0..255, weights per tensor.
    pub fn qnnpack_qat() -> QConfig {
        QConfig {
            activation: presets::fused(Settings::activations(false)),
            weight: presets::fused(Settings::weights(QScheme::PerTensorSymmetric)),
        }
    }

    /// [`x86_qat`](Self::x86_qat) with learned weight scales (LSQ).
    pub fn lsq() -> QConfig {
        QConfig {
            weight: LearnableFakeQuantize::factory(presets::default_per_channel_weight_observer()),
            ..QConfig::x86_qat()
        }
    }

    /// The preset of a name: `x86`, `fbgemm`, `onednn`, `qnnpack`, `default` or `minmax`, and for training `x86_qat`,
    /// `fbgemm_qat`, `qnnpack_qat` or `lsq`.
    ///
    /// # Errors
    /// [`Error::UnknownPreset`], which lists the names.
    ///
    /// ```
    /// use qobserve::QConfig;
    /// assert_eq!(QConfig::by_name("fbgemm")?.activation.build().quant_range().max, 127);
    /// assert!(QConfig::by_name("tpu").is_err());
    /// # Ok::<(), qobserve::Error>(())
    /// ```
    #[doc(alias = "get_default_qconfig")]
    pub fn by_name(name: &str) -> Result<QConfig> {
        PRESETS
            .iter()
            .find(|preset| preset.0 == name)
            .map(|preset| preset.1())
            .ok_or_else(|| Error::UnknownPreset {
                name: name.to_string(),
                known: PRESETS.map(|preset| preset.0).join(", "),
            })
    }

    /// The names that [`by_name`](Self::by_name) knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PRESETS.into_iter().map(|preset| preset.0)
    }
}

/// [`QConfig::x86`].
impl Default for QConfig {
    fn default() -> QConfig {
        QConfig::x86()
    }
}
