//! Gradient checks that find what is wrong.

use qgrad::gradcheck::{Tolerance, gradcheck};
use qgrad::{Error, Result, Var, ops};
use qtensor_core::Tensor;

fn square(x: &Var, slope: f32) -> Result<Var> {
    let (value, twice) = (x.untraced().clone(), x.untraced().map(|v| slope * v));
    let y = qops::float::mul(&value, &value)?;
    Ok(Var::from_operation("square", &[x], y, move |grad, _| {
        Ok(vec![Some(qops::float::mul(grad, &twice)?)])
    }))
}

#[test]
fn a_wrong_rule_is_found_with_its_numbers() {
    let x = [Tensor::from_vec(vec![0.1, 2.0, 0.2], &[3]).unwrap()];
    let good = gradcheck(|v| square(&v[0], 2.0), &x, Tolerance::SMOOTH);
    assert_eq!(good, Ok(()));
    let wrong = gradcheck(|v| square(&v[0], 2.1), &x, Tolerance::SMOOTH);
    let Err(Error::GradientMismatch {
        input: 0,
        element: 1,
        analytic,
        numeric,
        ..
    }) = wrong
    else {
        unreachable!("the element with the greatest error: {wrong:?}");
    };
    assert!((analytic / numeric - 1.05).abs() < 1e-3);
    let nan = gradcheck(|v| square(&v[0], f32::NAN), &x, Tolerance::SMOOTH);
    assert!(matches!(nan, Err(Error::GradientMismatch { .. })));
}

#[test]
fn a_function_without_a_gradient_is_refused() {
    let x = Tensor::ones(&[2]).unwrap();
    let result = gradcheck(|v| ops::relu(&v[0].detach()), &[x], Tolerance::LINEAR);
    assert!(matches!(result, Err(Error::NoGraph { .. })));
}
