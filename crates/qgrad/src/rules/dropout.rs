//! Dropout, with a mask that a seed determines.

use qops::float;
use qtensor_core::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::value::Var;

/// Sets each element to 0 with probability `p` and multiplies the others by `1 / (1 − p)`, so that the expected
/// value stays. The same seed and number of elements give the same mask on every machine.
///
/// ```
/// # use qgrad::{Var, ops};
/// # use qtensor_core::Tensor;
/// let x = Var::from(Tensor::ones(&[1000])?);
/// let y = ops::dropout(&x, 0.25, 7)?;
/// let kept = y.tensor().to_vec().iter().filter(|&&v| v == 1.0 / 0.75).count();
/// assert!((700..800).contains(&kept));
/// assert_eq!(y.tensor(), ops::dropout(&x, 0.25, 7)?.tensor());
/// # Ok::<(), qgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] unless `0 ≤ p ≤ 1`.
pub fn dropout(x: &Var, p: f32, seed: u64) -> Result<Var> {
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::Argument {
            operation: "dropout",
            argument: "p",
            expected: "a probability in 0..=1".into(),
            actual: p.to_string(),
        });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // With p = 1 nothing is kept, and the factor, which would be infinite, is never used.
    let factor = 1.0 / (1.0 - p);
    let mask = (0..x.untraced().numel())
        .map(|_| if rng.random::<f32>() < p { 0.0 } else { factor })
        .collect();
    let mask = Tensor::from_vec(mask, x.shape())?;
    let y = float::mul(x.untraced(), &mask)?;
    Ok(Var::from_operation("dropout", &[x], y, move |grad, _| {
        Ok(vec![Some(float::mul(grad, &mask)?)])
    }))
}
