//! Times whole networks and single layers, int8 beside float, as rows that other tools can read.
//!
//! `cargo xtask bench` runs this program; its options are explained there and in `docs/benchmarks.md`. The files:
//! [`case`] says what there is to measure, [`subject`] is a model under measurement, [`mod@bench`] makes it ready, [`check`] holds its results to
//! references, [`measure`] has the protocol, [`layers`] takes networks apart, and [`report`] writes.

mod bench;
mod case;
mod check;
mod layers;
mod measure;
mod report;
mod subject;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use qtensor_benches::run;

use case::{Case, Variant};
use measure::Session;

/// Any error, with the words for the person who ran this.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Times whole networks and single layers, int8 beside float.
#[derive(Parser)]
#[command(name = "cases")]
struct Args {
    /// Cases to measure, separated by commas; all of them unless given.
    #[arg(long, value_delimiter = ',', value_parser = case::parse)]
    cases: Vec<Case>,
    /// Variants to measure; all that a case has unless given.
    #[arg(long, value_delimiter = ',')]
    variants: Vec<Variant>,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Seconds for each case and variant, in turns of a tenth of a second of which the fastest counts; at least three calls
    /// are timed whatever they take.
    #[arg(long, default_value_t = 2.0, value_parser = measure::seconds)]
    seconds: f64,
    /// Write the rows into this file instead of printing a table.
    #[arg(long, value_name = "FILE", conflicts_with = "layers")]
    json: Option<PathBuf>,
    /// Print a profile of the layers of this network instead.
    #[arg(long, value_name = "NETWORK", value_parser = layers::parse, conflicts_with_all = ["cases", "variants"])]
    layers: Option<layers::Parts>,
    /// Run the check of this case on a saved model and print a digest of the result; a measuring process starts it.
    #[arg(long, value_name = "CASE", hide = true, requires = "model", value_parser = case::parse)]
    replay: Option<Case>,
    /// The saved model of `--replay`.
    #[arg(long, value_name = "FILE", hide = true)]
    model: Option<PathBuf>,
}

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<(), Failure> {
    run::with_threads(args.threads.into(), || perform(args))?
}

fn perform(args: &Args) -> Result<(), Failure> {
    if let (Some(case), Some(model)) = (args.replay, &args.model) {
        println!("{}", check::digest(&check::replay(case, model)?));
        return Ok(());
    }
    let session = Session::new(args.threads.into(), args.seconds)?;
    if let Some(parts) = &args.layers {
        println!("{}", layers::profile(parts, &session)?);
        return Ok(());
    }
    let cases = if args.cases.is_empty() {
        Case::ALL.as_slice()
    } else {
        &args.cases
    };
    let mut rows = Vec::new();
    for &case in cases {
        let wanted: Vec<Variant> = case
            .variants()
            .iter()
            .copied()
            .filter(|v| args.variants.is_empty() || args.variants.contains(v))
            .collect();
        rows.extend(measure::case(case, &wanted, &session)?);
    }
    let report = report::Report::new(&session, rows);
    match &args.json {
        Some(path) => report.write(path)?,
        None => println!("{report}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_knows_its_cases() {
        Args::command().debug_assert();
        let args = Args::try_parse_from(["cases", "--cases", "resnet18_b1,linear_1x768x3072"]);
        assert_eq!(args.map(|a| a.cases.len()).ok(), Some(2));
        for wrong in [
            ["--cases", "resnet19_b1"],
            ["--threads", "0"],
            ["--seconds", "nan"],
            ["--layers", "linear_1x768x3072"],
        ] {
            assert!(
                Args::try_parse_from(["cases", wrong[0], wrong[1]]).is_err(),
                "{wrong:?}"
            );
        }
    }
}
