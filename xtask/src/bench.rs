//! `cargo xtask bench`: times networks and layers with the `cases` program of the `qtensor-benches` package.
//!
//! Benchmarks are never part of `ci`: a shared machine's clock decides nothing. Each one checks its result against a
//! reference before it measures. This command builds the program in release mode and hands the options on; the
//! program knows the cases and refuses what it does not know.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::process::{self, Failure};

/// What to measure, and how.
#[derive(Args, Debug, Default)]
pub struct Options {
    /// Cases to measure, separated by commas, such as `resnet18_b1` or `linear_128x768x3072`; all unless given.
    #[arg(long)]
    cases: Option<String>,
    /// Variants to measure, separated by commas: `static`, `dynamic` (both int8) and `f32`; all unless given.
    #[arg(long)]
    variants: Option<String>,
    /// Threads [default: 1].
    #[arg(long)]
    threads: Option<u16>,
    /// Seconds for each case and variant, in turns of which the fastest counts [default: 2]; at least three calls are timed.
    #[arg(long)]
    seconds: Option<f64>,
    /// Write the rows into this file as JSON instead of printing a table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print how long each layer of this network takes instead, such as `resnet50_b1` or `bert_base_t128`.
    #[arg(long, value_name = "NETWORK")]
    layers: Option<String>,
}

/// Runs the program with these options.
pub fn run(options: &Options) -> Result<(), Failure> {
    process::run(&mut command(options)?)
}

fn command(options: &Options) -> Result<Command, Failure> {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--release", "-p", "qtensor-benches"]);
    command.args(["--bin", "cases", "--"]);
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            command.args([name, &value]);
        }
    };
    option("--cases", options.cases.clone());
    option("--variants", options.variants.clone());
    option("--threads", options.threads.map(|n| n.to_string()));
    option("--seconds", options.seconds.map(|s| s.to_string()));
    option("--layers", options.layers.clone());
    if let Some(path) = &options.json {
        // The program runs in the repository's root, not in the caller's directory.
        let absolute = std::path::absolute(path)
            .map_err(|error| Failure::new(format!("--json {}: {error}", path.display())))?;
        command.arg("--json").arg(absolute);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_handed_on_and_others_left_to_the_program() {
        let bare = command(&Options::default()).map(|c| process::describe(&c));
        assert_eq!(
            bare.ok().as_deref(),
            Some("cargo run --quiet --release -p qtensor-benches --bin cases --")
        );
        let options = Options {
            cases: Some("resnet18_b1,linear_1x768x3072".into()),
            threads: Some(2),
            seconds: Some(0.5),
            json: Some("rows.json".into()),
            ..Options::default()
        };
        let line = command(&options)
            .map(|c| process::describe(&c))
            .unwrap_or_default();
        let wanted = "-- --cases resnet18_b1,linear_1x768x3072 --threads 2 --seconds 0.5 --json ";
        let (_, path) = line
            .split_once(wanted)
            .expect("the options follow the separator");
        assert!(
            std::path::Path::new(path).is_absolute() && path.ends_with("rows.json"),
            "{line}"
        );
    }
}
