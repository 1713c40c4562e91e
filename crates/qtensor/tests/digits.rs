//! The embedded network on the embedded digits: float logits as PyTorch's, int8 accuracy, signal-to-noise ratio, size.

use crate::common::digits::Digits;
use crate::common::net::DigitsNet;
use approx::assert_abs_diff_eq;
use qtensor::prelude::*;
use qtensor::qflow;

const WEIGHTS: &[u8] = include_bytes!("../data/digits_net.safetensors");
const EXPECTED: &[u8] = include_bytes!("../data/digits_net_expected.safetensors");

fn float_net() -> DigitsNet {
    let mut net = DigitsNet::new().unwrap();
    load_safetensors_bytes(&mut net, WEIGHTS).unwrap();
    net
}

fn logits(net: &DigitsNet, batches: &[Value]) -> Tensor {
    let rows: Vec<f32> = batches
        .iter()
        .flat_map(|b| net.forward(b).unwrap().to_tensor().to_vec())
        .collect();
    Tensor::from_slice(&rows, &[rows.len() / 10, 10]).unwrap()
}

#[test]
fn float_logits_are_pytorchs() {
    let digits = Digits::load().unwrap();
    assert_eq!(
        (digits.train().labels().len(), digits.test().labels().len()),
        (1437, 360)
    );
    let ours = logits(&float_net(), &digits.test().batches(60).unwrap()).to_vec();
    let theirs = qflow::read_safetensors(EXPECTED).unwrap()["logits"].to_vec();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_abs_diff_eq!(ours, theirs, epsilon = 1e-4);
    }
}

#[test]
fn the_int8_net_keeps_accuracy_in_a_quarter_of_the_size() {
    let digits = Digits::load().unwrap();
    let (test, batches) = (digits.test(), digits.test().batches(60).unwrap());
    let float = logits(&float_net(), &batches);

    let mut net = float_net();
    quantize(
        &mut net,
        QConfig::x86(),
        digits.train().batches(16).unwrap(),
    )
    .unwrap();
    let bytes = qflow::to_bytes(&net).unwrap();
    let mut reloaded = DigitsNet::new().unwrap();
    qflow::from_bytes(&mut reloaded, &bytes).unwrap();
    let int8 = logits(&reloaded, &batches);

    assert_eq!(int8.to_vec(), logits(&net, &batches).to_vec());
    assert!(metrics::accuracy(&int8, test.labels()).unwrap() >= 0.977);
    let sqnr = metrics::sqnr_db(&float, &int8).unwrap();
    assert!(sqnr >= 33.5, "{sqnr} dB");
    assert!(
        bytes.len() * 10 <= WEIGHTS.len() * 3,
        "{} bytes of {}",
        bytes.len(),
        WEIGHTS.len()
    );
}

#[test]
fn batch_sizes_do_not_change_the_integers() {
    let digits = Digits::load().unwrap();
    let mut net = float_net();
    quantize(
        &mut net,
        QConfig::minmax(),
        digits.train().batches(360).unwrap(),
    )
    .unwrap();
    let one_by_one = logits(&net, &digits.test().batches(1).unwrap()).to_vec();
    let all_at_once = logits(&net, &digits.test().batches(360).unwrap()).to_vec();
    assert_eq!(one_by_one, all_at_once);
}
