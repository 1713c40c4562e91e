//! Which places are timed, in which order.

use qnn::profile::record;
use qnn::{Flatten, Linear, Module, Sequential, Value, name_places};
use qtensor_core::Tensor;

fn nested() -> Sequential {
    let inner = Sequential::new()
        .push(Flatten::new())
        .push(Linear::new(4, 3).unwrap());
    let mut net = Sequential::new().push(inner);
    name_places(&mut net);
    net
}

fn zeros(shape: &[usize]) -> Value {
    Tensor::zeros(shape).unwrap().into()
}

#[test]
fn places_are_noted_inner_first_with_shapes_and_times_that_nest() {
    let net = nested();
    let (result, visits) = record(|| net.forward(&zeros(&[5, 2, 2])));
    assert_eq!(result.unwrap().shape(), [5, 3]);
    let paths: Vec<&str> = visits.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(paths, ["0.0", "0.1", "0"]);
    assert_eq!(visits[0].output, [5, 4]);
    assert_eq!(
        (&visits[2].input, &visits[2].output),
        (&vec![5, 2, 2], &vec![5, 3])
    );
    assert!(visits[2].time >= visits[0].time + visits[1].time);
}

#[test]
fn only_what_succeeds_inside_the_innermost_recording_is_noted() {
    let net = nested();
    let x = zeros(&[1, 2, 2]);
    let (inner, outer) = record(|| {
        net.forward(&zeros(&[1, 9])).unwrap_err();
        let inner = record(|| net.forward(&x)).1;
        net.forward(&x).unwrap();
        inner
    });
    // The wrong input passed the first place and failed at the second.
    let paths: Vec<&str> = outer.iter().map(|v| v.path.as_str()).collect();
    assert_eq!(paths, ["0.0", "0.0", "0.1", "0"]);
    assert_eq!(inner.len(), 3);
    net.forward(&x).unwrap();
    assert!(record(|| ()).1.is_empty());
}
