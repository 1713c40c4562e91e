//! Rectified and saturating functions against their formulas.

use qops::float::{celu, elu, hardsigmoid, leaky_relu, prelu, threshold};
use qtensor_core::Tensor;

use super::testing::{Values, assert_close};

fn of(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()]).unwrap()
}

#[test]
fn formulas() {
    let x = of(&[-4.0, -0.5, 0.0, 0.5, 4.0]);
    assert_eq!(
        leaky_relu(&x, 0.25).unwrap().to_vec(),
        [-1.0, -0.125, 0.0, 0.5, 4.0]
    );
    assert_eq!(
        threshold(&x, 0.25, -7.0).unwrap().to_vec(),
        [-7.0, -7.0, -7.0, 0.5, 4.0]
    );
    assert_eq!(
        hardsigmoid(&x).unwrap().to_vec(),
        [0.0, 2.5 / 6.0, 0.5, 3.5 / 6.0, 1.0]
    );
    let below = |a: f64, x: f64| a * (x.exp() - 1.0);
    let want = [below(2.0, -4.0), below(2.0, -0.5), 0.0, 0.5, 4.0];
    assert_close(&elu(&x, 2.0).unwrap(), &[5], &want, 1e-6);
    let want = [below(2.0, -2.0), below(2.0, -0.25), 0.0, 0.5, 4.0];
    assert_close(&celu(&x, 2.0).unwrap(), &[5], &want, 1e-6);
    assert!(
        threshold(&of(&[f32::NAN]), 0.0, 1.0)
            .unwrap()
            .item()
            .unwrap()
            .is_nan()
    );
}

#[test]
fn slopes_for_all_and_for_each_channel() {
    let x = Values::new(1).tensor(&[2, 3, 4]);
    let slopes = of(&[0.5, -1.0, 0.0]);
    let y = prelu(&x, &slopes).unwrap();
    for c in 0..3 {
        let want = leaky_relu(&x.select(1, c).unwrap(), slopes.get(&[c]).unwrap()).unwrap();
        assert_eq!(y.select(1, c).unwrap(), want);
    }
    assert_eq!(
        prelu(&x, &of(&[0.5])).unwrap(),
        leaky_relu(&x, 0.5).unwrap()
    );
    assert_eq!(
        prelu(&of(&[-2.0, 2.0]), &Tensor::scalar(0.5))
            .unwrap()
            .to_vec(),
        [-1.0, 2.0]
    );
    let message = prelu(&x, &of(&[1.0, 2.0])).unwrap_err().to_string();
    assert_eq!(
        message,
        "prelu: the number of weights (or 1) must be 3, got 2"
    );
    assert!(prelu(&x, &x).is_err());
    assert!(prelu(&Tensor::scalar(1.0), &of(&[1.0])).is_err());
}

#[test]
fn parameters_are_checked() {
    let x = of(&[1.0]);
    for message in [
        leaky_relu(&x, f32::NAN).unwrap_err().to_string(),
        elu(&x, f32::INFINITY).unwrap_err().to_string(),
        celu(&x, -1.0).unwrap_err().to_string(),
        threshold(&x, f32::NAN, 0.0).unwrap_err().to_string(),
    ] {
        assert!(
            message.contains("must be") && message.contains("got"),
            "{message}"
        );
    }
}
