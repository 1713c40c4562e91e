//! Which observers for what: the digits network converted with each preset, each observer and ever fewer bits, from clean
//! and from spoilt calibration data, beside the float network on the 360 test images.
//!
//! `cargo run --release -p qtensor --example qconfigs`, with `-- --json` for one JSON object as the last line. The guide
//! `docs/choosing-qconfigs.md` explains the table.

#[path = "../common/mod.rs"]
mod common;
mod configurations;
mod show;
mod study;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use configurations::{activations, engines, weights};
use study::Study;

/// Converts a small CNN on handwritten digits with many configurations, and compares each with the float network.
#[derive(Parser)]
struct Args {
    /// End with one JSON object of the results.
    #[arg(long)]
    json: bool,
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
    let study = Study::new()?;
    let mut groups = Vec::new();
    for (title, configurations) in [
        ("Presets", engines()?),
        ("Activations, with the weights of x86", activations()?),
        ("Weights, with the activations of x86", weights()?),
    ] {
        let rows: Result<Vec<_>, _> = configurations
            .into_iter()
            .map(|(name, qconfig)| study.measure(name, &qconfig))
            .collect();
        groups.push((title, rows?));
    }
    println!("{}", show::table(&study, &groups));
    if args.json {
        println!("{}", show::json(&study, &groups));
    }
    Ok(())
}
