//! The main job on embedded data: a float CNN trained in PyTorch becomes int8, and is measured before and after.
//!
//! `cargo run --release -p qtensor --example quickstart`, with `-- --json` for one JSON object as the last line.

#[path = "../common/mod.rs"]
mod common;
mod measure;
#[path = "../common/running.rs"]
mod running;
mod show;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use qtensor::prelude::*;

use common::digits::Digits;
use common::net::DigitsNet;
use measure::Measured;
use running::{latencies_us, logits};

/// Quantizes a small CNN on handwritten digits and compares it with its float original.
#[derive(Parser)]
struct Args {
    /// End with one JSON object of the results.
    #[arg(long)]
    json: bool,
    /// Where to save the int8 model [default: a temporary folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Images in a calibration batch.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
}

/// Weights under PyTorch's names.
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
    let batches = test.batches(60)?;
    let one_image = test.batches(1)?.swap_remove(0);

    // The float model as it was trained.
    let mut float = DigitsNet::new()?;
    load_safetensors_bytes(&mut float, WEIGHTS)?;
    let float_logits = logits(&float, &batches)?;

    // Fuse, calibrate on the training rows, convert.
    let mut net = DigitsNet::new()?;
    load_safetensors_bytes(&mut net, WEIGHTS)?;
    let chains = fuse_all(&mut net, &one_image)?;
    prepare(&mut net, QConfig::x86())?;
    calibrate(&net, train.batches(args.batch as usize)?)?;
    let report = convert(&mut net)?;

    // Save, and go on with what the file holds.
    let folder = tempfile::tempdir()?;
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| folder.path().join("digits.qt"));
    save(&net, &path)?;
    let mut net = DigitsNet::new()?;
    load(&mut net, &path)?;
    let int8_logits = logits(&net, &batches)?;
    let us = latencies_us(&[&float, &net], &one_image)?;

    let measured = Measured {
        float_accuracy: metrics::accuracy(&float_logits, test.labels())?,
        int8_accuracy: metrics::accuracy(&int8_logits, test.labels())?,
        agreement: metrics::agreement(&float_logits, &int8_logits)?,
        sqnr_db: metrics::sqnr_db(&float_logits, &int8_logits)?,
        float_bytes: WEIGHTS.len() as u64,
        int8_bytes: std::fs::metadata(&path)?.len(),
        float_us: us[0],
        int8_us: us[1],
    };
    show::print(&chains, &report, &measured, &path, args.out.is_some());
    if args.json {
        println!("{}", measured.json());
    }
    Ok(())
}
