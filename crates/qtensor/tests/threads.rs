//! Converted models are `Send + Sync`: one, two and eight threads at once get the bytes that one alone got.

use std::sync::Barrier;
use std::thread;

use crate::common::digits::Digits;
use crate::common::net::DigitsNet;
use qtensor::models::ResNet;
use qtensor::prelude::*;
use qtensor::qnn::manual_seed;

/// Runs a model from some threads at once, several times each. The first rounds meet an empty cache of multipliers.
fn check<M: Sync, I: Sync>(
    make: impl Fn() -> M,
    inputs: &[I],
    forward: fn(&M, &I) -> Result<Vec<Value>>,
) {
    let bits = |model: &M, input: &I| -> Vec<u32> {
        let outputs = forward(model, input).unwrap();
        let values = outputs.iter().flat_map(|y| y.to_tensor().to_vec());
        values.map(f32::to_bits).collect()
    };
    let alone = make();
    let want: Vec<Vec<u32>> = inputs.iter().map(|input| bits(&alone, input)).collect();
    assert!(
        want.iter()
            .any(|bits| bits.iter().any(|&b| b != want[0][0]))
    );
    for threads in [1, 2, 8] {
        let model = make();
        let start = Barrier::new(threads);
        thread::scope(|scope| {
            for thread in 0..threads {
                let (model, start, want, bits) = (&model, &start, &want, &bits);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..3 {
                        // No two threads go through the inputs in the same order.
                        for step in 0..inputs.len() {
                            let at = (thread + step * (1 + round)) % inputs.len();
                            let got = bits(model, &inputs[at]);
                            assert!(got == want[at], "input {at} on {threads} threads");
                        }
                    }
                });
            }
        });
    }
}

#[test]
fn the_digits_net() {
    let digits = Digits::load().unwrap();
    let weights = include_bytes!("../data/digits_net.safetensors");
    let calibration = digits.train().batches(120).unwrap();
    let make = || {
        let mut net = DigitsNet::new().unwrap();
        load_safetensors_bytes(&mut net, weights).unwrap();
        quantize(&mut net, QConfig::x86(), calibration.clone()).unwrap();
        net
    };
    let mut inputs = digits.test().batches(40).unwrap();
    // What is compared below are right answers.
    let logits = make().forward(&inputs[0]).unwrap().to_tensor();
    let right = metrics::accuracy(&logits, &digits.test().labels()[..40]).unwrap();
    assert!(right > 0.9, "{right}");
    inputs.extend(digits.test().batches(1).unwrap().into_iter().take(20));
    check(make, &inputs, |net, x| Ok(vec![net.forward(x)?]));
}

fn images(seed: usize, count: usize) -> Value {
    let shape = [count, 3, 32, 32];
    let pixel = |i: usize| ((i * (seed * 2 + 3)) as f32 * 0.37).sin();
    let pixels = (0..shape.iter().product()).map(pixel).collect();
    Tensor::from_vec(pixels, &shape).unwrap().into()
}

#[test]
fn a_residual_net() {
    let make = || {
        let mut net = ResNet::resnet18().width(8).num_classes(10).build().unwrap();
        quantize(&mut net, QConfig::x86(), vec![images(0, 2), images(1, 2)]).unwrap();
        net
    };
    let inputs: Vec<Value> = (0..3).map(|seed| images(seed, 1 + seed)).collect();
    check(make, &inputs, |net, x| Ok(vec![net.forward(x)?]));
}

/// Words, an LSTM over them, and two layers.
#[derive(Module)]
#[module(no_forward)]
struct Reader {
    words: Layer<Embedding>,
    lstm: Layer<LSTM>,
    fc: Layer<Linear>,
    head: Layer<Linear>,
}

#[test]
fn a_dynamic_net() {
    let make = || {
        manual_seed(4);
        let mut net = Reader {
            words: Embedding::new(50, 24).unwrap().into(),
            lstm: LSTM::config(24, 20)
                .bidirectional(true)
                .build()
                .unwrap()
                .into(),
            fc: Linear::new(40, 30).unwrap().into(),
            head: Linear::new(30, 5).unwrap().into(),
        };
        let spec = QConfigSpec::from(QConfig::dynamic())
            .with_type::<Embedding>(Some(QConfig::float_qparams_weight_only_qconfig()))
            .with_name("head", Some(QConfig::float16_dynamic_qconfig()));
        quantize_dynamic(&mut net, spec).unwrap();
        net
    };
    let inputs: Vec<Tensor<i64>> = (1..9)
        .map(|n| Tensor::from_vec((0..n * 3).map(|i| i * 7 % 50).collect(), &[n as usize, 3]))
        .collect::<Result<_, _>>()
        .unwrap();
    check(make, &inputs, |net, words| {
        let (x, (h, c)) = net.lstm.run(&net.words.forward(words)?)?;
        Ok(vec![net.head.forward(&net.fc.forward(&x)?)?, h, c])
    });
}
