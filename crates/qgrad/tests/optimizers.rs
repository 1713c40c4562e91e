//! Optimizers, schedules and clipping against numbers that PyTorch 2.6 computed, and what they refuse.

use qgrad::optim::{
    Adam, AdamW, CosineLr, OneCycleLr, Optimizer, Schedule, Sgd, StepLr, clip_grad_norm,
    clip_grad_value, zero_grad,
};
use qgrad::{Error, Var, ops};
use qtensor_core::Tensor;

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()]).unwrap()
}

/// Four steps of `Σ (a·p − 1)²` with `a = [1, 2, 3]`, from `[1, −2, 0.5]`.
fn descend(optimizer: &mut dyn Optimizer) -> Vec<f32> {
    let mut p = vec![Var::parameter(vector(&[1.0, -2.0, 0.5]))];
    for _ in 0..4 {
        let scaled = ops::mul(&p[0], &vector(&[1.0, 2.0, 3.0]).into()).unwrap();
        let error = ops::add_scalar(&scaled, -1.0).unwrap();
        let loss = ops::sum(&ops::mul(&error, &error).unwrap(), &[], false).unwrap();
        loss.backward().unwrap();
        optimizer.step(&mut p).unwrap();
        assert_eq!(p[0].grad(), None, "a step uses the gradient up");
    }
    p[0].untraced().to_vec()
}

fn assert_close(got: &[f32], want: &[f32]) {
    for (a, b) in got.iter().zip(want) {
        assert!(
            (a - b).abs() <= 2e-6 * b.abs().max(1.0),
            "{got:?} and not {want:?}"
        );
    }
}

#[test]
fn steps_are_pytorchs() {
    let mut sgd = Sgd::config(0.01).build().unwrap();
    assert_close(&descend(&mut sgd), &[1.0, -1.290_982_4, 0.408_686_97]);
    let mut damped = Sgd::config(0.01)
        .momentum(0.9)
        .dampening(0.1)
        .weight_decay(0.1)
        .build()
        .unwrap();
    let want = [0.991_762, -0.475_006_52, 0.302_234_9];
    assert_close(&descend(&mut damped), &want);
    let mut nesterov = Sgd::config(0.01)
        .momentum(0.9)
        .nesterov(true)
        .build()
        .unwrap();
    assert_close(&descend(&mut nesterov), &[1.0, -0.075_292_73, 0.288_092_26]);
    let mut adam = Adam::config(0.1).weight_decay(0.1).adam().unwrap();
    assert_close(
        &descend(&mut adam),
        &[0.983_829_8, -1.601_141_8, 0.226_385_53],
    );
    let mut adamw = AdamW::new(0.1).unwrap();
    assert_close(
        &descend(&mut adamw),
        &[0.949_323_95, -1.593_776_5, 0.228_428_38],
    );
}

#[test]
fn schedules_are_pytorchs() {
    let one_cycle = OneCycleLr::new(0.5, 10);
    let want = [
        0.02,
        0.26,
        0.5,
        0.475_242_316,
        0.405_872_827,
        0.305_631_011,
        0.194_370_989,
        0.094_129_173,
        0.024_759_684,
        2e-6,
        2e-6,
    ];
    for (step, want) in want.into_iter().enumerate() {
        assert!(
            (one_cycle.learning_rate(step) - want).abs() < 1e-8,
            "step {step}"
        );
    }
    let cosine = CosineLr {
        start: 0.1,
        least: 0.01,
        steps: 5,
    };
    let want = [
        0.1,
        0.091_405_765,
        0.068_905_765,
        0.041_094_235,
        0.018_594_235,
        0.01,
        0.01,
    ];
    for (step, want) in want.into_iter().enumerate() {
        assert!(
            (cosine.learning_rate(step) - want).abs() < 1e-8,
            "step {step}"
        );
    }
    let steps = StepLr {
        start: 1.0,
        every: 3,
        factor: 0.5,
    };
    let rates: Vec<f64> = (0..7).map(|s| steps.learning_rate(s)).collect();
    assert_eq!(rates, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
    // Schedules without steps have a rate all the same.
    for rate in [
        CosineLr {
            start: 0.1,
            least: 0.01,
            steps: 0,
        }
        .learning_rate(0),
        OneCycleLr::new(0.5, 0).learning_rate(0),
        OneCycleLr::new(0.5, 1).learning_rate(0),
        StepLr {
            start: 1.0,
            every: 0,
            factor: 0.5,
        }
        .learning_rate(0),
    ] {
        assert!(rate.is_finite());
    }
}

#[test]
fn gradients_accumulate_until_a_step() {
    let mut p = vec![Var::parameter(Tensor::scalar(1.0))];
    for _ in 0..3 {
        ops::mul_scalar(&p[0], 2.0).unwrap().backward().unwrap();
    }
    assert_eq!(p[0].grad(), Some(Tensor::scalar(6.0)));
    let kept = p[0].clone();
    Sgd::config(0.5).build().unwrap().step(&mut p).unwrap();
    assert_eq!(p[0].untraced().item().unwrap(), -2.0);
    // Whoever holds the old value keeps it.
    assert_eq!(kept.untraced().item().unwrap(), 1.0);
    ops::mul_scalar(&p[0], 2.0).unwrap().backward().unwrap();
    zero_grad(&mut p);
    assert_eq!(p[0].grad(), None);
}

#[test]
fn an_optimizer_over_no_parameters_is_an_error() {
    for mut set in [vec![], vec![Var::from(Tensor::scalar(1.0))]] {
        for optimizer in [
            &mut Sgd::config(0.1).build().unwrap() as &mut dyn Optimizer,
            &mut Adam::new(0.1).unwrap(),
            &mut AdamW::new(0.1).unwrap(),
        ] {
            let error = optimizer.step(&mut set).unwrap_err();
            assert!(matches!(error, Error::NoParameters { .. }), "{error}");
            assert!(
                error.to_string().contains("no parameter to train"),
                "{error}"
            );
        }
        assert!(matches!(
            clip_grad_norm(&mut set, 1.0),
            Err(Error::NoParameters { .. })
        ));
        assert!(matches!(
            clip_grad_value(&mut set, 1.0),
            Err(Error::NoParameters { .. })
        ));
    }
}

#[test]
fn unusable_settings_are_refused_with_their_value() {
    for error in [
        Sgd::config(-1.0).build().unwrap_err(),
        Sgd::config(f64::NAN).build().unwrap_err(),
        Sgd::config(0.1).nesterov(true).build().unwrap_err(),
        Sgd::config(0.1)
            .momentum(0.9)
            .dampening(0.5)
            .nesterov(true)
            .build()
            .unwrap_err(),
        Adam::config(0.1).betas(0.9, 1.0).adam().unwrap_err(),
        AdamW::config(0.1).eps(-1e-8).adamw().unwrap_err(),
    ] {
        assert!(matches!(error, Error::Argument { .. }), "{error}");
    }
    let message = Sgd::config(-1.5).build().unwrap_err().to_string();
    assert!(
        message.contains("learning_rate") && message.contains("-1.5"),
        "{message}"
    );
}

#[test]
fn clipping_by_value_and_of_gradients_that_are_not_finite() {
    let mut p = vec![
        Var::parameter(vector(&[1.0, 1.0])),
        Var::parameter(vector(&[1.0])),
    ];
    p[0].set_grad(vector(&[-3.0, 0.5])).unwrap();
    clip_grad_value(&mut p, 1.0).unwrap();
    assert_eq!(p[0].grad(), Some(vector(&[-1.0, 0.5])));
    p[1].set_grad(vector(&[f32::NAN])).unwrap();
    let error = clip_grad_norm(&mut p, 1.0).unwrap_err();
    assert!(
        matches!(&error, Error::NotFinite { parameter, .. } if parameter == "1"),
        "{error}"
    );
    assert_eq!(p[0].grad(), Some(vector(&[-1.0, 0.5])));
    assert!(clip_grad_norm(&mut p, 0.0).is_err());
    let error = p[1].set_grad(vector(&[1.0, 2.0])).unwrap_err().to_string();
    assert!(error.contains("[1]") && error.contains("[2]"), "{error}");
}
