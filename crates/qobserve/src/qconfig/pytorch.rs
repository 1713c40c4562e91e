//! PyTorch's configurations under its names (`torch.ao.quantization.qconfig`), beside those of `qconfig.rs` and
//! `run_time.rs`.

use super::QConfig;
use crate::factory::ObserverFactory;
use crate::histogram::HistogramObserver;
use crate::min_max::MinMaxObserver;
use crate::presets;
use crate::run_time::Float16Observer;
use crate::settings::Settings;

impl QConfig {
    /// Min/max in 0..127, weights per channel.
    pub fn default_per_channel_qconfig() -> QConfig {
        QConfig {
            activation: presets::default_observer(),
            weight: presets::default_per_channel_weight_observer(),
        }
    }

    /// Keeps activations as they came, for looking at them; a place with it cannot be converted.
    pub fn default_debug_qconfig() -> QConfig {
        QConfig {
            activation: presets::default_debug_observer(),
            weight: presets::default_weight_observer(),
        }
    }

    /// 16-bit float weights; activations and sums stay `f32`, so this equals
    /// [`float16_dynamic_qconfig`](Self::float16_dynamic_qconfig) but for its name.
    pub fn float16_static_qconfig() -> QConfig {
        QConfig {
            activation: Float16Observer::factory(),
            weight: Float16Observer::factory(),
        }
    }

    /// Histograms, and `quint8` weights per tensor: for a module of one's own. Layers here store weights as `qint8` and
    /// refuse it.
    pub fn default_quint8_weight_qconfig() -> QConfig {
        let settings = Settings::activations(false);
        QConfig {
            activation: presets::histogram(false),
            weight: ObserverFactory::of::<MinMaxObserver>(settings),
        }
    }

    /// `qint8` activations with histograms, weights per tensor in −127..127: what QNNPACK's symmetric kernels want.
    pub fn default_symmetric_qnnpack_qconfig() -> QConfig {
        QConfig {
            activation: ObserverFactory::of::<HistogramObserver>(presets::qnnpack_activations()),
            weight: presets::weight_observer_range_neg_127_to_127(),
        }
    }

    /// As [`default_symmetric_qnnpack_qconfig`](Self::default_symmetric_qnnpack_qconfig), weights per channel.
    pub fn default_per_channel_symmetric_qnnpack_qconfig() -> QConfig {
        QConfig {
            weight: presets::per_channel_weight_observer_range_neg_127_to_127(),
            ..QConfig::default_symmetric_qnnpack_qconfig()
        }
    }

    /// For training: averaged extremes in 0..127, weights per tensor.
    pub fn default_qat_qconfig() -> QConfig {
        QConfig {
            activation: presets::default_fake_quant(),
            weight: presets::default_weight_fake_quant(),
        }
    }

    /// For training: fused, averaged extremes in 0..255, weights per tensor.
    pub fn default_qat_qconfig_v2() -> QConfig {
        QConfig {
            activation: presets::default_fused_act_fake_quant(),
            weight: presets::default_fused_wt_fake_quant(),
        }
    }

    /// For training linear layers that quantize their input in every call: weights are rounded per tensor, activations stay
    /// float until conversion.
    pub fn default_dynamic_qat_qconfig() -> QConfig {
        QConfig {
            activation: presets::default_dynamic_quant_observer(),
            weight: presets::default_weight_fake_quant(),
        }
    }

    /// For training: weights alone are rounded; a place with it cannot be converted.
    pub fn default_weight_only_qconfig() -> QConfig {
        QConfig {
            activation: presets::noop_observer(),
            weight: presets::default_weight_fake_quant(),
        }
    }

    /// For training: activations alone are rounded; a place with a weight and this cannot be converted.
    pub fn default_activation_only_qconfig() -> QConfig {
        QConfig {
            activation: presets::default_fake_quant(),
            weight: presets::noop_observer(),
        }
    }

    /// For training: `qint8` activations, weights per tensor in −127..127.
    pub fn default_symmetric_qnnpack_qat_qconfig() -> QConfig {
        QConfig {
            activation: presets::fused(presets::qnnpack_activations()),
            weight: presets::fused_wt_fake_quant_range_neg_127_to_127(),
        }
    }

    /// As [`default_symmetric_qnnpack_qat_qconfig`](Self::default_symmetric_qnnpack_qat_qconfig), weights per channel.
    pub fn default_per_channel_symmetric_qnnpack_qat_qconfig() -> QConfig {
        QConfig {
            weight: presets::fused_per_channel_wt_fake_quant_range_neg_127_to_127(),
            ..QConfig::default_symmetric_qnnpack_qat_qconfig()
        }
    }

    /// For training: rows of embeddings of 8 bits.
    pub fn default_embedding_qat_qconfig() -> QConfig {
        QConfig::embedding_qat()
    }

    /// For training: rows of embeddings of 4 bits.
    pub fn default_embedding_qat_qconfig_4bit() -> QConfig {
        QConfig::embedding_qat_4bit()
    }
}

/// Whether two configurations make the same observers with the same settings; `None` is the configuration of a place
/// that stays float.
///
/// ```
/// use qobserve::{QConfig, qconfig_equals};
/// assert!(qconfig_equals(Some(&QConfig::x86()), Some(&QConfig::onednn())));
/// assert!(!qconfig_equals(Some(&QConfig::x86()), Some(&QConfig::fbgemm())));
/// assert!(!qconfig_equals(Some(&QConfig::x86()), None));
/// ```
pub fn qconfig_equals(a: Option<&QConfig>, b: Option<&QConfig>) -> bool {
    a == b
}
