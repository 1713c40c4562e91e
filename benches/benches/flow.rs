//! A whole network, float and int8: the digits network of the examples at batch 1 and 32, on one thread.
//!
//! Before anything is timed, both models are judged on the 360 test digits. Throughput is in images.

#[path = "../../crates/qtensor/examples/common/mod.rs"]
mod common;

use std::error::Error;
use std::hint::black_box;

use criterion::Throughput;
use qtensor::prelude::*;
use qtensor_benches::run;

use common::digits::Digits;
use common::net::DigitsNet;

/// Weights trained in PyTorch.
const WEIGHTS: &[u8] = include_bytes!("../../crates/qtensor/data/digits_net.safetensors");

fn main() -> Result<(), Box<dyn Error>> {
    run::on_one_thread();
    let digits = Digits::load()?;
    let (float, int8) = models(&digits)?;
    check(&digits, &float, &int8)?;

    let mut criterion = run::criterion();
    for batch in [1, 32] {
        let images = digits.test().batches(batch)?.swap_remove(0);
        let mut group = criterion.benchmark_group(format!("digits-batch{batch}"));
        group.throughput(Throughput::Elements(batch as u64));
        for (name, net) in [("float", &float), ("int8", &int8)] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| net.forward(black_box(&images)).expect("the batch fits"))
            });
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// The float model as it was trained, and its int8 twin.
fn models(digits: &Digits) -> Result<(DigitsNet, DigitsNet), Box<dyn Error>> {
    let trained = || -> Result<DigitsNet, Box<dyn Error>> {
        let mut net = DigitsNet::new()?;
        load_safetensors_bytes(&mut net, WEIGHTS)?;
        Ok(net)
    };
    let mut int8 = trained()?;
    let batches = digits.train().batches(64)?;
    fuse_all(&mut int8, &batches[0])?;
    prepare(&mut int8, QConfig::x86())?;
    calibrate(&int8, batches)?;
    convert(&mut int8)?;
    Ok((trained()?, int8))
}

/// Refuses models that would not be worth timing.
fn check(digits: &Digits, float: &DigitsNet, int8: &DigitsNet) -> Result<(), Box<dyn Error>> {
    let test = digits.test();
    let logits = |net: &DigitsNet| -> Result<Tensor, Box<dyn Error>> {
        let mut values = Vec::new();
        for batch in test.batches(60)? {
            values.extend(net.forward(&batch)?.to_tensor().to_vec());
        }
        Ok(Tensor::from_vec(values, &[test.labels().len(), 10])?)
    };
    let (float, int8) = (logits(float)?, logits(int8)?);
    let accuracy = metrics::accuracy(&float, test.labels())?;
    assert!(accuracy >= 0.97, "float accuracy is {accuracy}");
    let agreement = metrics::agreement(&float, &int8)?;
    assert!(agreement >= 0.98, "agreement of int8 is {agreement}");
    let sqnr = metrics::sqnr_db(&float, &int8)?;
    assert!(sqnr >= 20.0, "signal to quantization noise is {sqnr} dB");
    Ok(())
}
