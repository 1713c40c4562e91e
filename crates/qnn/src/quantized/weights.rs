//! From a float weight to a qint8 one.

use qobserve::{Observer, ObserverFactory};
use qtensor_core::{DType, IntTensor, QTensor, Tensor, quantize_with};

use crate::error::{Error, Result};

/// Quantizes a weight whose output channels lie along dimension 0, with the qparams that a fresh observer
/// finds for it.
///
/// Integers stay within the observer's range where that is narrower than the type's.
///
/// # Errors
/// The observer's (NaN in a weight), and [`Error::Config`] if it is not for qint8.
pub fn quantize_weight(
    module: &'static str,
    weight: &Tensor,
    observer: &ObserverFactory,
) -> Result<QTensor> {
    let mut observer = observer.build();
    observer.observe(weight)?;
    quantize_observed(module, weight, &*observer)
}

/// As [`quantize_weight`], with the qparams that an observer has.
///
/// # Errors
/// As [`quantize_weight`], and an observer that has none yet.
pub(crate) fn quantize_observed(
    module: &'static str,
    weight: &Tensor,
    observer: &dyn Observer,
) -> Result<QTensor> {
    if observer.dtype() != DType::QInt8 {
        let what = format!(
            "weights are stored as qint8, but the weight observer is for {}",
            observer.dtype()
        );
        return Err(Error::Config { module, what });
    }
    let range = observer.quant_range();
    range.validate("the weight observer's integers")?;
    let q = quantize_with(weight, observer.calculate_qparams()?, DType::QInt8)?;
    if (range.min, range.max) == DType::QInt8.range() {
        return Ok(q);
    }
    let integers = q
        .int_repr()
        .to_i32_vec()
        .into_iter()
        .map(|v| v.clamp(range.min, range.max));
    let ints = IntTensor::from_i32(&integers.collect::<Vec<_>>(), weight.shape(), DType::QInt8)?;
    Ok(QTensor::from_parts(ints, q.quantizer().clone())?)
}

/// Refuses a weight of another shape than the module has.
pub(crate) fn same_shape(module: &'static str, own: &QTensor, other: &QTensor) -> Result<()> {
    if own.shape() == other.shape() {
        return Ok(());
    }
    Err(Error::StateShape {
        module,
        key: "weight".into(),
        expected: own.shape().to_vec(),
        actual: other.shape().to_vec(),
    })
}
