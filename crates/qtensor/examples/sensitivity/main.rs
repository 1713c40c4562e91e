//! Finding and repairing a loss of accuracy: one layer of a CNN is damaged so that int8 loses it and float does not.
//!
//! `cargo run --release -p qtensor --example sensitivity`, with `-- --json` for one JSON object as the last line.

#[path = "../common/mod.rs"]
mod common;
mod damage;
mod study;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use study::Study;

/// Ranks the layers of a damaged CNN by what int8 costs them, and leaves the worst in float.
#[derive(Parser)]
struct Args {
    /// End with one JSON object of the results.
    #[arg(long)]
    json: bool,
    /// Where the page with the charts goes [default: sensitivity.html in the system's folder of temporary files].
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
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
    let study = Study::run()?;
    println!("Each place alone in int8, and left out of int8, on validation rows:\n");
    println!("{}\n", study.automatic.sensitivity);
    println!("Automatic mode, at least 99 % of the float model's accuracy:\n");
    println!("{}\n", study.automatic);
    let percent = |x: f64| 100.0 * x;
    println!(
        "On 360 test images: {:.2} % in float, {:.2} % with everything in int8, {:.2} % after the automatic mode, \
         which is {:.2} % of float.",
        percent(study.float_accuracy),
        percent(study.int8_accuracy),
        percent(study.automatic_accuracy),
        percent(study.recovered()),
    );
    println!("The damaged place was {}.", study.damaged());
    let usual = || std::env::temp_dir().join("sensitivity.html");
    let page = args.report.clone().unwrap_or_else(usual);
    study.report.save(&page)?;
    println!(
        "The report with all places in int8 is in {}.",
        page.display()
    );
    if args.json {
        println!("{}", study.json());
    }
    Ok(())
}
