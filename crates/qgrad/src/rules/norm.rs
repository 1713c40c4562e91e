//! Batch normalization with given statistics and with those of the batch.

use qops::float;
use qtensor_core::Tensor;

use super::{all_but_channels, when};
use crate::error::Result;
use crate::value::Var;

/// `y = (x − mean) / sqrt(var + eps) · gamma + beta` per channel, the statistics being constants. See
/// [`float::batch_norm`].
///
/// # Errors
/// Parameters without one value per channel, a negative or NaN `eps`, a rank below 2.
pub fn batch_norm_eval(
    x: &Var,
    mean: &Tensor,
    var: &Tensor,
    gamma: Option<&Var>,
    beta: Option<&Var>,
    eps: f64,
) -> Result<Var> {
    let (input, scale) = (x.untraced().clone(), gamma.map(|g| g.untraced().clone()));
    let (shift, mean, var) = (beta.map(Var::untraced), mean.clone(), var.clone());
    let y = float::batch_norm(&input, &mean, &var, scale.as_ref(), shift, eps)?;
    let mut inputs = vec![x];
    inputs.extend(gamma);
    inputs.extend(beta);
    let has_beta = beta.is_some();
    let rule = move |grad: &Tensor, needed: &[bool]| {
        let dims = all_but_channels(grad.rank());
        let mut grads = vec![when(needed[0], || {
            // The normalization is linear in x, without mean and beta.
            let zero = Tensor::zeros(mean.shape())?;
            float::batch_norm(grad, &zero, &var, scale.as_ref(), None, eps)
        })?];
        if scale.is_some() {
            grads.push(when(needed[1], || {
                let standard = float::batch_norm(&input, &mean, &var, None, None, eps)?;
                float::sum(&float::mul(grad, &standard)?, &dims, false)
            })?);
        }
        if has_beta {
            let needed = needed.last().copied().unwrap_or(false);
            grads.push(when(needed, || float::sum(grad, &dims, false))?);
        }
        Ok(grads)
    };
    Ok(Var::from_operation("batch_norm_eval", &inputs, y, rule))
}

/// The statistics of a batch, which [`batch_norm_train`] found: constants, for running averages.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// The mean of each channel.
    pub mean: Tensor,
    /// The biased variance of each channel.
    pub var: Tensor,
    /// How many values each channel has.
    pub count: usize,
}

/// `y = (x − mean) / sqrt(var + eps) · gamma + beta` per channel with the batch's own statistics, through which
/// gradients pass as well. See [`float::batch_norm_train`].
///
/// # Errors
/// Parameters without one value per channel, a negative or NaN `eps`, fewer than two values a channel, a rank
/// below 2.
pub fn batch_norm_train(
    x: &Var,
    gamma: Option<&Var>,
    beta: Option<&Var>,
    eps: f64,
) -> Result<(Var, BatchStatistics)> {
    let (input, scale) = (x.untraced().clone(), gamma.map(|g| g.untraced().clone()));
    let forward = float::batch_norm_train(&input, scale.as_ref(), beta.map(Var::untraced), eps)?;
    let statistics = BatchStatistics {
        mean: forward.mean.clone(),
        var: forward.var.clone(),
        count: forward.count,
    };
    let mut inputs = vec![x];
    inputs.extend(gamma);
    inputs.extend(beta);
    let has_beta = beta.is_some();
    let y = forward.y.clone();
    let rule = move |grad: &Tensor, _: &[bool]| {
        let [dx, dgamma, dbeta] =
            float::batch_norm_train_backward(grad, &input, scale.as_ref(), &forward)?;
        let mut grads = vec![Some(dx)];
        grads.extend(scale.is_some().then_some(Some(dgamma)));
        grads.extend(has_beta.then_some(Some(dbeta)));
        Ok(grads)
    };
    let y = Var::from_operation("batch_norm_train", &inputs, y, rule);
    Ok((y, statistics))
}
