//! An epoch of training: DigitsNet on the 1,437 training digits in batches of 32, in float and with fake-quants.
//!
//! On one thread, and on as many as the machine has where the name says so. Before anything is timed, the loss of a
//! second epoch must be well below that of the first. Under `cargo test` all of this happens on a few batches.
//! `peers/epoch.py` beside this folder times the same epoch in PyTorch.

#[path = "../../crates/qtensor/examples/common/mod.rs"]
mod common;
#[path = "../../crates/qtensor/examples/common/training.rs"]
mod training;

use std::error::Error;

use criterion::Throughput;
use qtensor::prelude::*;
use qtensor::qgrad::optim::Sgd;
use qtensor::qnn::manual_seed;
use qtensor_benches::run;

use common::digits::Digits;
use common::net::DigitsNet;
use training::{Batch, Images, loss};

/// Images in a batch.
const BATCH: usize = 32;

/// How much is trained, and what must come of it.
struct Extent {
    /// Batches of each of the two epochs before anything is timed.
    checked: usize,
    /// Batches of an epoch that is timed.
    timed: usize,
    /// The most that the loss of the second epoch may be, in losses of the first.
    falls_to: f64,
    /// The least share of the test digits that is recognized then.
    accuracy: f64,
}

const WHOLE: Extent = Extent {
    checked: usize::MAX,
    timed: usize::MAX,
    falls_to: 0.75,
    accuracy: 0.5,
};

/// Where nothing is measured, and the code is not optimized: enough to see that training learns.
const PART: Extent = Extent {
    checked: 16,
    timed: 2,
    falls_to: 0.9,
    accuracy: 0.2,
};

fn main() -> Result<(), Box<dyn Error>> {
    run::on_one_thread();
    let extent = if run::measures() { WHOLE } else { PART };
    let digits = Digits::load()?;
    let mut epochs = Images::of(&digits.train())?.epochs(2, BATCH)?;
    for batches in &mut epochs {
        batches.truncate(extent.checked);
    }
    let timed = &epochs[0][..extent.timed.min(epochs[0].len())];
    let float = DigitsNet::new()?;
    let mut qat = DigitsNet::new()?;
    fuse_all_qat(&mut qat, &epochs[0][0].0)?;
    prepare_qat(&mut qat, QConfig::x86_qat())?;

    let mut criterion = run::criterion();
    let mut group = criterion.benchmark_group("digits-epoch");
    let images: usize = timed.iter().map(|(_, labels)| labels.len()).sum();
    group.throughput(Throughput::Elements(images as u64));
    for (name, mut net) in [("float", float), ("qat", qat)] {
        manual_seed(1);
        let losses = fit(&mut net, options(2)?, |epoch| &epochs[epoch], loss)?;
        assert!(
            losses[1] < extent.falls_to * losses[0],
            "{name}: the losses are {losses:?}"
        );
        let logits = net.forward(&digits.test().batches(360)?[0])?.to_tensor();
        let accuracy = metrics::accuracy(&logits, digits.test().labels())?;
        assert!(
            accuracy > extent.accuracy,
            "{name}: the accuracy is {accuracy}"
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| epoch(&mut net, timed).expect("the loss stays finite"))
        });
        let pool = run::all_threads();
        let name = format!("{name}-{}-threads", pool.current_num_threads());
        group.bench_function(name, |bencher| {
            pool.install(|| bencher.iter(|| epoch(&mut net, timed).expect("the loss stays finite")))
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn options(epochs: usize) -> Result<TrainOptions, Box<dyn Error>> {
    let optimizer = Sgd::config(0.02)
        .momentum(0.9)
        .nesterov(true)
        .weight_decay(5e-4)
        .build()?;
    Ok(TrainOptions::new(epochs, optimizer).clip_norm(5.0))
}

fn epoch(net: &mut DigitsNet, batches: &[Batch]) -> Result<f64, Box<dyn Error>> {
    Ok(fit(net, options(1)?, |_| batches, loss)?[0])
}
