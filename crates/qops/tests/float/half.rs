//! Linear layers with 16-bit weights against those with the rounded weights.

use qops::float::{HalfLinear, linear};
use qops::{Error, Result};
use qtensor_core::Tensor;

use super::testing::Values;

#[test]
fn blocks_of_columns_give_what_the_rounded_weights_give() -> Result<()> {
    // The last one has several blocks, the last of them shorter.
    for (m, n, k) in [(1, 1, 1), (3, 7, 5), (2, 700, 257)] {
        let mut values = Values::new(5);
        let (x, w) = (values.tensor(&[m, k]), values.tensor(&[n, k]));
        let b = values.tensor(&[n]);
        for bias in [None, Some(&b)] {
            let layer = HalfLinear::new(&w, bias)?;
            let want = linear(&x, &layer.weight()?, bias)?.to_vec();
            let again = HalfLinear::from_bytes(&layer.to_bytes(), [n, k], bias)?;
            for (got, want) in again.run(&x)?.to_vec().iter().zip(&want) {
                assert!((got - want).abs() < 1e-4, "{m} {n} {k}: {got} {want}");
            }
        }
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_refused() -> Result<()> {
    let layer = HalfLinear::new(&Tensor::ones(&[2, 3])?, None)?;
    let wrong = layer.run(&Tensor::ones(&[5, 4])?);
    assert!(matches!(
        wrong,
        Err(Error::Operands {
            expected: 3,
            actual: 4,
            ..
        })
    ));
    assert!(HalfLinear::new(&Tensor::ones(&[2])?, None).is_err());
    assert!(HalfLinear::from_bytes(&[0; 11], [2, 3], None).is_err());
    let bias = Tensor::ones(&[3])?;
    assert!(HalfLinear::from_bytes(&[0; 12], [2, 3], Some(&bias)).is_err());
    assert_eq!(layer.run(&Tensor::zeros(&[0, 3])?)?.shape(), [0, 2]);
    Ok(())
}
