//! Convolution.

use qops::{ConvSpec, float};

use super::{all_but_channels, when};
use crate::error::Result;
use crate::value::Var;

/// Convolution in one, two or three spatial dimensions. See [`float::conv()`].
///
/// # Errors
/// Shapes that do not agree, groups that do not divide the channels, a kernel that does not fit.
#[doc(alias = "conv1d")]
#[doc(alias = "conv2d")]
#[doc(alias = "conv3d")]
pub fn conv(x: &Var, weight: &Var, bias: Option<&Var>, spec: &ConvSpec) -> Result<Var> {
    let (input, w, spec) = (x.untraced().clone(), weight.untraced().clone(), *spec);
    let y = float::conv(&input, &w, bias.map(Var::untraced), &spec)?;
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(Var::from_operation(
        "conv",
        &inputs,
        y,
        move |grad, needed| {
            let mut grads = vec![
                when(needed[0], || {
                    float::conv_input_gradient(grad, &w, input.shape(), &spec)
                })?,
                when(needed[1], || {
                    float::conv_weight_gradient(grad, &input, w.shape(), &spec)
                })?,
            ];
            if let Some(&needed) = needed.get(2) {
                let dims = all_but_channels(grad.rank());
                grads.push(when(needed, || float::sum(grad, &dims, false))?);
            }
            Ok(grads)
        },
    ))
}
