//! Development commands of the workspace, run as `cargo xtask <command>`.
//!
//! `ci` is the command that decides whether a change may go in; the others are its parts and the
//! tools around it. This file only maps the command line to the file that does the work.

mod bench;
mod ci;
mod codegen;
mod golden;
mod isa;
mod parity;
mod process;
mod quickstart;
mod tidy;
mod valgrind;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development commands of the qtensor workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check a change must pass, cheapest first, and stop at the first failure.
    Ci {
        /// Run only these steps, in the usual order.
        #[arg(value_parser = ci::step_names())]
        steps: Vec<String>,
    },
    /// Check the textual rules of the repository.
    Tidy,
    /// Compare with the golden files, optionally with those in another directory.
    Golden {
        /// A directory of golden files, instead of the ones in the repository.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Run the kernel tests once for each instruction set of this CPU.
    Isa,
    /// Run tests of the kernels under valgrind, on the instruction sets that it emulates.
    Valgrind {
        /// This one alone: `scalar`, `sse2` or `avx2`.
        tier: Option<String>,
    },
    /// Write `docs/parity.md` and the test that compiles its paths.
    Parity,
    /// Check the machine code of the kernels' innermost loops.
    Codegen,
    /// Time networks and layers, int8 beside float; each result is checked first.
    ///
    /// The criterion benches of single kernels are run with `cargo bench -p qtensor-benches`.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ci { steps } => ci::run(&steps),
        Command::Tidy => tidy::run(),
        Command::Golden { dir } => golden::run(dir.as_deref()),
        Command::Isa => isa::run(false),
        Command::Valgrind { tier } => valgrind::run(tier.as_deref()),
        Command::Parity => parity::run(false),
        Command::Codegen => codegen::run(),
        Command::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bench_takes_the_options_of_the_comparison_with_others() {
        let words = "xtask bench --cases resnet18_b1 --threads 1 --json rows.json";
        assert!(Cli::try_parse_from(words.split(' ')).is_ok());
        assert!(Cli::try_parse_from(["xtask", "bench", "--threads", "many"]).is_err());
    }

    #[test]
    fn ci_refuses_an_unknown_step() {
        assert!(Cli::try_parse_from(["xtask", "ci", "fmt", "tidy"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "ci", "no-such-step"]).is_err());
    }
}
