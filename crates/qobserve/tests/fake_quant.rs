//! Fake-quants: switches, qparams, gradients, merging, saved states and mistakes.

use std::any::Any;

use qgrad::Var;
use qgrad::gradcheck::{Tolerance, gradcheck};
use qobserve::{
    Error, FakeQuant, FakeQuantize, FixedQParamsFakeQuantize, FixedQParamsObserver,
    FloatQParamsFakeQuantize, FusedMovingAvgObsFakeQuantize, LearnableFakeQuantize, MinMaxObserver,
    MovingAverageMinMaxObserver, Observer, ObserverFactory, PerChannelMinMaxObserver, QConfig,
};
use qtensor_core::choose_qparams::QuantRange;
use qtensor_core::{DType, QScheme, Quantizer, Tensor};

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()]).unwrap()
}

fn forward(fake_quant: &mut dyn Observer, values: &[f32]) -> Vec<f32> {
    let x = Var::from(vector(values));
    fake_quant.forward(&x).unwrap().untraced().to_vec()
}

/// One of each kind, per tensor.
fn all() -> Vec<Box<dyn Observer>> {
    let min_max = || MinMaxObserver::builder().factory().unwrap();
    vec![
        FakeQuantize::factory(min_max()).build(),
        FusedMovingAvgObsFakeQuantize::per_tensor(|b| b)
            .unwrap()
            .build(),
        LearnableFakeQuantize::factory(min_max()).build(),
        FixedQParamsFakeQuantize::factory(FixedQParamsObserver::range_0_to_1())
            .unwrap()
            .build(),
    ]
}

fn switch(observer: &mut Box<dyn Observer>, f: impl Fn(&mut dyn FakeQuant)) {
    f(observer.as_fake_quant_mut().unwrap());
}

#[test]
fn switched_off_values_pass_and_qparams_stay() {
    for mut fake_quant in all() {
        let name = fake_quant.name();
        let x = [0.0, 0.123_4, 0.777_7];
        assert_ne!(forward(&mut *fake_quant, &x), x, "{name}");
        let found = fake_quant.calculate_qparams().unwrap();
        switch(&mut fake_quant, |f| f.set_observing(false));
        forward(&mut *fake_quant, &[50.0]);
        assert_eq!(fake_quant.calculate_qparams().unwrap(), found, "{name}");
        switch(&mut fake_quant, |f| f.set_quantizing(false));
        assert_eq!(forward(&mut *fake_quant, &x), x, "{name}");
        let state = fake_quant.as_fake_quant().unwrap();
        assert!(!state.is_observing() && !state.is_quantizing(), "{name}");
    }
}

#[test]
fn empty_batches_change_nothing_and_nan_is_refused_unless_fixed() {
    for mut fake_quant in all() {
        let name = fake_quant.name();
        assert_eq!(forward(&mut *fake_quant, &[]), [0.0; 0], "{name}");
        let nan = Var::from(vector(&[1.0, f32::NAN]));
        let result = fake_quant.forward(&nan);
        if name == "FixedQParamsFakeQuantize" {
            // It does not look at values, and passes NaN on for the loss to show.
            assert!(result.unwrap().untraced().to_vec()[1].is_nan());
        } else {
            assert!(
                matches!(result, Err(Error::NaN { .. })),
                "{name}: {result:?}"
            );
            assert!(!fake_quant.has_observed(), "{name}");
            let error = fake_quant.calculate_qparams().unwrap_err();
            assert!(
                matches!(error, Error::NeverObserved { .. }),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn states_survive_and_others_are_refused() {
    let mut everything = all();
    for (mut saved, mut fresh) in all().into_iter().zip(all()) {
        forward(&mut *saved, &[-0.5, 3.0]);
        switch(&mut saved, |f| f.set_observing(false));
        let bytes = saved.to_bytes().unwrap();
        fresh.restore(&bytes).unwrap();
        assert_eq!(
            fresh.calculate_qparams().unwrap(),
            saved.calculate_qparams().unwrap()
        );
        assert!(!fresh.as_fake_quant().unwrap().is_observing());
        for (at, _) in bytes.iter().enumerate() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(fresh.restore(&damaged).is_err(), "byte {at}");
        }
        for other in everything.iter_mut().filter(|o| o.name() != saved.name()) {
            let error = other.restore(&bytes).unwrap_err();
            assert!(matches!(error, Error::KindMismatch { .. }), "{error}");
            assert!(other.merge(&*saved).is_err());
        }
    }
}

#[test]
fn merging_is_observing_both() {
    for (mut a, (mut b, mut both)) in all().into_iter().zip(all().into_iter().zip(all())) {
        if a.name() == "LearnableFakeQuantize" || a.name() == "FusedMovingAvgObsFakeQuantize" {
            continue;
        }
        forward(&mut *a, &[0.0, 1.0]);
        forward(&mut *b, &[-2.0, 0.5]);
        forward(&mut *both, &[0.0, 1.0]);
        forward(&mut *both, &[-2.0, 0.5]);
        a.merge(&*b).unwrap();
        assert_eq!(
            a.calculate_qparams().unwrap(),
            both.calculate_qparams().unwrap()
        );
    }
    // Averages merge by their numbers of batches, learned parameters not at all.
    let [mut a, mut b] = [(); 2].map(|()| {
        FusedMovingAvgObsFakeQuantize::per_tensor(|b| b)
            .unwrap()
            .build()
    });
    forward(&mut *a, &[0.0, 1.0]);
    forward(&mut *b, &[0.0, 3.0]);
    a.merge(&*b).unwrap();
    assert_eq!(a.range(), Some((0.0, 2.0)));
    let mut learned = all().remove(2);
    forward(&mut *learned, &[1.0]);
    let copy = learned.clone();
    assert!(matches!(
        learned.merge(&*copy),
        Err(Error::Unsupported { .. })
    ));
}

#[test]
fn fused_symmetric_qparams_are_the_operators() {
    let build = || {
        FusedMovingAvgObsFakeQuantize::per_tensor(|b| {
            b.dtype(DType::QInt8).qscheme(QScheme::PerTensorSymmetric)
        })
        .unwrap()
        .build()
    };
    let mut one_sided = build();
    forward(&mut *one_sided, &[1.0, 2.0]);
    let want = Quantizer::per_tensor((2.0f32 / 255.0).into(), -128);
    assert_eq!(one_sided.calculate_qparams().unwrap(), want);
    // While quantizing is off, data come and qparams wait.
    let mut late = build();
    switch(&mut late, |f| f.set_quantizing(false));
    forward(&mut *late, &[-1.0, 3.0]);
    assert!(late.calculate_qparams().is_err() && late.has_observed());
    switch(&mut late, |f| f.set_quantizing(true));
    switch(&mut late, |f| f.set_observing(false));
    forward(&mut *late, &[-1.0, 3.0]);
    let want = Quantizer::per_tensor((3.0f32 / 127.0).into(), 0);
    assert_eq!(late.calculate_qparams().unwrap(), want);
}

#[test]
fn a_range_without_zero_is_refused() {
    let error = MinMaxObserver::builder()
        .quant_range(1, 255)
        .build()
        .unwrap_err();
    assert!(
        error.to_string().contains('1') && error.to_string().contains("255"),
        "{error}"
    );

    /// An observer of one's own with such a range.
    #[derive(Clone, Debug, Default)]
    struct Crooked(MinMaxObserver);
    impl Observer for Crooked {
        fn name(&self) -> &'static str {
            "Crooked"
        }
        fn observe(&mut self, x: &Tensor) -> qobserve::Result<()> {
            self.0.observe(x)
        }
        fn calculate_qparams(&self) -> qobserve::Result<Quantizer> {
            self.0.calculate_qparams()
        }
        fn has_observed(&self) -> bool {
            self.0.has_observed()
        }
        fn dtype(&self) -> DType {
            DType::QUInt8
        }
        fn quant_range(&self) -> QuantRange {
            QuantRange {
                min: 5,
                max: 255,
                custom: true,
            }
        }
        fn reset(&mut self) {
            self.0.reset();
        }
        fn clone_box(&self) -> Box<dyn Observer> {
            Box::new(self.clone())
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }
    let error = FakeQuantize::new(Box::new(Crooked::default()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("5..=255") && error.contains("hold 0"),
        "{error}"
    );
    assert!(LearnableFakeQuantize::new(Box::new(Crooked::default())).is_err());
    // Where it comes through a factory, the first batch shows it.
    let crooked = || ObserverFactory::new("Crooked", || Box::new(Crooked::default()));
    for factory in [
        FakeQuantize::factory(crooked()),
        LearnableFakeQuantize::factory(crooked()),
    ] {
        let error = factory
            .build()
            .forward(&Var::from(vector(&[1.0])))
            .unwrap_err();
        assert!(error.to_string().contains("5..=255"), "{error}");
    }
}

/// A learnable fake-quant with parameters of its own, in training.
fn learnable(scale: &[f32], zero_point: &[f32], axis: Option<usize>) -> LearnableFakeQuantize {
    let observer: Box<dyn Observer> = match axis {
        None => Box::new(
            MinMaxObserver::builder()
                .quant_range(0, 15)
                .build()
                .unwrap(),
        ),
        Some(axis) => Box::new(
            PerChannelMinMaxObserver::builder()
                .ch_axis(axis)
                .quant_range(0, 15)
                .build()
                .unwrap(),
        ),
    };
    let mut fake_quant = LearnableFakeQuantize::new(observer)
        .unwrap()
        .grad_scaling(false);
    fake_quant.set_observing(false);
    fake_quant.set_training(true);
    fake_quant
        .set_parameters(vector(scale), vector(zero_point), axis)
        .unwrap();
    fake_quant
}

#[test]
fn clamped_values_move_scale_and_zero_point_as_finite_differences_say() {
    // Everything is clamped, so the output is (Q − z) · s: linear in each parameter where z is whole.
    let x = Tensor::from_vec(vec![-9.0, 20.0, -3.0, 15.0], &[2, 2]).unwrap();
    for axis in [None, Some(0), Some(1)] {
        let n = if axis.is_some() { 2 } else { 1 };
        let scales = vector(&[0.5, 0.75][..n]);
        gradcheck(
            |v| {
                let mut fake_quant = learnable(&[0.0; 2][..n], &[3.0; 2][..n], axis);
                let set = v[0].untraced().clone();
                fake_quant
                    .set_parameters(set, vector(&[3.0; 2][..n]), axis)
                    .unwrap();
                let y = fake_quant.forward(&Var::from(x.clone())).unwrap();
                // The gradient of the fake-quant's own leaf is that of the checked input.
                let scale = fake_quant.scale().unwrap().clone();
                let value = y.untraced().clone();
                Ok(Var::from_operation(
                    "through",
                    &[&v[0]],
                    value,
                    move |grad, _| {
                        scale.zero_grad();
                        y.backward_with(grad)?;
                        Ok(vec![scale.grad()])
                    },
                ))
            },
            &[scales],
            Tolerance {
                step: 0.125,
                ..Tolerance::LINEAR
            },
        )
        .unwrap();
    }
}

#[test]
fn learned_parameters_keep_their_bounds() {
    let mut fake_quant = learnable(&[-1.0], &[40.0], None);
    // A step went too far; the next pass brings both back.
    let x = Var::from(vector(&[0.5]));
    fake_quant.forward(&x).unwrap();
    let Quantizer::PerTensor { scale, zero_point } = fake_quant.calculate_qparams().unwrap() else {
        unreachable!("it is per tensor");
    };
    assert_eq!((scale, zero_point), (f32::EPSILON.into(), 15));
    assert!(
        fake_quant
            .set_parameters(vector(&[1.0, 2.0]), vector(&[0.0, 0.0]), None)
            .is_err()
    );
    assert!(
        fake_quant
            .set_parameters(vector(&[1.0]), vector(&[0.0, 0.0]), Some(0))
            .is_err()
    );

    let symmetric = MinMaxObserver::builder()
        .dtype(DType::QInt8)
        .qscheme(QScheme::PerTensorSymmetric)
        .build()
        .unwrap();
    let mut fake_quant = LearnableFakeQuantize::new(Box::new(symmetric)).unwrap();
    fake_quant
        .forward(&Var::from(vector(&[-1.0, 0.25])))
        .unwrap();
    fake_quant
        .set_parameters(vector(&[0.01]), vector(&[7.0]), None)
        .unwrap();
    fake_quant.forward(&x).unwrap();
    assert_eq!(fake_quant.zero_point().unwrap().untraced().to_vec(), [0.0]);
}

#[test]
fn estimates_last_as_long_as_asked() {
    let observer = MinMaxObserver::builder().build().unwrap();
    let mut fake_quant = LearnableFakeQuantize::new(Box::new(observer))
        .unwrap()
        .estimate_for(2);
    let names = |f: &mut LearnableFakeQuantize| {
        let mut names = Vec::new();
        f.parameters_mut(&mut |name, _| names.push(name.to_string()));
        names.len()
    };
    forward(&mut fake_quant, &[1.0]);
    assert_eq!(names(&mut fake_quant), 0);
    forward(&mut fake_quant, &[2.0]);
    assert_eq!(names(&mut fake_quant), 2);
    let found = fake_quant.calculate_qparams().unwrap();
    forward(&mut fake_quant, &[9.0]);
    assert_eq!(fake_quant.calculate_qparams().unwrap(), found);
    fake_quant.set_observing(true);
    forward(&mut fake_quant, &[9.0]);
    assert_ne!(fake_quant.calculate_qparams().unwrap(), found);
    assert!(fake_quant.is_observing());
}

#[test]
fn rows_of_embeddings_have_float_zero_points() {
    assert!(FloatQParamsFakeQuantize::new(5).is_err());
    let mut fake_quant = FloatQParamsFakeQuantize::factory(8).unwrap().build();
    let x = Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0, 4.0, 4.0], &[2, 3]).unwrap();
    let y = fake_quant.forward(&Var::from(x.clone())).unwrap();
    for (a, b) in y.untraced().to_vec().iter().zip(x.to_vec()) {
        assert!((a - b).abs() <= 1.0 / 255.0, "{y:?}");
    }
    assert!(matches!(
        fake_quant.calculate_qparams(),
        Err(Error::Unsupported { .. })
    ));
    assert!(fake_quant.forward(&Var::from(Tensor::scalar(1.0))).is_err());
}

#[test]
fn the_training_presets_hold_fake_quants_and_the_others_do_not() {
    for name in QConfig::names() {
        let qconfig = QConfig::by_name(name).unwrap();
        let training = name.ends_with("_qat") || name == "lsq";
        for factory in [&qconfig.activation, &qconfig.weight] {
            let mut built = factory.build();
            assert_eq!(
                built.as_fake_quant().is_some(),
                training,
                "{name}: {factory:?}"
            );
            let x = Var::from(Tensor::from_vec(vec![-1.0, 0.1, 0.7, 2.0], &[2, 2]).unwrap());
            let y = built.forward(&x).unwrap();
            assert_eq!(y.untraced() != x.untraced(), training, "{name}");
        }
    }
    let mut plain = MovingAverageMinMaxObserver::default();
    assert!(plain.as_fake_quant_mut().is_none());
}
