//! Images in another size.

use qops::{Interpolation, ResizeTo, float};

use crate::error::Result;
use crate::value::Var;

/// A size or a factor that a rule keeps.
enum Target {
    Size(Vec<usize>),
    Factor(Vec<f64>),
}

impl Target {
    fn borrow(&self) -> ResizeTo<'_> {
        match self {
            Target::Size(sizes) => ResizeTo::Size(sizes),
            Target::Factor(factors) => ResizeTo::Factor(factors),
        }
    }
}

/// Images in another size. See [`float::interpolate`].
///
/// # Errors
/// Those of [`float::interpolate`].
///
/// ```
/// # use qgrad::{Var, ops};
/// # use qops::{Interpolation, ResizeTo};
/// # use qtensor_core::Tensor;
/// let x = Var::parameter(Tensor::from_vec(vec![1.0, 2.0], &[1, 1, 2])?);
/// let y = ops::interpolate(&x, ResizeTo::Size(&[3]), Interpolation::Nearest)?;
/// assert_eq!(y.tensor().to_vec(), [1.0, 1.0, 2.0]);
/// y.backward_with(&Tensor::ones(&[1, 1, 3])?)?;
/// assert_eq!(x.grad().map(|g| g.to_vec()), Some(vec![2.0, 1.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "upsample")]
pub fn interpolate(x: &Var, to: ResizeTo<'_>, mode: Interpolation) -> Result<Var> {
    let y = float::interpolate(x.untraced(), to, mode)?;
    let shape = x.shape().to_vec();
    let target = match to {
        ResizeTo::Size(sizes) => Target::Size(sizes.to_vec()),
        ResizeTo::Factor(factors) => Target::Factor(factors.to_vec()),
    };
    Ok(Var::from_operation(
        "interpolate",
        &[x],
        y,
        move |grad, _| {
            let back = float::interpolate_backward(grad, &shape, target.borrow(), mode)?;
            Ok(vec![Some(back)])
        },
    ))
}
