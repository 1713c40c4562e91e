//! Fully connected layers and matrix products.

use qops::float::{self, sum_to};
use qtensor_core::Tensor;

use super::when;
use crate::error::Result;
use crate::value::Var;

/// `y = x·Wᵀ + b` over the last dimension. See [`float::linear`].
///
/// # Errors
/// Lengths that do not agree.
pub fn linear(x: &Var, weight: &Var, bias: Option<&Var>) -> Result<Var> {
    let (input, w) = (x.untraced().clone(), weight.untraced().clone());
    let y = float::linear(&input, &w, bias.map(Var::untraced))?;
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    Ok(Var::from_operation(
        "linear",
        &inputs,
        y,
        move |grad, needed| {
            // With all leading dimensions as one: dx = dy·W, dW = dyᵀ·x, db = Σ dy.
            let dy = rows(grad)?;
            let mut grads = vec![
                when(needed[0], || {
                    Ok(float::matmul(&dy, &w)?.reshape(input.shape())?)
                })?,
                when(needed[1], || {
                    float::matmul(&dy.transpose(0, 1)?, &rows(&input)?)
                })?,
            ];
            if let Some(&needed) = needed.get(2) {
                grads.push(when(needed, || float::sum(&dy, &[0], false))?);
            }
            Ok(grads)
        },
    ))
}

/// All but the last dimension as one.
fn rows(x: &Tensor) -> qops::Result<Tensor> {
    let last = x.shape().last().copied().unwrap_or(1);
    let lead = x.shape().iter().rev().skip(1).product();
    Ok(x.reshape(&[lead, last])?)
}

/// `y = a·b`, the matrix product over the last two dimensions, broadcasting the ones before. See
/// [`float::matmul`].
///
/// # Errors
/// Lengths that do not agree, operands without dimensions.
pub fn matmul(a: &Var, b: &Var) -> Result<Var> {
    let y = float::matmul(a.untraced(), b.untraced())?;
    let (shape_a, shape_b) = (a.shape().to_vec(), b.shape().to_vec());
    // From here on, vectors are the matrices that the product took them for.
    let left = match a.untraced() {
        vector if vector.rank() == 1 => vector.unsqueeze(0)?,
        matrix => matrix.clone(),
    };
    let right = match b.untraced() {
        vector if vector.rank() == 1 => vector.unsqueeze(1)?,
        matrix => matrix.clone(),
    };
    let gone = usize::from(a.untraced().rank() == 1) + usize::from(b.untraced().rank() == 1);
    let mut full = y.shape()[..y.rank() + gone - 2].to_vec();
    full.extend([
        left.shape()[left.rank() - 2],
        right.shape()[right.rank() - 1],
    ]);
    Ok(Var::from_operation(
        "matmul",
        &[a, b],
        y,
        move |grad, needed| {
            // da = dy·bᵀ and db = aᵀ·dy, summed over broadcast dimensions.
            let dy = grad.reshape(&full)?;
            Ok(vec![
                when(needed[0], || {
                    let full = float::matmul(&dy, &swapped(&right)?)?;
                    Ok(sum_to(&full, left.shape())?.reshape(&shape_a)?)
                })?,
                when(needed[1], || {
                    let full = float::matmul(&swapped(&left)?, &dy)?;
                    Ok(sum_to(&full, right.shape())?.reshape(&shape_b)?)
                })?,
            ])
        },
    ))
}

/// The last two dimensions swapped.
fn swapped(x: &Tensor) -> qops::Result<Tensor> {
    Ok(x.transpose(x.rank() - 2, x.rank() - 1)?)
}
