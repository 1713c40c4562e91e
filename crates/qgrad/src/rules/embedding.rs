//! Rows of a table.

use qops::float;
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
