//! Pooling.

use qops::{PoolSpec, float};

use crate::error::Result;
use crate::mode::is_recording_gradients;
use crate::value::Var;

/// The greatest element of each window, which also gets the gradient. See [`float::max_pool()`].
///
/// # Errors
/// No window that fits, a specification of another rank.
#[doc(alias = "max_pool2d")]
pub fn max_pool(x: &Var, spec: &PoolSpec) -> Result<Var> {
    // Positions cost time and memory, so they are only found if there is a way back.
    let (y, indices) = if x.requires_grad() && is_recording_gradients() {
        let (y, indices) = float::max_pool_with_indices(x.untraced(), spec)?;
        (y, Some(indices))
    } else {
        (float::max_pool(x.untraced(), spec)?, None)
    };
    let shape = x.shape().to_vec();
    Ok(Var::from_operation("max_pool", &[x], y, move |grad, _| {
        let back = |indices| float::max_pool_backward(grad, indices, &shape);
        Ok(vec![indices.as_ref().map(back).transpose()?])
    }))
}

/// The mean of each window. See [`float::avg_pool`].
///
/// # Errors
/// No window that fits, dilation, a specification of another rank.
#[doc(alias = "avg_pool2d")]
pub fn avg_pool(x: &Var, spec: &PoolSpec) -> Result<Var> {
    let y = float::avg_pool(x.untraced(), spec)?;
    let (shape, spec) = (x.shape().to_vec(), *spec);
    Ok(Var::from_operation("avg_pool", &[x], y, move |grad, _| {
        Ok(vec![Some(float::avg_pool_backward(grad, &shape, &spec)?)])
    }))
}

/// The mean of windows that divide the input evenly. See [`float::adaptive_avg_pool`].
///
/// # Errors
/// Another number of lengths than the input has spatial dimensions, an input without elements.
#[doc(alias = "adaptive_avg_pool2d")]
pub fn adaptive_avg_pool(x: &Var, output: &[usize]) -> Result<Var> {
    let y = float::adaptive_avg_pool(x.untraced(), output)?;
    let shape = x.shape().to_vec();
    Ok(Var::from_operation(
        "adaptive_avg_pool",
        &[x],
        y,
        move |grad, _| Ok(vec![Some(float::adaptive_avg_pool_backward(grad, &shape)?)]),
    ))
}
