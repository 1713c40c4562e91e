//! Rows of a table, alone and in bags.

use qops::float;
use qops::quantized::{BagMode, float_bags, float_bags_backward};
use qtensor_core::Tensor;

use super::when;
use crate::error::Result;
use crate::value::Var;

/// `y[i…] = table[indices[i…]]`; a row's gradient is the sum over its uses. See [`float::embedding`].
///
/// # Errors
/// An index outside the table, a table that is not a matrix.
pub fn embedding(table: &Var, indices: &Tensor<i64>) -> Result<Var> {
    let y = float::embedding(table.untraced(), indices)?;
    let (indices, shape) = (indices.clone(), table.shape().to_vec());
    let rule = move |grad: &Tensor, needed: &[bool]| {
        let back = || float::embedding_backward(grad, &indices, &shape);
        Ok(vec![when(needed[0], back)?])
    };
    Ok(Var::from_operation("embedding", &[table], y, rule))
}

/// A row for each bag of indices: the sum, mean or maximum of the rows that they name. See [`float_bags`] and, for gradients,
/// [`float_bags_backward`].
///
/// # Errors
/// An index outside the table, a table that is not a matrix, offsets out of order.
pub fn embedding_bag(
    table: &Var,
    indices: &Tensor<i64>,
    offsets: &Tensor<i64>,
    mode: BagMode,
) -> Result<Var> {
    let weight = table.untraced().clone();
    let y = float_bags(&weight, indices, offsets, mode)?;
    let (indices, offsets) = (indices.clone(), offsets.clone());
    let rule = move |grad: &Tensor, needed: &[bool]| {
        let back = || float_bags_backward(grad, &weight, &indices, &offsets, mode);
        Ok(vec![when(needed[0], back)?])
    };
    Ok(Var::from_operation("embedding_bag", &[table], y, rule))
}
