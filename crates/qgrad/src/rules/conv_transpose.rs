//! Transposed convolution.

use qops::{ConvTransposeSpec, float};

use super::{all_but_channels, when};
use crate::error::Result;
use crate::value::Var;

/// Transposed convolution in one, two or three spatial dimensions. See [`float::conv_transpose()`].
///
/// # Errors
/// Shapes that do not agree, groups that do not divide the channels, padding that leaves no output.
#[doc(alias = "conv_transpose1d")]
#[doc(alias = "conv_transpose2d")]
#[doc(alias = "conv_transpose3d")]
pub fn conv_transpose(
    x: &Var,
    weight: &Var,
    bias: Option<&Var>,
    spec: &ConvTransposeSpec,
) -> Result<Var> {
    let (input, w, spec) = (x.untraced().clone(), weight.untraced().clone(), *spec);
    let y = float::conv_transpose(&input, &w, bias.map(Var::untraced), &spec)?;
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(Var::from_operation(
        "conv_transpose",
        &inputs,
        y,
        move |grad, needed| {
            let mut grads = vec![
                when(needed[0], || {
                    float::conv_transpose_input_gradient(grad, &w, input.shape(), &spec)
                })?,
                when(needed[1], || {
                    float::conv_transpose_weight_gradient(grad, &input, w.shape(), &spec)
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
