//! Operations that move elements without changing them: gradients move back the same way.

use qops::float;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::value::Var;

/// The same elements under another shape. See [`Tensor::reshape`].
///
/// # Errors
/// Another number of elements.
#[doc(alias = "view")]
pub fn reshape(x: &Var, shape: &[usize]) -> Result<Var> {
    let y = x.untraced().reshape(shape)?;
    Ok(reshaped("reshape", x, y))
}

/// Merges the dimensions from `start` on into one. See [`Tensor::flatten`].
///
/// # Errors
/// A dimension that does not exist.
pub fn flatten(x: &Var, start: usize) -> Result<Var> {
    let y = x.untraced().flatten(start)?;
    Ok(reshaped("flatten", x, y))
}

fn reshaped(name: &'static str, x: &Var, y: Tensor) -> Var {
    let shape = x.shape().to_vec();
    Var::from_operation(name, &[x], y, move |grad, _| {
        Ok(vec![Some(grad.reshape(&shape)?)])
    })
}

/// Dimensions in a new order. See [`Tensor::permute`].
///
/// # Errors
/// An order that is not a permutation of all dimensions.
pub fn permute(x: &Var, order: &[usize]) -> Result<Var> {
    let y = x.untraced().permute(order)?;
    let mut inverse = vec![0; order.len()];
    for (to, &from) in order.iter().enumerate() {
        inverse[from] = to;
    }
    Ok(Var::from_operation("permute", &[x], y, move |grad, _| {
        Ok(vec![Some(grad.permute(&inverse)?)])
    }))
}

/// Joins tensors along `dim`. See [`float::cat`].
///
/// # Errors
/// No tensors, shapes that differ elsewhere, a dimension that does not exist.
#[doc(alias = "concat")]
pub fn cat(parts: &[&Var], dim: usize) -> Result<Var> {
    let tensors: Vec<&Tensor> = parts.iter().map(|part| part.untraced()).collect();
    let y = float::cat(&tensors, dim)?;
    let lengths: Vec<usize> = tensors.iter().map(|t| t.shape()[dim]).collect();
    Ok(Var::from_operation("cat", parts, y, move |grad, needed| {
        let mut start = 0;
        let mut grads = Vec::with_capacity(lengths.len());
        for (&len, &needed) in lengths.iter().zip(needed) {
            let part = || grad.slice(dim, start, start + len, 1);
            grads.push(needed.then(part).transpose()?);
            start += len;
        }
        Ok(grads)
    }))
}

/// Elements `start, start + step, …` before `end` along `dim`. See [`Tensor::slice`].
///
/// # Errors
/// A dimension that does not exist, bounds outside it, a step of 0.
#[doc(alias = "narrow")]
pub fn slice(x: &Var, dim: usize, start: usize, end: usize, step: usize) -> Result<Var> {
    let y = x.untraced().slice(dim, start, end, step)?.contiguous();
    let shape = x.shape().to_vec();
    Ok(Var::from_operation("slice", &[x], y, move |grad, _| {
        let back = float::slice_backward(grad, &shape, dim, start, step)?;
        Ok(vec![Some(back)])
    }))
}

/// Copies of `value` around the elements, one pair of counts for each dimension. See [`float::pad`].
///
/// # Errors
/// Another number of pairs than the rank.
pub fn pad(x: &Var, padding: &[(usize, usize)], value: f32) -> Result<Var> {
    let y = float::pad(x.untraced(), padding, value)?;
    let inside: Vec<[usize; 2]> = padding
        .iter()
        .zip(x.shape())
        .map(|(&(before, _), &len)| [before, before + len])
        .collect();
    Ok(Var::from_operation("pad", &[x], y, move |grad, _| {
        let mut back = grad.clone();
        for (dim, &[start, end]) in inside.iter().enumerate() {
            back = back.slice(dim, start, end, 1)?;
        }
        Ok(vec![Some(back.contiguous())])
    }))
}
