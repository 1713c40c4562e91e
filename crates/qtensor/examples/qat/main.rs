//! Quantization-aware training: where quantization after training is enough, where it fails, and what training wins
//! back.
//!
//! `cargo run --release -p qtensor --example qat`, with `-- --json` for one JSON object as the last line.

#[path = "../common/mod.rs"]
mod common;
mod configurations;
#[path = "../common/running.rs"]
mod running;
mod show;
#[path = "../common/training.rs"]
mod training;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;
use qtensor::prelude::*;
use qtensor::qflow;
use qtensor::qgrad::optim::{CosineLr, Sgd};

use common::digits::Digits;
use common::net::DigitsNet;
use running::{latencies_us, logits};
use show::Measured;
use training::{Batch, Images, loss};

/// Quantizes a small CNN on handwritten digits with and without training, in an easy and in a hard configuration.
#[derive(Parser)]
struct Args {
    /// End with one JSON object of the results.
    #[arg(long)]
    json: bool,
    /// How often all training images are gone through.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(4..=1000))]
    epochs: u32,
}

/// Weights trained in PyTorch.
const WEIGHTS: &[u8] = include_bytes!("../../data/digits_net.safetensors");

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let digits = Digits::load()?;
    let (train, test) = (digits.train(), digits.test());
    let epochs = Images::of(&train)?.epochs(args.epochs as usize, 32)?;
    let (calibration, batches) = (train.batches(32)?, test.batches(60)?);

    // The float network, and its int8 form without training.
    let float = trained_float()?;
    let mut ptq = trained_float()?;
    fuse_all(&mut ptq, &batches[0])?;
    prepare(&mut ptq, QConfig::x86())?;
    calibrate(&ptq, calibration.iter().cloned())?;
    convert(&mut ptq)?;

    // Training with fake-quants. The int8 network is made beside the trained one, to compare both.
    let trained = trained_qat(QConfig::x86_qat(), &batches[0], &epochs)?;
    let qat = int8_of(&trained)?;
    let steps = qflow::step_differences(&trained, &qat, &batches[0])?;

    // Three bits, one scale for each weight tensor: too coarse without training.
    let mut hard = trained_float()?;
    fuse_all_qat(&mut hard, &batches[0])?;
    prepare_qat(&mut hard, configurations::hard()?)?;
    eval(&mut hard);
    calibrate(&hard, calibration.iter().cloned())?;
    let hard_ptq = int8_of(&hard)?;
    let hard_qat = int8_of(&trained_qat(configurations::hard()?, &batches[0], &epochs)?)?;
    let hard_lsq = int8_of(&trained_qat(
        configurations::hard_lsq()?,
        &batches[0],
        &epochs,
    )?)?;

    let nets = [&float, &ptq, &qat, &hard_ptq, &hard_qat, &hard_lsq];
    let image = test.batches(1)?.swap_remove(0);
    let times = latencies_us(&nets, &image)?;
    let reference = logits(&float, &batches)?;
    let mut rows = Vec::new();
    for (net, us) in nets.into_iter().zip(times) {
        let logits = logits(net, &batches)?;
        rows.push(Measured {
            accuracy: metrics::accuracy(&logits, test.labels())?,
            sqnr_db: metrics::sqnr_db(&reference, &logits)?,
            bytes: qflow::to_bytes(net)?.len(),
            us,
        });
    }
    show::print(&rows, &steps);
    if args.json {
        println!("{}", show::json(&rows, &steps));
    }
    Ok(())
}

fn trained_float() -> Result<DigitsNet, Box<dyn Error>> {
    let mut net = DigitsNet::new()?;
    load_safetensors_bytes(&mut net, WEIGHTS)?;
    Ok(net)
}

/// The network after some epochs with fake-quants, from the float weights on.
fn trained_qat(
    qconfig: QConfig,
    sample: &Value,
    epochs: &[Vec<Batch>],
) -> Result<DigitsNet, Box<dyn Error>> {
    let mut net = trained_float()?;
    fuse_all_qat(&mut net, sample)?;
    prepare_qat(&mut net, qconfig)?;
    let (rate, count) = (0.02, epochs.len());
    let optimizer = Sgd::config(rate).momentum(0.9).nesterov(true).build()?;
    let options = TrainOptions::new(count, optimizer)
        .schedule(CosineLr {
            start: rate,
            least: rate / 100.0,
            steps: epochs.iter().map(Vec::len).sum(),
        })
        .clip_norm(5.0)
        .freeze_bn(count - 2)
        .freeze_observers(count - 1);
    fit(&mut net, options, |epoch| &epochs[epoch], loss)?;
    Ok(net)
}

/// The int8 network that a trained or calibrated one converts to.
fn int8_of(net: &DigitsNet) -> Result<DigitsNet, Box<dyn Error>> {
    let mut int8 = DigitsNet::new()?;
    convert_into(net, &mut int8)?;
    Ok(int8)
}
