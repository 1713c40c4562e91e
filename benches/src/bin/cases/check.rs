//! What results must be before anything is timed.
//!
//! * Int8: the bytes of the portable code. That runs in a process of its own, because the instruction set is chosen
//!   once per process, on the model as saved and one thread.
//! * Float networks: folding batch norms changes nothing but the last digits. Float layers: sums in `f64`.
//! * Both: int8 is near float.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

use qtensor::models::Init;
use qtensor::prelude::*;
use qtensor::qkernels_x86::{ISA_VARIABLE, Tier};

use crate::Failure;
use crate::case::Case;
use crate::subject::Subject;

/// The least ratio of signal to quantization noise of a whole model, in decibels. It tells an int8 model from a wrong
/// one; random weights are harder to quantize than trained ones.
const LEAST_SQNR_DB: f64 = 8.0;

/// The greatest difference of two float results, relative to the greatest number.
const FLOAT_TOLERANCE: f32 = 1e-4;

/// The result of the case's check on a saved int8 model.
pub fn replay(case: Case, model: &Path) -> Result<Tensor, Failure> {
    let mut subject = case.build(Init::Zeros)?;
    load(&mut subject, model)?;
    Ok(subject.forward(&case.check_input()?)?.to_tensor())
}

/// A number that equal results have in common: of the shape and all bits.
pub fn digest(result: &Tensor) -> String {
    let mut hasher = DefaultHasher::new();
    result.shape().hash(&mut hasher);
    for value in result.to_vec() {
        value.to_bits().hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// Holds an int8 model to the portable code, byte for byte.
pub fn same_as_portable(case: Case, subject: &Subject) -> Result<(), Failure> {
    let result = subject.forward(&case.check_input()?)?.to_tensor();
    let numbers = result.to_vec();
    if numbers.iter().all(|number| *number == numbers[0]) {
        return Err(format!(
            "{}: the result is constant, which proves nothing",
            case.id()
        )
        .into());
    }
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("model.qt");
    save(subject, &model)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--replay", &case.id(), "--threads", "1", "--model"])
        .arg(&model)
        .env(ISA_VARIABLE, Tier::Scalar.name())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "{}: the check ended with {}: {said}",
            case.id(),
            output.status
        )
        .into());
    }
    let portable = String::from_utf8_lossy(&output.stdout);
    let digest = digest(&result);
    if portable.trim() == digest {
        return Ok(());
    }
    let portable = portable.trim();
    Err(format!(
        "{}: the result has digest {digest}, that of portable code {portable}",
        case.id()
    )
    .into())
}

/// Holds float results to others of the same model.
pub fn near(id: &str, result: &[f32], expected: &[f32]) -> Result<(), Failure> {
    if result.len() != expected.len() {
        let (actual, expected) = (result.len(), expected.len());
        return Err(format!("{id}: {actual} float results, expected {expected}").into());
    }
    let greatest = expected.iter().fold(0f32, |most, e| most.max(e.abs()));
    let allowed = greatest * FLOAT_TOLERANCE;
    let far = |(r, e): &(&f32, &f32)| r.is_nan() || e.is_nan() || (*r - *e).abs() > allowed;
    match result.iter().zip(expected).find(far) {
        Some((r, e)) => {
            Err(format!("{id}: a float result is {r}, expected {e} within {allowed}").into())
        }
        None => Ok(()),
    }
}

/// Rows of a linear layer's result, summed in `f64`; as many of the first and the last as are quickly done.
pub struct Rows {
    rows: Vec<usize>,
    expected: Vec<f32>,
}

impl Rows {
    /// Of the layer with these parameters on `x`, `[rows, inputs]`.
    pub fn of(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Rows {
        let (m, k) = (x.shape()[0], x.shape()[1]);
        let rows: Vec<usize> = (0..m).filter(|row| *row < 4 || m - row <= 4).collect();
        let (x, weight) = (x.to_vec(), weight.to_vec());
        let bias = bias.map_or_else(|| vec![0.0; weight.len() / k], Tensor::to_vec);
        let dot = |row: usize, column: usize| -> f64 {
            let (x, w) = (&x[row * k..][..k], &weight[column * k..][..k]);
            x.iter()
                .zip(w)
                .map(|(x, w)| f64::from(*x) * f64::from(*w))
                .sum()
        };
        let expected = rows
            .iter()
            .flat_map(|&row| (0..bias.len()).map(move |column| (row, column)))
            .map(|(row, column)| (dot(row, column) + f64::from(bias[column])) as f32)
            .collect();
        Rows { rows, expected }
    }

    /// Holds the layer's result to these rows.
    pub fn check(&self, id: &str, result: &Tensor) -> Result<(), Failure> {
        let values = result.to_vec();
        let n = result.shape()[1];
        let got: Vec<f32> = self
            .rows
            .iter()
            .flat_map(|&row| values[row * n..][..n].iter().copied())
            .collect();
        near(id, &got, &self.expected)
    }
}

/// Holds the int8 model's result on the measured input to the float model's.
pub fn near_float(id: &str, float: &Tensor, int8: &Tensor) -> Result<(), Failure> {
    let sqnr = metrics::sqnr_db(float, int8)?;
    if sqnr >= LEAST_SQNR_DB {
        return Ok(());
    }
    Err(
        format!("{id}: int8 is {sqnr:.1} dB from float, expected at least {LEAST_SQNR_DB} dB")
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape).expect("as many values as the shape holds")
    }

    #[test]
    fn digests_differ_with_bits_and_shapes() {
        let one = digest(&tensor(&[1.0, 2.0], &[2]));
        assert_eq!(one, digest(&tensor(&[1.0, 2.0], &[2])));
        assert_ne!(one, digest(&tensor(&[1.0, 2.0], &[1, 2])));
        assert_ne!(one, digest(&tensor(&[1.0, 2.0000002], &[2])));
    }

    #[test]
    fn wrong_float_results_are_refused() {
        assert!(near("x", &[1.0, 100.005], &[1.0, 100.0]).is_ok());
        assert!(near("x", &[1.0, 100.02], &[1.0, 100.0]).is_err());
        assert!(near("x", &[1.0, f32::NAN], &[1.0, 100.0]).is_err());
        assert!(near("x", &[1.0], &[1.0, 100.0]).is_err());
        assert!(
            near_float(
                "x",
                &tensor(&[1.0, -1.0], &[2]),
                &tensor(&[1.1, -0.9], &[2])
            )
            .is_ok()
        );
        assert!(near_float("x", &tensor(&[1.0, -1.0], &[2]), &tensor(&[1.0, 1.0], &[2])).is_err());
    }

    #[test]
    fn rows_are_those_of_the_layer() {
        let x = tensor(&[1.0, 2.0, 3.0, 4.0], &[2, 2]);
        let weight = tensor(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], &[3, 2]);
        let rows = Rows::of(&x, &weight, Some(&tensor(&[0.5, 0.0, 0.0], &[3])));
        let right = tensor(&[1.5, 2.0, 3.0, 3.5, 4.0, 7.0], &[2, 3]);
        assert!(rows.check("x", &right).is_ok());
        let wrong = tensor(&[1.5, 2.0, 3.0, 3.5, 4.0, 6.0], &[2, 3]);
        assert!(rows.check("x", &wrong).is_err());
    }
}
