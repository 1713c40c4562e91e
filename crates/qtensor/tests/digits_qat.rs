//! Training on the embedded digits: an epoch from drawn parameters learns, and an epoch with fake-quants ends in an
//! int8 net that is within one step of the trained one at every place.

#[path = "../examples/common/training.rs"]
mod training;

use crate::common::digits::Digits;
use crate::common::net::DigitsNet;
use qtensor::prelude::*;
use qtensor::qflow;
use qtensor::qgrad::optim::{AdamW, Sgd};
use qtensor::qnn::{manual_seed, set_observing};
use training::{Images, loss};

const WEIGHTS: &[u8] = include_bytes!("../data/digits_net.safetensors");

fn accuracy(net: &DigitsNet, digits: &Digits) -> f64 {
    let batches = digits.test().batches(360).unwrap();
    let logits = net.forward(&batches[0]).unwrap().to_tensor();
    metrics::accuracy(&logits, digits.test().labels()).unwrap()
}

#[test]
fn three_epochs_from_drawn_parameters_learn_most_digits() {
    let digits = Digits::load().unwrap();
    let epochs = Images::of(&digits.train()).unwrap().epochs(3, 32).unwrap();
    manual_seed(1);
    let mut net = DigitsNet::new().unwrap();
    assert!(accuracy(&net, &digits) < 0.3);
    let options = TrainOptions::new(3, AdamW::new(0.01).unwrap());
    let losses = fit(&mut net, options, |epoch| &epochs[epoch], loss).unwrap();
    assert!(losses[2] < 0.6 * losses[0], "{losses:?}");
    assert!(accuracy(&net, &digits) > 0.6, "{}", accuracy(&net, &digits));
}

#[test]
fn the_int8_net_is_within_one_step_of_the_trained_one_at_every_place() {
    let digits = Digits::load().unwrap();
    let epochs = Images::of(&digits.train()).unwrap().epochs(1, 32).unwrap();
    let sample = digits.test().batches(60).unwrap().swap_remove(0);
    let mut net = DigitsNet::new().unwrap();
    load_safetensors_bytes(&mut net, WEIGHTS).unwrap();
    fuse_all_qat(&mut net, &sample).unwrap();
    prepare_qat(&mut net, QConfig::x86_qat()).unwrap();
    let optimizer = Sgd::config(0.005).momentum(0.9).build().unwrap();
    fit(
        &mut net,
        TrainOptions::new(1, optimizer),
        |epoch| &epochs[epoch],
        loss,
    )
    .unwrap();
    set_observing(&mut net, false);
    let mut int8 = DigitsNet::new().unwrap();
    convert_into(&net, &mut int8).unwrap();
    let rows = qflow::step_differences(&net, &int8, &sample).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.path.as_str()).collect();
    assert_eq!(rows.len(), 20, "{names:?}");
    for row in &rows {
        assert!(row.steps <= 1, "{row:?}");
        // Rounding of floats moves few integers, ties of averages some more.
        assert!(row.unequal * 100 <= 3 * row.elements, "{row:?}");
    }
    assert!(accuracy(&int8, &digits) >= 0.97);
}
