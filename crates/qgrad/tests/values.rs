//! Recording, and the walk backwards.

use std::sync::Arc;

use qgrad::{Error, Var, no_grad, ops};
use qtensor_core::Tensor;

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()]).unwrap()
}

/// Whether the value remembers the operation that made it.
fn is_recorded(v: &Var) -> bool {
    !format!("{v:?}").contains("operation: None")
}

#[test]
fn values_cross_threads() {
    let w = Var::parameter(vector(&[1.0, 2.0]));
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..50 {
                    ops::sum(&w, &[], false).unwrap().backward().unwrap();
                }
            });
        }
    });
    assert_eq!(w.grad(), Some(vector(&[200.0, 200.0])));
}

#[test]
fn a_value_used_several_times_adds_its_gradients() {
    // y = (x·x + x)·x, so dy/dx = 3x² + 2x.
    let x = Var::parameter(vector(&[2.0, -1.0]));
    let square = ops::mul(&x, &x).unwrap();
    let y = ops::mul(&ops::add(&square, &x).unwrap(), &x).unwrap();
    y.backward_with(&vector(&[1.0, 1.0])).unwrap();
    assert_eq!(x.grad(), Some(vector(&[16.0, 1.0])));
    // The record is still there; gradients accumulate until they are cleared.
    y.backward_with(&vector(&[0.0, 2.0])).unwrap();
    assert_eq!(x.grad(), Some(vector(&[16.0, 3.0])));
    x.zero_grad();
    assert_eq!(x.grad(), None);
}

#[test]
fn only_parameters_get_gradients_and_only_what_depends_on_them_is_recorded() {
    let (c, w) = (Var::from(vector(&[3.0])), Var::parameter(vector(&[5.0])));
    let constant = ops::mul(&c, &c).unwrap();
    assert!(!constant.requires_grad());
    assert!(!is_recorded(&constant));
    let y = ops::mul(&constant, &w).unwrap();
    assert!(y.requires_grad());
    y.backward().unwrap();
    assert_eq!(w.grad(), Some(vector(&[9.0])));
    assert_eq!((c.grad(), y.grad()), (None, None));

    let unrecorded = no_grad(|| ops::mul(&w, &w)).unwrap();
    assert!(!unrecorded.requires_grad() && !is_recorded(&unrecorded));
    assert!(!w.detach().requires_grad());
    assert_ne!(w.detach().id(), w.id());
    assert_eq!(w.clone().id(), w.id());
}

#[test]
fn a_parameter_is_its_own_gradient() {
    let w = Var::parameter(Tensor::scalar(3.0));
    w.backward().unwrap();
    assert_eq!(w.grad(), Some(Tensor::scalar(1.0)));
}

#[test]
fn mistakes_are_refused_with_their_numbers() {
    let w = Var::parameter(vector(&[1.0, 2.0]));
    let y = ops::relu(&w).unwrap();
    assert_eq!(
        y.backward(),
        Err(Error::NotScalar {
            actual: 2,
            shape: vec![2]
        })
    );
    assert_eq!(
        y.backward_with(&vector(&[1.0])),
        Err(Error::GradientShape {
            operation: "backward_with",
            expected: vec![2],
            actual: vec![1]
        })
    );
    let constant = Var::from(Tensor::scalar(1.0));
    assert_eq!(constant.backward(), Err(Error::NoGraph { shape: vec![] }));
    assert!(matches!(
        ops::linear(&w, &w, None),
        Err(Error::Operation(_))
    ));
}

#[test]
fn a_faulty_rule_changes_no_gradient() {
    let (a, b) = (
        Var::parameter(vector(&[1.0])),
        Var::parameter(vector(&[1.0])),
    );
    let run = |gradients: Vec<Option<Tensor>>| {
        let bad = Var::from_operation("bad", &[&a], vector(&[1.0]), move |_, needed| {
            assert_eq!(needed, [true]);
            Ok(gradients.clone())
        });
        // `b` is reached before `bad` is, being younger than it.
        let b = ops::add_scalar(&b, 0.0).unwrap();
        ops::add(&bad, &b).unwrap().backward()
    };
    assert_eq!(run(vec![Some(vector(&[2.0]))]), Ok(()));
    assert_eq!(run(vec![None]), Ok(()));
    assert_eq!(
        run(vec![]),
        Err(Error::GradientCount {
            operation: "bad",
            expected: 1,
            actual: 0
        })
    );
    assert_eq!(
        run(vec![Some(Tensor::scalar(2.0))]),
        Err(Error::GradientShape {
            operation: "bad",
            expected: vec![1],
            actual: vec![]
        })
    );
    assert_eq!(a.grad(), Some(vector(&[2.0])));
    assert_eq!(b.grad(), Some(vector(&[2.0])));
}

#[test]
fn long_chains_are_walked_and_freed_without_recursion() {
    let w = Var::parameter(Tensor::scalar(1.0));
    let held = Arc::new(());
    let guard = Arc::clone(&held);
    let mut y = Var::from_operation("first", &[&w], w.untraced().clone(), move |grad, _| {
        let _ = &guard;
        Ok(vec![Some(grad.clone())])
    });
    for _ in 0..100_000 {
        y = ops::add_scalar(&y, 1.0).unwrap();
    }
    y.backward().unwrap();
    assert_eq!(w.grad(), Some(Tensor::scalar(1.0)));
    // The rule at the far end of the chain goes with it.
    assert_eq!(Arc::strong_count(&held), 2);
    drop(y);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn debugging_shows_where_a_value_comes_from() {
    let w = Var::parameter(vector(&[1.0]));
    let text = format!("{:?}", ops::relu(&w).unwrap());
    assert!(text.contains("relu") && text.contains("[1]"), "{text}");
}
