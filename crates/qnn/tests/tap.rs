//! Outputs and inputs of places, noted and replaced.

use qnn::tap::{record, record_inputs, replay};
use qnn::{Linear, Module, ReLU, Sequential, Value, name_places};
use qtensor_core::Tensor;

#[test]
fn given_outputs_reach_the_next_place_and_own_ones_are_noted() {
    let mut net = Sequential::new()
        .push(Linear::new(2, 2).unwrap())
        .push(ReLU);
    name_places(&mut net);
    let x: Value = Tensor::ones(&[1, 2]).unwrap().into();
    let instead: Value = Tensor::from_vec(vec![-7.0, 9.0], &[1, 2]).unwrap().into();
    let given = vec![("0".to_string(), instead)];
    let (y, own) = replay(given, || net.forward(&x));
    assert_eq!(y.unwrap().to_tensor().to_vec(), [0.0, 9.0]);
    assert_eq!(own[1].1.to_tensor().to_vec(), [0.0, 9.0]);
    let (_, plain) = record(|| net.forward(&x));
    assert_eq!(own[0].1.to_tensor(), plain[0].1.to_tensor());
    // Names that do not come up replace nothing.
    let given = vec![("elsewhere".to_string(), x.clone())];
    let (_, own) = replay(given, || net.forward(&x));
    assert_eq!(own[1].1.to_tensor(), plain[1].1.to_tensor());
    assert!(record(|| ()).1.is_empty());
}

#[test]
fn inputs_are_noted_as_they_come() {
    let mut net = Sequential::new()
        .push(Linear::new(2, 2).unwrap())
        .push(ReLU);
    name_places(&mut net);
    let x: Value = Tensor::ones(&[1, 2]).unwrap().into();
    let ((y, outputs), inputs) = record_inputs(|| record(|| net.forward(&x)));
    y.unwrap();
    let paths: Vec<&str> = inputs.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["0", "1"]);
    assert_eq!(inputs[0].1[0].to_tensor(), x.to_tensor());
    assert_eq!(inputs[1].1[0].to_tensor(), outputs[0].1.to_tensor());
    assert!(record_inputs(|| ()).1.is_empty());
}
