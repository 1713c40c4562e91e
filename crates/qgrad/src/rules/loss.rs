//! Losses: single numbers that training makes smaller.

use qops::float;
use qtensor_core::Tensor;

use crate::error::{Error, Result};
use crate::value::Var;

/// The mean cross-entropy of logits `(N, C)` against class numbers.
///
/// `L = −1/N Σₙ Σ_c t[n,c] · log_softmax(logits)[n,c]` with the targets `t = (1 − ε) · [c = label] + ε / C`; the label
/// smoothing `ε` is 0 for plain cross-entropy.
///
/// ```
/// # use qgrad::{Var, ops};
/// # use qtensor_core::Tensor;
/// let logits = Var::parameter(Tensor::from_vec(vec![0.0, 0.0, 0.0, 0.0], &[2, 2])?);
/// let loss = ops::cross_entropy(&logits, &[0, 1], 0.0)?;
/// assert!((loss.tensor().item()? - 2f32.ln()).abs() < 1e-6);
/// loss.backward()?;
/// assert_eq!(logits.grad(), Some(Tensor::from_vec(vec![-0.25, 0.25, 0.25, -0.25], &[2, 2])?));
/// # Ok::<(), qgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for logits that are not `(N, C)` with at least one row and class, another number of labels
/// than rows, a label that is no class, or a smoothing outside `0..=1`.
pub fn cross_entropy(logits: &Var, labels: &[usize], label_smoothing: f32) -> Result<Var> {
    let refuse = |argument, expected: String, actual: String| {
        Err(Error::Argument {
            operation: "cross_entropy",
            argument,
            expected,
            actual,
        })
    };
    let (rows, classes) = match *logits.shape() {
        [rows, classes] if rows > 0 && classes > 0 => (rows, classes),
        _ => {
            let actual = format!("shape {:?}", logits.shape());
            return refuse("logits", "(N, C), neither of them 0".into(), actual);
        }
    };
    if labels.len() != rows {
        let expected = format!("one for each of {rows} rows");
        return refuse("labels", expected, format!("{} labels", labels.len()));
    }
    if let Some((row, label)) = labels.iter().enumerate().find(|(_, l)| **l >= classes) {
        let expected = format!("below the number of classes, {classes}");
        return refuse("label", expected, format!("{label} in row {row}"));
    }
    if !(0.0..=1.0).contains(&label_smoothing) {
        let expected = "in 0..=1".into();
        return refuse("label_smoothing", expected, label_smoothing.to_string());
    }
    let logs = float::log_softmax(logits.untraced(), 1)?;
    let values = logs.to_vec();
    let (share, hit) = (
        f64::from(label_smoothing) / classes as f64,
        1.0 - f64::from(label_smoothing),
    );
    let mut total = 0f64;
    for (row, &label) in values.chunks_exact(classes).zip(labels) {
        total -= hit * f64::from(row[label]);
        if share > 0.0 {
            total -= share * row.iter().map(|&v| f64::from(v)).sum::<f64>();
        }
    }
    let loss = Tensor::scalar((total / rows as f64) as f32);
    let labels = labels.to_vec();
    let shape = logits.shape().to_vec();
    let rule = move |grad: &Tensor, _: &[bool]| {
        // ∂L/∂logits = (softmax − t) / N.
        let factor = f64::from(grad.item()?) / rows as f64;
        let mut d: Vec<f32> = values
            .iter()
            .map(|&v| ((f64::from(v).exp() - share) * factor) as f32)
            .collect();
        for (row, &label) in d.chunks_exact_mut(classes).zip(&labels) {
            row[label] -= (hit * factor) as f32;
        }
        Ok(vec![Some(Tensor::from_vec(d, &shape)?)])
    };
    Ok(Var::from_operation("cross_entropy", &[logits], loss, rule))
}

/// The mean squared error, `L = Σ (x − target)² / n` over all `n` elements.
///
/// # Errors
/// [`Error::Argument`] unless both have the same shape, and at least one element.
pub fn mse_loss(x: &Var, target: &Tensor) -> Result<Var> {
    let n = x.untraced().numel();
    if x.shape() != target.shape() || n == 0 {
        return Err(Error::Argument {
            operation: "mse_loss",
            argument: "target",
            expected: format!("of the input's shape {:?}, not empty", x.shape()),
            actual: format!("shape {:?}", target.shape()),
        });
    }
    let difference = float::sub(x.untraced(), target)?;
    let squares: f64 = difference
        .to_vec()
        .iter()
        .map(|&d| f64::from(d) * f64::from(d))
        .sum();
    let loss = Tensor::scalar((squares / n as f64) as f32);
    let rule = move |grad: &Tensor, _: &[bool]| {
        let factor = 2.0 * grad.item()? / n as f32;
        Ok(vec![Some(float::mul_scalar(&difference, factor)?)])
    };
    Ok(Var::from_operation("mse_loss", &[x], loss, rule))
}
