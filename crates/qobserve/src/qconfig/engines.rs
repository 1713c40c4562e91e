//! The default configurations of PyTorch's engines, by name.
//!
//! Every engine's configuration runs on this library's kernels; the names choose ranges and granularities.

use super::QConfig;
use crate::error::{Error, Result};
use crate::presets;
use crate::settings::Settings;

/// The engines that [`get_default_qconfig`] and [`get_default_qat_qconfig`] know.
pub const ENGINES: [&str; 4] = ["x86", "fbgemm", "qnnpack", "onednn"];

/// The configuration of an engine for calibration: `x86`, `fbgemm`, `qnnpack` or `onednn`.
///
/// `x86` is [`QConfig::x86`], over the whole range of integers; PyTorch's equals its `fbgemm`, which keeps one bit free.
///
/// # Errors
/// [`Error::UnknownPreset`], which lists the names. (PyTorch answers with `default_qconfig`.)
///
/// ```
/// use qobserve::{QConfig, get_default_qconfig};
/// assert_eq!(get_default_qconfig("qnnpack")?, QConfig::qnnpack());
/// let error = get_default_qconfig("tpu").unwrap_err().to_string();
/// assert!(error.contains("x86, fbgemm, qnnpack, onednn"));
/// # Ok::<(), qobserve::Error>(())
/// ```
pub fn get_default_qconfig(engine: &str) -> Result<QConfig> {
    match engine {
        "x86" => Ok(QConfig::x86()),
        "fbgemm" => Ok(QConfig::fbgemm()),
        "qnnpack" => Ok(QConfig::qnnpack()),
        "onednn" => Ok(QConfig::onednn()),
        _ => Err(unknown(engine)),
    }
}

/// The configuration of an engine for training. Version 0 has plain fake-quants, version 1 fused ones, as in PyTorch.
///
/// | engine | activations | weights |
/// |---|---|---|
/// | `x86`, version 0 | averaged extremes, 0..255 | per channel |
/// | `x86`, version 1 | [`QConfig::x86_qat`] | per channel, without memory |
/// | `fbgemm` | averaged extremes, 0..127 | per channel |
/// | `qnnpack` | averaged extremes, 0..255 | per tensor |
/// | `onednn` | averaged extremes, 0..255 | per channel |
///
/// # Errors
/// [`Error::UnknownPreset`], which lists the names, and [`Error::UnknownVersion`].
///
/// ```
/// use qobserve::{QConfig, get_default_qat_qconfig};
/// assert_eq!(get_default_qat_qconfig("fbgemm", 1)?, QConfig::fbgemm_qat());
/// assert!(get_default_qat_qconfig("fbgemm", 2).unwrap_err().to_string().contains("0 and 1"));
/// # Ok::<(), qobserve::Error>(())
/// ```
pub fn get_default_qat_qconfig(engine: &str, version: u32) -> Result<QConfig> {
    if !ENGINES.contains(&engine) {
        return Err(unknown(engine));
    }
    let per_tensor = engine == "qnnpack";
    let activations = Settings::activations(engine == "fbgemm");
    match version {
        0 => Ok(QConfig {
            activation: presets::averaged(activations),
            weight: match per_tensor {
                true => presets::default_weight_fake_quant(),
                false => presets::default_per_channel_weight_fake_quant(),
            },
        }),
        1 if engine == "x86" => Ok(QConfig::x86_qat()),
        1 => Ok(QConfig {
            activation: presets::fused(activations),
            weight: match per_tensor {
                true => presets::default_fused_wt_fake_quant(),
                false => presets::default_fused_per_channel_wt_fake_quant(),
            },
        }),
        _ => Err(Error::UnknownVersion {
            preset: engine.to_string(),
            version,
        }),
    }
}

fn unknown(engine: &str) -> Error {
    Error::UnknownPreset {
        name: engine.to_string(),
        known: ENGINES.join(", "),
    }
}
