//! PyTorch's presets of observers and fake-quants, under its names (`torch.ao.quantization.observer`, `.fake_quantize`).
//!
//! Each function returns a factory for a [`QConfig`](crate::QConfig); the configurations made of them are methods of that
//! type. Half ranges (0..127) are PyTorch's, for kernels that saturate; ours do not, see [`QConfig::x86`](crate::QConfig::x86).
//!
//! ```
//! use qobserve::{QConfig, presets};
//!
//! let qconfig = QConfig {
//!     activation: presets::default_histogram_observer(),
//!     weight: presets::per_channel_weight_observer_range_neg_127_to_127(),
//! };
//! assert_eq!(qconfig.activation.build().quant_range().max, 127);
//! assert_eq!(qconfig.weight.build().quant_range().min, -127);
//! ```

use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, QScheme};

use crate::builder::Buildable;
use crate::factory::ObserverFactory;
use crate::fake_quant::{
    FakeQuantize, FixedQParamsFakeQuantize, FloatQParamsFakeQuantize, FusedMovingAvgObsFakeQuantize,
};
use crate::fixed::FixedQParamsObserver;
use crate::histogram::HistogramObserver;
use crate::min_max::{
    MinMaxObserver, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver,
    PerChannelMinMaxObserver,
};
use crate::observer::Observer;
use crate::passive::{NoopObserver, PlaceholderObserver, RecordingObserver};
use crate::run_time::{DynamicQuantObserver, FloatQParamsObserver};
use crate::settings::Settings;

/// The least scale of QNNPACK's symmetric presets, 2⁻¹².
const QNNPACK_EPS: f32 = 1.0 / 4096.0;

/// Min/max in 0..127: activations.
pub fn default_observer() -> ObserverFactory {
    ObserverFactory::of::<MinMaxObserver>(Settings::activations(true))
}

/// A histogram in 0..127: activations.
pub fn default_histogram_observer() -> ObserverFactory {
    histogram(true)
}

/// Stands for activations that are quantized some other way.
pub fn default_placeholder_observer() -> ObserverFactory {
    plain("PlaceholderObserver", PlaceholderObserver::default())
}

/// Keeps the last batches as they came; a place with it cannot be converted.
pub fn default_debug_observer() -> ObserverFactory {
    plain("RecordingObserver", RecordingObserver::default())
}

/// Looks at nothing: where a configuration has no activations, or no weights, of interest.
pub fn noop_observer() -> ObserverFactory {
    plain("NoopObserver", NoopObserver::default())
}

/// Symmetric `qint8` per tensor: weights.
pub fn default_weight_observer() -> ObserverFactory {
    ObserverFactory::of::<MinMaxObserver>(weights(QScheme::PerTensorSymmetric))
}

/// Symmetric `qint8` per channel: weights.
pub fn default_per_channel_weight_observer() -> ObserverFactory {
    ObserverFactory::of::<PerChannelMinMaxObserver>(weights(QScheme::PerChannelSymmetric))
}

/// Symmetric `qint8` in −127..127 with scales of at least 2⁻¹², per tensor: QNNPACK's weights.
pub fn weight_observer_range_neg_127_to_127() -> ObserverFactory {
    ObserverFactory::of::<MinMaxObserver>(narrow(QScheme::PerTensorSymmetric))
}

/// As [`weight_observer_range_neg_127_to_127`], per channel.
pub fn per_channel_weight_observer_range_neg_127_to_127() -> ObserverFactory {
    ObserverFactory::of::<PerChannelMinMaxObserver>(narrow(QScheme::PerChannelSymmetric))
}

/// Stands for activations whose qparams are chosen in every call, one scale for the whole input.
pub fn default_dynamic_quant_observer() -> ObserverFactory {
    let per_tensor = DynamicQuantObserver {
        per_tensor: true,
        reduce_range: false,
    };
    per_tensor.factory()
}

/// Stands for embeddings of 8 bits, with a real scale and zero point for each row.
pub fn default_float_qparams_observer() -> ObserverFactory {
    FloatQParamsObserver { four_bits: false }.factory()
}

/// Stands for embeddings of 4 bits, with a real scale and zero point for each row.
pub fn default_float_qparams_observer_4bit() -> ObserverFactory {
    FloatQParamsObserver { four_bits: true }.factory()
}

/// `quint8` with scale 1/256 and zero point 0, whatever comes: sigmoid, softmax.
pub fn default_fixed_qparams_range_0to1_observer() -> ObserverFactory {
    plain(
        "FixedQParamsObserver(0 to 1)",
        FixedQParamsObserver::range_0_to_1(),
    )
}

/// `quint8` with scale 1/128 and zero point 128, whatever comes: tanh.
pub fn default_fixed_qparams_range_neg1to1_observer() -> ObserverFactory {
    plain(
        "FixedQParamsObserver(-1 to 1)",
        FixedQParamsObserver::range_neg1_to_1(),
    )
}

/// Averaged extremes in 0..127: activations in training.
pub fn default_fake_quant() -> ObserverFactory {
    averaged(Settings::activations(true))
}

/// Averaged extremes, symmetric `qint8` per tensor: weights in training.
pub fn default_weight_fake_quant() -> ObserverFactory {
    averaged(weights(QScheme::PerTensorSymmetric))
}

/// Averaged extremes, symmetric `qint8` per channel: weights in training.
pub fn default_per_channel_weight_fake_quant() -> ObserverFactory {
    averaged(weights(QScheme::PerChannelSymmetric))
}

/// The extremes of each batch in 0..255: activations that will be quantized in every call.
pub fn default_dynamic_fake_quant() -> ObserverFactory {
    averaged(Settings {
        averaging_constant: 1.0,
        ..Settings::activations(false)
    })
}

/// A histogram in 0..127: activations in training.
pub fn default_histogram_fake_quant() -> ObserverFactory {
    FakeQuantize::factory(histogram(true))
}

/// Rows of 8 bits with real scales and zero points: embeddings in training.
pub fn default_embedding_fake_quant() -> ObserverFactory {
    FloatQParamsFakeQuantize::of_bits(8)
}

/// Rows of 4 bits with real scales and zero points: embeddings in training.
pub fn default_embedding_fake_quant_4bit() -> ObserverFactory {
    FloatQParamsFakeQuantize::of_bits(4)
}

/// Rounds to `quint8` with scale 1/256 and zero point 0: sigmoid, softmax.
pub fn default_fixed_qparams_range_0to1_fake_quant() -> ObserverFactory {
    FixedQParamsFakeQuantize::around(FixedQParamsObserver::range_0_to_1())
}

/// Rounds to `quint8` with scale 1/128 and zero point 128: tanh.
pub fn default_fixed_qparams_range_neg1to1_fake_quant() -> ObserverFactory {
    FixedQParamsFakeQuantize::around(FixedQParamsObserver::range_neg1_to_1())
}

/// Fused, averaged extremes in 0..255: activations in training.
pub fn default_fused_act_fake_quant() -> ObserverFactory {
    fused(Settings::activations(false))
}

/// Fused, averaged extremes, symmetric `qint8` per tensor: weights in training.
pub fn default_fused_wt_fake_quant() -> ObserverFactory {
    fused(weights(QScheme::PerTensorSymmetric))
}

/// Fused, averaged extremes, symmetric `qint8` per channel: weights in training.
pub fn default_fused_per_channel_wt_fake_quant() -> ObserverFactory {
    fused(weights(QScheme::PerChannelSymmetric))
}

/// As [`default_fused_wt_fake_quant`], in −127..127 with scales of at least 2⁻¹².
pub fn fused_wt_fake_quant_range_neg_127_to_127() -> ObserverFactory {
    fused(narrow(QScheme::PerTensorSymmetric))
}

/// As [`default_fused_per_channel_wt_fake_quant`], in −127..127 with scales of at least 2⁻¹².
pub fn fused_per_channel_wt_fake_quant_range_neg_127_to_127() -> ObserverFactory {
    fused(narrow(QScheme::PerChannelSymmetric))
}

/// A histogram over the whole range of `quint8`, or half of it.
pub(crate) fn histogram(reduce_range: bool) -> ObserverFactory {
    ObserverFactory::of::<HistogramObserver>(Settings::activations(reduce_range))
}

/// Fake-quants around averaged ranges, per tensor or per channel as the scheme says.
pub(crate) fn averaged(settings: Settings) -> ObserverFactory {
    FakeQuantize::factory(match settings.qscheme.is_per_channel() {
        true => ObserverFactory::of::<MovingAveragePerChannelMinMaxObserver>(settings),
        false => ObserverFactory::of::<MovingAverageMinMaxObserver>(settings),
    })
}

/// Fused fake-quants with averaged ranges, per tensor or per channel as the scheme says.
pub(crate) fn fused(settings: Settings) -> ObserverFactory {
    let observer: Box<dyn Observer> = match settings.qscheme.is_per_channel() {
        true => Box::new(MovingAveragePerChannelMinMaxObserver::with_settings(
            settings,
        )),
        false => Box::new(MovingAverageMinMaxObserver::with_settings(settings)),
    };
    FusedMovingAvgObsFakeQuantize::around(observer, settings)
}

/// `qint8` activations of QNNPACK's symmetric presets.
pub(crate) fn qnnpack_activations() -> Settings {
    Settings {
        dtype: DType::QInt8,
        range: QuantRange::of(DType::QInt8, false),
        eps: QNNPACK_EPS,
        ..Settings::activations(false)
    }
}

fn weights(qscheme: QScheme) -> Settings {
    Settings::weights(qscheme)
}

/// Weights without −128, as QNNPACK's symmetric kernels want them.
fn narrow(qscheme: QScheme) -> Settings {
    Settings {
        range: QuantRange {
            min: -127,
            max: 127,
            custom: true,
        },
        eps: QNNPACK_EPS,
        ..Settings::weights(qscheme)
    }
}

fn plain<O: Observer + Clone + 'static>(name: &str, observer: O) -> ObserverFactory {
    ObserverFactory::new(name, move || Box::new(observer.clone()))
}
