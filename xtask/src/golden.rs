//! `cargo xtask golden`: compares this build with recorded results, byte for byte.
//!
//! The comparison itself is the `golden` test of the `qtensor` crate. It reads the directory from the
//! variable `QTENSOR_GOLDEN`; `--dir` sets it, so that a larger set of files than the repository
//! carries can be checked with the same code.

use std::path::{Path, PathBuf};

use crate::process::{self, Failure};

/// The variable that the `golden` test reads.
const DIRECTORY_VARIABLE: &str = "QTENSOR_GOLDEN";

/// Runs the golden test in release mode, with the files of `dir` if one is given.
pub fn run(dir: Option<&Path>) -> Result<(), Failure> {
    let mut command = process::cargo();
    command.args(["test", "--release", "-p", "qtensor", "--test", "golden"]);
    command.args(["--", "--nocapture"]);
    if let Some(dir) = dir {
        command.env(DIRECTORY_VARIABLE, absolute_directory(dir)?);
    }
    println!("$ {}", process::describe(&command));
    process::run(&mut command)
}

/// The directory as an absolute path: tests run in their package's directory, not in the caller's.
fn absolute_directory(dir: &Path) -> Result<PathBuf, Failure> {
    let absolute = dir
        .canonicalize()
        .map_err(|error| Failure::new(format!("golden files in `{}`: {error}", dir.display())))?;
    if absolute.is_dir() {
        Ok(absolute)
    } else {
        Err(Failure::new(format!(
            "golden files in `{}`: not a directory",
            dir.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_directory_becomes_absolute() {
        let found = absolute_directory(Path::new("src")).expect("the package has a src directory");
        assert!(found.is_absolute() && found.ends_with("src"));
    }

    #[test]
    fn a_missing_directory_and_a_file_are_refused() {
        for wrong in ["no-such-directory", "Cargo.toml"] {
            let failure = absolute_directory(Path::new(wrong)).expect_err(wrong);
            assert!(failure.to_string().contains(wrong), "{failure}");
        }
    }
}
