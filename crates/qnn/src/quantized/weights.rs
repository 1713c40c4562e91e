//! From a float weight to a qint8 one.

use qobserve::ObserverFactory;
use qtensor_core::{DType, QTensor, Quantizer, Tensor, quantize_with};

use crate::error::{Error, Result};

/// Input scales down to this one must leave every bias representable; see [`quantize_weight`].
const LEAST_INPUT_SCALE: f64 = 1e-3;
/// A bias takes at most this many steps of the qint32 grid, which leaves half the range to the products.
const MOST_BIAS_STEPS: f64 = (1u32 << 30) as f64;

/// Quantizes a weight whose output channels lie along dimension 0, with the qparams that a fresh observer
/// finds for it.
///
/// A bias is added as an integer on the grid `s_x · s_w[c]`, so `s_w[c]` must not be vanishingly small beside
/// it: a channel whose weights are (nearly) all zero would get `s_w = 2^-23`, and its bias would not fit 32
/// bits. Such a channel's scale is raised to `|b_c| / (2^30 · 10^-3)`. This only touches channels whose greatest
/// weight is below about `1.2e-4 · |b_c|`; all others get exactly the observer's scale.
///
/// # Errors
/// The observer's (NaN in a weight), and [`Error::Config`] if it is not for symmetric qint8.
pub fn quantize_weight(
    module: &'static str,
    weight: &Tensor,
    bias: Option<&Tensor>,
    observer: &ObserverFactory,
) -> Result<QTensor> {
    let mut observer = observer.build();
    if observer.dtype() != DType::QInt8 {
        let what = format!(
            "weights are stored as qint8, but the weight observer is for {}",
            observer.dtype()
        );
        return Err(Error::Config { module, what });
    }
    observer.observe(weight)?;
    let quantizer = observer.calculate_qparams()?;
    let floors: Vec<f64> = match bias {
        Some(b) => b
            .to_vec()
            .into_iter()
            .map(|b| f64::from(b).abs() / (MOST_BIAS_STEPS * LEAST_INPUT_SCALE))
            .collect(),
        None => Vec::new(),
    };
    let quantizer = match quantizer {
        Quantizer::PerTensor { scale, zero_point } => {
            Quantizer::per_tensor(floors.iter().fold(scale, |s, &f| s.max(f)), zero_point)
        }
        Quantizer::PerChannel {
            scales,
            zero_points,
            axis,
        } => {
            let raised: Vec<f64> = scales
                .iter()
                .enumerate()
                .map(|(c, &s)| s.max(floors.get(c).copied().unwrap_or(0.0)))
                .collect();
            Quantizer::per_channel(&raised, &zero_points, axis)
        }
    };
    // Observers with a narrower range than the type's keep their integers within it.
    let range = observer.quant_range();
    let q = quantize_with(weight, quantizer.clone(), DType::QInt8)?;
    if (range.min, range.max) == DType::QInt8.range() {
        return Ok(q);
    }
    let clamped: Vec<i32> = q
        .int_repr()
        .to_i32_vec()
        .into_iter()
        .map(|v| v.clamp(range.min, range.max))
        .collect();
    let ints = qtensor_core::IntTensor::from_i32(&clamped, weight.shape(), DType::QInt8)?;
    Ok(QTensor::from_parts(ints, quantizer)?)
}
