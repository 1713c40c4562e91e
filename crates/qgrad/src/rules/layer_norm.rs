//! Layer normalization.

use qops::float;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::value::Var;

/// `y = (x − mean) / √(var + eps) · gamma + beta` over the trailing dimensions `normalized`. See
/// [`float::layer_norm`].
///
/// # Errors
/// Shapes that do not agree, no trailing dimensions, a negative or NaN `eps`.
pub fn layer_norm(
    x: &Var,
    normalized: &[usize],
    gamma: Option<&Var>,
    beta: Option<&Var>,
    eps: f64,
) -> Result<Var> {
    let scale = gamma.map(|g| g.untraced().clone());
    let shift = beta.map(Var::untraced);
    let y = float::layer_norm(x.untraced(), normalized, scale.as_ref(), shift, eps)?;
    let mut inputs = vec![x];
    inputs.extend(gamma);
    inputs.extend(beta);
    let (input, normalized) = (x.untraced().clone(), normalized.to_vec());
    let has_beta = beta.is_some();
    let rule = move |grad: &Tensor, _: &[bool]| {
        let [dx, dgamma, dbeta] =
            float::layer_norm_backward(grad, &input, &normalized, scale.as_ref(), eps)?;
        let mut grads = vec![Some(dx)];
        grads.extend(scale.is_some().then_some(Some(dgamma)));
        grads.extend(has_beta.then_some(Some(dbeta)));
        Ok(grads)
    };
    Ok(Var::from_operation("layer_norm", &inputs, y, rule))
}
