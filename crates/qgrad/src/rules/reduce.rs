//! Sums and means: the gradient of a sum is repeated over what was summed.

use qops::float;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::value::Var;

/// `y = Σ x` over `dims`, or over all dimensions if `dims` is empty. See [`float::sum`].
///
/// # Errors
/// A dimension that does not exist, or comes twice.
pub fn sum(x: &Var, dims: &[usize], keep_dims: bool) -> Result<Var> {
    let y = float::sum(x.untraced(), dims, keep_dims)?;
    let back = Repeat::new(x, dims);
    Ok(Var::from_operation("sum", &[x], y, move |grad, _| {
        Ok(vec![Some(back.apply(grad)?)])
    }))
}

/// `y = Σ x / n` over `dims`, or over all dimensions if `dims` is empty. See [`float::mean`].
///
/// # Errors
/// A dimension that does not exist, or comes twice.
pub fn mean(x: &Var, dims: &[usize], keep_dims: bool) -> Result<Var> {
    let y = float::mean(x.untraced(), dims, keep_dims)?;
    let back = Repeat::new(x, dims);
    // Without elements there is no gradient to scale.
    let each = x.untraced().numel() / y.numel().max(1);
    Ok(Var::from_operation("mean", &[x], y, move |grad, _| {
        let share = float::mul_scalar(grad, 1.0 / each.max(1) as f32)?;
        Ok(vec![Some(back.apply(&share)?)])
    }))
}

/// Repeats a reduced tensor over the dimensions that were reduced.
struct Repeat {
    /// The input's shape with 1 at the reduced dimensions.
    kept: Vec<usize>,
    full: Vec<usize>,
}

impl Repeat {
    fn new(x: &Var, dims: &[usize]) -> Repeat {
        let reduced = |dim: usize| dims.is_empty() || dims.contains(&dim);
        let lengths = x.shape().iter().enumerate();
        Repeat {
            kept: lengths
                .map(|(dim, &n)| if reduced(dim) { 1 } else { n })
                .collect(),
            full: x.shape().to_vec(),
        }
    }

    fn apply(&self, grad: &Tensor) -> Result<Tensor> {
        Ok(grad.reshape(&self.kept)?.expand(&self.full)?.contiguous())
    }
}
