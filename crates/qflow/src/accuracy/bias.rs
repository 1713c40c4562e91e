//! Bias correction: the mean error that rounded weights leave in each channel goes into the bias.
//!
//! Nagel et al. 2019 (see `equalize`), measured on data as in `torch/ao/quantization/_correct_bias.py`.

use std::collections::BTreeMap;

use qnn::{Module, tap};

use super::outputs::outputs;
use super::sensitivity::progress;
use super::switchboard::{Places, Switchboard};
use super::weighted::Weighted;
use crate::error::{Error, Result};

const OPERATION: &str = "correct_bias";

/// What became of one place's bias.
#[derive(Clone, Debug, PartialEq)]
pub struct BiasCorrection {
    /// The dotted name of the place.
    pub path: String,
    /// The mean over channels of `|E[int8 output] − E[float output]|` before the correction.
    pub before: f64,
    /// The same afterwards.
    pub after: f64,
    /// Whether the correction was kept. It is taken back where it would not lessen the error, as behind a ReLU that holds a
    /// channel at 0.
    pub kept: bool,
}

/// Corrects the biases of a fused and calibrated model, place after place: `b ← b − E[int8 output − float output]` for each
/// output channel, with the means over all samples and positions, and with all places before already corrected.
///
/// The float modules carry the corrected biases, so that [`convert`](crate::convert()) puts them into the int8 ones; keep a
/// twin of the float model to compare with. Places without a bias are left out. Each of `n` places takes one or two
/// passes of all samples.
///
/// # Errors
/// Those of [`rank_sensitivity`](super::rank_sensitivity); biases corrected before the error stay.
#[doc(alias = "bias_correction")]
pub fn correct_bias<M: Module>(model: &mut M, samples: &[M::Input]) -> Result<Vec<BiasCorrection>> {
    let sample = samples.first().ok_or(Error::NoData(OPERATION))?;
    let (paths, float) = {
        let mut board = Switchboard::new(model, sample)?;
        board.switch(&Places::new())?;
        (board.candidates(), means(board.model(), samples)?)
    };
    let mut rows = Vec::new();
    let bar = progress("correcting biases", paths.len());
    let mut int8 = int8_means(model, samples)?;
    for path in &paths {
        bar.inc(1);
        let Ok(place) = Weighted::read(model, OPERATION, path) else {
            continue;
        };
        let (Some(bias), Some(wanted), Some(found)) =
            (&place.bias, float.get(path), int8.get(path))
        else {
            continue;
        };
        let error = difference(wanted, found);
        if error.len() != bias.numel() {
            continue;
        }
        let mut corrected = place.clone();
        if let Some(bias) = &mut corrected.bias {
            for (b, e) in bias.make_mut().iter_mut().zip(&error) {
                *b = (f64::from(*b) - e) as f32;
            }
        }
        corrected.write(model)?;
        let next = int8_means(model, samples)?;
        let left = next.get(path).map(|found| difference(wanted, found));
        let (before, after) = (size(&error), size(&left.unwrap_or_default()));
        let kept = after < before;
        if kept {
            int8 = next;
        } else {
            place.write(model)?;
        }
        rows.push(BiasCorrection {
            path: path.clone(),
            before,
            after: if kept { after } else { before },
            kept,
        });
    }
    bar.finish_and_clear();
    Ok(rows)
}

type Means = BTreeMap<String, Vec<f64>>;

/// The channels' means in the model with everything in int8; it is float and calibrated again afterwards.
fn int8_means<M: Module>(model: &mut M, samples: &[M::Input]) -> Result<Means> {
    let sample = samples.first().ok_or(Error::NoData(OPERATION))?;
    let mut board = Switchboard::new(model, sample)?;
    board.switch(&board.candidates().into_iter().collect())?;
    means(board.model(), samples)
}

/// The mean of each channel (dimension 1, of outputs `(N, C, …)`) of every place's output over all samples.
///
/// Linear layers keep their features in the last dimension, which is dimension 1 of `(N, features)`; outputs of other
/// ranks have as many means as that dimension is long, and are used only where that is the length of the bias.
fn means<M: Module>(model: &M, samples: &[M::Input]) -> Result<Means> {
    let mut sums: BTreeMap<String, (Vec<f64>, f64)> = BTreeMap::new();
    for sample in samples {
        let seen: tap::Outputs = outputs(model, sample, None)?;
        for (path, value) in seen {
            let &[_, channels, ref rest @ ..] = value.shape() else {
                continue;
            };
            let inner = rest.iter().product::<usize>().max(1);
            let (sum, count) = sums
                .entry(path)
                .or_insert_with(|| (vec![0.0; channels], 0.0));
            if sum.len() != channels {
                continue;
            }
            for (i, part) in value.to_tensor().to_vec().chunks(inner).enumerate() {
                sum[i % channels] += part.iter().map(|&v| f64::from(v)).sum::<f64>();
                if i % channels == 0 {
                    *count += inner as f64;
                }
            }
        }
    }
    let mean = |(path, (sum, count)): (String, (Vec<f64>, f64))| {
        (path, sum.into_iter().map(|s| s / count.max(1.0)).collect())
    };
    Ok(sums.into_iter().map(mean).collect())
}

fn difference(wanted: &[f64], found: &[f64]) -> Vec<f64> {
    wanted.iter().zip(found).map(|(w, f)| f - w).collect()
}

fn size(error: &[f64]) -> f64 {
    error.iter().map(|e| e.abs()).sum::<f64>() / error.len().max(1) as f64
}
