//! Trains DigitsNet from drawn parameters on the embedded digits, and saves it as safetensors.
//!
//! `cargo run --release -p qtensor --example train`, with `-- --json` for one JSON object as the last line.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/training.rs"]
mod training;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use qtensor::prelude::*;
use qtensor::qgrad::optim::{OneCycleLr, Sgd};
use qtensor::qnn::manual_seed;

use common::digits::Digits;
use common::net::DigitsNet;
use training::{Images, loss};

/// Trains a small CNN on handwritten digits.
#[derive(Parser)]
struct Args {
    /// End with one JSON object of the results.
    #[arg(long)]
    json: bool,
    /// Where to save the weights [default: a temporary folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How often all training images are gone through.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    epochs: u32,
    /// Images in a batch.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=1437))]
    batch: u32,
    /// Of the drawn parameters.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

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
    let images = Images::of(&digits.train())?;
    let epochs = images.epochs(args.epochs as usize, args.batch as usize)?;
    let steps = epochs.iter().map(Vec::len).sum();

    manual_seed(args.seed);
    let mut net = DigitsNet::new()?;
    let optimizer = Sgd::config(0.1)
        .momentum(0.9)
        .nesterov(true)
        .weight_decay(5e-4)
        .build()?;
    let options = TrainOptions::new(epochs.len(), optimizer)
        .schedule(OneCycleLr::new(0.1, steps))
        .clip_norm(5.0);
    let start = Instant::now();
    let losses = fit(&mut net, options, |epoch| &epochs[epoch], loss)?;
    let seconds = start.elapsed().as_secs_f64();

    let test = digits.test();
    let mut logits = Vec::new();
    for batch in test.batches(60)? {
        logits.extend(net.forward(&batch)?.to_tensor().to_vec());
    }
    let logits = Tensor::from_vec(logits, &[test.labels().len(), 10])?;
    let accuracy = metrics::accuracy(&logits, test.labels())?;

    // Save, and see that the file holds what was trained.
    let folder = tempfile::tempdir()?;
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| folder.path().join("digits_net.safetensors"));
    save_safetensors(&net, &path)?;
    let mut reloaded = DigitsNet::new()?;
    load_safetensors(&mut reloaded, &path)?;
    let image = test.batches(1)?.swap_remove(0);
    if reloaded.forward(&image)?.to_tensor() != net.forward(&image)?.to_tensor() {
        return Err("the reloaded network computes something else".into());
    }

    for (epoch, loss) in losses.iter().enumerate() {
        println!("epoch {:>2}: mean loss {loss:.4}", epoch + 1);
    }
    let per_epoch = seconds / losses.len() as f64;
    println!(
        "{:.2} % of the {} test images are right; {per_epoch:.2} s an epoch of {} images",
        100.0 * accuracy,
        test.labels().len(),
        digits.train().labels().len()
    );
    if args.out.is_some() {
        println!("The weights are in {}.", path.display());
    }
    if args.json {
        let last = losses.last().copied();
        let object = serde_json::json!({
            "accuracy": accuracy, "loss": last, "seconds_per_epoch": per_epoch,
        });
        println!("{object}");
    }
    Ok(())
}
