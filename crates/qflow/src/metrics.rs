//! How far two models' outputs are apart.

use qtensor_core::{Error, Result, Tensor};

/// The signal-to-quantization-noise ratio in decibels: `10 · log10(Σ r² / Σ (r − y)²)`.
///
/// Infinite if both are equal. Sums are in `f64`.
///
/// # Errors
/// [`Error::ShapeMismatch`].
///
/// ```
/// # use qtensor_core::Tensor;
/// let r = Tensor::from_vec(vec![1.0, -1.0], &[2])?;
/// let y = Tensor::from_vec(vec![1.1, -1.1], &[2])?;
/// assert!((qflow::metrics::sqnr_db(&r, &y)? - 20.0).abs() < 1e-5);
/// # Ok::<(), qtensor_core::Error>(())
/// ```
pub fn sqnr_db(reference: &Tensor, other: &Tensor) -> Result<f64> {
    same_shape("sqnr_db", reference, other)?;
    let (mut signal, mut noise) = (0f64, 0f64);
    for (r, y) in reference.to_vec().into_iter().zip(other.to_vec()) {
        signal += f64::from(r) * f64::from(r);
        noise += (f64::from(r) - f64::from(y)).powi(2);
    }
    if noise == 0.0 {
        return Ok(f64::INFINITY);
    }
    Ok(10.0 * (signal / noise).log10())
}

/// The index of the greatest of each row of a `(rows, classes)` tensor; the first one where several are equal.
///
/// # Errors
/// [`Error::Rank`].
pub fn predictions(logits: &Tensor) -> Result<Vec<usize>> {
    let &[_, classes] = logits.shape() else {
        return Err(Error::Rank {
            operation: "predictions",
            expected: "2 (rows, classes)".into(),
            actual: logits.rank(),
            shape: logits.shape().to_vec(),
        });
    };
    let first_greatest =
        |row: &[f32]| (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
    Ok(logits
        .to_vec()
        .chunks(classes.max(1))
        .map(first_greatest)
        .collect())
}

/// The share of rows whose prediction is the label, between 0 and 1.
///
/// # Errors
/// [`Error::Rank`], and [`Error::ValueCount`] if there are not as many labels as rows.
pub fn accuracy(logits: &Tensor, labels: &[usize]) -> Result<f64> {
    let predicted = predictions(logits)?;
    if predicted.len() != labels.len() {
        return Err(Error::ValueCount {
            operation: "accuracy",
            shape: logits.shape().to_vec(),
            expected: predicted.len(),
            actual: labels.len(),
        });
    }
    let right = predicted.iter().zip(labels).filter(|(p, l)| p == l).count();
    Ok(right as f64 / labels.len().max(1) as f64)
}

/// The share of rows in which two models predict the same class, between 0 and 1.
///
/// # Errors
/// [`Error::ShapeMismatch`], [`Error::Rank`].
pub fn agreement(a: &Tensor, b: &Tensor) -> Result<f64> {
    same_shape("agreement", a, b)?;
    accuracy(a, &predictions(b)?)
}

fn same_shape(operation: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.shape() == b.shape() {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        operation,
        expected: a.shape().to_vec(),
        actual: b.shape().to_vec(),
    })
}
