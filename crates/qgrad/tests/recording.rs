//! What is recorded: traces of operations and reads, and gradients while they are not suspended.

use qgrad::trace::{Event, is_recording, push, record};
use qgrad::{Var, is_recording_gradients, no_grad, ops};
use qtensor_core::Tensor;

fn enter(label: &str) -> Event {
    Event::Enter {
        label: label.to_owned(),
        inputs: Vec::new(),
    }
}

#[test]
fn operations_and_reads_are_logged_only_while_recording() {
    let x = Var::from(Tensor::ones(&[2]).unwrap());
    assert!(!is_recording());
    push(enter("ignored"));
    let (y, events) = record(|| {
        assert!(is_recording());
        let y = ops::add(&x, &x).unwrap();
        y.tensor().to_vec();
        y.untraced().to_vec();
        y
    });
    assert!(!is_recording());
    y.tensor();
    let op = Event::Op {
        name: "add",
        inputs: vec![x.id(), x.id()],
        output: y.id(),
    };
    assert_eq!(events, [op, Event::Read { id: y.id() }]);
}

#[test]
fn detaching_is_visible() {
    let x = Var::parameter(Tensor::ones(&[2]).unwrap());
    let (y, events) = record(|| x.detach());
    let op = Event::Op {
        name: "detach",
        inputs: vec![x.id()],
        output: y.id(),
    };
    assert_eq!(events, [op]);
}

#[test]
fn recordings_nest_and_end_on_unwinding() {
    let ((), events) = record(|| {
        push(enter("a"));
        let ((), inner) = record(|| push(enter("b")));
        assert_eq!(inner, [enter("b")]);
        let unwound = std::panic::catch_unwind(|| {
            record(|| {
                push(enter("c"));
                std::panic::resume_unwind(Box::new(1))
            })
            .1
        });
        assert!(unwound.is_err());
        push(enter("d"));
    });
    assert_eq!(events, ["a", "b", "c", "d"].map(enter));
    assert!(!is_recording());
}

#[test]
fn other_threads_do_not_mix_in() {
    let ((), events) = record(|| {
        std::thread::scope(|s| {
            s.spawn(|| push(enter("elsewhere")));
        });
    });
    assert_eq!(events, []);
}

#[test]
fn suspension_nests_and_ends_on_unwinding() {
    assert!(is_recording_gradients());
    no_grad(|| {
        no_grad(|| assert!(!is_recording_gradients()));
        assert!(!is_recording_gradients());
        std::thread::scope(|s| {
            let other = s.spawn(is_recording_gradients).join();
            assert!(other.unwrap());
        });
    });
    assert!(is_recording_gradients());
    let result = std::panic::catch_unwind(|| no_grad(|| std::panic::resume_unwind(Box::new(1))));
    assert!(result.is_err());
    assert!(is_recording_gradients());
}
