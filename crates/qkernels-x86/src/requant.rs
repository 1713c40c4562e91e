//! What turns accumulators into bytes: bias, zero-point correction, multipliers and range of a layer.

use qtensor_core::requant::OutputRange;

use crate::error::{Error, Result, exactly};
use crate::pack::PackedWeights;
#[cfg(target_arch = "x86_64")]
use crate::shortcut::Remembered;

/// The epilogue of one layer, built once beside its [`PackedWeights`].
///
/// With `acc = bias + sum (x - input_zero_point) * w`, every output is
/// [`requantize(acc, multiplier, range)`](qtensor_core::requant::requantize). Kernels sum raw bytes
/// and start at `bias - input_zero_point * column_sum` instead, which is the same integer.
#[derive(Clone, Debug)]
pub struct Requant {
    start: Vec<i32>,
    multipliers: Vec<f32>,
    input_zero_point: u8,
    range: OutputRange,
    outputs: usize,
    #[cfg(target_arch = "x86_64")]
    shortcut: Remembered,
}

impl Requant {
    /// Prepares an epilogue; `bias` (scale `s_x * s_w[c]`, zero point 0) and `multipliers`
    /// (`s_x * s_w[c] / s_y`) hold one value per output channel.
    ///
    /// # Errors
    /// [`Error::Length`] for other lengths, [`Error::Parameter`] for a multiplier that is not finite,
    /// [`Error::Range`] unless `0 <= lo <= hi <= 255` and the zero point lies within `0..=255`,
    /// [`Error::Accumulator`] if some input could carry a channel's sum out of `i32`
    /// (see [`PackedWeights::bias_limits`]).
    ///
    /// ```
    /// # use qkernels_x86::{OutputRange, PackedWeights, Requant};
    /// let weights = PackedWeights::linear(&[1, 2, 3, 4, 5, -6], 2, 3)?;
    /// let range = OutputRange { zero_point: 0, lo: 0, hi: 255 };
    /// Requant::new(&weights, &[0, 10], &[0.5, 0.25], 128, range)?;
    /// assert!(Requant::new(&weights, &[0, i32::MAX], &[0.5, 0.25], 128, range).is_err());
    /// # Ok::<(), qkernels_x86::Error>(())
    /// ```
    pub fn new(
        weights: &PackedWeights,
        bias: &[i32],
        multipliers: &[f32],
        input_zero_point: u8,
        range: OutputRange,
    ) -> Result<Requant> {
        const OPERATION: &str = "requant";
        let outputs = weights.outputs();
        exactly(OPERATION, "bias", outputs, bias.len())?;
        exactly(OPERATION, "multipliers", outputs, multipliers.len())?;
        if let Some(index) = multipliers.iter().position(|m| !m.is_finite()) {
            let (what, expected, actual) = ("multiplier", "finite", multipliers[index]);
            return Err(Error::Parameter {
                operation: OPERATION,
                what,
                expected,
                actual,
                index,
            });
        }
        let OutputRange { zero_point, lo, hi } = range;
        if lo < 0 || lo > hi || hi > 255 || !(0..=255).contains(&zero_point) {
            return Err(Error::Range {
                operation: OPERATION,
                lo,
                hi,
                zero_point,
                allowed: "0..=255",
            });
        }
        let mut start = Vec::with_capacity(outputs);
        for (channel, (&bias, &sum)) in bias.iter().zip(weights.column_sums()).enumerate() {
            let (lowest, greatest) = weights
                .partial_range(channel, input_zero_point)
                .unwrap_or((0, 0));
            let (lowest, greatest) = (
                lowest.min(0) + i64::from(bias),
                greatest.max(0) + i64::from(bias),
            );
            if i32::try_from(lowest).is_err() || i32::try_from(greatest).is_err() {
                return Err(Error::Accumulator {
                    channel,
                    lowest,
                    greatest,
                });
            }
            start.push(bias - i32::from(input_zero_point) * sum);
        }
        Ok(Requant {
            start: weights.spread(&start),
            multipliers: weights.spread(multipliers),
            input_zero_point,
            range,
            outputs,
            #[cfg(target_arch = "x86_64")]
            shortcut: Remembered::default(),
        })
    }

    /// The integer that stands for real zero in the input; padding is made of it.
    pub fn input_zero_point(&self) -> u8 {
        self.input_zero_point
    }

    /// Zero point and clamp of the output.
    pub fn range(&self) -> OutputRange {
        self.range
    }

    /// Output channels this epilogue was built for.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The shortcut of the addition behind this layer, if there is one.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn shortcut(&self) -> &Remembered {
        &self.shortcut
    }

    /// Start values of the accumulators of all padded columns.
    pub(crate) fn start(&self) -> &[i32] {
        &self.start
    }

    /// Multipliers of all padded columns.
    pub(crate) fn multipliers(&self) -> &[f32] {
        &self.multipliers
    }
}
