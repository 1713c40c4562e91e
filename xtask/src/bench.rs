//! `cargo xtask bench`: the benchmarks of the `qtensor-benches` package.
//!
//! Benchmarks are never part of `ci`: a shared machine's clock decides nothing. Each benchmark checks
//! its result against the reference before it measures.

use crate::process::{self, Failure};

/// Runs `cargo bench -p qtensor-benches` with `args` appended.
pub fn run(args: &[String]) -> Result<(), Failure> {
    let mut command = process::cargo();
    command.args(["bench", "-p", "qtensor-benches"]).args(args);
    println!("$ {}", process::describe(&command));
    process::run(&mut command)
}
