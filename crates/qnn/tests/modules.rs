//! The walk, the derive macro, places and float modules.

use qnn::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, ConvGeometry, ConvTranspose2d, Dropout,
    Embedding, Entry, Error, Flatten, FloatFunctional, Identity, Layer, Linear, MaxPool2d, Module,
    MultiheadAttention, Node, PoolConfig, Prepared, ReLU, ReLU6, Result, Sequential, State, Value,
    describe, manual_seed, name_places, paths, walk,
};
use qobserve::QConfig;
use qtensor_core::Tensor;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape).unwrap()
}

fn run(module: &impl Module<Input = Value, Output = Value>, x: Tensor) -> Vec<f32> {
    module.forward(&x.into()).unwrap().to_tensor().to_vec()
}

#[derive(Module)]
struct Tail {
    fc: Layer<Linear>,
    acts: Vec<Layer<ReLU>>,
    drop: Option<Layer<Dropout>>,
    #[module(skip)]
    repeats: usize,
}

impl Tail {
    fn forward(&self, x: &Value) -> Result<Value> {
        let mut x = self.fc.forward(x)?;
        for act in self.acts.iter().cycle().take(self.repeats) {
            x = act.forward(&x)?;
        }
        match &self.drop {
            Some(drop) => drop.forward(&x),
            None => Ok(x),
        }
    }
}

/// A tuple struct of a nested part in a place.
#[derive(Module)]
struct Outer(Layer<Tail>);

impl Outer {
    fn forward(&self, x: &Value) -> Result<Value> {
        self.0.forward(x)
    }
}

fn tail() -> Tail {
    let fc = Linear::from_parts(tensor(&[1.0, -1.0], &[2, 1]), None).unwrap();
    Tail {
        fc: fc.into(),
        acts: vec![ReLU.into(), ReLU.into()],
        drop: Some(Dropout::new(0.1).into()),
        repeats: 3,
    }
}

#[test]
fn derived_structs_are_walked_by_dotted_names_and_run() {
    let outer = Outer(tail().into());
    assert_eq!(
        paths(&outer),
        ["0", "0.fc", "0.acts.0", "0.acts.1", "0.drop"]
    );
    assert_eq!(run(&outer, tensor(&[2.0], &[1, 1])), [2.0, 0.0]);
    let without = Tail {
        drop: None,
        ..tail()
    };
    assert_eq!(paths(&without), ["fc", "acts.0", "acts.1"]);
    assert_eq!(
        describe(&without),
        "Tail(\n  (fc): Linear(in_features=1, out_features=2, bias=false)\n  (acts): ModuleList(\n    (0): ReLU()\n    \
         (1): ReLU()\n  )\n  (drop): None()\n)"
    );
}

#[test]
fn errors_name_the_innermost_place() {
    let mut outer = Outer(tail().into());
    let unnamed = outer
        .forward(&Tensor::zeros(&[1, 3]).unwrap().into())
        .unwrap_err()
        .to_string();
    assert!(
        unnamed.starts_with("an unnamed place (Linear)"),
        "{unnamed}"
    );
    name_places(&mut outer);
    let error = outer
        .forward(&Tensor::zeros(&[1, 3]).unwrap().into())
        .unwrap_err();
    assert!(error.to_string().starts_with("0.fc (Linear): "), "{error}");
    assert!(!matches!(error.root(), Error::At { .. }));
}

#[test]
fn drawn_parameters_follow_the_seed_and_stay_in_their_bound() {
    let draw = |seed| {
        manual_seed(seed);
        Linear::new(16, 4).unwrap().weight().to_vec()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
    let values = draw(5);
    assert!(values.iter().all(|w| w.abs() <= 0.25) && values.iter().any(|w| w.abs() > 0.1));
}

#[test]
fn state_is_loaded_whole_and_shapes_are_checked() {
    let mut bn = BatchNorm2d::new(2).unwrap();
    let mut state = State::default()
        .with("weight", Entry::Tensor(tensor(&[2.0, 1.0], &[2])))
        .with("bias", Entry::Tensor(tensor(&[0.5, 0.0], &[2])))
        .with("running_mean", Entry::Tensor(tensor(&[1.0, 0.0], &[2])))
        .with("running_var", Entry::Tensor(tensor(&[4.0, 1.0], &[2])));
    bn.load_state(&mut state).unwrap();
    assert!(state.is_empty());
    let y = run(&bn, tensor(&[3.0, -1.0], &[1, 2, 1, 1]));
    assert!(
        (y[0] - 2.5).abs() < 1e-4 && (y[1] + 1.0).abs() < 1e-4,
        "{y:?}"
    );

    let mut linear = Linear::new(2, 2).unwrap();
    let missing = linear.load_state(&mut State::default()).unwrap_err();
    assert!(
        matches!(missing, Error::MissingState { ref key, .. } if key == "weight"),
        "{missing}"
    );
    let mut narrow = State::default().with("weight", Entry::Tensor(tensor(&[1.0], &[1, 1])));
    let error = linear.load_state(&mut narrow).unwrap_err().to_string();
    assert!(
        error.contains("[1, 1]") && error.contains("[2, 2]"),
        "{error}"
    );
    let mut text = State::default().with("weight", Entry::Text("no".into()));
    assert!(
        linear
            .load_state(&mut text)
            .unwrap_err()
            .to_string()
            .contains("text")
    );
}

#[test]
fn impossible_configurations_are_refused_with_their_numbers() {
    let groups = Conv2d::config(3, 4, 3)
        .groups(2)
        .build()
        .unwrap_err()
        .to_string();
    assert!(
        groups.contains('2') && groups.contains('3') && groups.contains('4'),
        "{groups}"
    );
    assert!(Conv2d::config(3, 4, 0).build().is_err());
    assert!(Conv2d::config(3, 4, 3).stride(0).build().is_err());
    assert!(Conv2d::config(0, 4, 3).build().is_err());
    assert!(Linear::new(0, 4).is_err() && BatchNorm2d::new(0).is_err());
    assert!(
        Conv2d::from_parts(
            Tensor::zeros(&[8, 3, 1, 1]).unwrap(),
            None,
            ConvGeometry {
                kernel_size: [1, 1],
                stride: [1, 1],
                padding: [0, 0],
                dilation: [1, 1],
                groups: usize::MAX,
            }
        )
        .is_err()
    );
    let rank = Linear::from_parts(Tensor::zeros(&[2, 3, 4]).unwrap(), None)
        .unwrap_err()
        .to_string();
    assert!(
        rank.contains("[2, 3, 4]") && rank.contains("got 3"),
        "{rank}"
    );
    let wrong_bias = Linear::from_parts(
        Tensor::zeros(&[2, 3]).unwrap(),
        Some(Tensor::zeros(&[3]).unwrap()),
    );
    assert!(matches!(wrong_bias, Err(Error::StateShape { .. })));
}

#[test]
fn float_modules_compute_their_formula() {
    let image: Vec<f32> = (0..16).map(|v| v as f32 - 8.0).collect();
    let x = tensor(&image, &[1, 1, 4, 4]);
    assert_eq!(run(&MaxPool2d::new(2), x.clone()), [-3.0, -1.0, 5.0, 7.0]);
    assert_eq!(run(&AvgPool2d::new(2), x.clone()), [-5.5, -3.5, 2.5, 4.5]);
    assert_eq!(run(&AdaptiveAvgPool2d::new(1), x.clone()), [-0.5]);
    assert_eq!(run(&ReLU6, x.clone())[12..], [4.0, 5.0, 6.0, 6.0]);
    assert_eq!(run(&ReLU, x.clone())[..2], [0.0, 0.0]);
    assert_eq!(run(&Identity, x.clone()), image);
    assert_eq!(run(&Dropout::new(0.9), x.clone()), image);
    assert_eq!(
        Flatten::new().forward(&x.clone().into()).unwrap().shape(),
        [1, 16]
    );
    let padded = PoolConfig {
        padding: [1, 1],
        count_include_pad: false,
        ..PoolConfig::<2>::new(2)
    };
    assert_eq!(run(&AvgPool2d::with_config(padded), x.clone())[0], -8.0);
    let rank = MaxPool2d::new(2)
        .forward(&tensor(&[0.0], &[1]).into())
        .unwrap_err()
        .to_string();
    assert!(rank.contains("[1]") && rank.contains('4'), "{rank}");
}

#[test]
fn functionals_compute_and_watch_only_what_has_a_range_of_its_own() {
    use qnn::Place;
    let mut f: Layer<FloatFunctional> = FloatFunctional.into();
    f.set_prepared(Some(Prepared::observed(QConfig::minmax())));
    let (a, b): (Value, Value) = (
        tensor(&[1.0, -3.0], &[1, 2]).into(),
        tensor(&[2.0, 1.0], &[1, 2]).into(),
    );
    let values = |v: Result<Value>| v.unwrap().to_tensor().to_vec();
    assert_eq!(values(f.add_scalar(&a, 100.0)), [101.0, 97.0]);
    assert_eq!(values(f.mul_scalar(&a, 100.0)), [100.0, -300.0]);
    assert!(
        !f.prepared().unwrap().observer().unwrap().has_observed()
            && f.prepared().unwrap().passed_by()
    );
    assert_eq!(values(f.add(&a, &b)), [3.0, -2.0]);
    assert_eq!(values(f.add_relu(&a, &b)), [3.0, 0.0]);
    assert_eq!(values(f.mul(&a, &b)), [2.0, -3.0]);
    assert_eq!(values(f.cat(&[&a, &b], 1)), [1.0, -3.0, 2.0, 1.0]);
    let column: Value = tensor(&[1.0, 2.0], &[2, 1]).into();
    assert_eq!(values(f.matmul(&a, &column)), [-5.0]);
    assert_eq!(
        f.prepared().unwrap().observer().unwrap().range(),
        Some((-5.0, 3.0))
    );
}

#[test]
fn a_sequence_names_its_steps_and_says_where_it_fails() {
    let mut net = Sequential::new()
        .push(ReLU)
        .push_named("head", Linear::new(3, 1).unwrap())
        .unwrap();
    assert_eq!(paths(&net), ["0", "head"]);
    assert_eq!(net.len(), 2);
    name_places(&mut net);
    let error = net
        .forward(&Tensor::zeros(&[1, 4]).unwrap().into())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("head (Linear)"), "{error}");
    let mut kinds = Vec::new();
    walk(&net, &mut |_, node| kinds.push(node.kind()));
    assert_eq!(kinds, ["Sequential", "ReLU", "Linear"]);
    for taken in ["0", "head", "", "a.b"] {
        let again = Sequential::new()
            .push(ReLU)
            .push_named("head", ReLU)
            .unwrap()
            .push_named(taken, ReLU);
        assert!(matches!(again, Err(Error::Config { .. })), "{taken:?}");
    }
    let free = Sequential::new()
        .push_named("1", ReLU)
        .unwrap()
        .push(ReLU)
        .push(ReLU);
    assert_eq!(paths(&free), ["1", "2", "3"]);
}

#[test]
fn sizes_beyond_all_memory_are_errors() {
    let far = usize::MAX;
    let refusals = [
        Linear::new(far, 2).err(),
        Conv2d::config(far, 4, 3).build().err(),
        Conv2d::config(4, 4, far).build().err(),
        ConvTranspose2d::config(far, far, far).build().err(),
        MultiheadAttention::new(far, 1).err(),
        Embedding::new(far, far).err(),
    ];
    for refusal in refusals {
        let message = refusal.unwrap().to_string();
        assert!(message.contains(&far.to_string()), "{message}");
    }
}
