//! `Settings`: the checked configuration of a built-in observer, and the way from a range to qparams.

use qtensor_core::choose_qparams::{DEFAULT_EPS, QuantRange, calculate_qparams};
use qtensor_core::{DType, QScheme, Quantizer};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a built-in observer was configured. Settings that its type does not use keep their defaults.
///
/// Two observers can be merged, and a saved state restored, only if their settings are equal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub(crate) dtype: DType,
    pub(crate) qscheme: QScheme,
    pub(crate) range: QuantRange,
    pub(crate) eps: f32,
    pub(crate) averaging_constant: f32,
    pub(crate) ch_axis: usize,
    pub(crate) bins: usize,
    pub(crate) ignore_infinity: bool,
    pub(crate) percentile: f32,
}

impl Settings {
    /// `quint8`, per tensor, affine: PyTorch's defaults for activations.
    pub(crate) fn activations(reduce_range: bool) -> Settings {
        Settings {
            dtype: DType::QUInt8,
            qscheme: QScheme::PerTensorAffine,
            range: QuantRange::of(DType::QUInt8, reduce_range),
            eps: DEFAULT_EPS,
            averaging_constant: 0.01,
            ch_axis: 0,
            bins: 2048,
            ignore_infinity: false,
            percentile: 99.99,
        }
    }

    /// `qint8`, symmetric: PyTorch's settings for weights.
    pub(crate) fn weights(qscheme: QScheme) -> Settings {
        Settings {
            dtype: DType::QInt8,
            qscheme,
            range: QuantRange::of(DType::QInt8, false),
            ..Settings::activations(false)
        }
    }

    /// The storage type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The quantization scheme.
    pub fn qscheme(&self) -> QScheme {
        self.qscheme
    }

    /// The integers that may be used.
    pub fn quant_range(&self) -> QuantRange {
        self.range
    }

    /// The least scale.
    pub fn eps(&self) -> f32 {
        self.eps
    }

    /// The weight of a new batch in a moving average.
    pub fn averaging_constant(&self) -> f32 {
        self.averaging_constant
    }

    /// The channel axis of a per-channel observer.
    pub fn ch_axis(&self) -> usize {
        self.ch_axis
    }

    /// How many bins a histogram has.
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// Whether a histogram leaves out infinities instead of refusing them.
    pub fn ignore_infinity(&self) -> bool {
        self.ignore_infinity
    }

    /// The percentage below the upper end of a percentile observer's range.
    pub fn percentile(&self) -> f32 {
        self.percentile
    }

    /// Scale and zero point of one range.
    pub(crate) fn qparams(&self, min: f32, max: f32) -> Result<(f64, i32)> {
        let symmetric = self.qscheme.is_symmetric();
        let (scale, zero_point) =
            calculate_qparams(min, max, self.dtype, self.range, symmetric, self.eps)?;
        Ok((scale.into(), zero_point))
    }

    /// The map for one range, or for one range a channel.
    pub(crate) fn quantizer(&self, mins: &[f32], maxs: &[f32]) -> Result<Quantizer> {
        let pairs: Vec<(f64, i32)> = mins
            .iter()
            .zip(maxs)
            .map(|(&min, &max)| self.qparams(min, max))
            .collect::<Result<_>>()?;
        Ok(match (self.qscheme.is_per_channel(), &pairs[..]) {
            (false, [(scale, zero_point)]) => Quantizer::per_tensor(*scale, *zero_point),
            _ => {
                let (scales, zero_points): (Vec<f64>, Vec<i32>) = pairs.into_iter().unzip();
                Quantizer::per_channel(&scales, &zero_points, self.ch_axis)
            }
        })
    }

    /// Refuses settings other than these.
    pub(crate) fn check_equal(
        &self,
        operation: &'static str,
        observer: &'static str,
        other: &Settings,
    ) -> Result<()> {
        if self == other {
            return Ok(());
        }
        Err(Error::SettingsMismatch {
            operation,
            observer,
            expected: self.to_string(),
            actual: other.to_string(),
        })
    }
}

/// All settings in a line, for messages and the names of factories.
impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} {}..={} eps={:e}",
            self.dtype, self.qscheme, self.range.min, self.range.max, self.eps
        )?;
        if self.range.custom {
            f.write_str(" custom")?;
        }
        write!(
            f,
            " averaging_constant={} ch_axis={} bins={} ignore_infinity={} percentile={}",
            self.averaging_constant, self.ch_axis, self.bins, self.ignore_infinity, self.percentile
        )
    }
}
